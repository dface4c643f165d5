"""A trained network as files that need nothing of this package: .pt2, .onnx, safetensors, one readable .py.

Whatever is written is read back, run on the same images as the trained network, and counted; a file that does not
agree is an error, and then nothing is left behind. Files that another system alone can run are read back.
"""

from __future__ import annotations

import inspect
import json
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Literal

import torch
from torch import Tensor, nn

from bft_nas.core.extras import lacking
from bft_nas.core.files import size_of
from bft_nas.export import predict
from bft_nas.export.checks import (
    TOLERANCE,
    Answer,
    Checks,
    ExportedFile,
    ExportError,
    OtherPython,
    run_onnx,
    run_weights,
    sample_images,
    trained,
)
from bft_nas.export.graphs import write_graphs
from bft_nas.export.inference import inference_network
from bft_nas.export.labels import labels, metadata, note_in_onnx
from bft_nas.export.place import check_free, staged
from bft_nas.export.preparation import prepare_source
from bft_nas.export.runtimes import RUNTIMES, Deployment, Runtime, checked_runtimes
from bft_nas.export.source import model_source
from bft_nas.network import Architecture
from bft_nas.network.build import Normalisation

__all__ = ["CONTENTS", "TOLERANCE", "ExportError", "ExportReport", "ExportedFile", "Watcher", "export"]

Watcher = Callable[[str, Literal["written", "checked"]], None]
"""Called with the name of a file, and what has just been done with it."""

_DEPLOYED = tuple(name for runtime in RUNTIMES.values() for name in runtime.files)
CONTENTS = (
    "architecture.json",
    "config.json",
    "weights.safetensors",
    "model.pt2",
    "model.onnx",
    "model.py",
    "prepare.py",
    "predict.py",
)
_OWNED = (*CONTENTS, *_DEPLOYED, "__pycache__", "model.so")
"""What goes with an export of another network: its files, and what was made of them."""

CHANNELS = 3
"""That images are prepared with, be they grey."""


@dataclass(frozen=True)
class ExportReport:
    """A folder that was exported to."""

    folder: Path
    files: tuple[ExportedFile, ...]
    left_out: tuple[str, ...] = ()
    """What of `CONTENTS` was not written, each with the reason."""


