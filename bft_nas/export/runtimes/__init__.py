"""Files for the runtimes that people deploy with: one module a runtime, and what they all write from."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from importlib import import_module
from pathlib import Path
from shutil import which
from typing import TYPE_CHECKING, Any

from bft_nas.core.errors import UserError, setting
from bft_nas.core.extras import require

if TYPE_CHECKING:
    import numpy as np
    import numpy.typing as npt
    from torch import Tensor, fx

    from bft_nas.export.checks import ExportedFile
    from bft_nas.network import Architecture

    Session = Callable[[npt.NDArray[np.float32]], npt.NDArray[np.float32]]
    """One image, (1, channels, height, width), to its logits, (1, classes)."""


@dataclass(frozen=True)
class Deployment:
    """What a runtime's files are written from, and what they are checked against."""

    network: fx.GraphModule
    """Of `bft_nas.export.inference.inference_network`; a runtime changes a copy of it."""
    architecture: Architecture
    folder: Path
    images: Sequence[Tensor]
    """Batches that the files are run on, one image first."""
    expected: Sequence[Tensor]
    """The trained network's logits of these."""
    calibration: Tensor | None = None
    """Normalised training images, (N, channels, resolution, resolution), where int8 is asked for as well."""
    for_timing: bool = False
    """The files are timed and thrown away: written as soon as can be, for one image at a time, and not checked."""
    labels: Mapping[str, Any] = field(default_factory=dict)
    """Of `bft_nas.export.labels`, which a file holds where its format has a place for them."""


@dataclass(frozen=True)
class Runtime:
    """A runtime that an export can write files for."""

    module: str
    """Has ``write(deployment)``, which yields an `ExportedFile` for each file that it has written and checked, and
    where files can be run here ``open_file(path, threads)``, which returns a `Session`."""
    files: tuple[str, ...]
    """All that it may write."""
    extra: str = ""
    """That brings what it needs, if anything."""
    program: str = ""
    """That has to be on the path."""
    beside: tuple[str, ...] = ()
    """Those of its files that are not opened, but read by one that is."""
    runs_here: bool = True
    """Whether its files can be run on the machines that this package runs on; others are written and not run."""
    one_thread: bool = False
    """Whether it has no more, whatever is asked for."""
    one_pool: bool = False
    """Whether all files of the process run with the threads that were asked for last; those opened for another number
    are of no use from then on."""

    @property
    def is_installed(self) -> bool:
        """Whether all that it needs is there."""
        with suppress(UserError):
            self.check_installed("")
            return True
        return False

    def check_installed(self, what: str) -> None:
        """UserError, with what to install, unless all that it needs is there."""
        if self.extra:
            require(self.extra, what)
        if self.program and not which(self.program):
            raise UserError(f"{what}: '{self.program}' is not on the path, expected a C compiler")

    def write(self, deployment: Deployment) -> Iterable[ExportedFile]:
        """Write the files; ExportError where one cannot be written or does not agree."""
        found: Iterable[ExportedFile] = import_module(self.module).write(deployment)
        return found

    def open_file(self, path: Path, threads: int = 1) -> Session:
        """A file made ready to run with some threads."""
        session: Session = import_module(self.module).open_file(path, threads)
        return session


RUNTIMES: Mapping[str, Runtime] = {
    "onnxruntime": Runtime(
        "bft_nas.export.runtimes.onnx_runtime", ("onnxruntime.onnx", "onnxruntime-int8.onnx"), "export"
    ),
    "executorch": Runtime(
        "bft_nas.export.runtimes.executorch_runtime",
        ("executorch.pte", "executorch-int8.pte"),
        "executorch",
        one_pool=True,
    ),
    "litert": Runtime(
        "bft_nas.export.runtimes.litert_runtime", ("litert.tflite", "litert-int8.tflite"), "litert"
    ),
    "coreml": Runtime("bft_nas.export.runtimes.coreml", ("coreml.mlpackage",), "coreml", runs_here=False),
    "c": Runtime(
        "bft_nas.export.runtimes.c",
        ("model.c", "model.h", "model.bin"),
        program="cc",
        beside=("model.h", "model.bin"),
        one_thread=True,
    ),
}
"""Each by the name that the command line has for it."""


def checked_int8(names: Iterable[str]) -> None:
    """UserError unless one of the runtimes has files of int8."""
    able = [name for name, runtime in RUNTIMES.items() if any("int8" in file for file in runtime.files)]
    if not set(able) & set(names):
        raise UserError(f"{setting('int8')}: expected {setting('for')} {' or '.join(able)} as well")


def checked_runtimes(names: Iterable[str]) -> tuple[str, ...]:
    """The names, each once; UserError where there is no such runtime, or what it needs is not installed."""
    names = tuple(dict.fromkeys(names))
    for name in names:
        if name not in RUNTIMES:
            raise UserError(f"{setting('for')}: expected {', '.join(RUNTIMES)}, got '{name}'")
        RUNTIMES[name].check_installed(f"{setting('for')} {name}")
    return names
