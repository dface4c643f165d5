"""The proof: searches, random and dense-only ones beside the default, and references, all trained to the end.

    python benchmarks/proof/proof.py run --cifar10 FOLDER --tasks small-3M      runs what is missing; may be killed
    python benchmarks/proof/proof.py time                                       milliseconds, on a machine that is idle
    python benchmarks/proof/page.py                                             docs/results.md from the records

Several of these may run at once: what is done is skipped, what is under way elsewhere is left alone, and a search or a
training that was interrupted is resumed. All is done by the commands that users have, in ``.work`` beside this file.
Test images are read at the end of each training, by ``bft-nas train`` and for the files of its export.
"""

from __future__ import annotations

import argparse
import fcntl
import json
import math
import re
import subprocess
import sys
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import records
from tasks import SEARCHES, SEEDS, TASKS, VARIANTS, Search, Task, Training, jobs

from bft_nas import Run, measure_latency, open_run, open_trained
from bft_nas.core.files import locks
from bft_nas.data.dataset import load_dataset, load_test
from bft_nas.record import facts_of
from bft_nas.record.exported import read_files

WORK = Path(__file__).parent / ".work"
WORKERS = 2
RUNTIMES = ("onnxruntime", "c")
FILES = ("onnxruntime.onnx", "onnxruntime-int8.onnx", "model.c")
QUERIES = 256


@contextmanager
def claimed(name: str, *, waits: bool = False) -> Iterator[bool]:
    """Whether no other process is at a job, which none begins with meanwhile; one that waits has it in the end."""
    (WORK / "locks").mkdir(parents=True, exist_ok=True)
    with (WORK / "locks" / name).open("w") as file:
        if waits:
            fcntl.flock(file, fcntl.LOCK_EX)
        yield waits or locks(file, fcntl.LOCK_EX)


def begin_or_resume(asked: Sequence[str], folder: str, name: str) -> str:
    """Run a command in the work folder, or resume what it began; what it was, without the folder of its data."""
    resumes = (WORK / folder / name).exists()
    again = [asked[0], "--resume", name, *(option for option in asked if option == "--no-references")]
    given = again if resumes else [*asked, "--name", name]
    command(*given)
    return " ".join(["bft-nas", *(re.sub("^cifar10=.*", "cifar10", option) for option in asked)])


def command(*given: str) -> None:
    """Run one as users have it, in the work folder."""
    subprocess.run([sys.executable, "-m", "bft_nas", *given], cwd=WORK, check=True, stdout=subprocess.DEVNULL)


def exported(name: str) -> dict[str, dict[str, float]]:
    """Export a trained network for runtimes, and what its files are worth on the test images."""
    folder = f"exports/{name}"
    command("export", f"trained/{name}", "-o", folder, "--for", *RUNTIMES, "--int8")
    command("evaluate", name, "--files", *(f"{folder}/{file}" for file in FILES))
    return {
        each.file: {"accuracy": round(each.accuracy, 4), "same": each.same, "size": each.size}
        for each in read_files(WORK / "trained" / name)
    }


def data_of(task: Task, cifar10: str) -> str:
    """What ``--data`` is for a task."""
    if task.data == "cifar10":
        return cifar10
    if task.data != "rotations":
        return task.data
    path = WORK / "rotations.npz"
    with claimed("rotations", waits=True):
        if not path.exists():
            write_rotations(cifar10, path)
    return path.name


def write_rotations(cifar10: str, path: Path) -> None:
    """CIFAR-10, each image turned by a number of quarters drawn once; class and turn are the label."""
    dataset = load_dataset(cifar10, size=32)
    generator = np.random.default_rng(0)
    arrays: dict[str, np.ndarray[Any, np.dtype[Any]]] = {}
    splits = {"train": dataset.train, "val": dataset.validation, "test": load_test(cifar10, size=32)}
    for name, split in splits.items():
        turns = generator.integers(4, size=len(split.labels))
        images = np.stack([np.rot90(image, turn) for image, turn in zip(split.images, turns, strict=True)])
        arrays |= {f"{name}_images": images, f"{name}_labels": split.labels * 4 + turns}
    partial_path = path.with_suffix(".part.npz")
    np.savez(partial_path, **arrays)  # type: ignore[arg-type]
    partial_path.rename(path)


def search(job: Search, data: str, done: dict[str, dict[str, Any]]) -> dict[str, Any] | None:
    """Search, or go on with it; None where another task's is taken, or that whose seconds it has is not done."""
    task = job.task
    if task.searches:
        return None
    asked = ["search", "--flops", task.flops, "--data", data, "--seed", str(job.seed), "--no-references"]
    asked += ["--workers", str(WORKERS), *SEARCHES[job.contestant]]
    if job.contestant != "default":
        first = done.get(Search(task, "default", job.seed).name)
        if first is None:
            return None
        asked += ["--time", f"{math.ceil(first['seconds'])}s"]
    if task.resolution:
        asked += ["--resolution", str(task.resolution), "--classes", str(task.classes)]
    typed = begin_or_resume(asked, "runs", job.name)
    return {"seed": job.seed, "command": typed} | told(open_run(job.name, runs=WORK / "runs"))


def told(run: Run) -> dict[str, Any]:
    """What a record keeps of a run; its seconds are those of the candidates' trainings, not of the confirmation."""
    winner = run.winner()
    architecture = run.architecture(int(winner["number"]))
    facts = facts_of(architecture, int(winner["budget"]))
    results = run.results()
    return {
        "candidates": len(results),
        "seconds": round(float(results["seconds"].sum()) / WORKERS, 1),
        "proxy": round(float(winner["accuracy"]), 4),
        **{name: facts[name] for name in ("macs", "params", "butterfly_share", "family", "fusions")},
        "architecture": architecture.to_dict(),
    }


