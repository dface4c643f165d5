"""The confirmations of a run: one row a network and seed in confirmations.csv, and what they say of results."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from bft_nas.core.errors import UserError, one_line
from bft_nas.core.files import write_text
from bft_nas.record.confirmed import Sample, compare, pooled_spread, standard_error

if TYPE_CHECKING:
    import pandas as pd

CONFIRMATIONS = "confirmations.csv"
CONFIRMATION_NAMES = (
    "number",
    "name",
    "width",
    "budget",
    "macs",
    "butterfly_share",
    "fusions",
    "hash",
    "protocol",
    "seed",
    "accuracy",
    "epochs",
    "seconds",
    "reason",
    "rung",
)
"""Columns: a candidate has a ``number``, a reference a ``name`` and a ``width``; ``protocol`` is
`bft_nas.training.confirmation.Confirmation.hash`; ``rung`` is the accuracy at the rung, where there is one.
``accuracy`` is empty where training failed, for a ``reason``, and where it was `LEFT` at the rung."""
LEFT = "left"
"""The ``reason`` of a training that goes no further than the rung; without any it may yet."""
_NUMBERS = ("width", "budget", "macs", "butterfly_share", "seed", "accuracy", "epochs", "seconds", "rung")


@dataclass(frozen=True)
class ConfirmedNetwork:
    """A network with the accuracies of its confirmations."""

    number: int | None
    """Of a candidate."""
    name: str
    """Of a reference."""
    budget: int
    """In MACs: what it was made for."""
    macs: int
    dense: bool
    """It has no butterflies."""
    fusions: str
    protocol: str
    epochs: int
    sample: Sample
    mean: float
    """Its accuracy as if it had all seeds, by `bft_nas.record.confirmed.compare` with the others."""
    rung: float | None
    """Its accuracy at the rung, with the first of its seeds; None where there was none."""

    @property
    def key(self) -> int | tuple[str, int]:
        """The number of a candidate; the name and the budget of a reference."""
        return (self.name, self.budget) if self.number is None else self.number

    @property
    def label(self) -> str:
        """What people call it."""
        return self.name if self.number is None else f"candidate {self.number}"


@dataclass(frozen=True)
class LeftNetwork:
    """A candidate that went no further than the rung of a confirmation, as others were ahead of it there."""

    number: int
    macs: int
    fusions: str
    seed: int
    accuracy: float
    """At the rung."""
    epochs: int
    """After which it is."""

    @property
    def label(self) -> str:
        """What people call it."""
        return f"candidate {self.number}"


def write_confirmations(folder: Path, rows: Sequence[Mapping[str, Any]]) -> None:
    """Replace confirmations.csv in one step; the keys of a row are `CONFIRMATION_NAMES`.

    What it had under protocols that are not among these is kept `aside`.
    """
    import pandas as pd

    frame = pd.DataFrame(rows, columns=list(CONFIRMATION_NAMES))
    for protocol, others in read_confirmations(folder).groupby("protocol"):
        if not (frame["protocol"] == protocol).any():
            write_text(folder / aside(str(protocol)), others.to_csv(index=False))
    write_text(folder / CONFIRMATIONS, frame.astype({"number": "Int64"}).to_csv(index=False))


def aside(protocol: str) -> str:
    """The file of confirmations that others have taken the place of, under a protocol of this hash."""
    return f"confirmations-{protocol}.csv"


def read_confirmations(folder: Path) -> pd.DataFrame:
    """One row a network and seed; the columns are `CONFIRMATION_NAMES`.

    Raises:
        UserError: the file is none that this project wrote.
    """
    import pandas as pd

    path = folder / CONFIRMATIONS
    if not path.is_file():
        return pd.DataFrame(columns=list(CONFIRMATION_NAMES))
    try:
        read = pd.read_csv(path, dtype=str, keep_default_na=False)
        if "rung" not in read:
            # There was none once.
            read["rung"] = ""
        frame = read[list(CONFIRMATION_NAMES)].copy()
        for name in _NUMBERS:
            # As Python reads them: to the last digit.
            frame[name] = [float(text) if text else float("nan") for text in frame[name]]
        frame["number"] = pd.array([int(text) if text else None for text in frame["number"]], dtype="Int64")
        return frame.astype({"budget": int, "macs": int, "seed": int, "epochs": int})
    except (OSError, ValueError, KeyError) as error:
        raise UserError(f"{path}: expected the confirmations of the run ({one_line(error)})") from None


def confirmed_networks(confirmations: pd.DataFrame) -> tuple[ConfirmedNetwork, ...]:
    """The networks that were confirmed with one seed at least, in the order of their rows.

    While candidates wait at the rung, one that went on from there must have two: who ends first is not the best.
    """
    import pandas as pd

    samples: dict[tuple[int | None, str, int], dict[int, float]] = {}
    rows: dict[tuple[int | None, str, int], Mapping[Any, Any]] = {}
    rungs: dict[tuple[int | None, str, int], dict[int, float]] = {}
    for row in confirmations.to_dict("records"):
        number = None if pd.isna(row["number"]) else int(row["number"])
        key = (number, row["name"], row["budget"])
        if not pd.isna(row["accuracy"]):
            samples.setdefault(key, {})[row["seed"]] = row["accuracy"]
            rows[key] = row
            if not pd.isna(row["rung"]):
                rungs.setdefault(key, {})[row["seed"]] = row["rung"]
    if (at_rung(confirmations) & (confirmations["reason"] == "")).any():
        samples = {key: each for key, each in samples.items() if key[0] is None or len(each) > 1}
    means = compare(samples).means
    return tuple(
        ConfirmedNetwork(
            key[0],
            key[1],
            key[2],
            row["macs"],
            row["butterfly_share"] == 0,
            row["fusions"],
            row["protocol"],
            row["epochs"],
            samples[key],
            means[key],
            rungs.get(key, {}).get(min(samples[key])),
        )
        for key, row in rows.items()
        if key in samples
    )


def at_rung(confirmations: pd.DataFrame) -> pd.Series[bool]:
    """Which of the trainings came as far as the rung and no further."""
    return confirmations["accuracy"].isna() & confirmations["rung"].notna()


def left_networks(confirmations: pd.DataFrame) -> tuple[LeftNetwork, ...]:
    """The candidates that were left at the rung, the most accurate there first."""
    left = confirmations[confirmations["reason"] == LEFT]
    found = [
        LeftNetwork(int(row["number"]), row["macs"], row["fusions"], row["seed"], row["rung"], row["epochs"])
        for row in left.to_dict("records")
    ]
    return tuple(sorted(found, key=lambda network: -network.accuracy))


def samples_of(confirmations: pd.DataFrame) -> dict[Any, Sample]:
    """Accuracies by seed, by `ConfirmedNetwork.key`, with those of networks that were left at the rung as estimates.

    One that was left is taken to gain from there on what those that went on did on average; it is left out where there
    are none of these.
    """
    networks = confirmed_networks(confirmations)
    gains = [each.sample[min(each.sample)] - each.rung for each in networks if each.rung is not None]
    samples: dict[Any, Sample] = {network.key: network.sample for network in networks}
    if gains:
        gain = sum(gains) / len(gains)
        for left in left_networks(confirmations):
            samples.setdefault(left.number, {left.seed: left.accuracy + gain})
    return samples


def with_confirmed(frame: pd.DataFrame, networks: Iterable[ConfirmedNetwork]) -> pd.DataFrame:
    """Results, or references, with the mean and its error of those that were confirmed; as they are if none was."""
    networks = tuple(networks)
    if not networks:
        return frame
    spread = pooled_spread(network.sample for network in networks)
    by_key = {network.key: network for network in networks}
    keys = (
        frame["number"].tolist()
        if "number" in frame
        else list(zip(frame["name"], frame["budget"], strict=True))
    )
    found = [by_key.get(key) for key in keys]
    nothing = float("nan")
    errors = [None if each is None else standard_error(each.sample, spread) for each in found]
    return frame.assign(
        confirmed=[nothing if each is None else each.mean for each in found],
        confirmed_error=[nothing if error is None else error for error in errors],
    )
