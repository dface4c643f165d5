"""Where in the arena each buffer is: buffers whose times of use do not meet share memory."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from bft_nas.export.c_program.steps import ZEROS, Buffer, Step, Value

MARGIN = 64
"""Elements before and behind all buffers, as vectors reach beyond an image's ends."""
ALIGNMENT = 16


@dataclass(frozen=True)
class Arena:
    """Offsets of buffers, of the zeros and of the scratch, in elements."""

    offsets: dict[Buffer, int]
    scratch: int
    size: int


def plan(steps: Sequence[Step], output: Value, scratch: int) -> Arena:
    """Large buffers first, each at the lowest place that is free while it lives; scratch at the end."""
    first: dict[Buffer, int] = {}
    last: dict[Buffer, int] = {}
    for number, step in enumerate(steps):
        for buffer in step.y.buffers:
            first.setdefault(buffer, number)
        for buffer in step.reads | step.y.buffers:
            last[buffer] = number
    for buffer in output.buffers:
        last[buffer] = len(steps)
    # Columns of a butterfly beyond its input channels are read as zeros.
    zeros = max((step.x.pixels for step in steps if step.kernel == "butterfly"), default=0)
    start = MARGIN + rounded(zeros + ALIGNMENT)
    placed: list[Buffer] = []
    offsets = {ZEROS: MARGIN}
    for buffer in sorted(first, key=lambda buffer: -size_of(buffer)):
        place = start
        meeting = [other for other in placed if first[other] <= last[buffer] and first[buffer] <= last[other]]
        for other in sorted(meeting, key=lambda other: offsets[other]):
            if place + size_of(buffer) <= offsets[other]:
                break
            place = max(place, offsets[other] + size_of(other))
        offsets[buffer] = place
        placed.append(buffer)
    end = max((offsets[buffer] + size_of(buffer) for buffer in placed), default=start)
    return Arena(offsets, end, end + rounded(scratch) + MARGIN)


def size_of(buffer: Buffer) -> int:
    """Elements."""
    return rounded(buffer.planes * buffer.step)


def rounded(count: int) -> int:
    """To whole cache lines."""
    return -(-count // ALIGNMENT) * ALIGNMENT
