"""Whether a training waits for its images: how fast they come from folders of JPEG files, and what a step takes.

Photographs of 500x375 pixels, cut from the two that scikit-learn has, at quality 90; a 50M-MAC network of the default
space at 224x224. In a round each of the ways trains the same few batches from a standing start: with pixels that are
there already, in memory, mapped from a file, and decoded by one process and by two. Then the same without the training.
Prints medians of interleaved rounds of one run, and the processor's milliseconds an image, of all processes.

    python benchmarks/loading.py

Then, with small files, the most memory that loading takes at any number of images, in processes of their own:

    python benchmarks/loading.py --memory
"""

from __future__ import annotations

import argparse
import os
import random
import statistics
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterable, Mapping
from contextlib import ExitStack, suppress
from dataclasses import replace
from functools import partial
from pathlib import Path
from tempfile import TemporaryDirectory

import torch
from PIL import Image
from sklearn.datasets import load_sample_images
from torch import Tensor

from bft_nas.core.memory import keep_freed_memory
from bft_nas.core.units import format_macs
from bft_nas.data.dataset import Room, load_dataset, with_margin
from bft_nas.data.feed import Feed, Feeds, feeds_of
from bft_nas.data.images import Images
from bft_nas.network import Architecture, build, cost
from bft_nas.space.space import SearchSpace
from bft_nas.training.fast import trained_fast
from bft_nas.training.finish import FullTraining
from bft_nas.training.initialise import initialise
from bft_nas.training.plans import load_plan
from bft_nas.training.protocol import Protocol

SIZE, BUDGET = 224, 50_000_000
PLENTY = 1 << 60
DISTINCT = 300
"""Small files; the others are links to them."""
COUNTS = (1_000, 10_000, 100_000)
SMALL = 64
"""Pixels on a side of the small ones."""


def write_photographs(root: Path, count: int, size: tuple[int, int]) -> None:
    """Random parts of real photographs as JPEG files, in folders of ten classes."""
    photographs = [Image.fromarray(pixels) for pixels in load_sample_images().images]
    rng = random.Random(0)
    for number in range(count):
        photograph = photographs[number % len(photographs)]
        height = round(photograph.height * rng.uniform(0.5, 0.95))
        width = round(height * size[0] / size[1])
        left, top = rng.randint(0, photograph.width - width), rng.randint(0, photograph.height - height)
        part = photograph.crop((left, top, left + width, top + height))
        path = root / f"class {number % 10}" / f"{number:06d}.jpg"
        path.parent.mkdir(parents=True, exist_ok=True)
        part.resize(size, Image.Resampling.BICUBIC).save(path, quality=90)


def rooms(folder: Path) -> Mapping[str, Room]:
    """That let images be where each way has them."""
    return {
        "in memory": Room(PLENTY, 0, folder / "none"),
        "mapped": Room(0, PLENTY, folder / "mapped"),
        "streamed": Room(0, 0, folder / "streamed"),
    }


def network() -> Architecture:
    """One of the default space that uses its budget."""
    space, rng = SearchSpace.load("mobile", resolutions=(SIZE,)).within(BUDGET), random.Random(0)
    return max((space.sample(rng, BUDGET).architecture for _ in range(20)), key=lambda each: cost(each).macs)


class Still(Feed):
    """The same batch again and again: what a step takes by itself."""

    def __init__(self, pixels: Tensor) -> None:
        self.pixels = pixels

    def ahead(self, batches: Iterable[Tensor]) -> None:
        """Nothing to do."""

    def __getitem__(self, picked: Tensor) -> Tensor:
        return self.pixels


