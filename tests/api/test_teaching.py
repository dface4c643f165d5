"""Teachers out of a search, which are trained to the end first, and teachers of timm."""

from __future__ import annotations

import importlib.machinery
import shutil
import signal
import sys
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest
import torch
from safetensors.torch import load_file, save_file
from torch import nn

import bft_nas
from bft_nas.api.teachers import load_teacher, moved_along
from bft_nas.api.training import open_training
from bft_nas.api.training_progress import SilentTraining
from bft_nas.cli.main import main
from bft_nas.core.errors import UserError
from bft_nas.engines import local_engine
from bft_nas.network import cost
from bft_nas.record import REFERENCE_NAMES, Run
from bft_nas.searching.loop import Clock, search
from tests.api.conftest import NAME, SMALL, write_few
from tests.conftest import Silent as Searching
from tests.conftest import tiny_prepared, tiny_run

CPU = torch.device("cpu")
REFERENCES = (("mobilenet_v2", 0.7), ("mobilenet_v3_small", 0.9), ("mobilenet_v1", 0.8))


@pytest.fixture(scope="module")
def run(tmp_path_factory: pytest.TempPathFactory) -> Run:
    """A search for real, of three tiny candidates, and references of accuracies that are made up."""
    prepared = tiny_prepared(images=64)
    run = tiny_run(tmp_path_factory.mktemp("searched") / "runs", prepared)
    engine = local_engine(prepared.images, run.protocol)
    search(run, engine, Searching(), Clock(), trials=3, seconds=None)
    rows = [
        {**dict.fromkeys(REFERENCE_NAMES), "name": name, "accuracy": accuracy, "state": "complete"}
        | {"budget": 3_000_000, "macs": 2_900_000, "resolution": 64}
        for name, accuracy in REFERENCES
    ]
    run.record_references(rows)
    return run


