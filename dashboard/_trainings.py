"""The trained networks that a dashboard may read: those of one folder, each read again when its files change."""

from __future__ import annotations

from pathlib import Path
from threading import Lock

from bft_nas.core.errors import UserError, printable
from bft_nas.network import Architecture
from bft_nas.record import exported
from bft_nas.record.candidate import ARCHITECTURE, CURVE
from bft_nas.record.latency import LATENCY_FILE
from bft_nas.record.trained import EVALUATION, Trained, trained_names
from bft_nas.record.trained_folder import TRAINING_FILE
from bft_nas.record.trained_summary import Summary, newest_first, summary_of
from bft_nas.training.curve import BEST, LAST

FILES = (TRAINING_FILE, ARCHITECTURE, CURVE, BEST, LAST, EVALUATION, LATENCY_FILE, exported.FILES)
"""What changes when something is recorded of a training."""

Signature = tuple[tuple[str, int, int], ...]


class Trainings:
    """The trained networks under a folder, by name; nothing outside of it is read.

    >>> Trainings(Path("trained")).names()  # doctest: +SKIP
    ('mobile-50M-7', 'shoes')
    """

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self._known: dict[str, tuple[Signature, Summary | str]] = {}
        # Requests come in threads of their own.
        self._lock = Lock()

    def names(self) -> tuple[str, ...]:
        """In alphabetical order."""
        return tuple(self._names())

    def open(self, name: str) -> Trained:
        """A trained network as it is now; UserError naming the ones there are when there is none of that name."""
        # A name counts only as one of those found, so that none leads out of the folder.
        names = self._names()
        if name not in names:
            known = ", ".join(names) or "one, but there is none yet"
            raise UserError(
                f"trained network '{name[:80]}': not found under '{self.folder}'; expected {known}"
            )
        return Trained(self.folder / names[name])

    def all(self) -> tuple[list[Summary], list[str]]:
        """Those that can be read, the newest first, and why the others cannot be, a line each."""
        with self._lock:
            told = [self._told(name, folder) for name, folder in self._names().items()]
        found = [each for each in told if isinstance(each, Summary)]
        return newest_first(found), [each for each in told if isinstance(each, str)]

    def of_candidate(self, run: str, number: int, architecture: Architecture) -> list[Summary]:
        """Those trained from a candidate of a run, the newest first."""
        return [
            each
            for each in self.all()[0]
            # A run may have the name of one that was deleted.
            if each.candidate == (run, number) and each.architecture_hash == architecture.hash
        ]

    def signature(self) -> str:
        """What differs as soon as anything has changed of a training; cheap."""
        return repr([(name, self._signature(name)) for name in self._names().values()])

    def standing(self) -> str:
        """What differs as soon as a training begins or ends."""
        return repr([(name, (self.folder / name / EVALUATION).is_file()) for name in self._names().values()])

    def _told(self, name: str, folder: str) -> Summary | str:
        now = self._signature(folder)
        then, told = self._known.get(name, ((), ""))
        # What is told of one in training depends on its teacher's, too.
        if now != then or (isinstance(told, Summary) and told.evaluation is None):
            try:
                told = summary_of(Trained(self.folder / folder))
            except UserError as error:
                told = str(error)
            self._known[name] = (now, told)
        return told

    def _signature(self, folder: str) -> Signature:
        found = []
        for name in FILES:
            try:
                facts = (self.folder / folder / name).stat()
            except OSError:
                continue
            found.append((name, facts.st_mtime_ns, facts.st_size))
        trained = Trained(self.folder / folder)
        # A process that is killed changes no file.
        return (*found, ("at work", int(not trained.finished and trained.is_at_work), 0))

    def _names(self) -> dict[str, str]:
        """The names of the folders by those that a page can show and an address can hold."""
        return {printable(name): name for name in trained_names(self.folder)}
