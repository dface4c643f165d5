"""Networks as descriptions: counted without torch, built with it."""

from typing import TYPE_CHECKING

from bft_nas.core.lazy import lazy_exports
from bft_nas.network.architecture import Architecture, Head, Stem
from bft_nas.network.blocks import BLOCKS, Block
from bft_nas.network.cost import Cost, cost
from bft_nas.network.fusion import DENSE, Fusion, butterfly_fusion, grouped_fusion, low_rank_fusion
from bft_nas.network.layer import Layer
from bft_nas.network.references import REFERENCES, reference

if TYPE_CHECKING:
    from bft_nas.network.build import build

__all__ = [
    "BLOCKS",
    "DENSE",
    "REFERENCES",
    "Architecture",
    "Block",
    "Cost",
    "Fusion",
    "Head",
    "Layer",
    "Stem",
    "build",
    "butterfly_fusion",
    "cost",
    "grouped_fusion",
    "low_rank_fusion",
    "reference",
]

__getattr__ = lazy_exports(__name__, {"build": "bft_nas.network.build"})
