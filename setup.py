"""Builds the kernels; all else is in pyproject.toml."""

from __future__ import annotations

import os
import sys
import tempfile
from pathlib import Path

from setuptools import Extension, setup
from setuptools.command.build_ext import build_ext

PACKAGE = Path("bft_nas/kernels")


class BuildKernels(build_ext):
    """Without a compiler the package installs and runs in PyTorch; what the compiler said is kept in build.log.

    It is in the package, where bft_nas.kernels.binding looks for it: pip shows nothing of an optional build that fails.
    """

    def run(self) -> None:
        self.log = Path(self.build_lib) / PACKAGE / "build.log"
        logs = [self.log, PACKAGE / "build.log"] if self.inplace else [self.log]
        for log in logs:
            log.unlink(missing_ok=True)
        super().run()
        for log in logs[1:]:
            if self.log.exists():
                log.write_bytes(self.log.read_bytes())

    def build_extension(self, ext: Extension) -> None:
        with tempfile.TemporaryFile() as said:
            kept = [os.dup(stream) for stream in (1, 2)]
            sys.stdout.flush(), sys.stderr.flush()
            try:
                os.dup2(said.fileno(), 1), os.dup2(said.fileno(), 2)
                super().build_extension(ext)
                failure = None
            except Exception as error:
                failure = error
            finally:
                sys.stdout.flush(), sys.stderr.flush()
                for stream, copy in zip((1, 2), kept, strict=True):
                    os.dup2(copy, stream), os.close(copy)
            said.seek(0)
            text = said.read()
        os.write(2, text)
        if failure is not None:
            self.log.parent.mkdir(parents=True, exist_ok=True)
            self.log.write_bytes(text + f"\nerror: {failure}\n".encode())
            raise failure


kernels = Extension(
    "bft_nas.kernels._native",  # a plain shared library, bound through ctypes
    sources=sorted(map(str, PACKAGE.glob("csrc/**/*.c"))),
    depends=sorted(map(str, PACKAGE.glob("csrc/**/*.h"))),
    extra_compile_args=["-O3", "-g0", "-ffp-contract=fast", "-Wno-psabi"],
    libraries=["m"],
    optional=True,
)

setup(ext_modules=[kernels], cmdclass={"build_ext": BuildKernels})
