"""A network trained to the end: its folder under ``trained/``, and what is told of it. Needs no torch."""

from __future__ import annotations

import csv
import fcntl
import json
import os
import re
import shlex
import shutil
import tempfile
import time
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from datetime import UTC, datetime
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any, Self

import yaml

from bft_nas.core.errors import UserError, one_line, setting
from bft_nas.core.files import is_file, locks, straight, write_text, writing
from bft_nas.network import Architecture
from bft_nas.record.candidate import ARCHITECTURE, CURVE
from bft_nas.record.latency import Latency, add_latencies, read_latencies
from bft_nas.record.run_file import DataFacts, versions
from bft_nas.record.run_folder import UNFINISHED, check_name, moved
from bft_nas.record.trained_folder import TRAINED, TRAINING_FILE
from bft_nas.training.curve import BEST, LAST
from bft_nas.training.measures import Measures
from bft_nas.training.protocol import Protocol

if TYPE_CHECKING:
    from torch import Tensor

EVALUATION, LOCK = "evaluation.json", ".lock"
DESCRIPTION = (TRAINING_FILE, ARCHITECTURE)


@dataclass(frozen=True)
class Evaluation:
    """What a trained network is worth on images that it was not trained on."""

    split: str
    """``test``, or ``validation`` where there are no test images: those chose the best weights."""
    data: str
    measures: Measures
    left_out: tuple[str, ...] = ()
    """Test images that could not be decoded, each with the reason."""


