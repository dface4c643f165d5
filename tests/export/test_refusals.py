"""An export that does not do what the trained network does leaves nothing, and what is in its way is named."""

from __future__ import annotations

import math
import os
import shutil
import subprocess
import sys
from collections.abc import Callable
from dataclasses import replace
from io import StringIO
from pathlib import Path
from typing import Any, Self

import pytest
import torch
from rich.console import Console
from torch import Tensor, nn

import bft_nas.export.write
from bft_nas.cli.export import show_export
from bft_nas.core.errors import UserError
from bft_nas.export.checks import Answer, OtherPython, run_weights
from bft_nas.export.runtimes.c import compiled
from bft_nas.export.write import ExportError, export
from bft_nas.network import Architecture
from tests.conftest import closed
from tests.export.examples import (
    DENSE,
    SEPARABLE,
    Exported,
    trained,
)
from tests.export.test_c import needs_a_compiler

Written = Callable[[str], None]
CONTENTS = tuple(name for name in bft_nas.export.write.CONTENTS if name not in {"prepare.py", "predict.py"})
"""Of an export that is not told how images were normalised."""


class Agreeing:
    """In place of the other Python: answers what the weights do, which is known to agree, and takes no time."""

    def __init__(self, images: list[Tensor]) -> None:
        self.images = images

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *error: object) -> None: ...

    def ask(self, path: Path) -> None:
        self.folder = path.parent

    def answer(self, name: str) -> Answer:
        return run_weights(self.folder, self.images)


def test_the_other_python_finds_what_this_one_does(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "elsewhere").mkdir()
    (tmp_path / "elsewhere" / "only_here.py").write_text("def network(images):\n    return images + 1\n")
    (tmp_path / "model.py").write_text("import only_here\n\ndef load():\n    return only_here.network\n")
    monkeypatch.syspath_prepend(tmp_path / "elsewhere")
    images = torch.ones(2, 3)
    with OtherPython([images]) as other:
        other.ask(tmp_path / "model.py")
        (logits,) = other.answer("model.py").logits
    assert torch.equal(logits, images + 1)