@pytest.fixture(scope="module")
def data(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("data") / "few.npz"
    write_few(path, train=64, validation=40, test=30)
    return path


def by_macs(run: Run) -> list[int]:
    """The candidates, the one with the most MACs last."""
    return [int(number) for number in run.results().sort_values("macs")["number"]]


class Watching(SilentTraining):
    """Keeps what is said, and ends a training by SIGTERM at a step, whichever network it is of."""

    def __init__(self, stop: int = 0) -> None:
        self.stop, self.steps = stop, 0
        self.said: list[str] = []

    def step(self, done: int, total: int) -> None:
        self.steps += 1
        if self.steps == self.stop:
            signal.raise_signal(signal.SIGTERM)

    def say(self, text: str) -> None:
        self.said.append(text)


def given(run: Run, data: Path, place: Path, **changes: Any) -> dict[str, Any]:
    return {
        **{"runs": run.folder.parent, "trained": place, "data": data, "epochs": 2, "batch_size": 32},
        **{"candidate": by_macs(run)[0], "teacher": "widest", "name": "pupil", "progress": False},
        **changes,
    }


@pytest.fixture(scope="module")
def pupil(run: Run, data: Path, tmp_path_factory: pytest.TempPathFactory) -> bft_nas.Trained:
    """A candidate that was taught by the widest one, without an interruption."""
    return bft_nas.train(run.name, **given(run, data, tmp_path_factory.mktemp("whole")))


def same_weights(one: Path, other: Path) -> bool:
    a, b = load_file(one), load_file(other)
    return a.keys() == b.keys() and all(torch.equal(a[name], b[name]) for name in a)


def test_the_widest_candidate_is_trained_to_the_end_and_teaches(
    pupil: bft_nas.Trained, run: Run, data: Path
) -> None:
    teacher = bft_nas.open_trained("pupil-teacher", trained=pupil.folder.parent)
    assert teacher.architecture == run.architecture(by_macs(run)[-1])
    assert cost(teacher.architecture).macs > cost(pupil.architecture).macs
    assert teacher.facts["network"] == f"candidate {by_macs(run)[-1]} of {run.name}"
    assert teacher.facts["data"] == pupil.facts["data"] == str(data)
    assert teacher.evaluation() is not None
    assert pupil.facts["teacher"] == str(teacher.folder)
    taught_by = load_teacher(str(teacher.folder), teacher.data.classes, trained=Path(), device=CPU)
    assert pupil.facts["teacher_digest"] == taught_by.digest
    ours, theirs = pupil.protocol, teacher.protocol
    assert (theirs.recipe.distillation, ours.recipe.distillation) == (0.0, 0.5)
    assert (
        (theirs.epochs, theirs.batch_size, theirs.seed)
        == (ours.epochs, ours.batch_size, ours.seed)
        == (2, 32, 0)
    )


def test_a_teacher_is_found_where_it_was_or_where_it_was_moved_along_with_its_pupil(tmp_path: Path) -> None:
    before, now = tmp_path / "before" / "shoes", tmp_path / "now" / "shoes"
    assert moved_along(str(before), now.parent) == str(before)
    for folder, found in ((now, now), (before, before)):
        folder.mkdir(parents=True)
        (folder / "training.yaml").touch()
        assert moved_along(str(before), now.parent) == str(found)
    assert moved_along("timm:shoes", now.parent) == "timm:shoes"


def test_either_half_is_interrupted_and_resumed_and_ends_with_the_same_weights(
    pupil: bft_nas.Trained, run: Run, data: Path, tmp_path: Path
) -> None:
    # Two steps an epoch: in the second epoch of the teacher, then, after its last step, in that of its pupil.
    with pytest.raises(KeyboardInterrupt):
        bft_nas.train(run.name, **given(run, data, tmp_path, progress=Watching(3)))
    teacher = bft_nas.open_trained("pupil-teacher", trained=tmp_path)
    assert (len(teacher.curve()), teacher.finished) == (1, False)
    assert not bft_nas.open_trained("pupil", trained=tmp_path).curve()
    second = Watching(1 + 3)
    with pytest.raises(KeyboardInterrupt):
        bft_nas.train(resume="pupil", trained=tmp_path, progress=second)
    assert second.said[0] == f"its teacher first, in {tmp_path / 'pupil-teacher'}"
    assert second.said[1].startswith("the teacher is trained: ")
    assert teacher.finished
    assert len(bft_nas.open_trained("pupil", trained=tmp_path).curve()) == 1
    third = Watching()
    resumed = bft_nas.train(resume="pupil", trained=tmp_path, progress=third)
    assert (third.steps, third.said) == (1, [])
    for name in ("pupil", "pupil-teacher"):
        for file in ("model.safetensors", "last.safetensors"):
            assert same_weights(tmp_path / name / file, pupil.folder.parent / name / file)
    assert resumed.evaluation() == pupil.evaluation()


def test_a_teacher_that_is_there_teaches_again_unless_it_was_trained_otherwise(
    pupil: bft_nas.Trained, run: Run, data: Path, tmp_path: Path
) -> None:
    shutil.copytree(pupil.folder.with_name("pupil-teacher"), tmp_path / "pupil-teacher")
    for changes in ({"epochs": 1}, {"teacher": "reference"}, {"batch_size": 16}):
        with pytest.raises(
            UserError, match=r"pupil-teacher': no .* trained by this recipe on these images; exp"
        ):
            bft_nas.train(run.name, **given(run, data, tmp_path, **changes))
    assert [path.name for path in tmp_path.iterdir()] == ["pupil-teacher"]
    told = given(run, data, tmp_path, seed=1)
    del told["progress"]
    with open_training(run.name, told) as work:
        assert work.first is None
        assert work.teacher is not None
        assert work.trained.facts["teacher"] == str(tmp_path / "pupil-teacher")


def test_a_teacher_that_is_on_the_way_is_refused_in_a_line(
    pupil: bft_nas.Trained, data: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    half = Path(shutil.copytree(pupil.folder, tmp_path / "half"))
    (half / "last.safetensors").unlink()
    line = ["train", NAME, "--flops", "2M", "--resolution", "32", "--data", str(data), "--name", "new"]
    assert main([*line, "--trained", str(tmp_path), "--teacher", "half"]) == 2
    assert capsys.readouterr().err == (
        "bft-nas: error: --teacher 'half': not trained to the end; expected --resume half first\n"
    )
    assert [path.name for path in tmp_path.iterdir()] == ["half"]


def test_another_teacher_by_now_is_refused_where_its_weights_were_noted(
    pupil: bft_nas.Trained, data: Path, tmp_path: Path
) -> None:
    best = Path(shutil.copytree(pupil.folder, tmp_path / "teacher")) / "model.safetensors"
    before = best.read_bytes()
    taught: dict[str, Any] = {**SMALL, "data": data, "trained": tmp_path, "teacher": "teacher", "name": "new"}
    with pytest.raises(KeyboardInterrupt):
        bft_nas.train(NAME, **{**taught, "progress": Watching(3)})
    save_file({name: value + 1 for name, value in load_file(best).items()}, best)
    with pytest.raises(UserError) as raised:
        bft_nas.train(resume="new", trained=tmp_path, progress=False)
    assert str(raised.value) == (
        f"teacher '{tmp_path / 'teacher'}': other weights than the training began with; expected those"
    )
    described = tmp_path / "new/training.yaml"
    noted = described.read_text()
    # As earlier versions wrote it, without a line of them: then nobody can say.
    older = [line for line in noted.splitlines(keepends=True) if not line.startswith("teacher_digest")]
    described.write_text("".join(older))
    again = Watching(1)
    with pytest.raises(KeyboardInterrupt):
        bft_nas.train(resume="new", trained=tmp_path, progress=again)
    described.write_text(noted)
    best.write_bytes(before)
    assert bft_nas.train(resume="new", trained=tmp_path, progress=False).finished


def test_the_most_accurate_reference_is_a_teacher(run: Run, data: Path, tmp_path: Path) -> None:
    told = given(run, data, tmp_path, teacher="reference")
    del told["progress"]
    with open_training(run.name, told) as work:
        assert work.first is not None
        network = work.first.trained.architecture
    assert (network.family, network.resolution) == ("mobilenet_v3_small", 64)
    assert 2_900_000 < cost(network).macs <= 3_000_000
    assert work.first.trained.facts["network"] == "reference mobilenet_v3_small of tiny within 3M"


def test_the_plan_says_what_the_teacher_takes(
    run: Run, data: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    first, *_, last = by_macs(run)
    places = ["--runs", str(run.folder.parent), "--data", str(data)]
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr("bft_nas.training.finish.FullTraining._train_step", interrupted)
    line = ["train", "tiny", "--candidate", str(first), "--teacher", "widest", "--epochs", "3", *places]
    assert main(line) == 130
    said = capsys.readouterr().out
    times = cost(run.architecture(last)).macs / cost(run.architecture(first)).macs
    assert f"teacher   candidate {last} of tiny (" in said
    assert (
        f"trained first, in trained/tiny-{first}-teacher: 3 epochs of 64 images, with {times:.1f} times"
        in said
    )
    assert f"interrupted; resume with: bft-nas train --resume trained/tiny-{first}\n" in said


def interrupted(*given: object) -> Any:
    raise KeyboardInterrupt


def test_a_teacher_out_of_a_search_that_cannot_be_had_is_said_in_a_line(
    run: Run, data: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    last = by_macs(run)[-1]
    alone = tmp_path / "alone" / "runs" / "my own"
    shutil.copytree(run.folder, alone, ignore=shutil.ignore_patterns("references.csv"))
    monkeypatch.chdir(tmp_path)
    there = ["--runs", str(run.folder.parent)]
    for line, said in (
        (
            ["tiny", "--candidate", str(last), "--teacher", "widest", *there],
            f"--teacher widest: candidate {last} of tiny, which is what is to be trained; expected another teacher",
        ),
        (
            ["mobilenet_v2", "--flops", "2M", "--teacher", "widest"],
            "--teacher widest: goes with a run; 'mobilenet_v2' is none",
        ),
        (
            ["my own", "--teacher", "reference", "--runs", str(alone.parent)],
            "--teacher reference: run 'my own' has no trained reference; expected bft-nas compare "
            f"'{alone}' first",
        ),
    ):
        assert main(["train", *line, "--data", str(data)]) == 2
        assert capsys.readouterr().err == f"bft-nas: error: {said}\n"
    assert not (tmp_path / "trained").exists()


class Net(nn.Module):
    """In place of a network of timm: three classes, and the configuration that timm gives it."""

    def __init__(self, named: list[str] | None) -> None:
        super().__init__()
        self.num_classes = 3
        self.pretrained_cfg = {"label_names": named}

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        assert not self.training
        return x.mean((2, 3))


@pytest.fixture
def timm(monkeypatch: pytest.MonkeyPatch) -> ModuleType:
    """What is used of timm's documented interface."""

    def create_model(name: str, *, pretrained: bool) -> Net:
        assert pretrained
        if name == "nonsense":
            raise RuntimeError("Unknown model (nonsense)")
        return Net(["a", "b", "c"] if name == "named" else None)

    def resolve_model_data_config(model: Net) -> dict[str, Any]:
        return {"input_size": (3, 8, 8), "mean": (0.5, 0.25, 0.0), "std": (0.5, 0.25, 1.0)}

    timm, data = ModuleType("timm"), ModuleType("timm.data")
    timm.create_model = create_model  # type: ignore[attr-defined]
    data.resolve_model_data_config = resolve_model_data_config  # type: ignore[attr-defined]
    data.infer_imagenet_subset = lambda model: None  # type: ignore[attr-defined]
    data.ImageNetInfo = object  # type: ignore[attr-defined]
    timm.__spec__ = importlib.machinery.ModuleSpec("timm", None)
    monkeypatch.setitem(sys.modules, "timm", timm)
    monkeypatch.setitem(sys.modules, "timm.data", data)
    return timm


def test_a_network_of_timm_teaches_with_its_own_images(timm: ModuleType, tmp_path: Path) -> None:
    cpu = torch.device("cpu")
    teacher = load_teacher("timm:named", ("a", "b", "c"), trained=tmp_path, device=cpu)
    grey = torch.full((2, 1, 12, 12), 255, dtype=torch.uint8)
    assert torch.allclose(teacher(grey), torch.tensor([[1.0, 3.0, 1.0]]).expand(2, 3))
    # Where timm knows no names, there must be as many.
    load_teacher("timm:unnamed", ("x", "y", "z"), trained=tmp_path, device=cpu)
    for name, classes, said in (
        (
            "named",
            ("a", "c", "b"),
            "teacher 'timm:named': knows a, b, c; expected the classes of the data, a, c, b",
        ),
        (
            "unnamed",
            ("a", "b"),
            "teacher 'timm:unnamed': knows 3 classes; expected the classes of the data, a, b",
        ),
        ("nonsense", ("a",), "teacher 'timm:nonsense': timm cannot make it (Unknown model (nonsense))"),
    ):
        with pytest.raises(UserError) as raised:
            load_teacher(f"timm:{name}", classes, trained=tmp_path, device=cpu)
        assert str(raised.value) == said


def test_without_timm_a_line_says_what_to_install(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setitem(sys.modules, "timm", None)
    with pytest.raises(UserError) as raised:
        load_teacher("timm:resnet50", ("a",), trained=tmp_path, device=torch.device("cpu"))
    assert str(raised.value) == (
        "teacher 'timm:resnet50': timm is not installed; expected pip install 'bft-nas[timm]'"
    )


def test_a_timm_that_cannot_be_imported_says_why(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "timm.py").write_text("raise RuntimeError('operator torchvision::nms does not exist')\n")
    monkeypatch.syspath_prepend(tmp_path)
    for name in [name for name in sys.modules if name.partition(".")[0] == "timm"]:
        monkeypatch.delitem(sys.modules, name)
    with pytest.raises(
        UserError, match=r"timm cannot be imported \(operator torchvision::nms does not exist\)"
    ):
        load_teacher("timm:resnet50", ("a",), trained=tmp_path, device=torch.device("cpu"))