def export(
    architecture: Architecture,
    state: Mapping[str, Tensor],
    folder: Path,
    *,
    classes: Sequence[str] = (),
    normalisation: Normalisation | None = None,
    arrays: bool = False,
    runtimes: Sequence[str] = (),
    calibration: Tensor | None = None,
    watcher: Watcher = lambda name, done: None,
) -> ExportReport:
    """Write a trained network to a folder of its own, and check each file against the network.

    The graphs and ``model.py`` multiply butterflies stage by stage, so that their MACs are the counted ones. Where the
    normalisation is known, ``prepare.py`` makes their input of an image file, and ``predict.py`` says what is on it.

    Args:
        architecture: the network.
        state: its trained state dict, written as float32.
        folder: where to; made if missing. A previous export there is replaced, but for files for other runtimes
            where it is of this network with these weights; the user's files are kept.
        classes: names of the trained outputs, which are the first ones.
        normalisation: mean and standard deviation of each channel, as in training, for images in [0, 1].
        arrays: whether it was trained on arrays of pixels, and not on image files.
        runtimes: names of `bft_nas.export.runtimes.RUNTIMES` for which files are written besides.
        calibration: normalised training images, for int8 files of these.
        watcher: is told of each file when it is written and when it is checked.

    Raises:
        UserError: the folder holds something else or cannot be written; more names than outputs; a mean or
            standard deviation that does not fit the channels.
        ExportError: the state does not fit the architecture, or a file does not agree with the network.
    """
    noted = labels(architecture, classes, normalisation)
    runtimes = checked_runtimes(runtimes)
    check_free(folder)
    network = trained(architecture, state)
    images = sample_images(architecture)
    with torch.no_grad():
        expected = [network(batch) for batch in images]
    if not all(logits.isfinite().all() for logits in expected):
        raise ExportError("weights.safetensors: the trained network's logits are not finite")
    modules = {type(module).__name__ for module in network.modules()}
    with staged(folder, _OWNED) as staging, OtherPython(images) as other:
        files = _Files(Checks(architecture, staging, expected), other, watcher)
        files.write("architecture.json", architecture.to_json(), files.checks.macs)
        files.write("config.json", json.dumps(noted, indent=2) + "\n")
        _write_weights(network, staging, {"format": "pt"} | metadata(noted))
        files.written("weights.safetensors")
        source = model_source(
            architecture, modules, classes=classes, normalisation=normalisation, arrays=arrays
        )
        (staging / "model.py").write_text(source, encoding="utf-8")
        files.written("model.py")
        if normalisation is not None and architecture.in_channels == CHANNELS:
            files.write("prepare.py", prepare_source(architecture, normalisation, arrays=arrays))
            files.write("predict.py", inspect.getsource(predict))
        files.check("weights.safetensors", lambda: run_weights(staging, images))
        write_graphs(network, architecture, staging, files.written)
        files.check("model.pt2", lambda: other.answer("model.pt2"))
        without_onnx = lacking("export")
        if not without_onnx:
            note_in_onnx(staging / "model.onnx", noted)
            files.check("model.onnx", lambda: run_onnx(staging, images))
        if runtimes:
            inference = inference_network(network, architecture)
            deployment = Deployment(
                inference, architecture, staging, images, expected, calibration, labels=noted
            )
            for runtime in map(RUNTIMES.__getitem__, runtimes):
                for file in _deployed(deployment, runtime):
                    files.take(file, "checked" if runtime.runs_here else "written")
    left_out = (f"model.onnx: left out, as {without_onnx}",) if without_onnx else ()
    order = [*CONTENTS, *_DEPLOYED]
    return ExportReport(folder, tuple(files.known[name] for name in order if name in files.known), left_out)


class _Files:
    """The files of an export as they are written and checked, of which its watcher is told.

    Args:
        checks: of the folder that they are in.
        other: runs ``model.py`` and ``model.pt2`` meanwhile.
        watcher: see `export`.
    """

    def __init__(self, checks: Checks, other: OtherPython, watcher: Watcher) -> None:
        self.checks, self.other, self.watcher = checks, other, watcher
        self.known: dict[str, ExportedFile] = {}

    def written(self, name: str) -> None:
        """A file is complete; the other process begins with it where it runs it."""
        self.watcher(name, "written")
        if name in {"model.py", "model.pt2"}:
            self.other.ask(self.checks.folder / name)
        if name == "model.pt2":
            self.check("model.py", lambda: self.other.answer("model.py"))

    def write(self, name: str, text: str, macs: int | None = None) -> None:
        """A text that nothing is to be run of."""
        (self.checks.folder / name).write_text(text, encoding="utf-8")
        self.written(name)
        self.take(self.checks.file(name, None, macs))

    def check(self, name: str, run: Callable[[], Answer]) -> None:
        """Raises `ExportError` where what a file answers is not what the network does."""
        self.take(self.checks.check(name, run))

    def take(self, file: ExportedFile, done: Literal["written", "checked"] = "checked") -> None:
        """Nothing more is to be done with it."""
        self.known[file.name] = file
        self.watcher(file.name, done)


def _deployed(deployment: Deployment, runtime: Runtime) -> Iterator[ExportedFile]:
    for file in runtime.write(deployment):
        path = deployment.folder / file.name
        if path.suffix == ".onnx":
            note_in_onnx(path, deployment.labels)
        yield replace(file, size=size_of(path))


def _write_weights(network: nn.Module, folder: Path, metadata: dict[str, str]) -> None:
    from safetensors.torch import save

    state = {name: tensor.contiguous() for name, tensor in network.state_dict().items()}
    (folder / "weights.safetensors").write_bytes(save(state, metadata=metadata))
