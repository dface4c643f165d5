"""Random command lines, a place where they find runs, spaces and images, and what must hold whatever they are."""

from __future__ import annotations

import io
import os
import shutil
import signal
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, redirect_stderr, redirect_stdout
from pathlib import Path
from random import Random
from socket import socket
from typing import Any
from unittest.mock import patch

import numpy as np
from PIL import Image

from bft_nas.cli.main import main
from bft_nas.core.errors import RunError
from bft_nas.record import Run
from tests.conftest import SPACE
from tests.latency.stored import stored_predictor

ODD_BYTES = (
    b"\xff\xfe",
    b"[b]",
    b"[red]",
    b":bug:",
    b"two\nlines",
    b"\x1b[31m",
    b"...",
    b"a" * 300,
    "\u202e".encode(),
)
"""Of names, as a file system may hold them."""
ODD = (
    *map(os.fsdecode, ODD_BYTES),
    "[/b]",
    *("", " ", ".", "..", "/", "-", "--", "-1", "0", "1", "2", "1e99", "nan", "inf", "9" * 30, "9" * 5000),
    *(
        "1_0",
        "٣",
        "1.5",
        "0x10",
        "1:30",
        "yes",
        "a/b",
        "a,b",
        ",",
        "3M,",
        "{}",
        "!!int",
        "é",
        "'",
        "%s",
        "%(prog)s",
    ),
)
RUN_NAMES = ("first", "runs/first", "newer", "torn", "nobody", "runs", "tiny.yaml", "photos")
COUNTS = ("1", "2", "3", "7", "64", "2147483647", "2147483648")
ENGINE = {
    "--workers": ("1", "2", "3"),
    "--retries": ("0", "2"),
    "--trial-timeout": ("10m", "90s", "1"),
    "--engine": ("local", "ray", "luck"),
    "--ray-address": ("127.0.0.1:1",),
    "--ray-storage": ("there",),
    "--cpus-per-trial": ("1", "0.5"),
    "--gpus-per-trial": ("0", "0.5"),
}
RUNS = {"--runs": ("runs", "elsewhere", "tiny.yaml", "nowhere/deep", "tiny.yaml/runs")}
SEARCH: dict[str, Sequence[str] | None] = {
    "--flops": ("2M", "3M", "1.5M,3M", "50M", "50G", "1k", "3e6", "0.003G"),
    "--latency": ("3ms", "0.5", "0.001 ms", "900ms", "3s"),
    "--latency-runtime": ("onnxruntime", "tensorrt"),
    "--space": ("tiny.yaml", "mobile", "shufflenet_v2", "bad.yaml", "many.yaml", "photos", "nowhere.yaml"),
    "--data": ("fashion-mnist", "photos", "cifar10=photos", "tiny.yaml", "runs", "nowhere.npz"),
    "--trials": COUNTS,
    "--time": ("1s", "90s", "1h30m", "soon"),
    "--seed": COUNTS,
    "--fusion": ("dense", "butterfly", "grouped"),
    "--sampler": ("surrogate", "tpe", "nsga2", "random", "magic"),
    "--name": ("first", "mine", "[/b]", ".hidden", "-x", "a/b"),
    "--resolution": ("32", "64", "64,96", "8", "224", "4096"),
    "--classes": ("2", "10", "1000", "1"),
    "--epochs": ("1", "2", "9"),
    "--scheduler": ("halving", "none", "luck"),
    "--eta": ("1", "2", "3"),
    "--min-epochs": ("1", "5"),
    "--images": ("3", "10", "64", "129", "8000"),
    "--batch-size": ("1", "2", "32", "64", "4096"),
    "--proxy-divisor": ("1", "2", "4", "8", "99"),
    "--confirm-divisor": ("1", "2", "8", "99"),
    "--references": ("all", "two"),
    "--no-references": None,
    "--no-confirm": None,
    "--no-timing": None,
    "--storage": (
        "sqlite:///study.db",
        "sqlite:////nowhere/x.db",
        "postgresql://127.0.0.1:1/x",
        "redis://x",
        "x",
    ),
    "--resume": RUN_NAMES,
    "--join": RUN_NAMES,
    **ENGINE,
    **RUNS,
}
"""The options of ``search``, each with values that mean something to it; None for one that has no value."""
OTHERS: dict[str, dict[str, Sequence[str] | None]] = {
    "show": {"RUN": RUN_NAMES, "--candidate": ("0", "1", "7"), **RUNS},
    "export": {
        "RUN": RUN_NAMES,
        "--candidate": ("0", "1", "7"),
        "-o": ("out", "photos", "tiny.yaml/x"),
        "--int8": None,
        **RUNS,
    },
    "compare": {"RUN": RUN_NAMES, **ENGINE, **RUNS},
    "train": {
        "RUN": (*RUN_NAMES, "mobilenet_v3_small", "nowhere.json"),
        "--candidate": ("0", "1", "7"),
        "--flops": ("3M", "1k", "1M,2M"),
        "--resolution": ("32", "1"),
        "--classes": ("1000", "1"),
        "--data": ("photos", "fashion-mnist", "nowhere"),
        "--recipe": ("thousands", "tiny.yaml", "bad.yaml", "nowhere.yaml"),
        "--epochs": ("1",),
        "--batch-size": ("2", "1"),
        "--seed": ("1",),
        "--name": ("mine", "a/b", ".."),
        "--resume": RUN_NAMES,
        "--trained": ("trained", "photos", "tiny.yaml", "nowhere/trained"),
        **RUNS,
    },
    "evaluate": {
        "RUN": RUN_NAMES,
        "--data": ("photos", "nowhere"),
        "--files": ("photos", "tiny.yaml", "nowhere"),
        "--trained": ("trained", "tiny.yaml"),
    },
    "fidelity": {"RUN": RUN_NAMES, "--train": ("6", "12", "1"), **ENGINE, **RUNS},
    "dashboard": {
        "RUN": RUN_NAMES,
        "--host": ("127.0.0.1", "::1", "nowhere.invalid"),
        "--port": ("8061", "1"),
        **RUNS,
    },
    "report": {"RUN": RUN_NAMES, "-o": ("mine.html", ".", "photos", "nowhere/mine.html", "a/.."), **RUNS},
    "latency": {
        "RUN": (*RUN_NAMES, "tiny.yaml", "nowhere.onnx"),
        "--runtime": ("pytorch", "onnxruntime", "tensorrt"),
        "--threads": ("0", "1", "2"),
        "--queries": ("1", "2"),
        "--seconds": ("0", "0.01"),
        **RUNS,
    },
    "runs": {**RUNS},
    "references": {"--flops": ("50M", "1k", "1e99", "50G"), "--resolution": ("224", "128,160", "8")},
    "spaces": {},
    "data": {
        "RUN": ("photos", "tiny.yaml", "nowhere", "."),
        "-o": ("mine.html", "photos", "nowhere/mine.html"),
    },
}
BASE = {
    "--flops": "3M",
    "--space": "tiny.yaml",
    "--images": "64",
    "--trials": "1",
    "--epochs": "1",
    "--no-references": "",
    "--no-confirm": "",
    "--no-timing": "",
    "--workers": "1",
}
"""A search that begins within a moment."""