class Trained:
    """A network trained to the end, or as far as its training has come, in a folder of its own.

    Its files: ``training.yaml`` (network, data, protocol), ``architecture.json``, ``curve.csv``, ``checkpoint.pt``
    while the training lasts, ``model.safetensors`` (the best weights by validation accuracy), ``last.safetensors``,
    ``evaluation.json``, ``latency.json`` and ``files.json`` once it or its exports were measured, and the model card.
    """

    def __init__(self, folder: Path) -> None:
        self.folder = folder

    @classmethod
    def create(
        cls,
        name: str,
        architecture: Architecture,
        protocol: Protocol,
        *,
        source: str,
        data: str,
        facts: DataFacts,
        plan: str,
        teacher: str | None = None,
        teacher_first: bool = False,
        teacher_digest: str | None = None,
        command: str = "",
        launch: str = "",
        trained: Path = TRAINED,
    ) -> Self:
        """Make the folder of a training that is about to begin, complete or not at all.

        Args:
            name: of the folder under ``trained``.
            architecture: of the network.
            protocol: of the training.
            source: what the network is, in words.
            data: where its images are.
            facts: of the images.
            plan: the name of the recipe.
            teacher: where the network's teacher is, if it has one.
            teacher_first: whether that is a network that is trained before this one is.
            teacher_digest: of the teacher's weights, where they are known by then.
            command: that asked for it.
            launch: of several processes; see `bft_nas.training.processes.Processes`.
            trained: where such folders are.

        Raises:
            UserError: no folder can have the name, or there is one already.
            RunError: it cannot be written.
        """
        check_new(name, trained)
        folder = trained / name
        content = {
            "command": command,
            **({"launch": launch} if launch else {}),
            "created": datetime.now(UTC).isoformat(timespec="seconds"),
            "network": source,
            "data": data,
            "recipe": plan,
            "teacher": teacher,
            "teacher_first": teacher_first,
            "teacher_digest": teacher_digest,
            "protocol_hash": protocol.hash,
            "protocol": protocol.to_dict(),
            "data_facts": {key: list(value) for key, value in asdict(facts).items()},
            "versions": versions(),
        }
        with writing(trained):
            trained.mkdir(parents=True, exist_ok=True)
            temporary = Path(tempfile.mkdtemp(prefix=UNFINISHED, dir=trained))
        try:
            with writing(folder):
                temporary.chmod(0o755)
                write_text(temporary / TRAINING_FILE, yaml.safe_dump(content, sort_keys=False))
                write_text(temporary / ARCHITECTURE, architecture.to_json())
            if not moved(temporary, folder):
                raise _taken(name, folder)
        except BaseException:
            shutil.rmtree(temporary, ignore_errors=True)
            raise
        return cls(folder)

    @classmethod
    def open(cls, name: str | Path, *, trained: Path = TRAINED) -> Self:
        """The one of that name under ``trained``, or in the folder of that path.

        Raises:
            UserError: there is none; the message names those that there are.
        """
        for folder in (trained / name, Path(name)) if str(name) else ():
            if is_file(folder / TRAINING_FILE):
                return cls(straight(folder))
        known = ", ".join(trained_names(trained)) or "one, but there is none yet"
        shown = one_line(str(name))[:80]
        raise UserError(f"trained network '{shown}': not found under '{trained}'; expected {known}")

    @property
    def name(self) -> str:
        """Of the folder."""
        return self.folder.name

    @cached_property
    def facts(self) -> Mapping[str, Any]:
        """The content of training.yaml; UserError when it cannot be read."""
        try:
            content = {**yaml.safe_load((self.folder / TRAINING_FILE).read_text(encoding="utf-8"))}
            return {
                **content,
                # Older ones lack some of it.
                "teacher": content.get("teacher"),
                "teacher_first": content.get("teacher_first", False),
                "teacher_digest": content.get("teacher_digest"),
                "data": str(content["data"]),
                "network": str(content["network"]),
            }
        except (OSError, yaml.YAMLError, KeyError, TypeError, ValueError, RecursionError) as error:
            raise self._unreadable(TRAINING_FILE, error) from None

    def note_teacher(self, digest: str) -> None:
        """Keep which weights teach it, once they are known."""
        content = {**self.facts, "teacher_digest": digest}
        write_text(self.folder / TRAINING_FILE, yaml.safe_dump(content, sort_keys=False))
        del self.facts

    @cached_property
    def protocol(self) -> Protocol:
        """Under which it is trained."""
        try:
            return Protocol.from_dict(self.facts["protocol"])
        except (KeyError, TypeError) as error:
            raise self._unreadable(TRAINING_FILE, error) from None

    @cached_property
    def data(self) -> DataFacts:
        """What is known of its images."""
        try:
            return DataFacts(**{key: tuple(value) for key, value in self.facts["data_facts"].items()})
        except (KeyError, TypeError, AttributeError) as error:
            raise self._unreadable(TRAINING_FILE, error) from None

    @cached_property
    def architecture(self) -> Architecture:
        """Of the network."""
        try:
            return Architecture.from_json((self.folder / ARCHITECTURE).read_text(encoding="utf-8"))
        except (OSError, ValueError, UserError) as error:
            raise self._unreadable(ARCHITECTURE, error) from None

    def description(self) -> dict[str, str]:
        """The files that say what is trained, by name; UserError when one cannot be read."""
        try:
            return {name: (self.folder / name).read_text(encoding="utf-8") for name in DESCRIPTION}
        except (OSError, ValueError) as error:
            raise self._unreadable(" or ".join(DESCRIPTION), error) from None

    def write_description(self, files: Mapping[str, str]) -> None:
        """Put them in place in a folder of another process."""
        for name in DESCRIPTION:
            write_text(self.folder / name, files[name], durable=False)

    @property
    def finished(self) -> bool:
        """Whether it was trained to the end."""
        return (self.folder / LAST).is_file()

    def curve(self) -> list[dict[str, float]]:
        """A row an epoch, as in curve.csv; empty before the first one."""
        try:
            with (self.folder / CURVE).open(encoding="utf-8", newline="") as file:
                return [{name: float(value) for name, value in row.items()} for row in csv.DictReader(file)]
        except FileNotFoundError:
            return []
        except (OSError, ValueError, TypeError) as error:
            raise self._unreadable(CURVE, error) from None

    def write_curve(self, rows: Sequence[Mapping[str, float]]) -> None:
        """Put curve.csv in place, complete up to the last epoch."""
        names = list(rows[0])
        lines = [",".join(names), *(",".join(repr(row[name]) for name in names) for row in rows)]
        write_text(self.folder / CURVE, "\n".join(lines) + "\n")

    def weights(self) -> dict[str, Tensor]:
        """The best ones so far; UserError when there are none yet."""
        from safetensors.torch import load_file

        path = self.folder / BEST
        if not path.is_file():
            raise UserError(f"trained network '{self.name}': has no weights yet; expected an epoch at least")
        try:
            return load_file(path)
        except Exception as error:
            raise self._unreadable(BEST, error) from None

    def evaluation(self) -> Evaluation | None:
        """That at the end of its training; None before."""
        try:
            content = json.loads((self.folder / EVALUATION).read_text(encoding="utf-8"))
            measures, left_out = Measures.from_dict(content["measures"]), content.get("left_out", ())
            return Evaluation(content["split"], content["data"], measures, tuple(map(str, left_out)))
        except FileNotFoundError:
            return None
        except (OSError, ValueError, KeyError, TypeError) as error:
            raise self._unreadable(EVALUATION, error) from None

    def write_evaluation(self, evaluation: Evaluation) -> None:
        """Put evaluation.json in place."""
        content = {
            "split": evaluation.split,
            "data": evaluation.data,
            "images": evaluation.measures.images,
            "accuracy": evaluation.measures.accuracy,
            "interval": evaluation.measures.interval,
            "left_out": evaluation.left_out,
            "measures": evaluation.measures.to_dict(),
        }
        write_text(self.folder / EVALUATION, json.dumps(content, indent=1) + "\n")

    def latencies(self) -> tuple[Latency, ...]:
        """What was measured of it, in every setup."""
        return read_latencies(self.folder)

    def record_latencies(self, latencies: Iterable[Latency]) -> None:
        """Keep what was measured of it."""
        add_latencies(self.folder, latencies)

    @contextmanager
    def at_work(self) -> Iterator[None]:
        """Train it meanwhile; UserError when another process does."""
        with writing(self.folder / LOCK):
            lock = (self.folder / LOCK).open("w")
        with lock:
            # Whoever only looks whether somebody is at work holds it for a moment.
            for wait in (0.02, 0.2, None):
                if locks(lock, fcntl.LOCK_EX):
                    break
                if wait is None:
                    raise UserError(
                        f"trained network '{self.name}': another process trains it; expected its end"
                    )
                time.sleep(wait)
            # What a process that was killed amid writing has left.
            for begun in self.folder.glob(".*.tmp"):
                begun.unlink(missing_ok=True)
            yield

    @property
    def is_at_work(self) -> bool:
        """Whether a process of this machine is training it."""
        try:
            with (self.folder / LOCK).open() as lock:
                return not locks(lock, fcntl.LOCK_SH)
        except OSError:
            return False

    def _unreadable(self, file: str, error: Exception) -> UserError:
        return UserError(f"trained network '{self.folder}': {file} cannot be read ({one_line(error)[:120]})")


