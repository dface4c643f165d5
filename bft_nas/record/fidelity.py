"""Whether a run's proxy trainings rank networks as longer ones do."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import TYPE_CHECKING

from bft_nas.core.errors import setting
from bft_nas.core.units import format_percent
from bft_nas.record.confirmations import samples_of
from bft_nas.record.confirmed import Spread, ceiling, compare, tau_error
from bft_nas.record.standings import tau_of

if TYPE_CHECKING:
    from bft_nas.record.run import Run

LEAST_NETWORKS = 6
"""Confirmed: of fewer a rank correlation says nothing."""
TRUSTED = 0.6
"""Kendall's tau from which a proxy's ranking is taken for that of the confirmation: four of five pairs are in order."""
DOUBTED = 0.3
"""Below, it says hardly more than chance: a third of the pairs is out of order."""


@dataclass(frozen=True)
class Fidelity:
    """How well the proxy of a run agrees with its confirmation."""

    networks: int
    """Trained under both protocols."""
    tau: float
    """Kendall's, between the two."""
    spread: Spread | None
    """Of the seeds of the confirmation, without what one does to all; None where no network has several."""
    ceiling: float
    """The tau that two confirmations with other seeds reach; NaN without a spread."""

    @property
    def enough(self) -> bool:
        """Whether there are networks enough to say anything."""
        return self.networks >= LEAST_NETWORKS and not math.isnan(self.tau)

    @property
    def summary(self) -> str:
        """In a line."""
        if not self.enough:
            return (
                f"proxy against confirmation: {self.networks} networks are in both, which is too few to rank; "
                f"expected {LEAST_NETWORKS}"
            )
        most = "" if math.isnan(self.ceiling) else f", at most {self.ceiling:.2f} by the spread of the seeds"
        error = tau_error(self.networks)
        return (
            f"proxy against confirmation: Kendall's tau {self.tau:.2f} ± {error:.2f} over {self.networks} "
            f"networks{most}"
        )

    @property
    def verdict(self) -> str:
        """Whether the protocol can be trusted, in a line."""
        if not self.enough:
            return (
                "whether the proxy protocol can be trusted is not known; train more candidates as the confirmation "
                f"does: {setting('train')} 12"
            )
        error = tau_error(self.networks)
        if self.tau >= TRUSTED and self.tau - error >= DOUBTED:
            return f"the proxy protocol can be trusted: it ranks as the confirmation does (tau {TRUSTED} or more)"
        if self.tau < DOUBTED and self.tau + error < TRUSTED:
            return (
                f"the proxy protocol is not to be trusted (tau below {DOUBTED}): search with more "
                f"{setting('epochs')} or {setting('images')}"
            )
        why = f"tau below {TRUSTED}" if DOUBTED <= self.tau < TRUSTED else f"{self.networks} networks are few"
        return f"the proxy protocol is to be trusted for a shortlist only ({why}): go by what is confirmed"

    @property
    def seeds(self) -> str:
        """How far the seeds of a network are apart, in words."""
        if self.spread is None:
            return "not known, as no network has several seeds"
        return f"{format_percent(self.spread.deviation)} between the seeds of a network (standard deviation)"


def fidelity_of(run: Run) -> Fidelity:
    """From what is recorded of a run."""
    confirmations = run.confirmations()
    found = compare(samples_of(confirmations))
    tau, networks = tau_of(run.results(), run.references(), confirmations)
    return Fidelity(networks, tau, found.spread, ceiling(found))