def random_line(rng: Random) -> list[str]:
    """A command line: of what a command expects, mostly, and of what nobody would."""
    if rng.random() < 0.05:
        return [_odd(rng) for _ in range(rng.randrange(4))]
    searching = rng.random() < 0.6
    command = "search" if searching else rng.choice(sorted(OTHERS))
    known = SEARCH if searching else OTHERS[command]
    options = dict(BASE) if searching and rng.random() < 0.8 else {}
    for name in rng.sample(sorted(known), min(len(known), rng.choice((0, 1, 1, 2, 2, 3, 5)))):
        values = known[name]
        options[name] = "" if values is None else rng.choice(values) if rng.random() < 0.6 else _odd(rng)
    if "RUN" in known and rng.random() < 0.9:
        options["RUN"] = rng.choice(("first", rng.choice(RUN_NAMES)))
    line = [command, *(part for name, value in options.items() for part in spelled(name, value, known, rng))]
    if rng.random() < 0.05:
        line.insert(rng.randrange(len(line) + 1), _odd(rng))
    if rng.random() < 0.03 and len(line) > 2:
        line += line[1:3]
    if rng.random() < 0.02:
        line.append("--help")
    return line


def spelled(name: str, value: str, known: Any, rng: Random) -> list[str]:
    """An option as it is typed."""
    if name == "RUN":
        return [value]
    if known.get(name) is None:
        return [name]
    return [f"{name}={value}"] if name.startswith("--") and rng.random() < 0.2 else [name, value]


def _odd(rng: Random) -> str:
    return (
        rng.choice(ODD)
        if rng.random() < 0.8
        else rng.choice(("search", "--flops", "--help", "-o", "--version"))
    )


