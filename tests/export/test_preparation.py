"""``prepare.py`` of an export: from the original files each exported network predicts what the trained one did."""

from __future__ import annotations

import runpy
import subprocess
import sys
from collections.abc import Iterator, Mapping
from pathlib import Path
from types import ModuleType
from typing import Any

import numpy as np
import numpy.typing as npt
import pytest
import torch
from PIL import Image, ImageOps

import bft_nas
from bft_nas.data.dataset import load_dataset, load_test
from bft_nas.data.prepare import resized
from bft_nas.export import checks
from bft_nas.export.preparation import prepare_source
from bft_nas.network import build
from tests.data.odd_images import CLASSES, write_odd_images
from tests.data.samples import write_class_folders
from tests.export.examples import NORMALISATION, SEPARABLE

REAL = load_dataset("fashion-mnist", size=28, images=200)
TEST = load_test("fashion-mnist", size=28)


@pytest.fixture(scope="module")
def trained(tmp_path_factory: pytest.TempPathFactory) -> bft_nas.Trained:
    """A network with butterflies, trained on real images in files that are larger than it takes, and wide."""
    place = tmp_path_factory.mktemp("files")
    (place / "net.json").write_text(SEPARABLE.to_json())
    for part, split in {"train": REAL.train, "val": REAL.validation, "test": TEST}.items():
        large = [np.asarray(Image.fromarray(i[..., 0]).resize((90, 90))) for i in split.images[:200]]
        wide = np.pad(np.stack(large)[..., None], ((0, 0), (0, 0), (25, 25), (0, 0)))
        write_class_folders(place / "photos" / part, wide, split.labels[:200], "abcdefghij", suffix=".jpg")
    return bft_nas.train(
        place / "net.json", data=place / "photos", trained=place, epochs=2, batch_size=50, progress=False
    )


@pytest.fixture(scope="module")
def exported(trained: bft_nas.Trained) -> Path:
    return trained.export(trained.folder.parent / "export").folder


def originals(trained: bft_nas.Trained) -> list[Path]:
    """The files of the test images."""
    return sorted((Path(trained.facts["data"]) / "test").glob("*/*.jpg"))


@pytest.fixture(scope="module")
def module(exported: Path) -> Iterator[ModuleType]:
    """The exported model.py, imported."""
    import importlib.util

    spec = importlib.util.spec_from_file_location("exported_for_images", exported / "model.py")
    assert spec is not None
    assert spec.loader is not None
    found = importlib.util.module_from_spec(spec)
    sys.modules[spec.name] = found
    spec.loader.exec_module(found)
    yield found
    del sys.modules[spec.name]


def test_every_file_predicts_each_test_image_as_the_trained_network_did(
    trained: bft_nas.Trained, exported: Path, module: ModuleType
) -> None:
    import onnxruntime

    files = originals(trained)
    labels = ["abcdefghij".index(file.parent.name) for file in files]
    prepare = runpy.run_path(str(exported / "prepare.py"))["prepare"]
    images = np.concatenate([prepare(file) for file in files])
    assert images.dtype == np.float32
    assert images.shape == (200, 3, 32, 32)
    session = onnxruntime.InferenceSession(exported / "model.onnx", providers=["CPUExecutionProvider"])
    graph = torch.export.load(exported / "model.pt2").module()
    with torch.inference_mode():
        logits = {
            "trained": trained.model()(torch.from_numpy(images)).numpy(),
            "model.pt2": graph(torch.from_numpy(images)).numpy(),
            "model.onnx": session.run(["logits"], {"images": images})[0],
            "model.py": module.load()(torch.from_numpy(images)).numpy(),
        }
    evaluation = trained.evaluation()
    assert evaluation is not None
    assert (evaluation.split, evaluation.measures.images) == ("test", 200)
    for name, values in logits.items():
        confusion = np.zeros((10, 10), np.int64)
        np.add.at(confusion, (labels, values.argmax(1)), 1)
        assert confusion.tolist() == [list(row) for row in evaluation.measures.confusion], name
        np.testing.assert_array_equal(values.argmax(1), logits["trained"].argmax(1), err_msg=name)


