"""What is shown while a network is trained to the end."""

from __future__ import annotations

from dataclasses import replace
from io import StringIO

import pytest
from rich.console import Console

from bft_nas.api.training_progress import Lines
from bft_nas.core.units import format_duration
from bft_nas.training.curve import FullEpoch
from bft_nas.training.protocol import Protocol


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


PROTOCOL = Protocol("arrays", "0", 10, train_images=127, validation_images=20, resolution_divisor=1)


def test_images_that_no_step_trains_on_are_no_part_of_the_speed() -> None:
    console = Console(file=StringIO(), width=200)
    lines = Lines(console, None)
    for images, batch_size, speed in ((127, 64, 64), (128, 64, 128), (20, 20, 20)):
        lines.begin((), replace(PROTOCOL, batch_size=batch_size), images)
        lines.epoch((FullEpoch(1, 2.0, 1.5, 0.5, 0.6, 0.1, 1.0),))
        assert isinstance(console.file, StringIO)
        assert console.file.getvalue().rstrip().endswith(f", {speed} images/s")


def test_what_is_left_is_told_by_the_steps_since_it_went_back_to_a_checkpoint(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    seconds = 0.0
    monkeypatch.setattr("bft_nas.api.training_progress.time.monotonic", lambda: seconds)
    lines = Lines(Console(file=StringIO()), None)
    lines.begin((), PROTOCOL, 127)
    for done in [*range(1, 1001), *range(1, 101)]:
        seconds += 1
        lines.step(done, 10_000)
        assert lines.left == f", {format_duration(10_000 - done)} left"
