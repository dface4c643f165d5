"""Packages that only some commands need: which extra brings them, and what is said where they are missing."""

from __future__ import annotations

from importlib import import_module
from importlib.metadata import packages_distributions, version
from importlib.util import find_spec

from bft_nas.core.errors import UserError

EXTRAS = {
    "ray": ("ray",),
    "dashboard": ("dash", "dash_ag_grid"),
    "export": ("onnx", "onnxscript", "onnxruntime"),
    "executorch": ("executorch",),
    "litert": ("litert_torch", "ai_edge_litert"),
    "coreml": ("coremltools",),
    "timm": ("timm",),
    "hf": ("datasets",),
}
"""What is imported of each extra of pyproject.toml."""


def lacking(extra: str) -> str:
    """What of an extra is not installed and how it is, in words; empty where all of it is there."""
    absent = [name for name in EXTRAS[extra] if find_spec(name) is None]
    if not absent:
        return ""
    are = "is" if len(absent) == 1 else "are"
    return f"{' and '.join(absent)} {are} not installed; expected pip install 'bft-nas[{extra}]'"


def require(extra: str, what: str) -> None:
    """UserError, with the command that installs it, unless an extra is there that something needs."""
    reason = lacking(extra)
    if reason:
        raise UserError(f"{what}: {reason}")


def version_of(module: str) -> str:
    """Of what is imported by a name, whatever the package is called: onnxruntime comes as onnxruntime-gpu too."""
    found = getattr(import_module(module), "__version__", None)
    return str(found or version(packages_distributions()[module][0]))
