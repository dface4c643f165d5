"""Runs, data and classes of any name that a file system allows: shown as what they are, never as markup."""

from __future__ import annotations

import os
import re
import shlex
import shutil
import threading
from collections.abc import Callable, Iterator
from html import escape
from pathlib import Path
from tempfile import TemporaryDirectory

import pytest
import torch
from hypothesis import example, given, settings
from hypothesis import strategies as st

import bft_nas
from bft_nas.api.teachers import load_teacher
from bft_nas.core.errors import RunError, UserError, printable
from bft_nas.dashboard._runs import Runs
from bft_nas.dashboard._view import View, parse_view, view_query
from bft_nas.dashboard.app import make_app
from bft_nas.record import DataFacts, Run, run_names
from bft_nas.record.card import card_of
from bft_nas.record.run_file import read_run_file, write_run_file
from bft_nas.record.trained import check_new
from tests.command_lines import BASE, ODD_BYTES, Place, nothing_trained
from tests.conftest import tiny_prepared, tiny_run
from tests.dashboard.made_up_training import end, make_training

BEGINNING = [part for pair in BASE.items() for part in pair if part]
names = (
    st.binary(min_size=1, max_size=60).filter(lambda name: not {0, 47} & set(name) and name.strip(b"."))
    | st.sampled_from([name for name in ODD_BYTES if len(name) < 256 and name.strip(b".")])
    | st.integers(1, 255).map(lambda length: b"a" * length)
).map(os.fsdecode)
"""Of a file: any bytes but a slash and the one that ends a name."""


@pytest.fixture(scope="module")
def place(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Place]:
    found = Place(tmp_path_factory.mktemp("place"))
    with nothing_trained():
        yield found


@pytest.mark.parametrize("encoding", ["utf-8", "ascii"])
@settings(max_examples=10)
@example("b]")
@example("[red]:bug:")
@example("two\nlines\x1b[31m")
@example(os.fsdecode(b"\xff"))
@example("a" * 255)
@given(names)
def test_a_run_of_any_name_is_listed_and_shown(place: Place, encoding: str, name: str) -> None:
    run = place.folder / "named[" / name
    run.parent.mkdir()
    shutil.copytree(place.folder / "runs" / "first", run)
    try:
        code, out, err = place.run(["runs", "--runs", "named["], encoding)
        assert (code, err) == (0, "")
        shown = printable(name).encode(encoding, "replace").decode(encoding)
        assert shown[:60] in out
        for command in ("show", "report"):
            code, out, err = place.run([command, f"named[/{name}"], encoding)
            assert (code, err) == (0, "")
            assert shown in out
            assert command == "show" or len(out.splitlines()) == 1
        runs = Runs(place.folder / "named[")
        data = runs.read(runs.names()[0])
        assert data.name == runs.names()[0] == printable(name)
        view = parse_view(view_query(View(run=data.name)))[0]
        assert runs.find(view.run) == run or view.run != data.name
        assert f"<h1>{escape(printable(name))}</h1>" in (run / "report.html").read_text(encoding="utf-8")
    finally:
        shutil.rmtree(run.parent)


@settings(max_examples=15)
@given(names, names, names)
def test_data_and_classes_of_any_name_are_planned_and_recorded(
    place: Place, data: str, first: str, second: str
) -> None:
    folder = place.folder / "given" / data
    for i, name in enumerate((first, second)):
        shutil.copytree(place.folder / "photos" / "cats", folder / f"{i}{name}"[:120])
    try:
        line = dict(BASE) | {"--data": f"given/{data}", "--images": "4"}
        outcome = place.check(["search", *(part for pair in line.items() for part in pair if part)], "ascii")
        assert outcome in ("done", "refused")
    finally:
        shutil.rmtree(place.folder / "given", ignore_errors=True)


@settings(max_examples=30)
@given(names | st.text(max_size=300).filter(lambda name: "\0" not in name))
def test_a_new_run_has_a_name_that_every_command_takes_or_none(place: Place, name: str) -> None:
    line = [f"--name={name}" if part == "--name" else part for part in (*BEGINNING, "--name")]
    assert place.check(["search", *line]) in ("done", "refused")


@given(st.lists(st.text(max_size=30) | names, min_size=1, max_size=5, unique=True))
def test_what_a_run_knows_of_its_classes_reads_back(place: Place, classes: list[str]) -> None:
    run = Run.open("first", runs=place.folder / "runs")
    facts = DataFacts(tuple(classes), run.data.mean, run.data.std)
    with TemporaryDirectory() as folder:
        write_run_file(Path(folder), run.settings, run.space, run.protocol, facts, "bft-nas")
        assert read_run_file(Path(folder)).data.classes == tuple(classes)


