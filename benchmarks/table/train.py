"""Trains the networks of the table, each once and for ever, and writes down their curves.

    python benchmarks/table/train.py --data cifar10=FOLDER --kinds long proxy --networks 0:177

Several of these may run at once, be killed and be started again: what is done is skipped, what is under way elsewhere
is left alone, and an interrupted training resumes from its last epoch. Results are rows of ``trainings.csv`` (how each
ended) and ``curves.csv`` (every 25 steps the mean training loss since the row before; accuracy and loss on unseen
images at the end of each epoch).

CIFAR-10's 50,000 training images are divided in three: 35,000 that every training may use, 5,000 on which short
trainings are validated and which long ones train on, and 10,000 on which long trainings alone are measured. No test
image is read.
"""

from __future__ import annotations

import argparse
import csv
import fcntl
import io
import math
import os
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import IO

import numpy as np
import torch
import torch.nn.functional as F
from kinds import KINDS
from networks import Network, every_network
from torch import Tensor, nn

from bft_nas.core.memory import keep_freed_memory
from bft_nas.data.dataset import Dataset, Split, load_dataset
from bft_nas.data.images import Images, resize
from bft_nas.network import build
from bft_nas.training import loop
from bft_nas.training.checkpoint import Parts
from bft_nas.training.fast import trained_fast
from bft_nas.training.initialise import initialise
from bft_nas.training.optimiser import make_optimiser, make_schedule
from bft_nas.training.protocol import Protocol

FOLDER = Path(__file__).parent
TRAININGS, CURVES = FOLDER / "trainings.csv", FOLDER / "curves.csv"
SCRATCH = FOLDER / ".under_way"
"""Checkpoints and locks of trainings that are not yet done; ignored by git."""
STEPS_PER_ROW = 25
TRUTH_IMAGES, SHORT_IMAGES = 10_000, 5_000


@dataclass(frozen=True)
class Training:
    """A row of ``trainings.csv``."""

    network: int
    data: str
    kind: str
    seed: int
    accuracy: float
    """On unseen images after the last epoch, 0 to 1; of a failed training NaN."""
    loss: float
    """Cross-entropy on them, without label smoothing."""
    seconds: float
    """Of training and validation, by one thread beside other work: an upper limit."""
    steps: int
    reason: str
    """Why it failed; empty when it did not."""


@dataclass(frozen=True)
class Point:
    """A row of ``curves.csv``."""

    network: int
    data: str
    kind: str
    seed: int
    step: int
    train_loss: float
    """Mean over the steps since the row before."""
    accuracy: float | None
    loss: float | None


def split(source: str, count: int | None) -> Dataset:
    """What kinds of so many images train on and are validated on; see the module's text."""
    whole = load_dataset(source, size=32)
    images = np.concatenate([whole.train.images, whole.validation.images])
    labels = np.concatenate([whole.train.labels, whole.validation.labels])
    order = np.random.Generator(np.random.PCG64(0)).permutation(len(labels))
    truth, short, rest = np.split(order, [TRUTH_IMAGES, TRUTH_IMAGES + SHORT_IMAGES])
    used, unseen = (np.concatenate([short, rest]), truth) if count is None else (rest[:count], short)
    return replace(
        whole,
        train=Split(images[used], labels[used]),
        validation=Split(images[unseen], labels[unseen]),
        digest=f"{whole.digest}/{count}",
    )


