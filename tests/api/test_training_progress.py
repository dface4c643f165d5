"""What is shown while a network is trained to the end."""

from __future__ import annotations

from io import StringIO

from rich.console import Console

from bft_nas.api.training_progress import Lines
from bft_nas.training.curve import FullEpoch


def test_an_epoch_that_was_interrupted_after_its_last_step_is_told_before_any_step() -> None:
    console = Console(file=StringIO(), width=200)
    lines = Lines(console, None)
    lines.images = 100
    lines.epoch((FullEpoch(1, 2.0, 1.5, 0.5, 0.6, 0.1, 4.0),))
    assert isinstance(console.file, StringIO)
    assert console.file.getvalue().rstrip().endswith("best 60.00%, 25 images/s")
    lines.step(1, 2)
    lines.epoch((FullEpoch(1, 2.0, 1.5, 0.5, 0.6, 0.1, 4.0),))
    assert console.file.getvalue().rstrip().endswith(" left")
