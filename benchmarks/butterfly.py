"""The fused butterfly kernel against every dense pointwise convolution at hand, and against older formulations.

Forward: n channels to n, against the best of `nn.Conv2d` in NCHW, in channels_last, oneDNN's convolution called
directly, and ONNX Runtime. Training step (forward and backward): against the better layout of `nn.Conv2d`, beside the
structured and composed forms in PyTorch and the dense matrix from path products of the authors of the transform. All
times are medians of interleaved rounds of one run, with memory kept between calls as in a search
(`bft_nas.core.memory`).

    python benchmarks/butterfly.py
"""

from __future__ import annotations

import argparse
import itertools
import tempfile
import warnings
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import partial
from pathlib import Path

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from bft_nas.butterfly import ButterflyPlan, ButterflyTransform
from bft_nas.butterfly.forms import Form
from bft_nas.core.memory import keep_freed_memory
from bft_nas.core.timing import medians

LAYOUTS = {"": torch.contiguous_format, " CL": torch.channels_last}
FORMS: tuple[Form, ...] = ("fused", "structured", "composed")
SECONDS_PER_ROUND = 0.003


class PathProducts(nn.Module):
    """The authors' formulation: each entry of the dense matrix is the product of its path's edges, at every step."""

    def __init__(self, channels: int, radix: int) -> None:
        super().__init__()
        self.transform = ButterflyTransform(channels, channels, radix, form="structured")
        factors = self.transform.factors
        outputs, inputs = torch.meshgrid(torch.arange(channels), torch.arange(channels), indexing="ij")
        rest, before = channels, 1
        for s, factor in enumerate(factors):
            rest //= factor
            row, column = outputs // (channels // before // factor) % factor, inputs // rest % factor
            group = inputs % rest * before + outputs // (channels // before)
            self.register_buffer(f"path{s}", (group * factor + row) * factor + column)
            before *= factor

    def forward(self, x: Tensor) -> Tensor:
        matrix = torch.eye(x.shape[1])
        product: Tensor | None = None
        for s, stage in enumerate(self.transform.stages):
            edges = stage.flatten()[self.get_buffer(f"path{s}")]
            product = edges if product is None else product * edges
        assert product is not None
        return F.conv2d(x, (matrix + product)[..., None, None])


def training_step(module: nn.Module, x: Tensor) -> Callable[[], object]:
    """Forward and backward, for the input and the weights."""
    x = x.detach().requires_grad_()
    inputs = [x, *module.parameters()]
    gradient = torch.randn_like(module(x))
    return lambda: torch.autograd.grad(module(x), inputs, gradient)


def onnx_runtime(convolution: nn.Module, x: Tensor, threads: int) -> Callable[[], object]:
    """The same convolution there, input and output bound beforehand."""
    import onnxruntime

    with tempfile.NamedTemporaryFile(suffix=".onnx") as file, warnings.catch_warnings():
        warnings.simplefilter("ignore", DeprecationWarning)
        torch.onnx.export(convolution, (x,), file.name, dynamo=False)
        model = Path(file.name).read_bytes()
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = threads
    # Threads that go on spinning after a run would be measured with whatever comes next.
    options.add_session_config_entry("session.force_spinning_stop", "1")
    session = onnxruntime.InferenceSession(model, options, providers=["CPUExecutionProvider"])
    binding = session.io_binding()
    output = torch.empty_like(x)
    for bind, put, tensor in (
        (binding.bind_input, session.get_inputs()[0].name, x),
        (binding.bind_output, session.get_outputs()[0].name, output),
    ):
        bind(put, "cpu", 0, "float32", tuple(tensor.shape), tensor.data_ptr())
    run = onnxruntime.RunOptions()
    return lambda: (session.run_with_iobinding(binding, run), x, output)


@dataclass(frozen=True)
class Cell:
    """One shape on one number of threads."""

    channels: int
    size: int
    batch: int
    threads: int

    def images(self, layout: torch.memory_format) -> Tensor:
        shape = (self.batch, self.channels, self.size, self.size)
        return torch.randn(shape).contiguous(memory_format=layout)

    def __str__(self) -> str:
        return f"{self.channels} | {self.size}x{self.size} | {self.batch} | {self.threads}"


def dense_layers(channels: int) -> Iterator[tuple[str, torch.memory_format, nn.Module]]:
    for name, layout in LAYOUTS.items():
        convolution = nn.Conv2d(channels, channels, 1, bias=False)
        yield name, layout, convolution.to(memory_format=layout)  # type: ignore[call-overload]


def forward_times(cell: Cell, radices: list[int], rounds: int) -> dict[str, float]:
    runs: dict[str, Callable[[], object]] = {}
    torch.set_num_threads(cell.threads)
    for name, layout, convolution in dense_layers(cell.channels):
        x = cell.images(layout)
        runs[f"dense Conv2d{name}"] = partial(convolution, x)
        if layout is torch.contiguous_format:
            weight = convolution.get_parameter("weight").detach()
            geometry = ((0, 0), (1, 1), (1, 1), 1)
            runs["dense oneDNN"] = partial(torch.mkldnn_convolution, x, weight, None, *geometry)
            runs["dense ONNX Runtime"] = onnx_runtime(convolution, x, cell.threads)
            runs["copy"] = partial(torch.empty_like(x).copy_, x)
        for radix in radices:
            transform = ButterflyTransform(cell.channels, cell.channels, radix, form="fused")
            runs[f"fused {radix}{name}"] = partial(transform, x)
    with torch.inference_mode():
        return medians(runs, rounds, SECONDS_PER_ROUND)


