"""A network trained to the end, with all that can be done with it."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import bft_nas.record.trained
from bft_nas.record.trained_folder import TRAINED

if TYPE_CHECKING:
    from torch import nn

    from bft_nas.api.with_weights import WithWeights
    from bft_nas.export.write import ExportReport
    from bft_nas.export.write import Watcher as ExportWatcher


class Trained(bft_nas.record.trained.Trained):
    """A network trained to the end; `bft_nas.train` and `bft_nas.open_trained` return one.

    >>> trained = bft_nas.open_trained("mobile-50M-7")  # doctest: +SKIP
    >>> trained.evaluation().measures.accuracy  # doctest: +SKIP
    """

    def model(self) -> nn.Module:
        """The network as a module with its best weights, in eval mode.

        It takes images normalised by the mean and standard deviation in its ``default_cfg``.
        """
        return self._with_weights().model()

    def export(
        self,
        folder: str | Path,
        *,
        runtimes: Sequence[str] = (),
        int8: bool = False,
        watcher: ExportWatcher = lambda name, done: None,
    ) -> ExportReport:
        """Write it as files that need nothing of this package, and check each; see `bft_nas.Run.export`."""
        return self._with_weights().export(Path(folder), runtimes=runtimes, int8=int8, watcher=watcher)

    def _with_weights(self) -> WithWeights:
        from bft_nas.api.with_weights import WithWeights

        return WithWeights(self.architecture, self.weights(), self.data, self.facts["data"])

    def report(self) -> Path:
        """Write its curve, evaluation and network as one HTML file into its folder, and return the path."""
        from bft_nas.dashboard.trained_report import write_trained_report

        return write_trained_report(self)

    def __repr__(self) -> str:
        return f"<Trained {self.folder}>"


def open_trained(name: str | Path, *, trained: str | Path = TRAINED) -> Trained:
    """The network of that name under ``trained``, or in the folder of that path.

    Raises:
        UserError: there is none; the message names those that there are.
    """
    return Trained.open(name, trained=Path(trained))
