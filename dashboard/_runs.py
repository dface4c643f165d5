"""The runs that a dashboard may read: those of one folder, each read again when its records change."""

from __future__ import annotations

from pathlib import Path
from threading import RLock

from bft_nas.core.errors import RunError, UserError, printable
from bft_nas.dashboard._run_data import RunData, read_run, signature
from bft_nas.dashboard._trainings import Trainings
from bft_nas.network import Architecture
from bft_nas.record import Run, run_names
from bft_nas.record.trained_folder import TRAINED

EXAMPLE = Path(__file__).parent / "example"
"""A finished search that is bundled, shown where there is no run yet."""

MOST_OPEN = 16
"""Runs that are kept read at a time."""

Signature = tuple[tuple[str, int, int], ...]


class Runs:
    """The runs under a folder, by name; nothing outside of it is read but the example.

    >>> Runs(Path("runs")).names()  # doctest: +SKIP
    ('mobile-20M', 'mobile-50M')
    """

    def __init__(self, folder: Path, trained: Path = TRAINED) -> None:
        self.folder = folder
        self.trainings = Trainings(trained)
        """What was trained to the end, from a candidate of one of them or otherwise."""
        self._opened: dict[str, tuple[Run, Signature, RunData]] = {}
        # Requests come in threads of their own, and a run reads its journal on from where it was.
        self._lock = RLock()

    def names(self) -> tuple[str, ...]:
        """The newest last; the example alone where the folder has none."""
        names = self._names()
        return tuple(names) or ((EXAMPLE.name,) if (EXAMPLE / "run.yaml").is_file() else ())

    @property
    def is_empty(self) -> bool:
        """Whether the folder has no run, so that at most the example is shown."""
        return not self._names()

    def find(self, name: str) -> Path:
        """The folder of a run; UserError naming the ones there are when there is none of that name."""
        # A name counts only as one of those found, so that none leads out of the folder.
        names = self._names()
        if name in names:
            return self.folder / names[name]
        if name == EXAMPLE.name and (EXAMPLE / "run.yaml").is_file():
            return EXAMPLE
        known = ", ".join(self.names()) or "a run, but there is none yet"
        raise UserError(f"run '{name[:80]}': not found under '{self.folder}'; expected {known}")

    def signature(self, name: str) -> Signature:
        """What differs as soon as a run's records have changed; UserError when it is not there any more."""
        return signature(self.find(name))

    def read(self, name: str) -> RunData:
        """A run as it is now."""
        return self._current(name)[1]

    def architecture(self, name: str, number: int) -> Architecture:
        """The network of a candidate."""
        return self._current(name)[0].architecture(number)

    def has_weights(self, name: str, number: int) -> bool:
        """Whether a candidate can be exported."""
        return self._current(name)[0].weights_file(number) is not None

    def _names(self) -> dict[str, str]:
        """The names of the folders by those that a page can show and an address can hold."""
        return {printable(name): name for name in run_names(self.folder)}

    def _current(self, name: str) -> tuple[Run, RunData]:
        with self._lock:
            try:
                folder = self.find(name)
                now = signature(folder)
                run, then, data = self._opened.get(name) or (Run(folder), (), None)
                if data is None or now != then:
                    if data is not None and _settings(now) != _settings(then):
                        # Another run under the name of one that was deleted.
                        run = Run(folder)
                    data = read_run(run)
                    # Last of those that are kept.
                    self._opened.pop(name, None)
                    self._opened[name] = (run, now, data)
                    there = self.names()
                    kept = [each for each in self._opened if each in there or each == name][-MOST_OPEN:]
                    self._opened = {each: self._opened[each] for each in kept}
            except OSError as error:
                self._opened.pop(name, None)
                raise UserError(f"run '{name}': cannot be read ({error.strerror})") from None
            except (UserError, RunError) as error:
                self._opened.pop(name, None)
                raise UserError(str(error)) from None
            return run, data


def _settings(found: Signature) -> tuple[tuple[str, int, int], ...]:
    return tuple(part for part in found if part[0] == "run.yaml")
