"""Exported files in ONNX Runtime: networks of butterflies against their dense rivals at equal MACs.

One image, one thread. Medians of interleaved rounds, in the processor's time of the thread that runs, which other work
on the machine hardly changes. Weights are random.

    python benchmarks/latency.py
"""

from __future__ import annotations

import argparse
import tempfile
import time
from collections import Counter
from collections.abc import Callable
from pathlib import Path

import numpy as np
import torch

from bft_nas.core.timing import medians
from bft_nas.export.checks import ExportedFile, sample_images, trained
from bft_nas.export.graphs import write_graphs
from bft_nas.export.inference import inference_network
from bft_nas.export.onnx_session import session_of
from bft_nas.export.runtimes import RUNTIMES, Deployment, onnx_int8
from bft_nas.network import Architecture, build, cost
from bft_nas.network.references import widest

FILES = ("before", "after", "int8")
BUDGETS = {"mobilenet_v1": 50_000_000, "shufflenet_v2": 39_950_000, "mobilenet_v3_small": 15_000_000}


def exported(architecture: Architecture, folder: Path) -> ExportedFile:
    """Write ``model.onnx``, ``onnxruntime.onnx`` and, of noise, ``onnxruntime-int8.onnx``."""
    torch.manual_seed(0)
    network = trained(architecture, build(architecture).state_dict())
    images = sample_images(architecture)
    with torch.no_grad():
        expected = [network(batch) for batch in images]
    write_graphs(network, architecture, folder, lambda name: None)
    inference = inference_network(network, architecture)
    noise = torch.randn(8, 3, architecture.resolution, architecture.resolution)
    deployment = Deployment(inference, architecture, folder, images, expected, noise)
    file, _ = RUNTIMES["onnxruntime"].write(deployment)
    return file


def session(path: Path) -> Callable[[], object]:
    """Runs a file on an image."""
    opened = session_of(path)
    image = np.random.default_rng(0).standard_normal((1, 3, 224, 224), np.float32)
    return lambda: opened.run(None, {"images": image})


def main() -> None:
    """Parse, measure, print."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--networks", nargs="+", default=list(BUDGETS), choices=list(BUDGETS))
    parser.add_argument("--rounds", type=int, default=60)
    options = parser.parse_args()
    onnx_int8.SECONDS = 0.0
    rows, forms = [], []
    for name in options.networks:
        pair = {}
        for kind, reference in (("dense", name), ("butterfly", f"{name}_bft")):
            found = widest(reference, BUDGETS[name])
            assert found is not None
            pair[kind] = found[1]
        with tempfile.TemporaryDirectory() as scratch:
            runs = {}
            for kind, architecture in pair.items():
                folder = Path(scratch, kind)
                folder.mkdir()
                file = exported(architecture, folder)
                runs[f"{kind} before"] = session(folder / "model.onnx")
                runs[f"{kind} after"] = session(folder / "onnxruntime.onnx")
                runs[f"{kind} int8"] = session(folder / "onnxruntime-int8.onnx")
            forms.append((name, file))
            times = medians(runs, options.rounds, clock=time.thread_time)
        macs = {kind: cost(architecture).macs / 1e6 for kind, architecture in pair.items()}
        for kind, count in macs.items():
            cells = [f"{times[f'{kind} {file}'] * 1e3:.2f}" for file in FILES]
            rows.append(" | ".join([name, kind, f"{count:.1f}M", *cells]))
        ratios = [f"{times[f'butterfly {file}'] / times[f'dense {file}']:.2f}" for file in FILES]
        rows.append(" | ".join([name, "butterfly over dense", "", *ratios]))
    print("| network | fusions | MACs | model.onnx, ms | onnxruntime.onnx, ms | onnxruntime-int8.onnx, ms |")
    print("|---|---|---|---|---|---|")
    print(*(f"| {row} |" for row in rows), sep="\n")
    for name, file in forms:
        print(f"\n{name}: {'; '.join(file.notes)}")
        layers = Counter(
            (layer.in_channels, layer.out_channels, layer.side, layer.form) for layer in file.layers
        )
        for (inputs, outputs, side, form), count in layers.items():
            print(f"- {count} x {inputs} to {outputs} at {side}x{side}: {form}")


if __name__ == "__main__":
    main()