class Place:
    """A folder with a finished run, two that cannot be read, spaces and images."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        (folder / "tiny.yaml").write_text(SPACE)
        (folder / "bad.yaml").write_text("family: [")
        stage = "  - {block: separable, channels: 32, stride: 1, depth: [1, 2], fusion: [dense, butterfly]}\n"
        head = "family: many\nresolution: 64\nstem: {channels: 16}\nwidth: {min: 0.1, max: 1}\nstages:\n"
        (folder / "many.yaml").write_text(head + 12 * stage)
        rng = np.random.default_rng(0)
        for name in (b"cats", b"[b]", b"\xff\xfe", b"two\nlines"):
            place = folder / "photos" / os.fsdecode(name)
            place.mkdir(parents=True)
            for i in range(6):
                Image.fromarray(rng.integers(0, 255, (40, 40, 3), dtype=np.uint8)).save(place / f"{i}.png")
        options = {**BASE, "--trials": "2", "--name": "first"}
        done = self.run(["search", *(part for pair in options.items() for part in pair if part)])
        assert done[0] == 0, done
        for damaged in ("newer", "torn"):
            shutil.copytree(folder / "runs" / "first", folder / "runs" / damaged)
        description = folder / "runs" / "newer" / "run.yaml"
        description.write_text(description.read_text().replace("  sampler:", "  later: 1\n  sampler:"))
        journal = folder / "runs" / "torn" / "study.journal"
        journal.write_bytes(b"{torn\n" + journal.read_bytes())
        self.kept = set(self._entries())

    def run(self, line: Sequence[str], encoding: str = "utf-8") -> tuple[int, str, str]:
        """Exit code, standard output and error of a command line in the folder, in this process."""
        out, err = (io.TextIOWrapper(io.BytesIO(), encoding=encoding, newline="") for _ in range(2))
        before, handlers = (
            Path.cwd(),
            {number: signal.getsignal(number) for number in (signal.SIGINT, signal.SIGTERM)},
        )
        os.chdir(self.folder)
        try:
            with redirect_stdout(out), redirect_stderr(err):
                try:
                    code = main(list(line))
                except SystemExit as leaving:
                    code = leaving.code if isinstance(leaving.code, int) else 1
        finally:
            os.chdir(before)
            for number, handler in handlers.items():
                signal.signal(number, handler)
        texts = []
        for stream in (out, err):
            stream.flush()
            texts.append(stream.buffer.getvalue().decode(encoding, errors="replace"))
        return code, texts[0], texts[1]

    def check(self, line: Sequence[str], encoding: str = "utf-8") -> str:
        """Run a command line; AssertionError unless it does what it is for or refuses it in a line.

        Returns what it came to: ``done``, ``refused``, ``stopped`` or ``interrupted``.
        """
        code, out, err = self.run(line, encoding)
        left = set(self._entries()) - self.kept
        try:
            assert code in (0, 1, 2, 130), code
            assert "Traceback" not in out + err
            if code in (1, 2):
                said = [text for text in err.splitlines() if "error:" in text]
                assert len(said) == 1, err
                assert "\x1b" not in err
            if code == 2:
                assert not left, left
            assert not [path for path in self.folder.rglob("*") if path.name.endswith(".tmp")]
            for runs in {
                self.folder / "runs",
                *(path.parent for path in left if (path / "candidates").exists()),
            }:
                for path in runs.iterdir():
                    assert not path.name.startswith(".new-"), path
                    if path not in self.kept and path.name != ".references":
                        Run.open(str(path))
        finally:
            for path in left:
                shutil.rmtree(path, ignore_errors=True) if path.is_dir() else path.unlink(missing_ok=True)
        return {0: "done", 1: "stopped", 2: "refused"}.get(code, "interrupted")

    def _entries(self) -> Iterator[Path]:
        yield from self.folder.iterdir()
        yield from (self.folder / "runs").iterdir() if (self.folder / "runs").exists() else ()


@contextmanager
def nothing_trained(real: Callable[[], bool] = lambda: False) -> Iterator[None]:
    """Within it, a search or an export ends where its work would begin, but where ``real`` says otherwise."""
    import bft_nas.dashboard._server
    import bft_nas.engines.ray_cluster
    import bft_nas.export.write
    import bft_nas.searching.confirmation
    import bft_nas.searching.loop
    import bft_nas.searching.references
    import bft_nas.training.finish

    search, export = bft_nas.searching.loop.search, bft_nas.export.write.export

    def searched(*arguments: Any, **options: Any) -> None:
        run = arguments[0]
        if real() and run.settings.epochs == 1 and min(run.settings.budgets) < 10**7:
            search(*arguments, **{**options, "trials": 1, "seconds": None})

    def exported(*arguments: Any, **options: Any) -> Any:
        if not real():
            raise bft_nas.export.write.ExportError("not here")
        return export(*arguments, **options)

    def no_training(*arguments: Any, **options: Any) -> None:
        raise RunError("not here")

    def no_cluster(*arguments: Any, **options: Any) -> None:
        raise RunError("no cluster here")

    with (
        patch("bft_nas.searching.loop.search", searched),
        patch("bft_nas.latency.calibration.predictor_for", lambda *arguments: stored_predictor()),
        patch("bft_nas.searching.references.compare", lambda *arguments, **options: None),
        patch("bft_nas.searching.confirmation.confirm", lambda *arguments, **options: None),
        patch("bft_nas.export.write.export", exported),
        patch("bft_nas.training.finish.FullTraining", no_training),
        patch("bft_nas.engines.ray_cluster.connect", no_cluster),
        patch("bft_nas.dashboard._server.make_http_server", lambda app, listener: Interrupted(listener)),
    ):
        yield


class Interrupted:
    """A server that is stopped by Ctrl-C at once."""

    def __init__(self, listener: socket) -> None:
        self.listener = listener

    def __enter__(self) -> None: ...

    def __exit__(self, *error: object) -> None:
        self.listener.close()

    def serve_forever(self) -> None:
        raise KeyboardInterrupt
