"""What the trainings of a Ray cluster have in common: a small actor, which for that imports nothing."""

from __future__ import annotations


class Shelf:
    """An actor that hands checkpoints of the run's folder to workers that cannot see it, and counts the workers."""

    def __init__(self, expected: int) -> None:
        self.content: dict[int, bytes] = {}
        self.workers: set[str] = set()
        self.expected = expected

    def expect(self, workers: int) -> None:
        """There is nothing to do for more."""
        self.expected = min(self.expected, workers)

    def arrive(self, worker: str) -> bool:
        """A worker has started; whether as many have as are expected."""
        self.workers.add(worker)
        return len(self.workers) >= self.expected

    def put(self, number: int, checkpoint: bytes) -> None:
        self.content[number] = checkpoint

    def take(self, number: int) -> bytes | None:
        return self.content.pop(number, None)
