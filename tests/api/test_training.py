"""A network trained to the end, by the command and from Python: what is in its folder, and what a mistake is called."""

from __future__ import annotations

import errno
import json
import math
import shutil
import signal
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
import yaml
from PIL import Image
from safetensors.torch import load_file

import bft_nas
from bft_nas.api.evaluation import normalised, prepared
from bft_nas.api.training_log import tensorboard_log
from bft_nas.api.training_options import TrainingOptions
from bft_nas.api.training_progress import SilentTraining
from bft_nas.cli.main import main
from bft_nas.core.errors import RunError, UserError
from bft_nas.core.options import options_of
from bft_nas.data.dataset import load_dataset, load_test
from bft_nas.network import Architecture, cost
from bft_nas.network.references import widest
from bft_nas.training.curve import FullEpoch
from bft_nas.training.measures import measures_of
from bft_nas.training.plans import load_plan
from tests.api.conftest import NAME, SMALL
from tests.dashboard.made_up import make_run

TINY = ["mobilenet_v3_small", "--flops", "2M", "--resolution", "32"]


def test_its_folder_has_all_that_is_known_of_it(trained: bft_nas.Trained, data: Path) -> None:
    names = {path.name for path in trained.folder.iterdir() if not path.name.startswith(".")}
    assert names == {
        *("training.yaml", "architecture.json", "curve.csv", "model.safetensors", "last.safetensors"),
        *("evaluation.json", "card.md", "README.md", "config.json", "report.html", "tensorboard"),
    }
    assert trained.finished
    found = widest(NAME, 2_000_000, resolution=32, classes=10)
    assert found is not None
    assert trained.architecture == found[1]
    protocol = trained.protocol
    assert (protocol.epochs, protocol.batch_size, protocol.resolution_divisor) == (2, 32, 1)
    assert (protocol.train_images, protocol.validation_images) == (160, 100)
    assert trained.facts["recipe"] == "thousands with 5% of its augmentation"
    assert trained.protocol.recipe == load_plan("thousands").within(2).recipe
    assert trained.facts["data"] == str(data)
    assert [row["epoch"] for row in trained.curve()] == [1, 2]
    assert repr(trained) == f"<Trained {trained.folder}>"


def test_it_is_evaluated_on_the_test_images_alone(trained: bft_nas.Trained, data: Path) -> None:
    evaluation = trained.evaluation()
    assert evaluation is not None
    assert evaluation.split == "test"
    assert evaluation.measures.images == 120
    test = load_test(str(data), size=32)
    model, size = trained.model(), 32
    pixels = torch.from_numpy(test.images).permute(0, 3, 1, 2).float().expand(-1, 3, -1, -1)
    pixels = torch.nn.functional.interpolate(pixels, (size, size), mode="bilinear", antialias=True).round()
    mean, std = (torch.tensor(each).view(1, 3, 1, 1) for each in (trained.data.mean, trained.data.std))
    with torch.no_grad():
        predicted = model((pixels / 255 - mean) / std).argmax(1)
    assert evaluation.measures.right == int((predicted.numpy() == test.labels).sum())


def test_where_a_run_is_expected_its_name_is_known_for_a_trained_network(trained: bft_nas.Trained) -> None:
    with pytest.raises(
        UserError, match=r"not found under 'runs' \(train --resume, evaluate and export take trained"
    ):
        bft_nas.open_run(str(trained.folder))