def train(job: Training, data: str, done: dict[str, dict[str, Any]]) -> dict[str, Any] | None:
    """Train to the end, or go on with it; None where its search is not done."""
    task = job.task
    if job.searched is None:
        side = task.resolution or task.reference_resolution
        reference, _, variant = job.contestant.partition("-")
        teacher = Training(task, reference, None, (job.seed + 1) % SEEDS).name
        if variant and teacher not in done:
            return None
        more = [option.format(teacher=teacher) for option in VARIANTS[variant][1]] if variant else []
        network = [
            reference,
            "--flops",
            task.flops,
            "--resolution",
            str(side),
            "--classes",
            str(task.classes),
            *more,
        ]
    else:
        searched = Search(task, job.contestant, job.searched).name
        if searched not in done:
            return None
        known = same_training(job, done)
        if known is not None:
            return known
        path = WORK / f"{searched}.json"
        path.write_text(json.dumps(done[searched]["architecture"]), encoding="utf-8")
        network = [path.name]
    if task.recipe and "--recipe" not in network:
        network += ["--recipe", task.recipe]
    asked = ["train", *network, "--data", data, "--seed", str(job.seed), "--epochs", str(task.epochs)]
    typed = begin_or_resume(asked, "trained", job.name)
    trained = open_trained(job.name, trained=WORK / "trained")
    evaluation = trained.evaluation()
    assert evaluation is not None
    measures = evaluation.measures
    facts = facts_of(trained.architecture, 0)
    return {
        "searched": job.searched,
        "seed": job.seed,
        "command": typed,
        "accuracy": round(measures.accuracy, 4),
        "images": measures.images,
        "split": evaluation.split,
        "epochs": task.epochs,
        "seconds": round(sum(row["seconds"] for row in trained.curve()), 1),
        "last": {name: trained.curve()[-1][name] for name in ("accuracy", "averaged")},
        "files": exported(job.name),
        "protocol": trained.facts["protocol_hash"],
        **{name: facts[name] for name in ("macs", "params", "butterfly_share", "family", "fusions")},
    }


def same_training(job: Training, done: dict[str, dict[str, Any]]) -> dict[str, Any] | None:
    """That of another search's winner, where the two searches found the same network: with one seed they are equal."""
    network = done[Search(job.task, job.contestant, job.searched or 0).name]["architecture"]
    for name, row in done.items():
        if row["task"] != job.task.name or row.get("searched") is None or row["seed"] != job.seed:
            continue
        of = done[Search(job.task, row["contestant"], row["searched"]).name]
        if of["architecture"] == network and "accuracy" in row:
            kept = {key: value for key, value in row.items() if key not in ("job", "task", "contestant")}
            return kept | {"searched": job.searched, "same_as": name}
    return None


def run(options: argparse.Namespace) -> None:
    """Run what is missing, until nothing is left that could be run."""
    WORK.mkdir(exist_ok=True)
    for task in map(TASKS.__getitem__, options.tasks):
        data = data_of(task, options.cifar10)
        wanted = [job for job in jobs(task) if job.contestant in (options.contestants or [job.contestant])]
        every = [job for job in wanted if job.name in (options.jobs or [job.name])]
        waits = True
        while waits:
            waits = False
            for job in every:
                if job.name in records.read():
                    continue
                with claimed(job.name) as mine:
                    done = records.read()
                    if not mine or job.name in done:
                        continue
                    make = partial(search, job) if isinstance(job, Search) else partial(train, job)
                    found = make(data, done)
                    if found is not None:
                        records.write(job, found)
                        print(job.name, found.get("accuracy", found.get("proxy")), flush=True)
                        waits = True
                        break


def time(options: argparse.Namespace) -> None:
    """Measure the milliseconds of all exports that are here, in turns, one contestant of a task once."""
    done = records.read()
    for task in map(TASKS.__getitem__, options.tasks):
        folders = {}
        for job in jobs(task):
            folder = WORK / "exports" / job.name
            if isinstance(job, Training) and folder.is_dir() and job.seed == (job.searched or 0):
                folders[job.name] = folder
        names = [name for name in folders if name in done]
        paths = [folders[name] / file for name in names for file in FILES]
        measured = measure_latency(*paths, queries=QUERIES) if paths else []
        for name in names:
            own = [each for each in measured if Path(each.latency.network).parent == folders[name]]
            found = {
                Path(each.latency.network).name: {
                    "p50_ms": round(1e3 * each.latency.p50, 3),
                    "p90_ms": round(1e3 * each.latency.p90, 3),
                    "on": each.latency.setup.text,
                    "share": round(each.latency.share, 2),
                }
                for each in own
            }
            records.append({"job": f"{name}-time", "task": task.name, "of": name, "milliseconds": found})
            print(name, {file: each["p50_ms"] for file, each in found.items()}, flush=True)


def main() -> None:
    """Run what is missing, or measure milliseconds."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    commands = parser.add_subparsers(required=True)
    running = commands.add_parser("run", help="run what is missing")
    running.add_argument("--cifar10", default="cifar10", help="cifar10, or cifar10=FOLDER")
    running.add_argument("--tasks", nargs="+", choices=list(TASKS), default=list(TASKS))
    running.add_argument("--contestants", nargs="+", metavar="NAME", help="these alone")
    running.add_argument(
        "--jobs", nargs="+", metavar="NAME", help="these alone, such as cifar10-15M-default-0-seed2"
    )
    running.set_defaults(run=run)
    timing = commands.add_parser("time", help="measure milliseconds of what has been trained here")
    timing.add_argument("--tasks", nargs="+", choices=list(TASKS), default=list(TASKS))
    timing.set_defaults(run=time)
    options = parser.parse_args()
    options.run(options)


if __name__ == "__main__":
    main()
