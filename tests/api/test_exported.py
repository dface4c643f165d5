"""An export of a trained network: what is in its files, and what they are worth on the test images."""

from __future__ import annotations

import runpy
import shutil
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image
from safetensors.torch import load_file, save_file

import bft_nas
from bft_nas.cli.main import main
from bft_nas.core.errors import RunError, UserError
from bft_nas.network.references import widest
from tests.api.conftest import NAME, SMALL, write_few
from tests.conftest import closed


def test_it_is_exported_with_its_best_weights(trained: bft_nas.Trained, exported: Path) -> None:
    found = load_file(exported / "weights.safetensors")
    best = load_file(trained.folder / "model.safetensors")
    assert all(torch.equal(found[name], best[name]) for name in best)


def test_an_exported_module_is_configured_as_it_is(trained: bft_nas.Trained, exported: Path) -> None:
    config = runpy.run_path(str(exported / "model.py"))["load"]().default_cfg
    assert config == trained.model().default_cfg
    assert (config["mean"], config["std"]) == (trained.data.mean, trained.data.std)
    # Its images are arrays.
    assert (config["crop_pct"], config["crop_mode"]) == (1.0, "squash")


def test_an_exported_graph_predicts_every_test_image_as_it_does(
    trained: bft_nas.Trained, exported: Path, data: Path, tmp_path: Path
) -> None:
    prepare = runpy.run_path(str(exported / "prepare.py"))["prepare"]
    with np.load(data) as arrays:
        pixels, labels = arrays["test_images"], arrays["test_labels"]
    images = torch.from_numpy(np.concatenate([prepare(image) for image in pixels]))
    # They may come as files, too.
    Image.fromarray(pixels[0, :, :, 0]).save(tmp_path / "first.png")
    assert torch.equal(torch.from_numpy(prepare(tmp_path / "first.png")), images[:1])
    graph = torch.export.load(exported / "model.pt2").module()
    evaluation = trained.evaluation()
    assert evaluation is not None
    with torch.no_grad():
        assert torch.equal(graph(images).argmax(1), trained.model()(images).argmax(1))
        right = int((graph(images).argmax(1).numpy() == labels).sum())
    assert right == evaluation.measures.right