def candidate_source(run: str, number: int) -> str:
    """What a network is that is a candidate of a run, in words; see `candidate_of`."""
    return f"candidate {number} of {run}"


def candidate_of(source: str) -> tuple[str, int] | None:
    """The run and the number that `candidate_source` was told; None of any other network.

    >>> candidate_of("candidate 7 of mobile-50M"), candidate_of("mobilenet_v3_small within 50M")
    (('mobile-50M', 7), None)
    """
    found = re.fullmatch(r"candidate (\d+) of (.+)", source, re.DOTALL)
    return None if found is None else (found[2], int(found[1]))


def check_new(name: str, trained: Path = TRAINED) -> None:
    """UserError unless a network that is about to be trained can have a name."""
    check_name(name)
    if os.path.lexists(trained / name):
        raise _taken(name, trained / name)


def trained_names(trained: Path = TRAINED) -> tuple[str, ...]:
    """The names of the networks in a folder."""
    try:
        found = sorted(path.parent.name for path in trained.glob(f"*/{TRAINING_FILE}"))
    except OSError:
        return ()
    return tuple(name for name in found if not name.startswith(UNFINISHED))


def _taken(name: str, folder: Path) -> UserError:
    resume = f"{setting('resume')} {shlex.quote(name)}"
    return UserError(f"'{folder}': there is one already; expected a new {setting('name')}, or {resume}")