def test_a_training_of_one_epoch_says_so(
    data: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    line = ("train", *TINY, "--data", str(data), "--epochs", "1", "--batch-size", "32")
    assert main([*line, "--name", "teacher"]) == 0
    plan = capsys.readouterr().out
    card = (tmp_path / "trained" / "teacher" / "card.md").read_text(encoding="utf-8")
    for text in (plan, card):
        assert "thousands with 2% of its augmentation: 1 epoch, batches of 32" in text


def test_its_card_can_be_read_by_a_hub(trained: bft_nas.Trained) -> None:
    card = (trained.folder / "card.md").read_text(encoding="utf-8")
    assert (trained.folder / "README.md").read_text(encoding="utf-8") == card
    _, front, text = card.split("---\n", 2)
    said = yaml.safe_load(front)
    assert (said["library_name"], said["pipeline_tag"]) == ("bft-nas", "image-classification")
    evaluation = trained.evaluation()
    assert evaluation is not None
    (metric,) = said["model-index"][0]["results"][0]["metrics"]
    assert metric["value"] == pytest.approx(evaluation.measures.accuracy, abs=1e-6)
    assert f"{100 * evaluation.measures.accuracy:.2f}% of 120 test images (95 %: " in text
    assert "160 images to train on" in text
    config = json.loads((trained.folder / "config.json").read_text(encoding="utf-8"))
    assert Architecture.from_dict(config["architecture"]) == trained.architecture
    assert config["classes"] == list(trained.data.classes)


class Stopping(SilentTraining):
    """Ends a training by SIGTERM at a step."""

    def __init__(self, step: int) -> None:
        self.at = step

    def step(self, done: int, total: int) -> None:
        if done == self.at:
            signal.raise_signal(signal.SIGTERM)


def same_weights(one: Path, other: Path) -> bool:
    a, b = load_file(one), load_file(other)
    return a.keys() == b.keys() and all(torch.equal(a[name], b[name]) for name in a)


def test_interrupted_and_resumed_it_is_the_same(trained: bft_nas.Trained, data: Path, tmp_path: Path) -> None:
    given: dict[str, Any] = {**SMALL, "progress": Stopping(7)}
    with pytest.raises(KeyboardInterrupt):
        bft_nas.train(NAME, data=data, trained=tmp_path, name="cut", **given)
    assert bft_nas.open_trained("cut", trained=tmp_path).evaluation() is None
    resumed = bft_nas.train(resume="cut", trained=tmp_path, progress=False)
    for name in ("model.safetensors", "last.safetensors"):
        assert same_weights(resumed.folder / name, trained.folder / name)
    assert resumed.evaluation() == trained.evaluation()
    # What is done stays as it is.
    before = (resumed.folder / "evaluation.json").stat().st_mtime_ns
    bft_nas.train(resume="cut", trained=tmp_path, progress=False)
    assert (resumed.folder / "evaluation.json").stat().st_mtime_ns == before


class Saying(SilentTraining):
    """Keeps what is said."""

    def __init__(self) -> None:
        self.said: list[str] = []

    def say(self, text: str) -> None:
        self.said.append(text)


def test_what_a_checkpoint_holds_is_given_up_for_no_reading_that_failed(
    data: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    given: dict[str, Any] = {**SMALL, "progress": Stopping(7)}
    with pytest.raises(KeyboardInterrupt):
        bft_nas.train(NAME, data=data, trained=tmp_path, name="cut", **given)
    checkpoint = tmp_path / "cut" / "checkpoint.pt"
    stored, read = checkpoint.read_bytes(), Path.read_bytes

    def failing(path: Path) -> bytes:
        if path.name == checkpoint.name:
            raise OSError(errno.EIO, "Input/output error")
        return read(path)

    with monkeypatch.context() as patch:
        patch.setattr(Path, "read_bytes", failing)
        with pytest.raises(RunError, match=r"checkpoint\.pt: cannot be read \(Input/output error\)"):
            bft_nas.train(resume="cut", trained=tmp_path, progress=False)
    assert checkpoint.read_bytes() == stored
    torn = stored[: len(stored) // 2]
    checkpoint.write_bytes(torn)
    watcher = Saying()
    assert bft_nas.train(resume="cut", trained=tmp_path, progress=watcher).finished
    assert checkpoint.with_name("checkpoint.damaged").read_bytes() == torn
    assert "cannot be read" in watcher.said[0]
    assert watcher.said[0].endswith("kept as checkpoint.damaged, and the training restarts from scratch")


def test_a_candidate_of_a_run_is_trained_on_its_data(data: Path, tmp_path: Path) -> None:
    run = make_run(tmp_path / "runs", candidates=3, failed=0)
    number = int(run.winner()["number"])
    with np.load(data) as arrays:
        np.savez(
            tmp_path / "fewer.npz", **{name: arrays[name][: 80 if "train" in name else 20] for name in arrays}
        )
    found = bft_nas.train(
        run.name,
        runs=tmp_path / "runs",
        trained=tmp_path,
        data=tmp_path / "fewer.npz",
        epochs=1,
        progress=False,
    )
    assert found.name == f"{run.name}-{number}"
    assert found.architecture == run.architecture(number)
    assert found.facts["network"] == f"candidate {number} of {run.name}"


def test_a_candidate_that_failed_and_a_run_whose_data_is_gone_are_refused(data: Path, tmp_path: Path) -> None:
    run = make_run(tmp_path / "runs", candidates=20, failed=0.3)
    rows = run.results()
    failed = rows[rows["state"] == "failed"].iloc[0]
    given: dict[str, Any] = {"runs": tmp_path / "runs", "trained": tmp_path / "trained", "progress": False}
    with pytest.raises(UserError) as raised:
        bft_nas.train(run.name, candidate=int(failed["number"]), data=data, **given)
    assert str(raised.value) == (
        f"candidate {failed['number']} of {run.name}: failed ({failed['reason']}); expected another one"
    )
    with pytest.raises(UserError, match=f"candidate 99: not in run '{run.name}'; expected 0, 1"):
        bft_nas.train(run.name, candidate=99, data=data, **given)
    gone = shutil.copy(data, tmp_path / "gone.npz")
    run.keep(data=str(gone), confirm_divisor=1)
    Path(gone).unlink()
    with pytest.raises(
        UserError, match=r"no data at .*gone\.npz any more; expected data with where they are now"
    ):
        bft_nas.train(run.name, **given)
    assert not (tmp_path / "trained").exists()


def test_an_architecture_is_trained_and_without_test_images_says_so(tmp_path: Path) -> None:
    images = load_dataset("fashion-mnist", size=28, images=60).train
    np.savez(tmp_path / "plain.npz", train_images=images.images, train_labels=images.labels)
    made = widest(NAME, 2_000_000, resolution=32, classes=12)
    assert made is not None
    (tmp_path / "net.json").write_text(made[1].to_json())
    found = bft_nas.train(
        tmp_path / "net.json", data=tmp_path / "plain.npz", epochs=1, trained=tmp_path, progress=False
    )
    assert found.name == "net"
    assert cost(found.architecture).macs <= 2_000_000
    evaluation = found.evaluation()
    assert evaluation is not None
    assert evaluation.split == "validation"


def test_mistakes_in_a_folder_are_told_by_their_files(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    for part, count in (("train", 8), ("test", 4)):
        images = load_dataset("fashion-mnist", size=28, images=10 * count).train
        for number, (pixels, label) in enumerate(zip(images.images, images.labels, strict=True)):
            path = tmp_path / "photos" / part / f"[{label}]" / f"{number}.png"
            path.parent.mkdir(parents=True, exist_ok=True)
            Image.fromarray(pixels[..., 0]).save(path)
    given: dict[str, Any] = {**SMALL, "epochs": 1, "trained": tmp_path / "trained", "name": "small"}
    found = bft_nas.train(NAME, data=tmp_path / "photos", **given)
    evaluation = found.evaluation()
    assert evaluation is not None
    assert evaluation.measures.worst
    assert main(["evaluate", str(found.folder)]) == 0
    said = capsys.readouterr().out
    report = (found.folder / "report.html").read_text(encoding="utf-8")
    for mistake in evaluation.measures.worst[:5]:
        assert (tmp_path / "photos" / mistake.name).parent.name == found.data.classes[mistake.label]
        assert mistake.name.startswith("test/")
        assert f"\n{mistake.name}: [{mistake.label}], taken for" in said
        assert mistake.name in report


@pytest.mark.parametrize("kind", ["trained", "exported"])
def test_it_learns_from_a_teacher(
    kind: str, trained: bft_nas.Trained, exported: Path, data: Path, tmp_path: Path
) -> None:
    teacher = str(trained.folder if kind == "trained" else exported / "model.pt2")
    given: dict[str, Any] = {**SMALL, "progress": Stopping(7)}
    with pytest.raises(KeyboardInterrupt):
        bft_nas.train(NAME, data=data, trained=tmp_path, name="pupil", teacher=teacher, **given)
    pupil = bft_nas.train(resume="pupil", trained=tmp_path, progress=False)
    assert pupil.facts["teacher"] == teacher
    assert pupil.protocol.recipe.distillation == 0.5
    assert f"| teacher | {teacher} |" in (pupil.folder / "card.md").read_text(encoding="utf-8")
    assert not same_weights(pupil.folder / "last.safetensors", trained.folder / "last.safetensors")


def test_a_teacher_that_was_moved_along_with_its_pupil_goes_on_teaching(
    trained: bft_nas.Trained, data: Path, tmp_path: Path
) -> None:
    place = tmp_path / "before" / "trained"
    shutil.copytree(trained.folder, place / "small")
    given: dict[str, Any] = {**SMALL, "progress": Stopping(7)}
    with pytest.raises(KeyboardInterrupt):
        bft_nas.train(NAME, data=data, trained=place, name="pupil", teacher="small", **given)
    place.parent.rename(tmp_path / "after")
    place = tmp_path / "after" / "trained"
    (place / "small").rename(place / "other")
    with pytest.raises(UserError, match=r"^teacher '.*before.*': not found; expected a trained network"):
        bft_nas.train(resume=place / "pupil", progress=False)
    (place / "other").rename(place / "small")
    assert bft_nas.train(resume=place / "pupil", progress=False).finished


def test_a_teacher_that_cannot_teach_is_named(trained: bft_nas.Trained, data: Path, tmp_path: Path) -> None:
    given: dict[str, Any] = {"trained": tmp_path / "trained", **SMALL}
    (tmp_path / "torn.pt2").write_bytes(b"torn")
    recipe = tmp_path / "taught.yaml"
    recipe.write_text("epochs: 1\nbatch_size: 8\nrecipe: {distillation: 0.9}\n")
    with np.load(data) as arrays:
        kept = {name: arrays[name] for name in arrays}
    two = {name: values[kept[name.replace("images", "labels")] < 2] for name, values in kept.items()}
    np.savez(tmp_path / "two.npz", **two)
    for changes, said in (
        ({"teacher": "nobody"}, "teacher 'nobody': not found; expected a trained network, the model.pt2 of"),
        ({"teacher": tmp_path / "torn.pt2"}, "': cannot be read (File is not a zip file)"),
        (
            {"teacher": trained.folder, "data": tmp_path / "two.npz"},
            "knows 0, 1, 2 and 7 more; expected the classes of the data, 0, 1",
        ),
        ({"recipe": recipe}, "recipe taught: distillation without a teacher; expected teacher"),
    ):
        with pytest.raises(UserError) as raised:
            bft_nas.train(NAME, **{"data": data, **given, **changes})
        assert said in str(raised.value)
    assert not (tmp_path / "trained").exists()


def test_it_is_evaluated_on_other_data(trained: bft_nas.Trained, data: Path, tmp_path: Path) -> None:
    place = trained.folder.parent
    with np.load(data) as arrays:
        fewer = {name: arrays[name][:100] for name in arrays}
    np.savez(tmp_path / "other.npz", **fewer)
    found = bft_nas.evaluate("small", data=tmp_path / "other.npz", trained=place)
    assert found.measures.images == 100
    assert bft_nas.evaluate(trained.folder) == trained.evaluation()
    two = {name: values[fewer[name.replace("images", "labels")] < 2] for name, values in fewer.items()}
    np.savez(tmp_path / "two.npz", **two)
    with pytest.raises(
        UserError,
        match=r"data '.*two\.npz': its classes are others than those of the training; only in the training: 2, 3, 4 ",
    ):
        bft_nas.evaluate("small", data=tmp_path / "two.npz", trained=place)


def test_what_the_options_say_of_the_recipe_is_in_the_protocol(data: Path, tmp_path: Path) -> None:
    said: dict[str, Any] = {**SMALL, "epochs": 1, "precision": "bfloat16", "patience": 1, "balance": True}
    found = bft_nas.train(NAME, data=data, trained=tmp_path, **said)
    recipe = found.protocol.recipe
    assert (recipe.precision, recipe.patience, recipe.balance, recipe.compiled) == (
        "bfloat16",
        1,
        True,
        False,
    )


def test_one_trained_in_bfloat16_is_evaluated_in_float32_as_its_exports_compute(
    data: Path, tmp_path: Path
) -> None:
    found = bft_nas.train(NAME, data=data, trained=tmp_path, **{**SMALL, "precision": "bfloat16"})  # type: ignore[arg-type]
    test = load_test(str(data), size=32)
    pixels = torch.cat(list(prepared(test, 32)))
    with torch.inference_mode():
        logits = found.model()(normalised(pixels, found.data))
    expected = measures_of(logits.numpy(), test.labels)
    evaluation = found.evaluation()
    assert evaluation is not None
    # A logit of bfloat16 has three digits.
    assert evaluation.measures.loss == pytest.approx(expected.loss, rel=1e-5)
    assert evaluation.measures.confusion == expected.confusion


def test_tensorboard_reads_each_epoch_once(trained: bft_nas.Trained, data: Path, tmp_path: Path) -> None:
    from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

    def read(folder: Path) -> dict[str, list[tuple[int, float]]]:
        events = EventAccumulator(str(folder))
        events.Reload()
        names = events.Tags()["scalars"]
        return {name: [(row.step, row.value) for row in events.Scalars(name)] for name in names}

    found = read(trained.folder / "tensorboard")
    for name in ("train_loss", "loss", "accuracy", "averaged", "rate", "seconds"):
        assert [step for step, _ in found[name]] == [int(row["epoch"]) for row in trained.curve()]
        assert [value for _, value in found[name]] == pytest.approx([row[name] for row in trained.curve()])
    # Killed between an epoch's row and its checkpoint, the epoch is there once more.
    with tensorboard_log(tmp_path, ()) as log:
        log((FullEpoch(1, 2.0, 2.0, 0.1, math.nan, 0.1, 1.0),))
    # Files are read in the order of the seconds in their names, and a training goes on in a later one.
    (first,) = (tmp_path / "tensorboard").iterdir()
    first.rename(first.with_name("events.out.tfevents.1000000000.here.1.0"))
    with tensorboard_log(tmp_path, ()) as log:
        log((FullEpoch(1, 1.0, 2.0, 0.1, math.nan, 0.1, 1.0),))
    again = read(tmp_path / "tensorboard")
    assert again["train_loss"] == [(1, 1.0)]
    assert "averaged" not in again


def test_the_keywords_are_the_options_of_the_command() -> None:
    import inspect

    given = set(inspect.signature(bft_nas.train).parameters)
    assert given == set(options_of(TrainingOptions)) | {"network", "progress"}


@pytest.mark.parametrize(
    ("line", "said"),
    [
        ([], "network: missing; expected a run, an architecture.json, a reference, or --resume"),
        ([NAME], f"--flops: missing; expected a budget in MACs for {NAME}, such as 50M"),
        ([NAME, "--flops", "20M,50M"], "--flops: several budgets; expected one"),
        ([NAME, "--flops", "1k"], f"--flops 0.001M: {NAME} has no network within it"),
        ([NAME, "--flops", "50"], f"--flops 50: {NAME} has no network within it (50M?)"),
        ([NAME, "--flops", "2M", "--candidate", "1"], f"--candidate: goes with a run; '{NAME}' is none"),
        (
            [*TINY, "--recipe", "mine"],
            "--recipe 'mine': not found; expected thousands",
        ),
        ([NAME, "--flops", "2M", "--data", "nowhere"], "nowhere: no such dataset, file or folder"),
        (
            [*TINY, "--batch-size", "1"],
            "--batch-size 1: a single image has no spread",
        ),
        (
            [*TINY, "--recipe", "parts.yaml"],
            "recipe parts: accumulation 5: a batch of 8 would be parted into single images; expected 2 or more",
        ),
        (
            [*TINY, "--name", "a/b"],
            "--name 'a/b': expected the name of a folder",
        ),
        (
            ["nobody"],
            "'nobody': no run under 'runs', architecture.json or reference; expected a name that bft-nas runs or "
            "bft-nas references lists",
        ),
        (
            ["mobilenet_v3_smal", "--flops", "2M"],
            "'mobilenet_v3_smal': no run under 'runs', architecture.json or reference; expected mobilenet_v3_small or ",
        ),
        (["odd.json", "--flops", "2M"], "--flops: goes with a reference; 'odd.json' is none"),
        (["few.json"], "few.json: no such file; expected an architecture.json"),
        (["odd.json"], "odd.json: no architecture ("),
        (
            ["--resume", "nobody"],
            "trained network 'nobody': not found under 'trained'; expected one, but there",
        ),
        ([NAME, "--resume", "nobody"], "--resume: not together with a network; expected one of them"),
    ],
)
def test_a_mistake_is_one_line_and_leaves_nothing(
    line: list[str],
    said: str,
    data: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "odd.json").write_text("{}")
    (tmp_path / "parts.yaml").write_text("epochs: 1\nbatch_size: 8\nrecipe: {accumulation: 5}\n")
    given = [] if "--data" in line or "--resume" in line or not line else ["--data", str(data)]
    assert main(["train", *line, *given]) == 2
    complaint = capsys.readouterr().err
    assert complaint.startswith(f"bft-nas: error: {said}")
    assert complaint.count("\n") == 1
    assert {path.name for path in tmp_path.iterdir()} == {"odd.json", "parts.yaml"}


def test_a_network_of_too_few_classes_is_refused(data: Path, tmp_path: Path) -> None:
    made = widest(NAME, 2_000_000, resolution=32, classes=3)
    assert made is not None
    (tmp_path / "net.json").write_text(made[1].to_json())
    with pytest.raises(UserError, match="made for 3 classes, and the data has 10"):
        bft_nas.train(tmp_path / "net.json", data=data, trained=tmp_path / "trained", progress=False)
    assert not (tmp_path / "trained").exists()


def test_what_there_is_already_is_not_trained_over(trained: bft_nas.Trained, data: Path) -> None:
    given: dict[str, Any] = {"data": data, "trained": trained.folder.parent, "name": "small", **SMALL}
    with pytest.raises(UserError, match="there is one already; expected a new name, or resume small"):
        bft_nas.train(NAME, **given)
    with pytest.raises(UserError, match="epochs: a training that is resumed keeps its own"):
        bft_nas.train(resume="small", trained=trained.folder.parent, epochs=3, progress=False)
    other = data.with_name("other.npz")
    with np.load(data) as arrays:
        np.savez(other, **{name: arrays[name][::-1] for name in arrays})
    with pytest.raises(UserError, match="other images than the training began with"):
        bft_nas.train(resume="small", data=other, trained=trained.folder.parent, progress=False)
    with trained.at_work(), pytest.raises(UserError, match="another process trains it; expected its end"):
        bft_nas.train(resume="small", trained=trained.folder.parent, progress=False)


def test_a_training_that_fails_says_why_and_can_be_resumed(
    data: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fails(*given: object) -> Any:
        raise MemoryError("DefaultCPUAllocator: can't allocate memory")

    with monkeypatch.context() as patch:
        patch.setattr("bft_nas.training.finish.augment", fails)
        with pytest.raises(RunError, match="the training failed: out of memory"):
            bft_nas.train(NAME, data=data, trained=tmp_path, name="big", **SMALL)  # type: ignore[arg-type]
    assert bft_nas.train(resume="big", trained=tmp_path, progress=False).finished


@pytest.mark.parametrize("file", ["training.yaml", "architecture.json", "curve.csv", "evaluation.json"])
def test_a_file_that_cannot_be_read_is_named(file: str, trained: bft_nas.Trained, tmp_path: Path) -> None:
    shutil.copytree(trained.folder, tmp_path / "torn")
    (tmp_path / "torn" / file).write_text("{torn")
    found = bft_nas.open_trained(tmp_path / "torn")
    reads: dict[str, Callable[[], object]] = {
        "training.yaml": lambda: found.protocol,
        "architecture.json": lambda: found.architecture,
        "curve.csv": found.curve,
        "evaluation.json": found.evaluation,
    }
    if file == "curve.csv":
        (tmp_path / "torn" / file).write_text("epoch,loss\n1,x\n")
    with pytest.raises(UserError, match=f"{file} cannot be read"):
        reads[file]()