@pytest.mark.parametrize("start", [lambda: OtherPython([]), lambda: compiled("", "")], ids=["python", "c"])
def test_a_temporary_folder_that_cannot_be_used_is_named(
    start: Callable[[], object], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("tempfile.tempdir", str(tmp_path / "none"))
    with pytest.raises(
        ExportError, match=rf"^{tmp_path}/none: no place [^\n]* \(No such file [^\n]*; expected .* TMPDIR"
    ):
        start()


def test_a_temporary_folder_without_room_for_a_compiler_is_named(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "cc").write_text("#!/bin/sh\necho 'cannot write: No space left on device' >&2\nexit 1\n")
    (tmp_path / "cc").chmod(0o755)
    monkeypatch.setenv("PATH", str(tmp_path), prepend=":")
    with pytest.raises(ExportError, match=r"^/[^\n]*: no place [^\n]* \(No space left on device\); expected"):
        compiled("", "")


@needs_a_compiler
def test_a_temporary_folder_of_which_no_program_runs_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(path: str) -> None:
        raise OSError(f"{path}: failed to map segment from shared object")

    monkeypatch.setattr("ctypes.CDLL", refuse)
    with pytest.raises(ExportError, match=r"^/[^\n]*: no place [^\n]* \(.*failed to map segment"):
        compiled("", "")


@pytest.fixture
def no_graphs(monkeypatch: pytest.MonkeyPatch) -> None:
    """Exports without the slow files, where the question is another one."""

    def write(network: nn.Module, architecture: Architecture, folder: Path, written: Written) -> None:
        assert (folder / "model.py").exists()
        for name in ("model.pt2", "model.onnx"):
            (folder / name).write_text("")
            written(name)

    monkeypatch.setattr("bft_nas.export.write.write_graphs", write)
    monkeypatch.setattr("bft_nas.export.write.run_onnx", run_weights)
    monkeypatch.setattr("bft_nas.export.write.OtherPython", Agreeing)


@pytest.fixture
def other(exports: Callable[[str], Exported]) -> Path:
    """The export of the dense architecture with weights that `slightly_off` are not."""
    return exports("dense").folder


def slightly_off() -> dict[str, Tensor]:
    state = trained(DENSE).state_dict()
    state["classifier.weight"][3] *= 1.01
    return state


@pytest.mark.parametrize("name", ["weights.safetensors", "model.pt2", "model.onnx", "model.py"])
def test_a_file_that_differs_is_noticed_and_nothing_is_left(
    name: str, other: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    class Swapping(OtherPython):
        def ask(self, path: Path) -> None:
            super().ask(other / path.name if path.name == name else path)

    monkeypatch.setattr("bft_nas.export.write.write_graphs", copy_graphs(other))
    if name == "weights.safetensors":
        monkeypatch.setattr(
            "bft_nas.export.write._write_weights",
            lambda network, folder, metadata: shutil.copy(other / name, folder),
        )
    monkeypatch.setattr("bft_nas.export.write.OtherPython", Agreeing if name == "model.onnx" else Swapping)
    with pytest.raises(
        ExportError, match=rf"^{name}: logits differ .* by \d\.\de-\d\d of the largest[^\n]*$"
    ):
        export(DENSE, slightly_off(), tmp_path / "new" / "export")
    assert not list(tmp_path.iterdir())


def copy_graphs(source: Path) -> Callable[[nn.Module, Architecture, Path, Written], None]:
    def write(network: nn.Module, architecture: Architecture, folder: Path, written: Written) -> None:
        for name in ("model.pt2", "model.onnx"):
            shutil.copy(source / name, folder)
            written(name)

    return write


def test_a_file_that_costs_something_else_is_noticed(
    other: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    class Cheap(Agreeing):
        def answer(self, name: str) -> Answer:
            return replace(super().answer(name), products=7 if name == "model.pt2" else None)

    monkeypatch.setattr("bft_nas.export.write.write_graphs", copy_graphs(other))
    monkeypatch.setattr("bft_nas.export.write.OtherPython", Cheap)
    with pytest.raises(ExportError, match=r"^model\.pt2: 7 MACs where the architecture counts \d+$"):
        export(DENSE, trained(DENSE).state_dict(), tmp_path / "export")
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize(
    ("source", "reason"),
    [("import nowhere", "No module named 'nowhere'"), ("import os; os._exit(3)", "exit 3")],
)
def test_a_model_file_that_does_not_run_by_itself_is_noticed(
    source: str, reason: str, other: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("bft_nas.export.write.model_source", lambda *rest, **labels: source)
    monkeypatch.setattr("bft_nas.export.write.write_graphs", copy_graphs(other))
    with pytest.raises(ExportError, match=rf"^model\.py: does not run by itself \([^\n]*{reason}\)$"):
        export(DENSE, trained(DENSE).state_dict(), tmp_path / "export")
    assert not list(tmp_path.iterdir())


@pytest.mark.usefixtures("no_graphs")
def test_each_file_is_told_of_when_it_is_written_and_when_it_is_checked(tmp_path: Path) -> None:
    told: list[tuple[str, str]] = []
    export(DENSE, trained(DENSE).state_dict(), tmp_path / "export", watcher=lambda *what: told.append(what))
    assert sorted(told) == sorted((name, done) for name in CONTENTS for done in ("written", "checked"))
    for name in CONTENTS:
        assert told.index((name, "written")) < told.index((name, "checked"))
    # What takes longest comes last, and what can be said before it is.
    assert told.index(("model.py", "checked")) < told.index(("model.onnx", "written"))


@pytest.mark.usefixtures("no_graphs")
def test_how_images_of_other_channels_are_prepared_is_not_written(tmp_path: Path) -> None:
    report = export(DENSE, trained(DENSE).state_dict(), tmp_path / "export", normalisation=((0.5,), (0.2,)))
    assert tuple(file.name for file in report.files) == CONTENTS


@pytest.mark.parametrize("terminal", [True, False])
def test_the_command_line_shows_the_file_or_has_a_line_for_each(terminal: bool) -> None:
    text = StringIO()
    console = Console(file=text, force_terminal=terminal, width=80, color_system=None)
    with show_export(console) as watcher:
        for name in CONTENTS:
            watcher(name, "written")
            watcher(name, "checked")
            shown = text.getvalue()
    lines = [f"{name}: written and checked" for name in CONTENTS]
    assert (shown.splitlines() == lines) is not terminal
    # A terminal is left as it was found.
    assert text.getvalue().endswith("\x1b[2K") is terminal


def test_weights_of_another_architecture_and_of_a_diverged_one_are_refused(tmp_path: Path) -> None:
    state = trained(DENSE).state_dict()
    with pytest.raises(
        ExportError, match=r"^weights\.safetensors: stem\.conv\.weight: expected \(8, 3, 3, 3\)"
    ):
        export(SEPARABLE, state, tmp_path / "export")
    state["classifier.bias"][0] = math.nan
    with pytest.raises(ExportError, match="not finite"):
        export(DENSE, state, tmp_path / "export")
    assert not list(tmp_path.iterdir())


def test_exporting_again_replaces_the_export_and_keeps_other_files_and_is_quiet(
    tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    folder, network = tmp_path / "export", trained(DENSE)
    folder.mkdir()
    for name in ("architecture.json", "model.py", "notes.txt"):
        (folder / name).write_text("old")
    capfd.readouterr()
    random_state = torch.get_rng_state()
    report = export(DENSE, network.state_dict(), folder)
    assert capfd.readouterr() == ("", "")
    assert torch.equal(torch.get_rng_state(), random_state)
    assert report.folder == folder
    assert {path.name for path in folder.iterdir()} == {*CONTENTS, "notes.txt"}
    assert Architecture.from_json((folder / "architecture.json").read_text()) == DENSE
    assert [path.name for path in tmp_path.iterdir()] == ["export"]


def test_a_folder_of_something_else_is_refused_and_stays_as_it_is(tmp_path: Path) -> None:
    state = trained(DENSE).state_dict()
    (tmp_path / "model.py").write_text("mine")
    with pytest.raises(UserError, match=r"exists and holds something else than a previous export$"):
        export(DENSE, state, tmp_path)
    with pytest.raises(UserError, match=r"model\.py: exists and is no folder$"):
        export(DENSE, state, tmp_path / "model.py")
    assert [path.name for path in tmp_path.iterdir()] == ["model.py"]
    assert (tmp_path / "model.py").read_text() == "mine"


@pytest.mark.usefixtures("no_graphs")
def test_an_empty_folder_and_a_missing_one_are_both_fine(tmp_path: Path) -> None:
    state = trained(DENSE).state_dict()
    (tmp_path / "empty").mkdir()
    for folder in (tmp_path / "empty", tmp_path / "missing" / "deeper"):
        export(DENSE, state, folder)
        assert (folder / "model.py").exists()
        assert [path.name for path in folder.parent.iterdir() if path.name.startswith(".")] == []


def test_a_folder_that_cannot_be_made_is_a_users_mistake(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(UserError, match=r"file/export: cannot be written \([^\n]+\)$"):
        export(DENSE, trained(DENSE).state_dict(), tmp_path / "file" / "export")


def test_a_folder_that_is_closed_is_refused_before_the_work(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(bft_nas.export.write, "sample_images", lambda net: pytest.fail("begun"))
    folder = tmp_path / "export"
    folder.mkdir()
    for name in ("architecture.json", "model.py"):
        (folder / name).write_text("old")
    with closed(folder), pytest.raises(UserError, match=r"cannot be written \(Permission denied\)$"):
        export(DENSE, trained(DENSE).state_dict(), folder)


@pytest.mark.parametrize(
    ("labels", "message"),
    [
        ({"classes": ["name"] * 11}, "classes: 11 names for a network of 10 outputs"),
        ({"normalisation": ((0.5,), (0.5, 0.5, 0.5))}, "expected a mean for each of 3 channels"),
        ({"normalisation": ((0.5, 0.5, 0.5), (0.5, 0.5, 0))}, "expected standard deviations above 0"),
    ],
)
def test_labels_that_do_not_fit_are_refused(labels: dict[str, Any], message: str, tmp_path: Path) -> None:
    with pytest.raises(UserError, match=message):
        export(SEPARABLE, {}, tmp_path / "export", **labels)


def test_a_disk_that_is_full_is_named_and_nothing_is_left(tmp_path: Path) -> None:
    folder = tmp_path / "export"
    sizes = {file.name: file.size for file in export(DENSE, trained(DENSE).state_dict(), folder).files}
    shutil.rmtree(folder)
    # The weights have room, the graph has not. PyTorch's own writer would end the process.
    limit = (sizes["weights.safetensors"] + sizes["model.pt2"]) // 2
    begun = f"""
import resource
resource.setrlimit(resource.RLIMIT_FSIZE, ({limit}, resource.RLIM_INFINITY))
import pathlib
from bft_nas.core.errors import UserError
from bft_nas.export.write import export
from tests.export.examples import DENSE, trained
try:
    export(DENSE, trained(DENSE).state_dict(), pathlib.Path("export"))
except UserError as error:
    print(error)
"""
    ended = subprocess.run(
        [sys.executable, "-c", begun],
        cwd=tmp_path,
        env={**os.environ, "PYTHONPATH": str(Path(__file__).parents[2])},
        capture_output=True,
        text=True,
        check=False,
    )
    assert ended.stdout == "export: cannot be written (File too large)\n", ended.stderr
    assert not list(tmp_path.iterdir())
