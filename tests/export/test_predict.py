"""``predict.py`` of an export: real images come to the network's classes where its runtime alone is installed."""

from __future__ import annotations

import inspect
import json
import os
import runpy
import shutil
import subprocess
import sys
from dataclasses import dataclass, replace
from importlib.metadata import distribution, files, requires
from pathlib import Path

import numpy as np
import pytest
import torch
from packaging.requirements import Requirement
from PIL import Image
from safetensors.torch import save_file
from torch import nn

import bft_nas.export.predict
from bft_nas.data.dataset import load_test
from bft_nas.export.graphs import write_onnx
from bft_nas.export.inference import inference_network
from bft_nas.export.labels import labels, note_in_onnx
from bft_nas.export.preparation import prepare_source
from bft_nas.export.source import model_source
from tests.export.examples import CLASSES, NORMALISATION, SEPARABLE, trained

PHOTOS = 4
BESIDE = ("config.json", "prepare.py", "predict.py")
NET = SEPARABLE
RUN = """\
import runpy, sys
sys.path.append(sys.argv[1])
sys.argv[:2] = []
runpy.run_path(sys.argv[0], run_name="__main__")
"""


@dataclass(frozen=True)
class Written:
    """A trained network and files of its export: those that need no trace beside the one that is run."""

    network: nn.Module
    folder: Path


@pytest.fixture(scope="module")
def written(tmp_path_factory: pytest.TempPathFactory) -> Written:
    network, folder = trained(NET), tmp_path_factory.mktemp("written")
    noted = labels(NET, CLASSES, NORMALISATION)
    for name, text in {
        "config.json": json.dumps(noted),
        "prepare.py": prepare_source(NET, NORMALISATION),
        "predict.py": inspect.getsource(bft_nas.export.predict),
        "model.py": model_source(NET, {type(module).__name__ for module in network.modules()}),
    }.items():
        (folder / name).write_text(text, encoding="utf-8")
    save_file(network.state_dict(), folder / "weights.safetensors")
    write_onnx(inference_network(network, NET), NET, folder / "onnxruntime.onnx")
    note_in_onnx(folder / "onnxruntime.onnx", noted)
    return Written(network, folder)


@pytest.fixture(scope="module")
def photos(tmp_path_factory: pytest.TempPathFactory) -> list[Path]:
    """Real images as files larger than the network takes."""
    place = tmp_path_factory.mktemp("photos")
    found = []
    for k, image in enumerate(load_test("fashion-mnist", size=28).images[:PHOTOS]):
        found.append(place / f"{k}.jpg")
        Image.fromarray(image[..., 0]).convert("RGB").resize((120, 90)).save(found[-1])
    return found


def alone(*packages: str, place: Path) -> list[str]:
    """A Python that finds these packages and what they require of others, and nothing else."""
    place.mkdir()
    waiting, seen = list(packages), set()
    while waiting:
        package = waiting.pop()
        if package in seen:
            continue
        seen.add(package)
        for top in {file.parts[0] for file in files(package) or ()} - {"..", "__pycache__"}:
            (place / top).symlink_to(distribution(package).locate_file(top))  # type: ignore[arg-type]
        for requirement in map(Requirement, requires(package) or ()):
            if requirement.marker is None or requirement.marker.evaluate({"extra": ""}):
                waiting.append(requirement.name)
    # -S: no site-packages; -I: nothing of the user's; -B: no __pycache__ in what is handed over.
    return [sys.executable, "-I", "-S", "-B", "-c", RUN, str(place)]


def predict(python: list[str], folder: Path, *images: Path) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [*python, str(folder / "predict.py"), *map(str, images)],
        capture_output=True,
        text=True,
        encoding="utf-8",
        check=False,
        env=os.environ | {"PYTHONIOENCODING": "utf-8"},
    )


