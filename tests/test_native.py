"""The compiled kernels: taken where they are of the sources that are here, else told of once and done without."""

from __future__ import annotations

import subprocess
import sys

import pytest

from bft_nas.kernels import binding as native
from bft_nas.kernels import butterfly as fused
from bft_nas.kernels import depthwise, norm

KERNEL = "bft_nas.network._norm"
SIZE = norm._CALL.size

pytestmark = pytest.mark.skipif(native.path_of(KERNEL) is None, reason="installed without a C compiler")

ALL_KERNELS_OF_ANOTHER_VERSION = """\
import warnings
import torch
from bft_nas.butterfly import ButterflyTransform
from bft_nas.kernels import butterfly as fused
from bft_nas.kernels import depthwise, norm

fused._INTERFACE = depthwise._INTERFACE = norm._INTERFACE = 2
with warnings.catch_warnings(record=True) as caught:
    warnings.simplefilter("always")
    transform, x = ButterflyTransform(32, 48), torch.randn(2, 32, 7, 7)
    transform(x).sum().backward()
    with torch.no_grad():
        difference = (transform(x) - torch.einsum("oi,nihw->nohw", transform.dense(), x)).abs().max()
    print(fused.available(), depthwise.kernel_available(), norm.kernel_available(), bool(difference < 1e-4))
for warning in caught:
    print(warning.message)
"""


@pytest.fixture(autouse=True)
def not_yet_told() -> None:
    native._warn_of_other_sources.cache_clear()


def test_kernels_of_the_sources_that_are_here_are_taken() -> None:
    assert native.load(KERNEL, "norm_interface", norm._INTERFACE, SIZE) is not None
    assert fused.available()
    assert depthwise.kernel_available()
    assert norm.kernel_available()


@pytest.mark.parametrize(
    ("function", "version", "size"),
    [
        ("what_an_old_library_lacks", norm._INTERFACE, SIZE),
        ("norm_interface", norm._INTERFACE + 1, SIZE),
        ("norm_interface", norm._INTERFACE, SIZE + 8),
    ],
)
def test_a_kernel_of_other_sources_is_not_called(function: str, version: int, size: int) -> None:
    with pytest.warns(RuntimeWarning, match=r"`make build`"):
        assert native.load(KERNEL, function, version, size) is None


def test_everything_works_without_the_kernels_and_says_so_once() -> None:
    command = [sys.executable, "-c", ALL_KERNELS_OF_ANOTHER_VERSION]
    done = subprocess.run(command, capture_output=True, text=True, check=True)
    kernels, *warned = done.stdout.splitlines()
    assert kernels == "False False False True"
    assert len(warned) == 1
    assert "run `make build` or `pip install -e .`" in warned[0]
