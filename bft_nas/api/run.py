"""A run with all that can be done with it: results, figures, models, exports."""

from __future__ import annotations

from collections.abc import Sequence
from functools import cached_property
from html import escape
from pathlib import Path
from typing import TYPE_CHECKING

import bft_nas.record.run
from bft_nas.core.units import format_macs, format_percent
from bft_nas.record.run_folder import RUNS

if TYPE_CHECKING:
    from torch import nn

    from bft_nas.api.with_weights import WithWeights
    from bft_nas.dashboard._style import Problem
    from bft_nas.dashboard.figures import Figures
    from bft_nas.export.write import ExportReport
    from bft_nas.export.write import Watcher as ExportWatcher

SHOWN = ["number", "accuracy", "macs", "params", "family", "resolution", "fusions"]
"""Columns of the front in a notebook."""


class Run(bft_nas.record.run.Run):
    """One search's directory under ``runs/``, finished or running.

    `bft_nas.search` and `bft_nas.open_run` return one. What it tells is read when it is asked.

    >>> run = bft_nas.open_run("mobile-50M")  # doctest: +SKIP
    >>> run.front()  # doctest: +SKIP
    >>> run.figures.front().show()  # doctest: +SKIP
    """

    @cached_property
    def figures(self) -> Figures:
        """The views of the dashboard as Plotly figures."""
        from bft_nas.dashboard.figures import Figures

        return Figures(self)

    def model(self, number: int | None = None) -> nn.Module:
        """A candidate as a module with its trained weights, in eval mode; by default the winner.

        Its weights are those of its confirmation, or else of its brief proxy training: a warm start, not a finished
        classifier. It takes images normalised by the mean and standard deviation in its ``default_cfg``.

        Raises:
            UserError: there is no such candidate, or its weights were not kept, as it is not on the front.
        """
        return self._with_weights(number).model()

    def export(
        self,
        folder: str | Path,
        number: int | None = None,
        *,
        runtimes: Sequence[str] = (),
        int8: bool = False,
        watcher: ExportWatcher = lambda name, done: None,
    ) -> ExportReport:
        """Write a candidate, by default the winner, as files that need nothing of this package, and check each.

        ``runtimes`` are those for which files are written besides, ``onnxruntime`` say, and with ``int8`` their files
        of int8 too, whose ranges are those of training images; ``watcher`` is called with the name of a file when it
        is written and when it is checked.

        Raises:
            UserError: there is no such candidate, the folder holds something else than an export or cannot be
                written, or the images for ``int8`` are gone.
            ExportError: a file does not do what the trained network does; nothing is left behind.
        """
        return self._with_weights(number).export(Path(folder), runtimes=runtimes, int8=int8, watcher=watcher)

    def _with_weights(self, number: int | None) -> WithWeights:
        from bft_nas.api.with_weights import WithWeights

        number = self.number_or_winner(number)
        return WithWeights(self.architecture(number), self.weights(number), self.data, self.settings.data)

    def report(
        self, path: str | Path | None = None, *, on_problem: Problem = lambda name, error: None
    ) -> Path:
        """Write the views as one HTML file, by default ``report.html`` in the run's folder, and return its path.

        ``on_problem`` is called with each view that cannot be made, which says so in its place.

        Raises:
            UserError: a file of the run cannot be read, or there is no folder for the report.
        """
        from bft_nas.dashboard.report import write_run_report

        return write_run_report(self, None if path is None else Path(path), on_problem=on_problem)

    def _repr_html_(self) -> str:
        budgets = ", ".join(map(format_macs, self.settings.budgets))
        results, front = self.results(), self.front()
        facts = f"{budgets} MACs, {self.data_name}, protocol {self.protocol_hash}, {len(results)} candidates"
        title = f"<b>{escape(self.name)}</b>: {escape(facts)}; the front:"
        shown = front[SHOWN].assign(
            accuracy=front["accuracy"].map(format_percent), macs=front["macs"].map(format_macs)
        )
        table = shown.to_html(index=False, border=0)
        return f"<div><p>{title}</p>{table}</div>" if len(front) else f"<p>{title} no candidate yet</p>"

    def __repr__(self) -> str:
        return f"<Run {self.folder}>"


def open_run(name: str | Path, *, runs: str | Path = RUNS) -> Run:
    """The run of that name under ``runs``, or in the folder of that path.

    Raises:
        UserError: there is none; the message names those that there are.

    >>> open_run("mobile-50M").winner()["macs"]  # doctest: +SKIP
    """
    return Run.open(str(name), runs=Path(runs))
