"""The modules that networks are built from. Plain PyTorch: an export writes the source of what it uses.

The module of a kind of block is in the file of that name, under the name in camel case; see `bft_nas.network.blocks`.
In it ``NAME_norm`` is the norm behind the layer ``NAME``, and ``NAME_activation`` the activation behind that norm. An
activation that follows something else has another name.
"""

from __future__ import annotations

from collections.abc import Mapping
from importlib import import_module
from types import ModuleType

from torch import nn

from bft_nas.network.blocks import BLOCKS
from bft_nas.network.modules import ends, layers, whole
from bft_nas.network.modules.ends import Head, Stem
from bft_nas.network.modules.whole import Network

__all__ = ["MODULES", "RESIDUAL_NORM", "SOURCES", "Head", "Network", "Stem"]

_FILES = {kind: import_module(f"{__name__}.{kind}") for kind in BLOCKS}

MODULES: Mapping[str, type[nn.Module]] = {
    kind: getattr(file, kind.title().replace("_", "")) for kind, file in _FILES.items()
}
"""The module of each kind of block."""

RESIDUAL_NORM: Mapping[type[nn.Module], str] = {
    MODULES[kind]: file.RESIDUAL_NORM for kind, file in _FILES.items() if hasattr(file, "RESIDUAL_NORM")
}
"""Of a module with a ``skip``, the norm that ends what the skip is added to."""

SOURCES: tuple[ModuleType, ...] = (layers, *_FILES.values(), ends, whole)
"""Where all of them are defined, each file behind those that it needs."""
