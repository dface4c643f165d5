"""Milliseconds of a whole network, predicted: those of its operations, corrected by networks measured. No torch."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import numpy as np
import numpy.typing as npt

from bft_nas.latency.layer_table import LayerTable
from bft_nas.latency.operations import operations
from bft_nas.network.architecture import Architecture

FORMAT = 1
FOLDS = 5
"""Parts of the networks measured, each predicted by a fit to the others."""
ROUNDS = 10
TOLERATED = 0.03
"""Relative error beyond which a network counts less in a fit: a machine may have been disturbed."""
CAUTION = 0.3
"""How much a family's slope is held to that of all: about a network in ten."""

Values = npt.NDArray[np.float64]


@dataclass(frozen=True)
class NetworkTime:
    """A whole network."""

    family: str
    total: float
    """Milliseconds of its operations by the table."""
    milliseconds: float


@dataclass(frozen=True)
class Fit:
    """From the sum of a network's operations to its milliseconds."""

    slopes: Mapping[str, float]
    """By family; that of all others under the empty name."""
    offset: float
    """In milliseconds."""

    def milliseconds(self, family: str, total: float) -> float:
        """Of a network whose operations come to ``total``."""
        return max(0.1 * total, self.offset + self.slopes.get(family, self.slopes[""]) * total)

    @classmethod
    def to(cls, networks: Sequence[NetworkTime]) -> Fit:
        """The least relative errors, large ones given less weight: iteratively reweighted least squares."""
        families = sorted({each.family for each in networks})
        totals = np.array([each.total for each in networks])
        times = np.array([each.milliseconds for each in networks])
        # Columns: the offset, the slope of all, and by how much each family's is different.
        columns = [np.ones_like(totals), totals]
        columns += [totals * np.array([each.family == family for each in networks]) for family in families]
        relative = np.stack(columns, 1) / times[:, None]
        held = np.zeros((len(families), len(columns)))
        held[:, 2:] = CAUTION * np.eye(len(families))
        weights = np.ones(len(networks))
        found: Values = np.zeros(len(columns))
        for _ in range(ROUNDS):
            rows = np.concatenate([relative * weights[:, None], held])
            wanted = np.concatenate([weights, np.zeros(len(families))])
            found = np.linalg.lstsq(rows, wanted, rcond=None)[0]
            errors = np.abs(relative @ found - 1)
            weights = np.sqrt(TOLERATED / np.maximum(errors, TOLERATED))
        offset, slope, *others = (float(value) for value in found)
        slopes = {family: slope + other for family, other in zip(families, others, strict=True)}
        return cls({"": slope, **slopes}, offset)


@dataclass(frozen=True)
class Predictor:
    """Predicts networks of one space for one runtime, as measured on one machine with one thread.

    >>> predictor = Predictor.from_json(Path("layer_table.json").read_text())  # doctest: +SKIP
    >>> predictor.milliseconds(architecture)  # doctest: +SKIP
    """

    table: LayerTable
    fit: Fit
    error: float
    """Median relative error of networks that were not in the fit."""
    networks: int
    """That were measured for the fit and its error."""

    @classmethod
    def of(cls, table: LayerTable, measured: Sequence[tuple[Architecture, float]]) -> Predictor:
        """From a table and different networks, each with its milliseconds; some for each family, ten or more in all."""
        # Families may be by turns, and no part is to be all of one.
        ordered = sorted(measured, key=lambda each: each[0].hash)
        networks = [NetworkTime(net.family, total(table, net), ms) for net, ms in ordered]
        errors = []
        for fold in range(min(FOLDS, len(networks))):
            # Of one network alone, what is predicted is what was measured.
            others = [each for place, each in enumerate(networks) if place % FOLDS != fold] or networks
            fit = Fit.to(others)
            errors += [_error(fit, each) for each in networks[fold::FOLDS]]
        return cls(table, Fit.to(networks), float(np.median(errors)), len(networks))

    def milliseconds(self, net: Architecture) -> float:
        """Of one image through a network."""
        return self.fit.milliseconds(net.family, total(self.table, net))

    @cached_property
    def version(self) -> str:
        """Tells two predictors apart."""
        return hashlib.sha256(self.to_json().encode()).hexdigest()[:12]

    @property
    def text(self) -> str:
        """What it predicts for, in words."""
        table = self.table
        return f"{table.runtime} {table.version}, one thread, {table.machine}"

    def to_json(self) -> str:
        """A text for `from_json`."""
        content = {
            "format": FORMAT,
            "error": self.error,
            "networks": self.networks,
            "slopes": dict(self.fit.slopes),
            "offset": self.fit.offset,
            "table": self.table.to_dict(),
        }
        return json.dumps(content)

    @classmethod
    def from_json(cls, text: str) -> Predictor:
        """The inverse of `to_json`; ValueError for anything else."""
        try:
            content: dict[str, Any] = json.loads(text)
            if content["format"] != FORMAT:
                raise ValueError(f"format {content['format']}, expected {FORMAT}")
            slopes = {str(family): float(slope) for family, slope in content["slopes"].items()}
            fit = Fit({"": slopes[""], **slopes}, float(content["offset"]))
            table = LayerTable.from_dict(content["table"])
            return cls(table, fit, float(content["error"]), int(content["networks"]))
        except (LookupError, TypeError, AttributeError, ValueError) as error:
            raise ValueError(f"no table of layers ({type(error).__name__}: {error})") from None


def total(table: LayerTable, net: Architecture) -> float:
    """Milliseconds of all operations of a network."""
    return sum(map(table.milliseconds, operations(net)))


def _error(fit: Fit, network: NetworkTime) -> float:
    return abs(fit.milliseconds(network.family, network.total) / network.milliseconds - 1)
