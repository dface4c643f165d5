"""Whole networks as plain C (`bft-nas export --for c`) against ONNX Runtime: dense and with butterflies, at equal MACs.

Networks as wide as the budget allows at 224x224 pixels, with random weights; one image, one thread, interleaved rounds
of one run. A machine shared with other work is measured best by the lower quantile that is printed beside medians.

    python benchmarks/c_export.py
"""

from __future__ import annotations

import argparse
import tempfile
import time
from collections.abc import Callable, Mapping
from functools import partial
from pathlib import Path

import numpy as np
import torch

from bft_nas.core.units import format_macs
from bft_nas.export.c_program.text import program
from bft_nas.export.folded_butterfly import FoldedButterfly
from bft_nas.export.graphs import write_onnx
from bft_nas.export.inference import inference_network
from bft_nas.export.runtimes import c, onnx_runtime
from bft_nas.network import Architecture, build, cost
from bft_nas.network.references import widest

BUDGETS = {"mobilenet_v1": 50_000_000, "shufflenet_v2": 39_000_000, "mobilenet_v3_small": 15_000_000}
LOW = 0.1
"""The quantile of times beside the median."""


def files(architecture: Architecture, folder: Path, label: str) -> dict[str, Callable[..., object]]:
    """One network made ready to run: as C, in ONNX Runtime, and there with the whole matrices of butterflies."""
    torch.manual_seed(0)
    network = inference_network(build(architecture).eval(), architecture)
    written = program(network, architecture)
    library, _ = c.compiled(written.source, written.header)
    (folder / "model.bin").write_bytes(written.weights)
    model = library.model_load(str(folder / "model.bin").encode())
    logits = np.empty((1, architecture.classes), np.float32)
    runs: dict[str, Callable[..., object]] = {
        f"{label}, C": lambda image: library.model_run(model, image.ctypes.data, logits.ctypes.data)
    }
    butterflies = [layer for layer in network.modules() if isinstance(layer, FoldedButterfly)]
    for form in ("structured", "dense") if butterflies else ("structured",):
        for layer in butterflies:
            layer.form = form
        path = folder / f"{form}.onnx"
        write_onnx(network, architecture, path)
        named = f", {form}" if butterflies else ""
        runs[f"{label}, ONNX Runtime{named}"] = onnx_runtime.open_file(path)
    return runs


def times(runs: Mapping[str, Callable[[], object]], rounds: int, calls: int = 5) -> dict[str, np.ndarray]:
    """Seconds of single calls, the first of each round left out: it finds caches full of others' images."""
    found: dict[str, list[float]] = {name: [] for name in runs}
    for _ in range(rounds):
        for name, run in runs.items():
            run()
            for _ in range(calls):
                started = time.perf_counter()
                run()
                found[name].append(time.perf_counter() - started)
    return {name: np.array(seconds) for name, seconds in found.items()}


def main() -> None:
    """Export, measure, print."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--networks", nargs="+", choices=BUDGETS, default=list(BUDGETS))
    parser.add_argument("--rounds", type=int, default=40)
    options = parser.parse_args()
    image = np.random.default_rng(0).standard_normal((1, 3, 224, 224), dtype=np.float32)
    print(f"| network | file | median ms | {LOW:.0%} quantile ms | of dense C, median | {LOW:.0%} quantile |")
    print("|---|---|---|---|---|---|")
    for name in options.networks:
        runs: dict[str, Callable[[], object]] = {}
        with tempfile.TemporaryDirectory() as folder:
            for suffix, label in (("", "dense"), ("_bft", "butterfly")):
                found = widest(f"{name}{suffix}", BUDGETS[name])
                assert found
                macs = format_macs(cost(found[1]).macs)
                place = Path(folder, label)
                place.mkdir()
                made = files(found[1], place, f"{label} {macs}")
                runs |= {file: partial(run, image) for file, run in made.items()}
            seconds = times(runs, options.rounds)
        medians = {file: float(np.median(each)) for file, each in seconds.items()}
        lows = {file: float(np.quantile(each, LOW)) for file, each in seconds.items()}
        dense = next(iter(runs))
        for file in runs:
            print(
                f"| {name} | {file} | {medians[file] * 1e3:.2f} | {lows[file] * 1e3:.2f}"
                f" | {medians[file] / medians[dense]:.2f} | {lows[file] / lows[dense]:.2f} |",
                flush=True,
            )


if __name__ == "__main__":
    main()