def test_its_int8_file_needs_the_images_of_the_training(
    trained: bft_nas.Trained, data: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    copied = shutil.copytree(trained.folder, tmp_path / "moved")
    described = copied / "training.yaml"
    described.write_text(described.read_text().replace(str(data), "/nowhere/few.npz"))
    command = ["export", str(copied), "-o", str(tmp_path / "out"), "--for", "onnxruntime", "--int8"]
    assert main(command) == 2
    said = capsys.readouterr().err
    assert "--int8: no data at /nowhere/few.npz any more; expected the images of the training there" in said
    assert len(said.strip().splitlines()) == 1
    assert not (tmp_path / "out").exists()


def test_an_export_of_a_training_on_the_way_says_how_far_it_is(
    trained: bft_nas.Trained,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    def stop(*given: object, **more: object) -> None:
        raise RunError("as far as is looked at")

    monkeypatch.setattr(bft_nas.Trained, "export", stop)
    copied = shutil.copytree(trained.folder, tmp_path / "half")
    command = ["export", str(copied), "-o", str(tmp_path / "out")]
    assert main(command) == 1
    assert "not trained to the end" not in capsys.readouterr().out
    (copied / "last.safetensors").unlink()
    curve = (copied / "curve.csv").read_text().splitlines()
    (copied / "curve.csv").write_text("\n".join(curve[:2]) + "\n")
    assert main(command) == 1
    assert "\nnot trained to the end: the best weights of 1 of 2 epochs\n" in capsys.readouterr().out


def test_files_of_an_export_are_evaluated_on_the_test_images(
    trained: bft_nas.Trained, exported: Path, tmp_path: Path
) -> None:
    place = tmp_path / "trained"
    shutil.copytree(trained.folder, place / "small")
    evaluation = trained.evaluation()
    assert evaluation is not None
    told = bft_nas.evaluate_files("small", exported, trained=place)
    assert {each.file for each in told} >= {
        "model.onnx",
        "model.pt2",
        "onnxruntime.onnx",
        "onnxruntime-int8.onnx",
    }
    for each in told:
        assert (each.split, each.images) == ("test", evaluation.measures.images)
        if "int8" in each.file:
            assert abs(each.right - evaluation.measures.right) <= each.images - each.same
        else:
            assert (each.right, each.same) == (evaluation.measures.right, each.images)
    (again,) = bft_nas.evaluate_files("small", exported / "onnxruntime-int8.onnx", trained=place)
    assert again in told
    card = (place / "small" / "card.md").read_text(encoding="utf-8")
    for each in told:
        assert f"| exported file | {each.text} |" in card


def test_without_test_images_files_are_evaluated_on_those_for_validation(tmp_path: Path) -> None:
    path = tmp_path / "few.npz"
    write_few(path, train=40, validation=20)
    trained = bft_nas.train(NAME, data=path, trained=tmp_path / "trained", name="small", **SMALL)  # type: ignore[arg-type]
    trained.export(tmp_path / "out")
    evaluation = trained.evaluation()
    assert evaluation is not None
    (told,) = bft_nas.evaluate_files("small", tmp_path / "out/model.pt2", trained=tmp_path / "trained")
    assert (told.split, told.images, told.right) == ("validation", 20, evaluation.measures.right)


@pytest.mark.parametrize(
    ("changed", "files", "expected"),
    [
        (
            "architecture.json",
            ["model.onnx"],
            r"model\.onnx: of another network; expected a file of an export of small",
        ),
        (
            "weights.safetensors",
            ["model.onnx"],
            r"model\.onnx: of other weights; expected a file of an export of small",
        ),
        ("model.onnx", ["model.onnx"], r"model\.onnx: cannot be run in onnxruntime"),
        ("prepare.py", ["prepare.py"], "no export or file of one"),
        ("prepare.py", ["model.onnx", "../same/model.onnx"], r"two of the name model\.onnx"),
        ("prepare.py", [], "files: expected an export of small"),
    ],
)
def test_what_is_no_file_of_its_export_is_not_evaluated(
    changed: str,
    files: list[str],
    expected: str,
    trained: bft_nas.Trained,
    exported: Path,
    tmp_path: Path,
) -> None:
    folder = Path(shutil.copytree(exported, tmp_path / "other"))
    shutil.copytree(exported, tmp_path / "same")
    found = widest(NAME, 1_500_000, resolution=32, classes=10)
    assert found is not None
    (folder / changed).write_text(found[1].to_json(), encoding="utf-8")
    if changed == "weights.safetensors":
        own = load_file(exported / changed)
        save_file({name: weight + 1 for name, weight in own.items()}, folder / changed)
    with pytest.raises(UserError, match=expected):
        bft_nas.evaluate_files("small", *(folder / name for name in files), trained=trained.folder.parent)
    assert not (trained.folder / "files.json").exists()


def test_a_network_on_the_way_has_no_files_to_evaluate(
    trained: bft_nas.Trained, exported: Path, tmp_path: Path
) -> None:
    place = tmp_path / "trained"
    shutil.copytree(trained.folder, place / "small")
    (place / "small/evaluation.json").unlink()
    with pytest.raises(
        UserError, match=r"'small': not trained to the end; expected bft-nas train --resume .*/small first$"
    ):
        bft_nas.evaluate_files("small", exported, trained=place)


def test_what_cannot_be_kept_is_not_evaluated(
    trained: bft_nas.Trained, exported: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("bft_nas.api.exported._predicted", lambda *given: pytest.fail("evaluated"))
    with closed(trained.folder), pytest.raises(UserError, match=r"small: cannot be written \(Permission"):
        bft_nas.evaluate_files(trained.folder, exported)


def test_files_and_other_data_do_not_go_together(
    trained: bft_nas.Trained, exported: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    asked = ["evaluate", str(trained.folder), "--files", str(exported), "--data", "fashion-mnist"]
    assert main(asked) == 2
    assert capsys.readouterr().err == "bft-nas: error: --files: not together with --data\n"
