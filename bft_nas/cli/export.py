"""What ``bft-nas export`` does: the export and, while it goes on, which file it is at."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

from rich.console import Console

from bft_nas.cli import tables

if TYPE_CHECKING:
    from bft_nas.export.write import Watcher
    from bft_nas.record.run import Run


def export_command(run: Run, number: int, folder: Path) -> int:
    """Export a candidate of a run into a folder, and return the exit code."""
    console = tables.make_console()
    state = run.weights(number)
    console.print(f"candidate {number} of {run.name}", highlight=False, markup=False)
    with show_export(console) as watcher:
        # After the first line, as this imports torch.
        from bft_nas.export.write import ExportError, export

        try:
            report = export(
                run.architecture(number),
                state,
                folder,
                classes=run.data.classes,
                normalisation=(run.data.mean, run.data.std),
                watcher=watcher,
            )
        except ExportError as error:
            print(f"bft-nas: error: {error}", file=sys.stderr)
            return 1
    tables.print_export(console, report)
    return 0


@contextmanager
def show_export(console: Console) -> Iterator[Watcher]:
    """What has just been done, in one line that vanishes at the end; a line for each file where no terminal is."""
    if not console.is_terminal:
        yield lambda name, done: _line(console, name) if done == "checked" else None
        return
    with console.status("writing") as status:
        yield lambda name, done: status.update(f"{name} {done}")


def _line(console: Console, name: str) -> None:
    console.print(f"{name}: written and checked", highlight=False, markup=False)
