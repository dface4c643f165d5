"""What files of an export are worth on the test images of their network."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest
from safetensors.torch import load_file, save_file

import bft_nas
from bft_nas.cli.main import main
from bft_nas.core.errors import UserError
from bft_nas.network.references import widest
from tests.api.conftest import NAME, SMALL, write_few
from tests.conftest import closed


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
