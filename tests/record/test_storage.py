"""Where a study is kept: a journal that can be repaired, or a database that several processes share."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pandas as pd
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from bft_nas.core.errors import RunError, UserError
from bft_nas.engines import local_engine
from bft_nas.record import Run
from bft_nas.record.storage import open_database, without_password
from bft_nas.searching.loop import Clock, search
from tests.conftest import SPACE, Command, Silent, free_port, tiny_prepared, tiny_run


def record(run: Run) -> pd.DataFrame:
    return run.results().drop(columns="seconds").sort_values("number").reset_index(drop=True)


@pytest.fixture(scope="module")
def finished(tmp_path_factory: pytest.TempPathFactory) -> Run:
    prepared = tiny_prepared(images=64, trials=4)
    run = tiny_run(tmp_path_factory.mktemp("runs"), prepared)
    search(run, local_engine(prepared.images, run.protocol), Silent(), Clock(), trials=4, seconds=None)
    return run


def copy_of(run: Run, folder: Path) -> Run:
    shutil.copytree(run.folder, folder / "copy")
    return Run(folder / "copy")


def test_a_damaged_line_is_named_and_nothing_is_changed(finished: Run, tmp_path: Path) -> None:
    run = copy_of(finished, tmp_path)
    journal = run.folder / "study.journal"
    lines = journal.read_bytes().splitlines(keepends=True)
    lines[7] = lines[7][:10] + b"\x00\xff" + lines[7][12:]
    journal.write_bytes(b"".join(lines))
    with pytest.raises(RunError, match=r"study\.journal: line 8 cannot be read; expected a whole journal"):
        run.results()
    assert journal.read_bytes() == b"".join(lines)


@settings(max_examples=20, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(at=st.floats(0.02, 1), kind=st.sampled_from(["cut", "zeros", "glued"]))
def test_whatever_line_is_damaged_the_others_are_kept(finished: Run, at: float, kind: str) -> None:
    with tempfile.TemporaryDirectory() as folder:
        run = copy_of(finished, Path(folder))
        journal = run.folder / "study.journal"
        lines = journal.read_bytes().splitlines(keepends=True)
        index = min(len(lines) - 1, 1 + int(at * len(lines)))
        if kind == "cut":
            lines[index] = lines[index][: len(lines[index]) // 2] + b"\n"
        elif kind == "zeros":
            lines[index] = bytes(len(lines[index]) - 1) + b"\n"
        else:
            # Half of a line that a full disk left, and then the next one.
            lines[index] = lines[index][: len(lines[index]) // 2]
        journal.write_bytes(b"".join(lines))
        said = run.repair_journal()
        kept, before = record(Run(run.folder)), record(finished)
        # At most the candidate that the line was of is lost, or what the line said of it.
        assert len(kept) >= len(before) - 1
        merged = kept.merge(before, on="number", suffixes=("", "_before"))
        assert (merged["hash"] == merged["hash_before"]).all()
        if kind != "glued" or index < len(lines) - 1:
            assert said is not None
            assert f"line {index + 1} could not be read" in said
            assert (run.folder / "study.journal.damaged").read_bytes() == b"".join(lines)
        # It can be resumed.
        assert Run(run.folder).repair_journal() is None


def test_the_half_line_of_a_writer_that_was_killed_is_dropped_in_silence(
    finished: Run, tmp_path: Path
) -> None:
    run = copy_of(finished, tmp_path)
    with (run.folder / "study.journal").open("ab") as journal:
        journal.write(b'{"op_code":8,"worker')
    pd.testing.assert_frame_equal(record(run), record(finished))
    assert run.repair_journal() is None
    run.ledger.study.ask()
    content = (run.folder / "study.journal").read_bytes()
    assert content.startswith((finished.folder / "study.journal").read_bytes() + b'{"op_code":4,')
    pd.testing.assert_frame_equal(record(Run(run.folder)), record(finished))


def test_a_writer_keeps_others_waiting_and_no_longer_when_it_is_killed(finished: Run, tmp_path: Path) -> None:
    run = copy_of(finished, tmp_path)

    def writer(before: str = "pass") -> subprocess.Popen[str]:
        # By a relative path, as a search has it that is started in the folder around `runs`.
        program = (
            "import os, pathlib, time; from bft_nas.record import Run; study = Run(pathlib.Path('copy')).ledger.study; "
            f"{before}; print('writes', flush=True); study.ask()"
        )
        process = subprocess.Popen(
            [sys.executable, "-c", program], cwd=tmp_path, stdout=subprocess.PIPE, text=True
        )
        assert process.stdout is not None
        assert process.stdout.readline() == "writes\n"
        return process

    journal = run.folder / "study.journal"
    before = journal.stat().st_size
    # Killed with its line in the file, where a slow disk keeps it.
    with writer("os.fsync = lambda file: time.sleep(600)") as first:
        try:
            _wait_for(lambda: journal.stat().st_size > before, first)
            between = journal.stat().st_size
            second = writer()
            time.sleep(1)
            assert second.poll() is None
            assert journal.stat().st_size == between
        finally:
            first.kill()
    with second:
        try:
            assert second.wait(60) == 0
        finally:
            second.kill()
    assert len(run.ledger.study.trials) == len(finished.ledger.study.trials) + 2


def test_resume_repairs_the_journal_says_so_and_goes_on(
    bft_nas: Command, tiny_space: Path, tmp_path: Path
) -> None:
    alone = ("--workers", "1", "--no-references", "--no-confirm", "--no-timing")
    new = ("--flops", "2M", "--space", "tiny.yaml", "--name", "torn", "--images", "64", "--epochs", "1")
    first = bft_nas("search", *new, "--trials", "3", *alone)
    assert first.returncode == 0, first.stderr
    journal = tmp_path / "runs/torn/study.journal"
    lines = journal.read_bytes().splitlines(keepends=True)
    created = [i for i, line in enumerate(lines) if b'"op_code":4' in line]
    # Without the line that begins trial 1, trial 2 would take its number.
    lines[created[1]] = b"\x00" * 40 + b"\n"
    journal.write_bytes(b"".join(lines))
    shown = bft_nas("show", "torn")
    assert shown.returncode == 1
    assert f"study.journal: line {created[1] + 1} cannot be read" in shown.stderr
    again = bft_nas("search", "--resume", "torn", "--trials", "4", *alone)
    assert again.returncode == 0, again.stderr
    assert f"line {created[1] + 1} could not be read and was taken out" in again.stdout
    results = pd.read_csv(tmp_path / "runs/torn/results.csv")
    assert sorted(results["number"]) == [0, 1, 2, 3]


@pytest.mark.parametrize("url", ["postgresql://nobody@127.0.0.1:1/none", "nonsense://x", "no url at all"])
def test_a_database_that_does_not_answer_is_named_and_no_run_is_made(
    url: str, bft_nas: Command, tiny_space: Path, tmp_path: Path
) -> None:
    done = bft_nas("search", "--flops", "2M", "--space", "tiny.yaml", "--images", "64", "--storage", url)
    assert done.returncode == 2
    assert done.stderr.count("\n") == 1
    assert f"--storage '{url}': cannot be opened" in done.stderr
    assert not (tmp_path / "runs").exists()


def test_a_password_is_neither_printed_nor_kept() -> None:
    assert without_password("postgresql://me:secret@host:5432/db") == "postgresql://me@host:5432/db"
    with pytest.raises(UserError) as raised:
        open_database("postgresql://me:secret@127.0.0.1:1/db")
    assert "secret" not in str(raised.value)


POSTGRESQL = sorted(Path("/usr/lib/postgresql").glob("*/bin"))


@pytest.fixture(scope="module")
def server() -> Iterator[str]:
    """The URL of a PostgreSQL server of its own, whose one user has a password."""
    if not POSTGRESQL:
        pytest.skip("no PostgreSQL server is installed (Debian's package postgresql)")
    programs = POSTGRESQL[-1]
    # The server refuses to run as root.
    user = "postgres" if os.geteuid() == 0 else None
    folder = Path(tempfile.mkdtemp(prefix="bft-nas-postgresql-"))
    if user:
        shutil.chown(folder, user)

    def run(*arguments: str) -> None:
        subprocess.run(arguments, user=user, check=True, capture_output=True, cwd=folder)

    (folder / "password").write_text("secret\n")
    (folder / "password").chmod(0o644)
    run(
        str(programs / "initdb"), "-D", str(folder / "data"), "-U", "nas", "-A", "scram-sha-256",
        "--pwfile", str(folder / "password"), "-N",
    )  # fmt: skip
    port = free_port()
    run(
        str(programs / "pg_ctl"), "-D", str(folder / "data"), "-w", "-l", str(folder / "log"),
        "-o", f"-p {port} -c listen_addresses=127.0.0.1 -k {folder}", "start",
    )  # fmt: skip
    yield f"postgresql://nas:secret@127.0.0.1:{port}/postgres"
    run(str(programs / "pg_ctl"), "-D", str(folder / "data"), "-m", "immediate", "stop")
    shutil.rmtree(folder, ignore_errors=True)


def test_two_processes_share_a_study_in_postgresql(server: str, tmp_path: Path) -> None:
    (tmp_path / "tiny.yaml").write_text(SPACE)
    trials = 8

    def start(*arguments: str) -> subprocess.Popen[str]:
        return subprocess.Popen(
            [
                sys.executable,
                "-m",
                "bft_nas.cli.main",
                "search",
                *arguments,
                "--no-references",
                "--no-confirm",
                "--no-timing",
                "--workers",
                "1",
            ],
            cwd=tmp_path,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
            env={**os.environ, "PGPASSWORD": "secret", "OMP_NUM_THREADS": "1"},
        )

    first = start(
        *("--flops", "2M", "--space", "tiny.yaml", "--name", "shared", "--sampler", "random"),
        *("--images", "1500", "--epochs", "3", "--trials", str(trials), "--storage", server),
    )
    _wait_for(lambda: any((tmp_path / "runs").glob("shared/candidates/*/architecture.json")), first)
    second = start("--join", "shared")
    outputs = [process.communicate(timeout=300) for process in (first, second)]
    assert first.returncode == 0, outputs[0][1]
    assert second.returncode == 0, outputs[1][1]
    for written in ("run.yaml", "report.html"):
        assert "secret" not in (tmp_path / "runs/shared" / written).read_text()
    os.environ["PGPASSWORD"] = "secret"
    try:
        run = Run.open("shared", runs=tmp_path / "runs")
        results = run.results()
        owners = {
            trial.user_attrs["owner"] for trial in run.ledger.study.trials if "owner" in trial.user_attrs
        }
    finally:
        del os.environ["PGPASSWORD"]
    assert not (run.folder / "study.journal").exists()
    assert list(results["state"]) == ["complete"] * trials
    assert results["hash"].is_unique
    # Both have trained.
    assert len(owners) == 2


def _wait_for(sign: Callable[[], bool], process: subprocess.Popen[str]) -> None:
    deadline = time.monotonic() + 120
    while not sign() and process.poll() is None and time.monotonic() < deadline:
        time.sleep(0.1)
    assert sign(), process.communicate()
