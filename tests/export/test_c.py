"""A network as plain C: every layer that there is, with any compiler, within its memory."""

from __future__ import annotations

import shutil
import subprocess
from collections.abc import Iterable
from itertools import combinations
from pathlib import Path

import numpy as np
import pytest
import torch
from torch import Tensor, nn

from bft_nas.core.errors import UserError
from bft_nas.export.c_program.memory import plan, size_of
from bft_nas.export.c_program.steps import Buffer, steps_of
from bft_nas.export.c_program.text import Program, program
from bft_nas.export.checks import TOLERANCE, ExportError
from bft_nas.export.folded_butterfly import FoldedButterfly
from bft_nas.export.inference import inference_network
from bft_nas.export.runtimes import checked_runtimes
from bft_nas.export.runtimes.c import open_file
from bft_nas.network import BLOCKS, Architecture, Head, Stem, butterfly_fusion
from bft_nas.network.blocks.inverted import InvertedBlock
from bft_nas.network.blocks.separable import SeparableBlock
from tests.export.examples import CASES, SEPARABLE, SHUFFLE, trained
from tests.network.rows import example_of

needs_a_compiler = pytest.mark.skipif(not shutil.which("cc"), reason="there is no C compiler")

MAIN = """\
#include <stdio.h>
#include "model.h"
static float image[MODEL_CHANNELS * MODEL_HEIGHT * MODEL_WIDTH], logits[MODEL_CLASSES];
int main(void) {
    model *network = model_load("model.bin");
    if (!network || fread(image, sizeof image, 1, stdin) != 1) return 1;
    model_run(network, image, logits);
    model_run(network, image, logits);
    model_free(network);
    return fwrite(logits, sizeof logits, 1, stdout) != 1;
}
"""


def with_every_kind_of_block() -> Architecture:
    """Their examples one behind the other, and butterflies whose channels and radix do not come out even."""
    blocks = []
    for kind in BLOCKS:
        rows = example_of(kind)
        blocks += [SeparableBlock(rows.in_channels, activation="silu"), *rows.blocks]
    blocks += [
        InvertedBlock(40, fusion=butterfly_fusion(16), expanded=96, expand_fusion=butterfly_fusion(4)),
        InvertedBlock(40, fusion=butterfly_fusion(4), expanded=72, expand_fusion=butterfly_fusion(11)),
        SeparableBlock(8, fusion=butterfly_fusion(8)),
        SeparableBlock(256, fusion=butterfly_fusion(16)),
        SeparableBlock(300, 7, fusion=butterfly_fusion(16)),
    ]
    head = Head(99, butterfly_fusion(4), hidden=30, activation="hard_swish")
    return Architecture(
        "all **// of */ /*/ them", 48, Stem(12, 5, pool=True), tuple(blocks), head, classes=17
    )


@pytest.fixture(scope="module")
def network() -> tuple[Architecture, nn.Module]:
    architecture = with_every_kind_of_block()
    return architecture, trained(architecture)


def save(written: Program, folder: Path) -> Path:
    (folder / "model.c").write_text(written.source)
    (folder / "model.h").write_text(written.header)
    (folder / "model.bin").write_bytes(written.weights)
    return folder / "model.c"


def run(folder: Path, flags: Iterable[str], image: Tensor) -> Tensor:
    """Compiled together with a main of a few lines that is given one image."""
    (folder / "main.c").write_text(MAIN)
    command = ["cc", "-Wall", "-Wextra", "-Werror", *flags, "-o", "main", "main.c", "model.c", "-lm"]
    subprocess.run(command, cwd=folder, check=True)
    given = image.numpy().tobytes()
    done = subprocess.run([folder / "main"], cwd=folder, input=given, capture_output=True, check=True)
    return torch.from_numpy(np.frombuffer(done.stdout, np.float32).copy())


def agrees(logits: Tensor, module: nn.Module, image: Tensor) -> None:
    with torch.no_grad():
        expected = module(image)[0]
    assert (logits - expected).abs().max() <= TOLERANCE * expected.abs().max()


