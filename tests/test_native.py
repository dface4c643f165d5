"""The compiled kernels: taken where they are of the sources that are here, else told of once and done without."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from pathlib import Path

import pytest
import torch

from bft_nas.kernels import binding as native
from bft_nas.kernels import butterfly as fused
from bft_nas.kernels import depthwise, norm

SIZE = norm._CALL.size

pytestmark = pytest.mark.skipif(native.isa() is None, reason="installed without a C compiler")

ALL_KERNELS_OF_ANOTHER_VERSION = """\
import warnings
import torch
from bft_nas.butterfly import ButterflyTransform
from bft_nas.kernels import butterfly as fused
from bft_nas.kernels import depthwise, norm

fused._INTERFACE = depthwise._INTERFACE = norm._INTERFACE = 99
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
    assert native.load("norm", norm._INTERFACE, SIZE) is not None
    assert fused.available()
    assert depthwise.kernel_available()
    assert norm.kernel_available()


@pytest.mark.parametrize(
    ("kernel", "version", "size"),
    [
        ("what_an_old_library_lacks", norm._INTERFACE, SIZE),
        ("norm", norm._INTERFACE + 1, SIZE),
        ("norm", norm._INTERFACE, SIZE + 8),
    ],
)
def test_a_kernel_of_other_sources_is_not_called(kernel: str, version: int, size: int) -> None:
    with pytest.warns(RuntimeWarning, match=r"`make build`"):
        assert native.load(kernel, version, size) is None


def test_everything_works_without_the_kernels_and_says_so_once() -> None:
    command = [sys.executable, "-c", ALL_KERNELS_OF_ANOTHER_VERSION]
    done = subprocess.run(command, capture_output=True, text=True, check=True)
    kernels, *warned = done.stdout.splitlines()
    assert kernels == "False False False True"
    assert len(warned) == 1
    assert "run `make build` or `pip install -e .`" in warned[0]


def run_with(tuning: str, code: str) -> subprocess.CompletedProcess[str]:
    environment = {**os.environ, native.TUNING: tuning}
    command = [sys.executable, "-c", code]
    return subprocess.run(command, capture_output=True, text=True, check=False, env=environment)


def test_the_environment_changes_a_tuning_constant_and_the_isa_target() -> None:
    assert native.tuning()["tile_pixels"] == 64
    code = "from bft_nas.kernels import binding as b; print(b.isa(), b.tuning()['tile_pixels'])"
    assert run_with("tile_pixels=96, isa=generic", code).stdout.split() == ["generic", "96"]


@pytest.mark.parametrize(
    "wrong",
    ["tile_pixel=96", "tile_pixels", "tile_pixels=0", "tile_pixels=-1", "prefetch_to_l1=2", "isa=z80"],
)
def test_a_tuning_constant_that_is_none_is_an_error(wrong: str) -> None:
    done = run_with(wrong, "from bft_nas.kernels import binding; binding.tuning()")
    assert done.returncode != 0
    assert f"BFT_NAS_TUNING: {wrong.partition('=')[0]}=" in done.stderr


def test_the_readme_lists_every_tuning_constant_with_its_value() -> None:
    readme = (Path(native.__file__).parent / "README.md").read_text()
    rows = dict(re.findall(r"^\| `(\w+)` \| ([^|]+) \|", readme, re.MULTILINE))
    assert list(rows) == list(native.tuning())


def test_every_isa_target_of_this_processor_finds_the_same() -> None:
    code = (
        "import torch; from bft_nas.butterfly import ButterflyTransform; torch.manual_seed(0)\n"
        "from bft_nas.kernels.depthwise import convolve; from bft_nas.kernels.norm import normalise\n"
        "x = torch.randn(3, 48, 9, 9, requires_grad=True)\n"
        "layer, norm = torch.nn.Conv2d(48, 48, 3, padding=1, groups=48, bias=False), torch.nn.BatchNorm2d(48)\n"
        "y = normalise(norm, 'hard_swish', convolve(layer, ButterflyTransform(48, 48, 4)(x)))\n"
        "y.square().sum().backward(); print(*y.flatten()[::97].tolist(), *x.grad.flatten()[::97].tolist())"
    )
    found = {}
    for isa in ("avx512", "avx2", "generic"):
        done = run_with(f"isa={isa}", code)
        if done.returncode == 0:
            found[isa] = torch.tensor([float(each) for each in done.stdout.split()])
    assert "generic" in found
    for isa, values in found.items():
        torch.testing.assert_close(values, found["generic"], rtol=1e-4, atol=1e-5, msg=isa)


def test_a_failed_build_says_why(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    log = tmp_path / "build.log"
    monkeypatch.setattr(native, "BUILD_LOG", log)
    assert native._why_unbuilt() == "the kernels of bft-nas were not built (no C compiler?)"
    log.write_text("gcc -c x.c\nx.c:3:1: error: unknown type name 'vec'\nerror: command 'gcc' failed\n")
    assert "x.c:3:1: error: unknown type name 'vec'; see" in native._why_unbuilt()
