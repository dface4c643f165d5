"""Networks as descriptions: counted without torch, built with it."""

from typing import TYPE_CHECKING

from bft_nas.core.lazy import lazy_exports
from bft_nas.network.architecture import (
    DENSE,
    Architecture,
    Block,
    Head,
    Stem,
    butterfly_fusion,
    fusion_groups,
    fusion_radix,
    grouped_fusion,
)
from bft_nas.network.cost import Cost, Layer, cost
from bft_nas.network.references import REFERENCES, reference

if TYPE_CHECKING:
    from bft_nas.network.build import build

__all__ = [
    "DENSE",
    "REFERENCES",
    "Architecture",
    "Block",
    "Cost",
    "Head",
    "Layer",
    "Stem",
    "build",
    "butterfly_fusion",
    "cost",
    "fusion_groups",
    "fusion_radix",
    "grouped_fusion",
    "reference",
]

__getattr__ = lazy_exports(__name__, {"build": "bft_nas.network.build"})
