"""Options of the command line, alone and in pairs, with values that nobody expects."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from bft_nas.space.space import SearchSpace
from tests.command_lines import BASE, ODD, SEARCH, Place, nothing_trained

BEGINNING = [part for pair in BASE.items() for part in pair if part]
CONFIRMED = [part for part in BEGINNING if part != "--no-confirm"]


@pytest.fixture(scope="module")
def place(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Place]:
    found = Place(tmp_path_factory.mktemp("place"))
    with nothing_trained():
        yield found


def refused(place: Place, *line: str) -> str:
    """The only line that a refused command prints."""
    code, out, err = place.run(line)
    assert (code, out) == (2, "")
    assert len(err.splitlines()) == 1
    return err


values = st.sampled_from(ODD) | st.text(max_size=20) | st.binary(min_size=1, max_size=20).map(os.fsdecode)


@settings(max_examples=60)
@given(st.data())
def test_any_two_options_of_a_search_begin_it_or_are_refused_in_a_line(
    place: Place, data: st.DataObject
) -> None:
    line = dict(BASE)
    for name in data.draw(st.lists(st.sampled_from(sorted(SEARCH)), min_size=2, max_size=2, unique=True)):
        known = SEARCH[name]
        line[name] = "" if known is None else data.draw(st.sampled_from(known) | values)
    place.check(
        ["search", *(f"{k}={v}" if SEARCH[k] is not None else k for k, v in line.items())],
        data.draw(st.sampled_from(["utf-8", "ascii"])),
    )


@pytest.mark.parametrize(
    ("line", "message"),
    [
        (["search", "--flop", "3M"], "unrecognized arguments: --flop 3M; expected --flops\n"),
        (["search", *BEGINNING, "--trails=4"], "unrecognized arguments: --trails=4; expected --trials\n"),
        (["search", *BEGINNING, "--no-ref"], "unrecognized arguments: --no-ref; expected --no-references\n"),
        (
            ["search", *BEGINNING, "--re", "x"],
            "; expected --resolution or --retries or --references or --resume",
        ),
        (["search", *BEGINNING, "--xyz", "x"], "unrecognized arguments: --xyz x\n"),
        (["--verison", "runs"], "bft-nas: error: unrecognized arguments: --verison; expected --version\n"),
        (["references", "--res", "224"], "unrecognized arguments: --res"),
    ],
)
def test_an_option_has_its_whole_name(place: Place, line: list[str], message: str) -> None:
    assert message in refused(place, *line)


@pytest.mark.parametrize(
    ("line", "option"),
    [
        (["search", *BEGINNING, "--flops", "3M"], "--flops"),
        (["search", *BEGINNING, "--no-references"], "--no-references"),
        (["show", "first", "--candidate", "0", "--candidate=1"], "--candidate"),
        (["export", "first", "-o", "a", "--output", "b"], "-o/--output"),
        (["runs", "--runs", "runs", "--runs", "runs"], "--runs"),
    ],
)
def test_an_option_given_twice_is_a_mistake(place: Place, line: list[str], option: str) -> None:
    assert f"argument {option}: given twice" in refused(place, *line)


@pytest.mark.parametrize("option", sorted(name for name, known in SEARCH.items() if known is not None))
def test_an_empty_value_is_a_mistake_of_every_option(place: Place, option: str) -> None:
    line = dict(BASE) | {option: ""}
    err = refused(place, "search", *(f"{k}={v}" if SEARCH[k] is not None else k for k, v in line.items()))
    assert f"argument {option}: " in err


@pytest.mark.parametrize(
    ("line", "message"),
    [
        (["search", "--resume", ""], "--resume: expected a value, got nothing"),
        (["search", "--resume="], "--resume: expected a value, got nothing"),
        (["show", ""], "run '': expected the name of a run"),
        (["report", "first", "-o", "."], "report '.': expected a file, not a folder"),
        (["report", "first", "-o", "photos"], "report 'photos': expected a file, not a folder"),
        (["report", "first", "-o", ""], "expected a path, got nothing"),
        (["report", "first", "-o", "a" * 300 + "/x"], "File name too long"),
        (
            ["search", *BEGINNING, "--proxy-divisor", "99"],
            "--proxy-divisor 99: leaves 0.65 of 64 pixels; expected at",
        ),
        (["search", *BEGINNING, "--proxy-divisor", "9"], "expected at most 8"),
        (["search", *CONFIRMED, "--confirm-divisor", "9"], "--confirm-divisor 9: leaves 7.1 of 64 pixels"),
        (["search", *BEGINNING, "--time", "9" * 5000], "--time 999"),
        (["search", *BEGINNING, "--resolution", "9" * 5000], "--resolution 999"),
        (["search", *BEGINNING, "--name", "a" * 300], "--name 'aaa"),
        (["search", *BEGINNING, "--name", "..."], "--name '...'"),
        (
            ["search", *BEGINNING, "--name", "two\nlines"],
            r"--name 'two\nlines': expected the name of a folder",
        ),
        (["search", "--resume", "a" * 300], "cannot be read (File name too long)"),
        (["search", "--flops", "3M", "--space", "a" * 300], "not found; expected mnasnet, mobile"),
        (["runs", "--runs", "a" * 300], "cannot be read (File name too long)"),
        (["dashboard", "--host", "a" * 300], "expected an address of this machine"),
        (["show", "first", "--candidate", "1_0"], "--candidate: '1_0': expected a whole number"),
    ],
)
def test_what_was_a_traceback_is_a_line(place: Place, line: list[str], message: str) -> None:
    assert message in refused(place, *line)


@pytest.mark.parametrize("flops", ["50G", "1e99", "3M,50G"])
def test_a_budget_above_all_networks_is_refused_with_the_range(place: Place, flops: str) -> None:
    line = dict(BASE) | {"--flops": flops}
    err = refused(place, "search", *(part for pair in line.items() for part in pair if part))
    assert "outside the MAC range of space 'tiny' at 64x64 to 96x96 and 10 classes; expected " in err
    assert len(err) < 200


def test_a_space_of_any_number_of_choices_is_planned(place: Place, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(SearchSpace, "size", 25 * 10**399)
    code, out, _ = place.run(["search", *BEGINNING, "--name", "endless"])
    assert (code, "tiny; 2.5e+400 choices" in out) == (0, True)


def test_output_that_is_not_utf_8_gets_question_marks_and_all_of_the_rest(place: Place) -> None:
    code, out, _ = place.run(["show", "first"], "ascii")
    assert (code, "?" in out, "total" in out) == (0, False, True)
    code, out, err = place.run(["search", *BEGINNING, "--name", "plain"], "ascii")
    assert (code, err) == (0, "")
    assert "report   runs/plain/report.html" in out
    code, _, err = place.run(["search", *BEGINNING, "--space", "Ωé.yaml"], "ascii")
    assert code == 2
    code, _, err = place.run(["show", "Ωé"], "ascii")
    assert (code, "run '??': not found" in err) == (2, True)


@pytest.mark.parametrize(
    "line", [["runs"], ["show", "first"], ["report", "first"], ["search", "--resume", "first"]]
)
def test_no_file_is_left_open(place: Place, line: list[str]) -> None:
    more = (
        ["--trials", "3", "--no-references", "--no-confirm", "--no-timing", "--workers", "1"]
        if line[0] == "search"
        else []
    )
    done = subprocess.run(
        [sys.executable, "-W", "error::ResourceWarning", "-m", "bft_nas.cli.main", *line, *more],
        cwd=place.folder,
        capture_output=True,
        text=True,
        check=False,
        env=os.environ | {"PYTHONPATH": str(Path(__file__).parents[1])},
    )
    assert (done.returncode, done.stderr) == (0, "")
