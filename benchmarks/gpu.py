"""What a GPU does with a search: images a second of several workers on it, forms of the butterfly, one default search.

Prints the device's name first; every part runs on a CPU as well, where it says little.

    python benchmarks/gpu.py
    python benchmarks/gpu.py --parts workers forms --workers 1 2 4 8
"""

from __future__ import annotations

import argparse
import subprocess
import sys
import tempfile
import time
from collections.abc import Sequence
from functools import partial
from pathlib import Path

import torch
from engines import Equal
from torch import nn

from bft_nas.butterfly import ButterflyTransform
from bft_nas.butterfly.forms import Form
from bft_nas.core.timing import medians
from bft_nas.core.units import parse_macs
from bft_nas.data.dataset import load_dataset
from bft_nas.data.images import Images
from bft_nas.engines import local_engine
from bft_nas.network.references import widest
from bft_nas.training.protocol import Protocol

NETWORKS = ("mobilenet_v3_small", "mobilenet_v1_bft")
FORMS: tuple[Form, ...] = ("structured", "composed")


def device_of_choice() -> torch.device:
    """The first GPU where there is one."""
    return torch.device("cuda" if torch.cuda.is_available() else "cpu")


def name_of(device: torch.device) -> str:
    """For the heading of a result."""
    return torch.cuda.get_device_name(device) if device.type == "cuda" else "a CPU"


def print_workers(device: torch.device, counts: Sequence[int], flops: str, images: int, each: int) -> None:
    """Images a second, training alone, of so many workers that share the device, ``each`` trainings a worker."""
    data = Images(load_dataset("fashion-mnist", size=56, images=images), device)
    precision = "bfloat16" if device.type == "cuda" else "float32"
    protocol = Protocol.of(data.dataset, 4, epochs=1, precision=precision)
    print("| network | " + " | ".join(f"{count} workers" for count in counts) + " |")
    print("|---|" + "---|" * len(counts))
    for name in NETWORKS:
        found = widest(name, parse_macs(flops), resolution=160)
        assert found is not None
        rates = []
        for count in counts:
            with tempfile.TemporaryDirectory() as folder:
                driver = Equal(found[1], Path(folder), count, count * (1 + each))
                local_engine(data, protocol, workers=count)(driver)
            rates.append(count * each * images / (driver.finished - driver.ready))
        print(f"| {name} {flops} | " + " | ".join(f"{rate:.0f}" for rate in rates) + " |", flush=True)


def print_forms(device: torch.device, channels: Sequence[int], batch: int) -> None:
    """Milliseconds of a training step of one butterfly, and of a dense pointwise convolution, at 14x14."""

    def finish() -> None:
        if device.type == "cuda":
            torch.cuda.synchronize()

    print("| channels | radix | dense | " + " | ".join(FORMS) + " |")
    print("|---|---|---|" + "---|" * len(FORMS))
    for n in channels:
        x = torch.randn(batch, n, 14, 14, device=device).to(memory_format=torch.channels_last)
        for radix in (2, 4, 8):
            layers: dict[str, nn.Module] = {"dense": nn.Conv2d(n, n, 1, bias=False)}
            layers |= {form: ButterflyTransform(n, n, radix=radix, form=form) for form in FORMS}

            def step(layer: nn.Module, x: torch.Tensor = x) -> None:
                layer(x).sum().backward()

            moved = {name: layer.to(device) for name, layer in layers.items()}
            taken = medians({name: partial(step, layer) for name, layer in moved.items()}, finish=finish)
            print(
                f"| {n} | {radix} | " + " | ".join(f"{1000 * taken[name]:.3f}" for name in layers) + " |",
                flush=True,
            )


def print_search(arguments: Sequence[str]) -> None:
    """Seconds of a search by the command line, and what it prints last."""
    command = [sys.executable, "-m", "bft_nas.cli.main", "search", *arguments]
    with tempfile.TemporaryDirectory() as folder:
        started = time.perf_counter()
        done = subprocess.run(command, cwd=folder, capture_output=True, text=True, check=False)
        seconds = time.perf_counter() - started
    print(f"bft-nas search {' '.join(arguments)}: {seconds:.0f} s, exit code {done.returncode}")
    print("\n".join((done.stdout if done.returncode == 0 else done.stderr).splitlines()[-40:]))


def main() -> None:
    """Print the parts that are asked for."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--parts", nargs="+", default=["workers", "forms", "search"])
    parser.add_argument("--workers", nargs="+", type=int, default=[1, 2, 4, 8])
    parser.add_argument("--flops", default="50M")
    parser.add_argument("--images", type=int, default=8000)
    parser.add_argument("--each", type=int, default=2, help="trainings a worker")
    parser.add_argument("--channels", nargs="+", type=int, default=[64, 128, 256, 512, 1024])
    parser.add_argument("--batch", type=int, default=64)
    parser.add_argument(
        "--search", nargs=argparse.REMAINDER, default=[], help="further arguments of the search"
    )
    options = parser.parse_args()
    device = device_of_choice()
    print(f"device: {name_of(device)}, PyTorch {torch.__version__}\n")
    if "workers" in options.parts:
        print_workers(device, options.workers, options.flops, options.images, options.each)
    if "forms" in options.parts:
        print_forms(device, options.channels, options.batch)
    if "search" in options.parts:
        print_search(["--flops", options.flops, *options.search])


if __name__ == "__main__":
    main()