def processor_seconds(process: int | str = "self") -> float:
    """Of a process and of those that it started and that are still there."""
    place = Path("/proc") / str(process)
    fields = (place / "stat").read_text().rpartition(")")[2].split()
    own = (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")
    return own + sum(processor_seconds(child) for child in children(place))


def children(place: Path) -> list[int]:
    """The processes that one started."""
    return [int(each) for task in place.glob("task/*/children") for each in task.read_text().split()]


def speed(options: argparse.Namespace) -> None:
    """Measure and print images a second."""
    keep_freed_memory()
    count = options.batch * options.steps
    with TemporaryDirectory() as temporary, ExitStack() as stack:
        root = Path(temporary) / "photographs"
        write_photographs(root, count * 3 // 2, (500, 375))
        ways: dict[str, Feeds] = {}
        for name, room in rooms(Path(temporary)).items():
            started = time.perf_counter()
            dataset = load_dataset(str(root), size=with_margin(SIZE), room=room)
            print(
                f"first look, {name}: {count * 3 // 2 / (time.perf_counter() - started):.0f} images a second"
            )
            images = Images(dataset, torch.device("cpu"))
            for workers in (1, 2) if name == "streamed" else (None,):
                label = f"{name}, {workers} worker{'s' * (workers == 2)}" if workers else name
                ways[label] = feeds_of(images, SIZE, workers=workers)
                stack.callback(ways[label].close)
        torch.manual_seed(0)
        architecture, recipe = network(), load_plan("thousands").recipe
        model = build(architecture)
        initialise(model, recipe)
        protocol = replace(Protocol.of(dataset, 1, epochs=100, batch_size=options.batch), recipe=recipe)
        training = FullTraining(model, protocol, images, SIZE, Path(temporary))
        model.train()
        batches = torch.split(torch.randperm(len(dataset.train.labels)), options.batch)[: options.steps]
        still = Still(ways["in memory"].train[batches[0]])

        def train(feeds: Feeds) -> None:
            feeds.train.ahead(batches)
            training.data = feeds
            for picked in batches:
                training._train_step(picked)

        def load(feeds: Feeds) -> None:
            for _ in feeds.train.batches(batches):
                pass

        runs = {("trained", "pixels there"): partial(train, replace(ways["in memory"], train=still))}
        runs |= {("trained", name): partial(train, feeds) for name, feeds in ways.items()}
        runs |= {("only loaded", name): partial(load, feeds) for name, feeds in ways.items()}
        stack.enter_context(trained_fast(model, protocol.data_classes))
        seconds, cores = interleaved(runs, options.rounds)
    macs = format_macs(cost(architecture).macs)
    print(f"\n{macs} MACs at {SIZE}x{SIZE}, batches of {options.batch}, {torch.get_num_threads()} threads\n")
    print("| | images | images a second | over those of a step alone | processor ms an image |")
    print("|---|---|---|---|---|")
    alone = seconds["trained", "pixels there"]
    for (what, name), times in seconds.items():
        ratio = statistics.median(step / each for step, each in zip(alone, times, strict=True))
        each = statistics.median(cores[what, name]) / count * 1e3
        print(f"| {what} | {name} | {count / statistics.median(times):.0f} | {ratio:.2f} | {each:.1f} |")


Timed = dict[tuple[str, str], list[float]]


def interleaved(runs: Mapping[tuple[str, str], Callable[[], object]], rounds: int) -> tuple[Timed, Timed]:
    """Seconds of each by the clock and of the processor; a first round, which starts processes, is not counted."""
    seconds: Timed = {key: [] for key in runs}
    cores: Timed = {key: [] for key in runs}
    for _ in range(rounds + 1):
        for key, run in runs.items():
            began, started = processor_seconds(), time.perf_counter()
            run()
            seconds[key].append(time.perf_counter() - started)
            cores[key].append(processor_seconds() - began)
    return {key: each[1:] for key, each in seconds.items()}, {key: each[1:] for key, each in cores.items()}


def memory() -> None:
    """Measure and print the most memory that is taken."""
    print("| files | images | MB | of them beyond torch | processes that decode, each MB |")
    print("|---|---|---|---|---|")
    with TemporaryDirectory() as temporary:
        root = Path(temporary)
        write_photographs(root / "distinct", DISTINCT, (SMALL, SMALL))
        distinct = sorted((root / "distinct").glob("*/*.jpg"))
        for count in COUNTS:
            files = root / f"{count}"
            for number in range(count):
                source = distinct[number % DISTINCT]
                target = files / source.parent.name / f"{number:06d}.jpg"
                target.parent.mkdir(parents=True, exist_ok=True)
                os.link(source, target)
            for way in rooms(root):
                line = [sys.executable, __file__, "--one", way, str(files), str(root / f"cache {count}")]
                told = subprocess.run(line, check=True, capture_output=True, text=True).stdout.strip()
                print(f"| {count:,} | {way} | {told} |", flush=True)


def one(way: str, files: str, cache: str) -> None:
    """Load a folder and all batches of an epoch, and print the most memory that this process had of its own."""
    before = own_memory()
    most = {"own": before, "others": 0}
    done = threading.Event()

    def watch() -> None:
        while not done.wait(0.05):
            most["own"] = max(most["own"], own_memory())
            for child in children(Path("/proc/self")):
                with suppress(OSError):
                    # Before it is another program, a child has the memory of this one.
                    if b"decoders" in Path(f"/proc/{child}/cmdline").read_bytes():
                        most["others"] = max(most["others"], own_memory(child))

    watcher = threading.Thread(target=watch)
    watcher.start()
    dataset = load_dataset(files, size=SMALL, room=rooms(Path(cache))[way])
    feeds = feeds_of(Images(dataset, torch.device("cpu")), SMALL * 7 // 8)
    for _ in feeds.train.batches(torch.split(torch.randperm(len(feeds.train)), 64)):
        pass
    done.set()
    watcher.join()
    feeds.close()
    print(" | ".join(f"{each / 1e6:.0f}" for each in (most["own"], most["own"] - before, most["others"])))


def own_memory(process: int | str = "self") -> int:
    """Bytes of a process that are no pages of files, which the system takes back when it needs them."""
    lines = (Path("/proc") / str(process) / "status").read_text().splitlines()
    return sum(int(line.split()[1]) * 1024 for line in lines if line.startswith(("RssAnon:", "RssShmem:")))


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--batch", type=int, default=32)
    parser.add_argument("--steps", type=int, default=4, help="of a round, each way")
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--memory", action="store_true", help="measure the memory instead")
    parser.add_argument("--one", nargs=3, help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.one:
        one(*options.one)
    elif options.memory:
        memory()
    else:
        speed(options)


if __name__ == "__main__":
    main()
