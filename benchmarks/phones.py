"""Files for phones: networks of butterflies against their dense rivals at equal MACs, in ExecuTorch and LiteRT.

One image of 224x224, one thread. Medians of interleaved rounds, in the processor's time of the thread that runs.
Weights are random. ``dense``: all butterflies as 1x1 convolutions by their whole matrices.

    python benchmarks/phones.py executorch
"""

from __future__ import annotations

import argparse
import tempfile
from collections import Counter
from dataclasses import replace
from functools import partial
from pathlib import Path

import torch

from bft_nas.export.checks import ExportedFile, sample_images, trained
from bft_nas.export.inference import inference_network
from bft_nas.export.onnx_session import cpu_seconds
from bft_nas.export.runtimes import RUNTIMES, Deployment
from bft_nas.export.runtimes.onnx_runtime import with_dense_butterflies
from bft_nas.network import Architecture, build, cost
from bft_nas.network.references import widest

BUDGETS = {"mobilenet_v1": 50_000_000, "shufflenet_v2": 39_950_000, "mobilenet_v3_small": 15_000_000}
ROUNDS = 40


def deployment(architecture: Architecture, folder: Path) -> Deployment:
    """What a file is written from, for one image."""
    folder.mkdir()
    torch.manual_seed(0)
    network = trained(architecture, build(architecture).state_dict())
    images = sample_images(architecture)[:1]
    with torch.no_grad():
        expected = [network(batch) for batch in images]
    return Deployment(inference_network(network, architecture), architecture, folder, images, expected)


def write(runtime: str, given: Deployment) -> ExportedFile:
    """The file of float32."""
    (file,) = RUNTIMES[runtime].write(given)
    return file


def main() -> None:
    """Parse, measure, print."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("runtime", choices=["executorch", "litert"])
    parser.add_argument("--networks", nargs="+", default=list(BUDGETS), choices=list(BUDGETS))
    options = parser.parse_args()
    print("| network | MACs | MB of rival, dense, fastest | ms | dense / rival | fastest / rival |")
    print("|---|---|---|---|---|---|")
    for name in options.networks:
        rival, butterflies = (widest(each, BUDGETS[name]) for each in (name, f"{name}_bft"))
        assert rival is not None
        assert butterflies is not None
        with tempfile.TemporaryDirectory() as scratch:
            fastest = deployment(butterflies[1], Path(scratch, "fastest"))
            dense = replace(
                fastest, network=with_dense_butterflies(fastest.network)[0], folder=Path(scratch, "dense")
            )
            dense.folder.mkdir()
            given = {
                "rival": deployment(rival[1], Path(scratch, "rival")),
                "dense": dense,
                "fastest": fastest,
            }
            files = {kind: write(options.runtime, each) for kind, each in given.items()}
            image = fastest.images[0].numpy()
            runs = {}
            for kind, each in given.items():
                session = RUNTIMES[options.runtime].open_file(each.folder / files[kind].name)
                runs[kind] = partial(session, image)
            times = cpu_seconds(runs, ROUNDS)
        sizes = ", ".join(f"{file.size / 1e6:.1f}" for file in files.values())
        seconds = ", ".join(f"{each * 1e3:.2f}" for each in times.values())
        ratios = " | ".join(f"{times[kind] / times['rival']:.2f}" for kind in ("dense", "fastest"))
        macs = cost(butterflies[1]).macs / 1e6
        print(f"| {name} | {macs:.1f}M | {sizes} | {seconds} | {ratios} |", flush=True)
        layers = Counter(
            (each.in_channels, each.out_channels, each.side, each.form) for each in files["fastest"].layers
        )
        for (inputs, outputs, side, form), count in layers.items():
            print(f"- {count} x {inputs} to {outputs} at {side}x{side}: {form}", flush=True)


if __name__ == "__main__":
    main()