@needs_a_compiler
@pytest.mark.parametrize("flags", [["-O3", "-march=native"], []], ids=["native", "generic"])
def test_any_layer_does_what_the_network_does_without_a_warning(
    flags: list[str], network: tuple[Architecture, nn.Module], tmp_path: Path
) -> None:
    architecture, module = network
    save(program(inference_network(module, architecture), architecture), tmp_path)
    image = torch.randn(1, 3, 48, 48)
    agrees(run(tmp_path, flags, image), module, image)


@needs_a_compiler
@pytest.mark.parametrize("flags", [["-march=native"], []], ids=["native", "generic"])
def test_an_image_that_is_not_a_number_has_no_logits(flags: list[str], tmp_path: Path) -> None:
    module, image = trained(SEPARABLE), torch.full((1, 3, 32, 32), torch.nan)
    save(program(inference_network(module, SEPARABLE), SEPARABLE), tmp_path)
    assert run(tmp_path, flags, image).isnan().all()


@needs_a_compiler
def test_no_access_is_out_of_bounds(tmp_path: Path) -> None:
    module, image = trained(SHUFFLE), torch.randn(1, 3, 64, 64)
    save(program(inference_network(module, SHUFFLE), SHUFFLE), tmp_path)
    agrees(run(tmp_path, ["-march=native", "-fsanitize=address"], image), module, image)


def test_butterflies_are_stages_where_these_save_much(network: tuple[Architecture, nn.Module]) -> None:
    architecture, module = network
    inference = inference_network(module, architecture)
    kernels = {step.name: step.kernel for step in steps_of(inference)[0]}
    forms = {kernels[name] for name, layer in inference.named_modules() if isinstance(layer, FoldedButterfly)}
    assert forms == {"butterfly", "pointwise"}
    for layer in inference.modules():
        if isinstance(layer, FoldedButterfly):
            layer.form = "dense"
    assert all(step.kernel != "butterfly" for step in steps_of(inference)[0])


def test_nothing_is_copied_to_shuffle_or_join_channels_nor_to_activate() -> None:
    inference = inference_network(trained(SHUFFLE), SHUFFLE)
    steps, _ = steps_of(inference)
    layers = {"pointwise", "butterfly", "depthwise", "convolution", "max_pool", "mean", "linear"}
    assert {step.kernel for step in steps} <= layers
    assert len(steps) == sum(
        isinstance(
            inference.get_submodule(str(node.target)), nn.Conv2d | nn.Linear | nn.MaxPool2d | FoldedButterfly
        )
        for node in inference.graph.nodes
        if node.op == "call_module"
    ) + sum(node.target == "mean" for node in inference.graph.nodes)


@pytest.mark.parametrize("name", CASES)
def test_no_two_images_that_live_at_once_share_memory(name: str) -> None:
    architecture = CASES[name].architecture
    steps, output = steps_of(inference_network(trained(architecture), architecture))
    arena = plan(steps, output, 100)
    written: dict[Buffer, int] = {}
    used: dict[Buffer, int] = {}
    for number, step in enumerate(steps):
        for buffer in step.y.buffers:
            written[buffer] = number
        for buffer in step.reads | step.y.buffers:
            used[buffer] = number
    for a, b in combinations(written, 2):
        if written[a] <= used[b] and written[b] <= used[a]:
            low, high = sorted((a, b), key=arena.offsets.__getitem__)
            assert arena.offsets[low] + size_of(low) <= arena.offsets[high]
    assert arena.size < sum(map(size_of, written)) or len(steps) < 8
    assert arena.scratch + 100 <= arena.size


@needs_a_compiler
def test_weights_of_another_network_are_refused(tmp_path: Path) -> None:
    path = save(program(inference_network(trained(SEPARABLE), SEPARABLE), SEPARABLE), tmp_path)
    other = program(inference_network(trained(SHUFFLE), SHUFFLE), SHUFFLE)
    for content in (other.weights, path.with_suffix(".bin").read_bytes()[:-4]):
        path.with_suffix(".bin").write_bytes(content)
        with pytest.raises(ExportError, match=r"model\.bin: does not hold the weights of model\.c"):
            open_file(path)


def test_without_a_compiler_one_line_says_what_is_expected(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PATH", "")
    with pytest.raises(UserError, match="for c: 'cc' is not on the path, expected a C compiler"):
        checked_runtimes(["c"])
