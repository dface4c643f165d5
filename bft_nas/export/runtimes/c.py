"""A whole network as plain C: model.c, model.h and its weights, model.bin."""

from __future__ import annotations

import ctypes
import errno
import os
import subprocess
import weakref
from collections.abc import Iterator, Sequence
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING, Any

from bft_nas.export.c_program.text import program
from bft_nas.export.checks import (
    ExportedFile,
    ExportError,
    check_logits,
    image_by_image,
    temporary_folder,
)
from bft_nas.export.runtimes import Deployment

if TYPE_CHECKING:
    import numpy as np
    import numpy.typing as npt

    from bft_nas.export.runtimes import Session

COMPILER = "cc"
FLAGS = ("-O3", "-march=native")
"""What the files are compiled with to be checked."""


def write(deployment: Deployment) -> Iterator[ExportedFile]:
    """``model.c``, ``model.h`` and ``model.bin``, compiled and run."""
    written = program(deployment.network, deployment.architecture)
    path = deployment.folder / "model.c"
    files = {
        path.name: written.source.encode(),
        "model.h": written.header.encode(),
        "model.bin": written.weights,
    }
    for name, content in files.items():
        (deployment.folder / name).write_bytes(content)
    answer = image_by_image(open_file(path), deployment.images)
    difference = check_logits(path.name, answer, deployment.expected)
    for name, content in files.items():
        yield ExportedFile(name, difference, None, len(content))


def open_file(path: Path, threads: int = 1) -> Session:
    """The program that lies beside a file of an export, made ready to run; it has one thread, whatever is asked for.

    ExportError where it does not compile, or does not take its weights.
    """
    import numpy as np

    library, classes = compiled(path.with_suffix(".c").read_text(encoding="utf-8"), _header(path))
    model = library.model_load(str(path.with_suffix(".bin")).encode())
    if not model:
        raise ExportError(f"{path.with_suffix('.bin').name}: does not hold the weights of {path.stem}.c")

    def run(images: npt.NDArray[np.float32]) -> npt.NDArray[np.float32]:
        image = np.ascontiguousarray(images, dtype=np.float32)
        logits = np.empty((1, classes), np.float32)
        library.model_run(model, image.ctypes.data, logits.ctypes.data)
        return logits

    weakref.finalize(run, library.model_free, model)
    return run


def _header(path: Path) -> str:
    return path.with_suffix(".h").read_text(encoding="utf-8")


@cache
def compiled(source: str, header: str, flags: Sequence[str] = FLAGS) -> tuple[Any, int]:
    """A program as a library of this process, and how many classes it has. ExportError with what the compiler said."""
    with temporary_folder() as folder:
        (folder / "model.c").write_text(source, encoding="utf-8")
        (folder / "model.h").write_text(header, encoding="utf-8")
        command = [COMPILER, *flags, "-shared", "-fPIC", "-o", "model.so", "model.c", "-lm"]
        try:
            done = subprocess.run(
                command,
                cwd=folder,
                env={**os.environ, "LC_ALL": "C"},
                capture_output=True,
                text=True,
                check=False,
            )
        except OSError as error:
            raise ExportError(f"model.c: {COMPILER} cannot be run ({error.strerror})") from error
        if done.returncode and os.strerror(errno.ENOSPC) in done.stderr:
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
        if done.returncode:
            said = done.stderr.strip().splitlines() or [f"exit {done.returncode}"]
            raise ExportError(f"model.c: does not compile ({said[0][:300]})")
        library = ctypes.CDLL(str(folder / "model.so"))
    library.model_load.argtypes, library.model_load.restype = [ctypes.c_char_p], ctypes.c_void_p
    library.model_run.argtypes, library.model_run.restype = [ctypes.c_void_p] * 3, None
    library.model_free.argtypes, library.model_free.restype = [ctypes.c_void_p], None
    return library, int(header.partition("MODEL_CLASSES = ")[2].split(maxsplit=1)[0])