def shown(written: Written, photos: list[Path], name: str) -> list[str]:
    """The lines that have to be printed, of what the trained network says."""
    prepare = runpy.run_path(str(written.folder / "prepare.py"))["prepare"]
    with torch.no_grad():
        logits = written.network(torch.from_numpy(np.concatenate([prepare(file) for file in photos])))
    printed = [text.replace("\n", "\\n") for text in CLASSES]
    lines = []
    # The network has outputs that were never trained; nothing of these is shown.
    for file, likely in zip(photos, logits[:, : len(CLASSES)].double().softmax(1), strict=True):
        lines.append(f"{file} ({name})")
        order = likely.argsort(descending=True)[:5].tolist()
        lines += [f"  {100 * float(likely[k]):5.1f} %  {printed[k]}" for k in order]
    return lines


def of_files(written: Written, folder: Path, *names: str) -> Path:
    folder.mkdir()
    for name in (*BESIDE, *names):
        shutil.copy(written.folder / name, folder)
    return folder


@pytest.mark.parametrize(
    ("packages", "names"),
    [(("onnxruntime",), ("onnxruntime.onnx",)), (("torch",), ("model.py", "weights.safetensors"))],
)
def test_real_images_come_to_the_networks_classes_where_a_runtime_alone_is_installed(
    packages: tuple[str, ...],
    names: tuple[str, ...],
    written: Written,
    photos: list[Path],
    tmp_path: Path,
) -> None:
    folder = of_files(written, tmp_path / "files", *names)
    python = alone("pillow", "numpy", *packages, place=tmp_path / "packages")
    done = predict(python, folder, *photos)
    assert (done.returncode, done.stderr) == (0, "")
    assert done.stdout.splitlines() == shown(written, photos, names[0])
    without = subprocess.run([*python[:-2], "import bft_nas"], capture_output=True, check=False)
    assert without.returncode == 1


def test_a_file_that_is_no_image_is_one_line_and_the_others_are_answered(
    written: Written, photos: list[Path], tmp_path: Path
) -> None:
    (tmp_path / "notes.jpg").write_text("no image")
    images = [tmp_path / "notes.jpg", photos[0], tmp_path / "missing.jpg"]
    done = predict([sys.executable, "-B"], written.folder, *images)
    assert done.returncode == 2
    assert [line.partition(" (")[0] for line in done.stderr.splitlines()] == [
        f"predict.py: error: {file}: no image that can be read" for file in (images[0], images[2])
    ]
    assert done.stdout.splitlines() == shown(written, photos[:1], "onnxruntime.onnx")


def test_what_to_install_is_said_where_no_runtime_is(
    written: Written, photos: list[Path], tmp_path: Path
) -> None:
    python = alone("pillow", "numpy", place=tmp_path / "packages")
    folder = of_files(written, tmp_path / "files", "onnxruntime.onnx", "model.py")
    done = predict(python, folder, photos[0])
    assert (done.returncode, done.stdout) == (2, "")
    assert (
        done.stderr
        == "predict.py: error: no runtime is installed; expected pip install onnxruntime or torch\n"
    )
    for name in ("onnxruntime.onnx", "model.py"):
        (folder / name).unlink()
    done = predict(python, folder, photos[0])
    assert (done.returncode, done.stderr.count("\n")) == (2, 1)
    assert (
        f"holds no file to run; expected one of {next(iter(bft_nas.export.predict.RUNTIMES))}" in done.stderr
    )


def test_a_library_that_an_earlier_export_left_is_passed_over(
    written: Written, photos: list[Path], tmp_path: Path
) -> None:
    folder = of_files(written, tmp_path / "files", "model.py", "weights.safetensors")
    (folder / "model.so").write_text("of weights that are no longer there")
    done = predict([sys.executable, "-B"], folder, *photos[:1])
    assert (done.returncode, done.stderr) == (0, "")
    assert done.stdout.splitlines() == shown(written, photos[:1], "model.py")


def test_a_file_of_another_network_is_refused(written: Written, photos: list[Path], tmp_path: Path) -> None:
    folder = of_files(written, tmp_path / "files", "onnxruntime.onnx")
    other = replace(NET, family="other", resolution=96)
    note_in_onnx(folder / "onnxruntime.onnx", labels(other))
    done = predict([sys.executable, "-B"], folder, photos[0])
    assert (done.returncode, done.stdout) == (2, "")
    assert done.stderr == (
        f"predict.py: error: onnxruntime.onnx: of architecture {other.hash};"
        f" expected {NET.hash}, as in config.json\n"
    )