def print_forward(cells: list[Cell], radices: list[int], rounds: int) -> None:
    print("\n### Forward\n")
    print(
        "r4 and so on: the kernel, the better layout of two, over the best dense pointwise convolution; over MAC "
        "ratio: that over the ratio of MACs at radix 4; over copy: over a plain copy of the activations.\n"
    )
    columns = "".join(f" r{radix} |" for radix in radices)
    print(
        f"| n | size | batch | threads | best dense | us | copy us |{columns} r4 over MAC ratio | over copy |"
    )
    print("|---" * (9 + len(radices)) + "|")
    slower, beyond = [], []
    for cell in cells:
        times = forward_times(cell, radices, rounds)
        best = min((name for name in times if name.startswith("dense")), key=times.__getitem__)
        fused = {radix: min(times[f"fused {radix}"], times[f"fused {radix} CL"]) for radix in radices}
        row = f"| {cell} | {best.removeprefix('dense ')} | {times[best] * 1e6:.0f} | {times['copy'] * 1e6:.1f} |"
        for radix, seconds in fused.items():
            ratio = seconds / times[best]
            row += f" {ratio:.2f} |"
            if ratio >= 1:
                slower.append(f"{cell} r{radix}: {ratio:.2f}")
            if radix == 4:
                mac_ratio = ButterflyPlan(cell.channels, cell.channels, radix).macs / cell.channels**2
                end = f" {ratio / mac_ratio:.1f} | {seconds / times['copy']:.1f} |"
                if cell.channels >= 128 and ratio > 2.5 * mac_ratio:
                    beyond.append(f"{cell}: {ratio / mac_ratio:.1f}")
        print(row + (end if 4 in radices else " | |"), flush=True)
    print(f"\nslower than the best dense: {len(slower)} of {len(cells) * len(radices)}", *slower, sep="\n- ")
    wide = sum(cell.channels >= 128 for cell in cells)
    print(f"\nbeyond 2.5 of the MAC ratio, from 128 channels: {len(beyond)} of {wide}", *beyond, sep="\n- ")


def step_times(cell: Cell, radix: int, rounds: int) -> dict[str, float]:
    runs: dict[str, Callable[[], object]] = {}
    torch.set_num_threads(cell.threads)
    for name, layout, convolution in dense_layers(cell.channels):
        x = cell.images(layout)
        runs[f"dense{name}"] = training_step(convolution, x)
        for form in FORMS:
            transform = ButterflyTransform(cell.channels, cell.channels, radix, form=form)
            runs[f"{form}{name}"] = training_step(transform, x)
        if layout is torch.channels_last:
            runs["paths"] = training_step(PathProducts(cell.channels, radix), x)
    return medians(runs, rounds, SECONDS_PER_ROUND)


def print_steps(cells: list[Cell], radices: list[int], rounds: int) -> None:
    print("\n### Training step (forward and backward)\n")
    print(
        "Over the better layout of nn.Conv2d. r4 and so on: the kernel, the better layout of two. At radix 4 also the "
        "forms in PyTorch, and the authors' dense matrix from path products.\n"
    )
    columns = "".join(f" r{radix} |" for radix in radices)
    print(f"| n | size | batch | threads | Conv2d us |{columns} structured | composed | paths |")
    print("|---" * (8 + len(radices)) + "|")
    for cell in cells:
        row, others = "", ""
        for radix in radices:
            times = step_times(cell, radix, rounds)
            dense = min(times["dense"], times["dense CL"])
            better = {form: min(times[form], times[f"{form} CL"]) / dense for form in FORMS}
            row += f" {better['fused']:.2f} |"
            if radix == 4 or not others:
                paths = times["paths"] / dense
                others = f" {better['structured']:.2f} | {better['composed']:.2f} | {paths:.2f} |"
                micros = dense * 1e6
        print(f"| {cell} | {micros:.0f} |{row}{others}", flush=True)


def main() -> None:
    """Parse, measure, print."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--channels", type=int, nargs="+", default=[32, 64, 96, 128, 256, 512, 1024])
    parser.add_argument("--radices", type=int, nargs="+", default=[2, 4, 8, 16])
    parser.add_argument("--sizes", type=int, nargs="+", default=[7, 14, 28])
    parser.add_argument("--batches", type=int, nargs="+", default=[1, 32])
    parser.add_argument("--threads", type=int, nargs="+", default=[1, 2])
    parser.add_argument("--step-batch", type=int, default=32)
    parser.add_argument("--rounds", type=int, default=7)
    parser.add_argument("--only", choices=["forward", "step"])
    options = parser.parse_args()
    keep_freed_memory()
    if options.only != "step":
        shapes = itertools.product(options.channels, options.sizes, options.batches, options.threads)
        print_forward([Cell(*shape) for shape in shapes], options.radices, options.rounds)
    if options.only != "forward":
        shapes = itertools.product(options.channels, options.sizes, [options.step_batch], options.threads)
        print_steps([Cell(*shape) for shape in shapes], options.radices, options.rounds)


if __name__ == "__main__":
    main()
