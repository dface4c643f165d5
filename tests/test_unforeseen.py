"""An error that nobody foresaw ends a command in one line; what came of a search is there whatever fails at its end."""

from __future__ import annotations

import re
import subprocess
import sys
import tempfile
from pathlib import Path

import pytest

from bft_nas.cli.main import main
from bft_nas.record import Run
from tests.conftest import SPACE
from tests.dashboard.made_up import make_run

SEARCH = (
    *("search", "--flops", "2M", "--space", "tiny.yaml", "--sampler", "random", "--name", "run"),
    *(
        "--images",
        "200",
        "--epochs",
        "1",
        "--trials",
        "2",
        "--no-references",
        "--no-confirm",
        "--no-timing",
        "--workers",
        "1",
    ),
)
RESUME = (
    "search",
    "--resume",
    "run",
    "--no-references",
    "--no-confirm",
    "--no-timing",
    "--workers",
    "1",
    "--trials",
    "3",
)


def command(
    folder: Path, *arguments: str, first: str = "", memory: int | None = None
) -> subprocess.CompletedProcess[str]:
    """Run a command after some Python, with so many bytes of memory."""
    limit = f"import resource; resource.setrlimit(resource.RLIMIT_AS, ({memory}, {memory}))" if memory else ""
    program = f"{limit}\n{first}\nimport sys\nfrom bft_nas.cli.main import main\nsys.exit(main(sys.argv[1:]))"
    return subprocess.run(
        [sys.executable, "-c", program, *arguments],
        cwd=folder,
        capture_output=True,
        text=True,
        timeout=300,
        check=False,
    )


def raising(place: str, name: str) -> str:
    """Python that makes something fail."""
    return (
        f"import {place} as there\ndef fails(*a, **k): raise KeyError('not {name}')\nthere.{name} = fails\n"
    )


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    (tmp_path / "tiny.yaml").write_text(SPACE)
    return tmp_path


OF_A_RUN = [
    ("show", "made-up"),
    ("export", "made-up", "-o", "out"),
    ("report", "made-up"),
    ("compare", "made-up"),
    ("dashboard", "made-up"),
    ("search", "--resume", "made-up"),
    ("search", "--join", "made-up"),
]
OF_NONE = [
    ("runs",),
    ("references",),
    ("spaces",),
    ("dashboard",),
    ("search", "--flops", "5M"),
    ("show", "nobody"),
]


@pytest.mark.parametrize("given", [*OF_A_RUN, *OF_NONE], ids=" ".join)
def test_every_command_says_an_unforeseen_error_in_one_line_and_keeps_its_traceback(
    given: tuple[str, ...],
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    make_run(tmp_path / "runs", candidates=2)
    (tmp_path / "temporary").mkdir()
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path / "temporary"))

    def fails(*ignored: object) -> int:
        raise LookupError("what nobody\nforesaw")

    monkeypatch.setattr(f"bft_nas.cli.{given[0]}.run", fails)
    assert main(given) == 1
    said = capsys.readouterr()
    assert said.out == ""
    found = re.fullmatch(
        r"bft-nas: error: LookupError: what nobody; the whole traceback is in (.*)\n", said.err
    )
    assert found is not None
    kept = Path(found[1])
    assert kept.parent == (Path("runs/made-up") if given in OF_A_RUN else tmp_path / "temporary")
    text = kept.read_text()
    assert "Traceback" in text
    assert "LookupError: what nobody\nforesaw" in text


def test_a_traceback_goes_elsewhere_when_the_run_cannot_take_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    run = make_run(tmp_path, "full", candidates=2)
    (run.folder / "errors.log").mkdir()
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path))
    monkeypatch.setattr("bft_nas.cli.show.run", lambda *ignored: 1 // 0)
    assert main(["show", "full", "--runs", str(tmp_path)]) == 1
    (kept,) = tmp_path.glob("bft-nas-error-*.log")
    assert f"ZeroDivisionError: integer division or modulo by zero; the whole traceback is in {kept}" in (
        capsys.readouterr().err
    )
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path / "nowhere"))
    assert main(["show", "full", "--runs", str(tmp_path)]) == 1
    assert capsys.readouterr().err.endswith("the whole traceback could be written nowhere\n")