def by_configuration(image: Image.Image, config: Mapping[str, Any]) -> npt.NDArray[np.float64]:
    """An image as timm's evaluation transform makes it by a ``default_cfg``."""
    _, height, width = config["input_size"]
    scaled = int(height / config["crop_pct"])
    short = min(image.size)
    wanted = (scaled, scaled)
    if config.get("crop_mode", "center") == "center":
        wide, high = (scaled * side // short for side in image.size)
        wanted = wide, high
    resized = image.resize(wanted, Image.Resampling[config["interpolation"].upper()])
    left, top = (round((side - size) / 2) for side, size in zip(resized.size, (width, height), strict=True))
    pixels = np.asarray(resized.crop((left, top, left + width, top + height)).convert("RGB")) / 255
    found: npt.NDArray[np.float64] = ((pixels - config["mean"]) / config["std"]).transpose(2, 0, 1)
    return found


def test_the_configuration_of_the_network_says_what_it_does(
    trained: bft_nas.Trained, exported: Path, module: ModuleType, tmp_path: Path
) -> None:
    prepare = runpy.run_path(str(exported / "prepare.py"))["prepare"]
    file = tmp_path / "wide.png"
    # Twice as wide as it is high, so that the square begins at a pixel.
    ImageOps.expand(Image.open(originals(trained)[0]), (20, 0)).save(file)
    for network in (trained.model(), module.load()):
        found = by_configuration(Image.open(file), network.default_cfg)  # type: ignore[arg-type]
        assert np.abs(found - prepare(file)[0]).max() < 1.5 / 255 / min(trained.data.std)


def test_of_a_network_that_was_trained_on_arrays_it_says_that_they_are_resized_as_a_whole(
    tmp_path: Path,
) -> None:
    (tmp_path / "prepare.py").write_text(prepare_source(SEPARABLE, NORMALISATION, arrays=True))
    prepare = runpy.run_path(str(tmp_path / "prepare.py"))["prepare"]
    wide = np.pad(REAL.train.images[0], ((0, 0), (20, 10), (0, 0))).repeat(3, axis=2)
    state = build(SEPARABLE).state_dict()
    network = checks.trained(SEPARABLE, state, normalisation=NORMALISATION, arrays=True)
    found = by_configuration(Image.fromarray(wide), network.default_cfg)  # type: ignore[arg-type]
    assert np.abs(found - prepare(wide)[0]).max() < 1.5 / 255 / min(NORMALISATION[1])


@pytest.mark.parametrize("arrays", [False, True])
@pytest.mark.parametrize("shape", [(40, 90, 3), (90, 40, 1), (70, 33), (32, 32, 3)])
def test_an_array_is_prepared_as_a_file_of_it_is(
    tmp_path: Path, shape: tuple[int, ...], arrays: bool
) -> None:
    (tmp_path / "prepare.py").write_text(prepare_source(SEPARABLE, NORMALISATION, arrays=arrays))
    prepare = runpy.run_path(str(tmp_path / "prepare.py"))["prepare"]
    frame = np.random.default_rng(0).integers(256, size=shape, dtype=np.uint8)
    Image.fromarray(frame[..., 0] if shape[2:] == (1,) else frame).save(tmp_path / "frame.png")
    found = prepare(frame)
    assert found.shape == (1, 3, 32, 32)
    np.testing.assert_array_equal(found, prepare(tmp_path / "frame.png"))


@pytest.mark.parametrize("arrays", [False, True])
@pytest.mark.parametrize(
    ("shape", "kind"),
    [
        ((40, 40, 3), np.float32),
        ((40, 40), np.bool_),
        ((40, 40, 3), np.int64),
        ((40, 40, 4), np.uint8),
        ((3, 40, 40), np.uint8),
        ((1, 40, 40, 3), np.uint8),
        ((40,), np.uint8),
    ],
)
def test_an_array_that_is_no_image_of_bytes_is_refused(
    tmp_path: Path, shape: tuple[int, ...], kind: type, arrays: bool
) -> None:
    (tmp_path / "prepare.py").write_text(prepare_source(SEPARABLE, NORMALISATION, arrays=arrays))
    prepare = runpy.run_path(str(tmp_path / "prepare.py"))["prepare"]
    with pytest.raises(ValueError, match=r"expected uint8 \(height, width, 1 or 3 channels\)$") as caught:
        prepare(np.zeros(shape, kind))
    assert str(caught.value).startswith(f"array {shape} of {np.dtype(kind)};")


def test_it_needs_pillow_and_numpy_alone_and_is_tidy(trained: bft_nas.Trained, exported: Path) -> None:
    file = originals(trained)[0]
    script = (
        "import sys; sys.modules['bft_nas'] = sys.modules['torch'] = sys.modules['safetensors'] = None\n"
        "import runpy, numpy as np\n"
        "np.save(sys.argv[3], runpy.run_path(sys.argv[1])['prepare'](sys.argv[2]))"
    )
    answer = exported.parent / "image.npy"
    subprocess.run([sys.executable, "-I", "-c", script, exported / "prepare.py", file, answer], check=True)
    expected = runpy.run_path(str(exported / "prepare.py"))["prepare"](file)
    np.testing.assert_array_equal(np.load(answer), expected)
    for command in (["check", "--extend-select", "I"], ["format", "--check"]):
        ruff = [sys.executable, "-m", "ruff", *command, "--isolated", "--line-length", "110", "--no-cache"]
        done = subprocess.run([*ruff, exported / "prepare.py"], capture_output=True, text=True, check=False)
        assert done.returncode == 0, done.stdout


def test_files_of_every_kind_are_prepared_as_those_of_a_test_folder_are(tmp_path: Path) -> None:
    odd = write_odd_images(tmp_path / "test")
    for place in odd.damaged:
        (odd.root / place).unlink()
    write_class_folders(tmp_path / "train", REAL.train.images, REAL.train.labels % 3, CLASSES)
    test = load_test(str(tmp_path), size=32)
    (tmp_path / "prepare.py").write_text(prepare_source(SEPARABLE, NORMALISATION))
    prepare = runpy.run_path(str(tmp_path / "prepare.py"))["prepare"]
    mean, std = (np.array(each, np.float32).reshape(3, 1, 1) * np.float32(255) for each in NORMALISATION)
    expected = {
        ((image.transpose(2, 0, 1).astype(np.float32) - mean) / std).tobytes() for image in test.images
    }
    seen = set()
    deep = 0
    for path in odd.root.rglob("*.*"):
        try:
            seen.add(prepare(path)[0].tobytes())
        except ValueError as error:
            assert "more than 8 bits a channel" in str(error)
            deep += 1
    assert deep == 13
    assert seen <= expected
    # Grey of more than 8 bits is scaled by what all images of a folder hold.
    assert len(expected - seen) <= deep


@pytest.mark.parametrize(("old", "new"), [(28, 32), (28, 96), (40, 28), (37, 32), (256, 224), (9, 9)])
def test_arrays_are_resized_as_in_training_up_to_the_rounding_of_halves(old: int, new: int) -> None:
    from bft_nas.data.images import resize

    pixels = np.random.default_rng(0).integers(0, 256, (4, old, old + 3, 3), dtype=np.uint8)
    found = resized(pixels, new)
    trained = resize(torch.from_numpy(pixels).permute(0, 3, 1, 2), new).permute(0, 2, 3, 1).numpy()
    assert np.abs(found.astype(int) - trained).max() <= 1
    # One by one or all at once, they are the same.
    np.testing.assert_array_equal(np.concatenate([resized(image[None], new) for image in pixels]), found)
