"""Several processes of one command."""

from __future__ import annotations

import sys
from collections.abc import Callable

import pytest

from bft_nas.core.launched import PATIENCE, first_alone_speaks, neighbours


def complains(code: int) -> int:
    print("what is wrong", file=sys.stderr)
    return code


def exits(code: int | str | None) -> int:
    print("what is wrong", file=sys.stderr)
    sys.exit(code)


@pytest.fixture
def waited(monkeypatch: pytest.MonkeyPatch) -> list[float]:
    found: list[float] = []
    monkeypatch.setattr("time.sleep", found.append)
    monkeypatch.setenv("WORLD_SIZE", "2")
    return found


@pytest.mark.parametrize(
    ("run", "code"),
    [
        (lambda: complains(2), 2),
        (lambda: complains(1), 1),
        (lambda: exits(2), 2),
        (lambda: exits("a line"), 1),
    ],
)
def test_a_further_process_that_fails_is_silent_and_waits_for_the_first_to_say_it(
    run: Callable[[], int],
    code: int,
    waited: list[float],
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    monkeypatch.setenv("RANK", "1")
    assert first_alone_speaks(run) == code
    assert waited == [PATIENCE]
    assert capsys.readouterr() == ("", "")


@pytest.mark.parametrize(
    ("run", "code"), [(lambda: 0, 0), (lambda: exits(0), 0), (lambda: exits(None), 0), (lambda: 143, 143)]
)
def test_one_that_is_done_or_ended_from_outside_does_not(
    run: Callable[[], int], code: int, waited: list[float], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("RANK", "1")
    assert first_alone_speaks(run) == code
    assert waited == []


def test_the_first_one_and_one_alone_speak_at_once(
    waited: list[float], monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("RANK", "0")
    assert first_alone_speaks(lambda: complains(2)) == 2
    monkeypatch.delenv("RANK")
    assert first_alone_speaks(lambda: complains(2)) == 2
    assert waited == []
    assert capsys.readouterr().err == "what is wrong\n" * 2


@pytest.mark.parametrize(("given", "count"), [("8", 8), ("1", 1), ("0", 1), ("", 1), ("many", 1)])
def test_what_started_the_processes_says_how_many_share_the_machine(
    given: str, count: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("LOCAL_WORLD_SIZE", raising=False)
    assert neighbours() == 1
    monkeypatch.setenv("LOCAL_WORLD_SIZE", given)
    assert neighbours() == count
