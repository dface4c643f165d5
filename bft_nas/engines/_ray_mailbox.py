"""Between a training on a Ray cluster and who asked for it: a small actor, which for that imports nothing."""

from __future__ import annotations

from typing import Any


class Mailbox:
    """An actor that keeps letters until they are fetched, and whether the training is asked to end."""

    def __init__(self) -> None:
        self.letters: list[tuple[Any, ...]] = []
        self.number = 0

    def put(self, *letter: Any) -> None:
        """The kind of a letter and its content."""
        self.letters.append(letter)

    def take(self) -> list[tuple[Any, ...]]:
        """The letters since the last time, in order."""
        letters, self.letters = self.letters, []
        return letters

    def ask_to_end(self, number: int) -> None:
        """For a signal of this number."""
        self.number = number

    def asked_to_end(self) -> int:
        """The number of the signal; 0 without one."""
        return self.number