def test_an_unforeseen_error_in_a_search_leaves_results_and_report_and_the_run_resumes(folder: Path) -> None:
    broken = """
from bft_nas.record import Ledger
real = Ledger.finish
def fails(self, candidate, *given):
    if candidate.number == 1:
        raise KeyError("nobody foresaw this")
    return real(self, candidate, *given)
Ledger.finish = fails
"""
    ended = command(folder, *SEARCH, first=broken)
    assert ended.returncode == 1
    assert re.fullmatch(
        r"bft-nas: error: KeyError: 'nobody foresaw this'; the whole traceback is in runs/run/errors\.log; "
        r"resume with: bft-nas search --resume run --no-references --no-confirm --no-timing\n",
        ended.stderr,
    )
    assert "winner within 2M: candidate 0" in ended.stdout
    assert {"results.csv", "report.html", "errors.log"} <= {
        path.name for path in (folder / "runs/run").iterdir()
    }
    assert "in fails" in (folder / "runs/run/errors.log").read_text()
    again = command(folder, *RESUME)
    assert again.returncode == 0, again.stderr
    assert list(Run.open("run", runs=folder / "runs").results()["state"]) == ["complete"] * 3


def test_a_report_that_cannot_be_made_leaves_results_front_and_a_line(folder: Path) -> None:
    ended = command(folder, *SEARCH, first=raising("bft_nas.dashboard.report", "read_run"))
    assert ended.returncode == 1
    assert ended.stderr == (
        "bft-nas: error: report: KeyError: 'not read_run'; the whole traceback is in runs/run/errors.log\n"
    )
    assert "winner within 2M" in ended.stdout
    assert (folder / "runs/run/results.csv").is_file()
    assert not (folder / "runs/run/report.html").exists()


def test_a_view_that_cannot_be_drawn_says_so_and_the_report_has_the_others(folder: Path) -> None:
    ended = command(folder, *SEARCH, first=raising("bft_nas.dashboard.report", "curves_figure"))
    assert ended.returncode == 1
    assert ended.stderr.startswith(
        "bft-nas: error: report: without 'curves', which says so in its place (KeyError: 'not curves_figure'"
    )
    assert ended.stderr.count("\n") == 1
    assert "winner within 2M" in ended.stdout
    text = (folder / "runs/run/report.html").read_text()
    assert text.count("This view cannot be shown (KeyError: &#x27;not curves_figure&#x27;).") == 1


def test_results_and_report_are_written_before_anything_of_the_end_is_printed(folder: Path) -> None:
    ended = command(folder, *SEARCH, first=raising("bft_nas.cli.tables", "print_front"))
    assert ended.returncode == 1
    assert "error: front: KeyError: 'not print_front'; the whole traceback is in" in ended.stderr
    assert "resume   bft-nas search --resume run" in ended.stdout
    assert {"results.csv", "report.html"} <= {path.name for path in (folder / "runs/run").iterdir()}


def test_a_search_in_which_nothing_could_be_trained_says_why(folder: Path) -> None:
    ended = command(folder, *SEARCH, first=raising("bft_nas.training.loop", "build"))
    assert ended.returncode == 1
    assert ended.stderr == (
        "bft-nas: error: no candidate could be trained; most failed as this one: KeyError: 'not build'\n"
    )
    assert len(list((folder / "runs/run").rglob("traceback.txt"))) == 2


@pytest.mark.parametrize("workers", ["1", "2"])
def test_a_search_that_runs_out_of_memory_records_it_and_gives_advice(workers: str, folder: Path) -> None:
    arguments = ("--batch-size", "512", "--images", "1000", "--proxy-divisor", "1", "--workers", workers)
    ended = command(
        folder,
        *(
            "search",
            "--flops",
            "50M",
            "--name",
            "run",
            "--epochs",
            "1",
            "--trials",
            "2",
            "--no-references",
            "--no-confirm",
            "--no-timing",
        ),
        *arguments,
        memory=2_000_000_000,
    )
    assert "Traceback" not in ended.stdout + ended.stderr
    results = Run.open("run", runs=folder / "runs").results()
    assert list(results["state"]) == ["failed"] * 2
    assert results["reason"].str.startswith("out of memory: ").all()
    assert "memory is short: two candidates in a row" in ended.stdout
    assert "--batch-size 256 (now 512)" in ended.stdout
    assert ("--workers 1 (now 2)" in ended.stdout) == (workers == "2")
    assert ended.returncode == 1
    assert ended.stderr.count("\n") == 1


def test_a_command_that_has_no_memory_to_begin_with_says_so(folder: Path) -> None:
    ended = command(folder, *SEARCH, memory=250_000_000)
    assert ended.returncode == 1
    assert ended.stderr.count("\n") == 1
    assert re.match(r"bft-nas: error: .*; the whole traceback is in ", ended.stderr)
    assert not (folder / "runs").exists()