DAMAGE: dict[str, tuple[str, Callable[[str], str], str]] = {
    "later": ("run.yaml", lambda text: text.replace("  sampler:", "  later: 1\n  sampler:"), "later"),
    "typed": ("run.yaml", lambda text: text.replace("- 3000000", "- many"), "budgets"),
    "unfinished": ("run.yaml", lambda text: text[: len(text) // 3], "run.yaml cannot be read"),
    "torn": ("study.journal", lambda text: "{torn\n" + text, "line 1 cannot be read"),
    "nested": ("run.yaml", lambda text: "[" * 5000, "run.yaml cannot be read"),
    "foreign": (
        "study.journal",
        lambda text: re.sub(r'"candidate":\s*\{[^}]*\}', '"candidate":7', text),
        "candidate 0 of its study",
    ),
}


@pytest.fixture(scope="module")
def damaged(place: Place) -> Path:
    """A folder of runs of which one is whole."""
    folder = place.folder / "damaged"
    for name, (file, damage, _) in DAMAGE.items():
        shutil.copytree(place.folder / "runs" / "first", folder / name)
        path = folder / name / file
        path.write_text(damage(path.read_text()))
    shutil.copytree(place.folder / "runs" / "first", folder / "whole")
    place.kept.add(folder)
    return folder


def test_runs_that_cannot_be_read_are_listed_with_the_reason(place: Place, damaged: Path) -> None:
    code, out, err = place.run(["runs", "--runs", "damaged"])
    assert (code, err) == (0, "")
    lines = out.splitlines()
    assert [line.split()[0] for line in lines if "%" in line] == ["whole"]
    for name, (_, _, reason) in DAMAGE.items():
        assert [reason in line for line in lines if line.startswith(f"{name}:")] == [True]


def test_the_dashboard_shows_the_others_and_why_one_is_not(place: Place, damaged: Path) -> None:
    code, out, _ = place.run(["dashboard", "--runs", "damaged"])
    assert (code, "http://127.0.0.1" in out) == (0, True)
    runs = Runs(damaged)
    make_app(runs)
    assert len(runs.read("whole").results) == 2
    for name, (_, _, reason) in DAMAGE.items():
        with pytest.raises(UserError, match=re.escape(reason)):
            runs.read(name)


def test_two_searches_of_one_moment_have_folders_of_their_own(tmp_path: Path) -> None:
    prepared = tiny_prepared()
    arguments = (prepared.settings, prepared.space, prepared.protocol)
    facts = tiny_run(tmp_path, prepared, "first").data
    ready = threading.Barrier(6)
    made: list[str] = []
    refused: list[str] = []

    def begin(name: str | None) -> None:
        ready.wait()
        for _ in range(5):
            try:
                made.append(Run.create(name, *arguments, data=facts, runs=tmp_path).name)
            except UserError as error:
                refused.append(str(error))

    threads = [
        threading.Thread(target=begin, args=(name,)) for name in (None, None, None, "same", "same", "same")
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    unnamed = {"tiny-3M", *(f"tiny-3M-{i}" for i in range(2, 16))}
    assert sorted(made) == sorted({*unnamed, "same"})
    assert len(refused) == 14
    assert all("run 'same': there is one already" in line for line in refused)
    assert set(run_names(tmp_path)) == {"first", *made}
    assert not list(tmp_path.glob(".*"))


def test_a_folder_that_appears_while_a_run_is_made_is_left_alone(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    prepared = tiny_prepared()
    arguments = (prepared.settings, prepared.space, prepared.protocol)
    facts = tiny_run(tmp_path, prepared, "first").data
    rename = Path.rename

    def late(source: Path, target: Path) -> Path:
        if not target.exists():
            target.mkdir()
            (target / "of another").write_text("")
        return rename(source, target)

    with monkeypatch.context() as patched:
        patched.setattr(
            Path, "rename", lambda s, t: late(s, t) if not t.name.endswith("-2") else rename(s, t)
        )
        assert Run.create(None, *arguments, data=facts, runs=tmp_path).name == "tiny-3M-2"
        with pytest.raises(UserError, match="run 'mine': there is one already"):
            Run.create("mine", *arguments, data=facts, runs=tmp_path)
    assert [path.name for path in (tmp_path / "mine").iterdir()] == ["of another"]
    assert not list(tmp_path.glob(".*"))


@pytest.mark.parametrize("name", ["plain", "my shapes", "it's", "a;b", "$HOME"])
def test_a_command_that_is_told_can_be_typed_as_it_stands(name: str, tmp_path: Path) -> None:
    network = make_training(tmp_path, name)
    with pytest.raises(UserError, match="there is one already") as taken:
        check_new(name, tmp_path)
    with pytest.raises(UserError, match="not trained to the end") as unfinished:
        load_teacher(name, network.data.classes, trained=tmp_path, device=torch.device("cpu"))
    for caught in (taken, unfinished):
        assert name in shlex.split(str(caught.value).partition("; expected ")[2])
    end(network)
    card = card_of(network)
    (command,) = re.findall("`(bft-nas export .*)`", card)
    assert shlex.split(command) == ["bft-nas", "export", str(network.folder), "-o", name]
    (opened,) = re.findall("trained = (.*)", card)
    assert eval(opened, {"bft_nas": bft_nas}).facts == network.facts


@given(st.text())
def test_what_is_printable_is_one_line_that_can_be_written_anywhere(text: str) -> None:
    for shown in (printable(text), str(UserError(text)), str(RunError(text))):
        assert len(shown.splitlines()) <= 1
        shown.encode()
        assert shown == text or not text.isprintable()