def train(network: Network, data: str, images: Images, kind: str, seed: int) -> tuple[Training, list[Point]]:
    """Train one network as `bft_nas.train.train` does, and note more on the way."""
    protocol = Protocol.of(images.dataset, KINDS[kind].divisor, seed=seed, **KINDS[kind].changes)
    torch.manual_seed(seed)
    model = build(network.architecture)
    initialise(model, protocol.recipe)
    model.to(memory_format=torch.channels_last)  # type: ignore[call-overload]
    size = protocol.proxy_resolution(network.architecture.resolution)
    tensors = images.at(size)
    optimiser = make_optimiser(model, protocol.recipe)
    per_epoch = max(1, len(tensors.train) // protocol.batch_size)
    total = protocol.epochs * per_epoch
    schedule = make_schedule(optimiser, protocol.recipe, total)
    generator = torch.Generator().manual_seed(seed)
    parts = Parts(model, optimiser, schedule, generator)
    checkpoint = SCRATCH / f"{network.number}-{data}-{kind}-{seed}.pt"
    points, seconds, first = _restore(checkpoint, parts)
    failed = ""
    with trained_fast(model, protocol.data_classes):
        for epoch in range(first, protocol.epochs):
            started = time.perf_counter()
            model.train()
            order = torch.randperm(len(tensors.train), generator=generator)
            since: list[Tensor] = []
            for step, picked in enumerate(torch.split(order, protocol.batch_size)[:per_epoch]):
                since.append(loop._step(parts, protocol, images, size, picked))
                done = epoch * per_epoch + step + 1
                if done % STEPS_PER_ROW == 0 or step + 1 == per_epoch:
                    mean = float(torch.stack(since).mean())
                    points.append(Point(network.number, data, kind, seed, done, mean, None, None))
                    since = []
            try:
                loop.check_loss(points[-1].train_loss, epoch + 1, protocol.data_classes)
            except loop.TrainingFailed as reason:
                failed = str(reason)
                break
            settling = loop.settling_batches(tensors.train[order[: protocol.norm_images]])
            loop.settle_norms(model, protocol, images, settling, size)
            accuracy, loss = measure(model, images, size)
            points[-1] = replace(points[-1], accuracy=accuracy, loss=loss)
            seconds += time.perf_counter() - started
            if epoch + 1 < protocol.epochs and KINDS[kind].images is None:
                _store(checkpoint, parts, points, seconds, epoch + 1)
    last = points[-1]
    row = Training(
        network.number,
        data,
        kind,
        seed,
        math.nan if failed or last.accuracy is None else last.accuracy,
        math.nan if failed or last.loss is None else last.loss,
        round(seconds, 1),
        last.step,
        failed,
    )
    return row, points


@torch.inference_mode()
def measure(model: nn.Module, images: Images, size: int) -> tuple[float, float]:
    """Accuracy, 0 to 1, and mean cross-entropy on the unseen images."""
    tensors = images.at(size)
    classes = len(images.dataset.classes)
    model.eval()
    right, loss = 0, 0.0
    for pixels, labels in zip(
        torch.split(tensors.validation, 250), torch.split(tensors.validation_labels, 250), strict=True
    ):
        logits = model(images.normalise(resize(pixels, size)))[:, :classes]
        right += int((logits.argmax(1) == labels).sum())
        loss += float(F.cross_entropy(logits, labels, reduction="sum"))
    return right / len(tensors.validation), loss / len(tensors.validation)


def _store(path: Path, parts: Parts, points: list[Point], seconds: float, epoch: int) -> None:
    content = {
        "model": parts.model.state_dict(),
        "optimiser": parts.optimiser.state_dict(),
        "schedule": parts.schedule.state_dict(),
        "generator": parts.generator.get_state(),
        "points": [tuple(asdict(point).values()) for point in points],
        "seconds": seconds,
        "epoch": epoch,
    }
    temporary = path.with_suffix(".tmp")
    torch.save(content, temporary)
    temporary.replace(path)


def _restore(path: Path, parts: Parts) -> tuple[list[Point], float, int]:
    if not path.is_file():
        return [], 0.0, 0
    content = torch.load(path, weights_only=True)
    parts.model.load_state_dict(content["model"])
    parts.optimiser.load_state_dict(content["optimiser"])
    parts.schedule.load_state_dict(content["schedule"])
    parts.generator.set_state(content["generator"])
    return [Point(*point) for point in content["points"]], content["seconds"], content["epoch"]


@contextmanager
def claimed(name: str) -> Iterator[bool]:
    """Whether a training is this process's own; the lock goes with the process."""
    with (SCRATCH / f"{name}.lock").open("w") as lock:
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError:
            yield False
            return
        yield True


def done() -> set[tuple[int, str, str, int]]:
    """The trainings that are in the table."""
    if not TRAININGS.is_file():
        return set()
    with TRAININGS.open(newline="") as file:
        return {(int(r["network"]), r["data"], r["kind"], int(r["seed"])) for r in csv.DictReader(file)}


def append(path: Path, rows: Sequence[Training] | Sequence[Point]) -> None:
    """Add rows to a table in one write, whoever else does the same."""
    with path.open("a+", newline="") as file:
        fcntl.flock(file, fcntl.LOCK_EX)
        file.seek(0, io.SEEK_END)
        text = io.StringIO()
        _write(text, rows, heading=file.tell() == 0)
        file.write(text.getvalue())


def _write(file: IO[str], rows: Sequence[Training] | Sequence[Point], *, heading: bool) -> None:
    writer = csv.writer(file, lineterminator="\n")
    if heading:
        writer.writerow(asdict(rows[0]).keys())
    for row in rows:
        writer.writerow(
            ["" if v is None else f"{v:.5g}" if isinstance(v, float) else v for v in asdict(row).values()]
        )


def main() -> None:
    """Train what is asked for and not yet in the table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("--data", default="cifar10", help="as of bft-nas search (default: cifar10)")
    parser.add_argument("--kinds", nargs="+", default=["long zero", "long", "zero", "proxy"], choices=KINDS)
    parser.add_argument(
        "--networks", default="0:", metavar="FROM:TO", help="numbers, the last one not included"
    )
    parser.add_argument("--seeds", nargs="+", type=int, default=[0])
    options = parser.parse_args()
    first, _, last = options.networks.partition(":")
    networks = [n for n in every_network() if int(first or 0) <= n.number < int(last or 10**9)]
    torch.set_num_threads(1)
    keep_freed_memory()
    SCRATCH.mkdir(exist_ok=True)
    name = options.data.partition("=")[0]
    cpu = torch.device("cpu")
    counts = {KINDS[k].images for k in options.kinds}
    loaded = {count: Images(split(options.data, count), cpu) for count in counts}
    for seed in options.seeds:
        for network in networks:
            for asked in options.kinds:
                kind = asked if network.has_skips else KINDS[asked].twin or asked
                key = (network.number, name, kind, seed)
                with claimed("-".join(map(str, key))) as own:
                    if not own or key in done():
                        continue
                    row, points = train(network, name, loaded[KINDS[kind].images], kind, seed)
                    append(CURVES, points)
                    append(TRAININGS, [row])
                    (SCRATCH / f"{network.number}-{name}-{kind}-{seed}.pt").unlink(missing_ok=True)
                    print(os.getpid(), row, flush=True)


if __name__ == "__main__":
    main()
