"""Who is at work on a run: the living are told from the dead, and what only one may do, only one does."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from bft_nas.core.errors import UserError
from bft_nas.record import members
from bft_nas.record.members import Members

PROCESS = """
import sys, time
from pathlib import Path
from bft_nas.record.members import Members
members = Members(Path(sys.argv[1]))
with members.joined(alone=False):
    print(members.me, flush=True)
    time.sleep(600)
"""

MORE = "another process trains more for it; expected its end$"
Start = Callable[[], tuple["subprocess.Popen[str]", str]]


@pytest.fixture
def another(tmp_path: Path) -> Iterator[Start]:
    """Starts a process that joins the run, and gives its name there."""
    started = []

    def start() -> tuple[subprocess.Popen[str], str]:
        process = subprocess.Popen(
            [sys.executable, "-c", PROCESS, str(tmp_path)], stdout=subprocess.PIPE, text=True
        )
        started.append(process)
        assert process.stdout is not None
        return process, process.stdout.readline().strip()

    yield start
    for process in started:
        process.kill()
        process.wait()


def test_a_member_is_alive_until_it_is_killed(tmp_path: Path, another: Start) -> None:
    own = Members(tmp_path)
    process, name = another()
    with own.joined(alone=False):
        assert own.is_other(name)
        assert not own.is_other(own.me)
        assert not own.is_other("somebody-who-never-was")
        process.send_signal(signal.SIGKILL)
        process.wait()
        assert not own.is_other(name)


def test_a_member_that_gives_no_sign_of_life_is_taken_to_be_dead(
    tmp_path: Path, another: Start, monkeypatch: pytest.MonkeyPatch
) -> None:
    own = Members(tmp_path)
    _, name = another()
    with own.joined(alone=False):
        # As of a machine that is gone, whose locks a file system may keep.
        long_ago = (tmp_path / ".members" / own.me).stat().st_mtime - members.SECONDS_TILL_DEAD - 1
        os.utime(tmp_path / ".members" / name, (long_ago, long_ago))
        assert not own.is_other(name)


def test_a_member_touches_its_file_again_and_again(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(members, "SECONDS_BETWEEN_BEATS", 0.01)
    own = Members(tmp_path)
    with own.joined(alone=True):
        file = tmp_path / ".members" / own.me
        os.utime(file, (0, 0))
        deadline = 1000
        while file.stat().st_mtime == 0 and deadline:
            deadline -= 1
            time.sleep(0.01)
        assert file.stat().st_mtime > 0
    assert not file.exists()


def test_who_wants_to_be_alone_is_refused_while_another_is_at_work(tmp_path: Path, another: Start) -> None:
    process, _ = another()
    with (
        pytest.raises(UserError, match="another search is working on it; expected its end, or search join"),
        Members(tmp_path).joined(alone=True),
    ):
        pass
    process.kill()
    process.wait()
    with Members(tmp_path).joined(alone=True):
        pass


def test_only_the_last_one_stays_and_then_nobody_joins(tmp_path: Path, another: Start) -> None:
    own = Members(tmp_path)
    process, _ = another()
    with own.joined(alone=False):
        assert not own.leave_unless_last()
    process.kill()
    process.wait()
    with own.joined(alone=False):
        assert own.leave_unless_last()
        with (
            pytest.raises(UserError, match=MORE),
            Members(tmp_path).joined(alone=False),
        ):
            pass


@pytest.mark.parametrize("alone", [True, False])
def test_nobody_is_told_to_join_a_run_that_nobody_can_join(alone: bool, tmp_path: Path) -> None:
    with (
        Members(tmp_path).joined(alone=True, shut=True),
        pytest.raises(UserError, match=MORE),
        Members(tmp_path).joined(alone=alone),
    ):
        pass


def test_whoever_only_looks_whether_a_run_can_be_shared_is_no_member(tmp_path: Path) -> None:
    own = Members(tmp_path)
    with own.joined(alone=False):
        with pytest.raises(UserError, match="search join"), Members(tmp_path).joined(alone=True):
            pass
        assert own.leave_unless_last()


def test_a_turn_keeps_others_waiting(tmp_path: Path) -> None:
    code = (
        "import sys; from pathlib import Path; from bft_nas.record.members import Members\n"
        "with Members(Path(sys.argv[1])).turn(): print('in turn', flush=True)"
    )
    with Members(tmp_path).turn():
        process = subprocess.Popen(
            [sys.executable, "-c", code, str(tmp_path)], stdout=subprocess.PIPE, text=True
        )
        with pytest.raises(subprocess.TimeoutExpired):
            process.wait(2)
    assert process.communicate(timeout=60)[0] == "in turn\n"
