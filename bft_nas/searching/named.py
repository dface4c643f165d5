"""What options of a search choose by name. Needs no torch."""

from __future__ import annotations

from collections.abc import Collection, Mapping

from bft_nas.searching.proposers import PROPOSERS

SCHEDULERS = ("none", "halving")
NAMES: Mapping[str, Collection[str]] = {"sampler": PROPOSERS, "scheduler": SCHEDULERS}
"""The names that there are, by the option that takes one."""
