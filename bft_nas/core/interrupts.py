"""What Ctrl-C and SIGTERM mean to a search: the first ends it in good order, a second one at once."""

from __future__ import annotations

import signal
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from threading import Timer, current_thread, get_ident, main_thread
from types import FrameType


class Interrupt(KeyboardInterrupt):
    """A signal that ends a search."""

    def __init__(self, number: int, *, at_once: bool) -> None:
        super().__init__()
        self.number = number
        self.at_once = at_once
        """Whether it is the second one, after which nothing is waited for and nothing more is written."""


def listen() -> None:
    """Raise `Interrupt` in this thread at every SIGINT and SIGTERM from now on; an ignored SIGINT stays ignored.

    While something is being imported it waits: ending in good order takes modules, and one that is imported by half is
    in its way, by a segmentation fault with some.
    """
    asked = False
    # A program may itself be imported by another: what counts is what has begun since.
    here = sys._getframe(1)

    def stop(number: int, frame: FrameType | None) -> None:
        nonlocal asked
        if _is_importing(frame, here):
            # Sent to the thread, not only noted: it may be waiting by then.
            soon = Timer(0.05, signal.pthread_kill, (get_ident(), number))
            soon.daemon = True
            soon.start()
            return
        again, asked = asked, True
        raise Interrupt(number, at_once=again)

    for number in (signal.SIGINT, signal.SIGTERM):
        if signal.getsignal(number) is not signal.SIG_IGN:
            signal.signal(number, stop)


@contextmanager
def awaited() -> Iterator[Callable[[], None]]:
    """Within it the first SIGINT or SIGTERM waits for what is yielded to be called, a second one is raised at once.

    For work that can only be put down between two steps. Elsewhere than in the main thread signals are none of ours.
    """
    noted: list[int] = []

    def note(number: int, frame: FrameType | None) -> None:
        if noted:
            raise Interrupt(number, at_once=True)
        noted.append(number)

    def check() -> None:
        if noted:
            raise Interrupt(noted[0], at_once=False)

    if current_thread() is not main_thread():
        yield check
        return
    before = {number: signal.getsignal(number) for number in (signal.SIGINT, signal.SIGTERM)}
    for number, handler in before.items():
        if handler is not signal.SIG_IGN:
            signal.signal(number, note)
    try:
        yield check
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)


def _is_importing(frame: FrameType | None, outermost: FrameType) -> bool:
    while frame is not None and frame is not outermost:
        if frame.f_code.co_filename.startswith("<frozen importlib"):
            return True
        frame = frame.f_back
    return False


def exit_code(interrupt: KeyboardInterrupt) -> int:
    """Of a program that ends by an interrupt: 130 after Ctrl-C, 143 after SIGTERM."""
    return 128 + (interrupt.number if isinstance(interrupt, Interrupt) else signal.SIGINT)
