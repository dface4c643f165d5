"""The bundled example: how it is made, and when it is shown."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pandas as pd
import pytest

import bft_nas.dashboard._runs
from bft_nas.core.errors import UserError
from bft_nas.dashboard._runs import EXAMPLE, Runs
from tests.dashboard.made_up import make_run

SCRIPT = Path(__file__).parents[2] / "benchmarks" / "make_example.py"


def make(folder: Path, run: str = "made-up") -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, str(SCRIPT), run, "--output", "example"],
        cwd=folder,
        capture_output=True,
        text=True,
        check=False,
    )


def test_an_example_is_the_text_of_a_run_without_weights_and_paths(tmp_path: Path) -> None:
    run = make_run(tmp_path / "runs", candidates=8, failed=0)
    (run.folder / "candidates/0001/weights.safetensors").write_bytes(b"\x00")
    (run.folder / "candidates/0002/checkpoint.pt").write_bytes(b"\x00")
    (run.folder / "report.html").write_text("a report")
    text = (run.folder / "run.yaml").read_text()
    (run.folder / "run.yaml").write_text(
        text.replace("bft-nas search", "bft-nas search --data /home/me/photos/cats")
    )
    done = make(tmp_path)
    assert done.returncode == 0, done.stderr
    assert "8 candidates" in done.stdout
    names = {path.name for path in (tmp_path / "example").rglob("*") if path.is_file()}
    assert names == {"run.yaml", "study.journal", "results.csv", "architecture.json", "curve.csv"}
    assert "--data cats" in (tmp_path / "example/run.yaml").read_text()
    made = Runs(tmp_path).read("example")
    pd.testing.assert_frame_equal(made.results, run.results())
    assert Runs(tmp_path).architecture("example", 3) == run.architecture(3)


def test_an_example_is_replaced_in_one_step_or_left(tmp_path: Path) -> None:
    make_run(tmp_path / "runs", candidates=2, failed=0)
    assert make(tmp_path).returncode == 0
    make_run(tmp_path / "runs", "more", candidates=3, failed=0)
    assert make(tmp_path, "more").returncode == 0
    assert len(Runs(tmp_path).read("example").results) == 3
    (tmp_path / "runs/more/results.csv").unlink()
    done = make(tmp_path, "more")
    assert (done.returncode, "expected a finished run" in done.stderr) == (2, True)
    assert len(Runs(tmp_path).read("example").results) == 3


def test_the_example_is_shown_as_long_as_there_is_no_run(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    example = make_run(tmp_path / "package", "example", candidates=2).folder
    monkeypatch.setattr(bft_nas.dashboard._runs, "EXAMPLE", example)
    runs = Runs(tmp_path / "runs")
    assert runs.names() == ("example",)
    assert len(runs.read("example").results) == 2
    make_run(tmp_path / "runs", "mine", candidates=3)
    assert runs.names() == ("mine",)
    # A link to it still shows it.
    assert len(runs.read("example").results) == 2
    with pytest.raises(UserError, match="expected mine"):
        runs.read("package")


@pytest.mark.skipif(not EXAMPLE.is_dir(), reason="no example has been recorded yet")
def test_the_example_is_small_text_with_references() -> None:
    files = [path for path in EXAMPLE.rglob("*") if path.is_file()]
    assert {path.suffix for path in files} <= {".yaml", ".journal", ".csv", ".json"}
    assert sum(path.stat().st_size for path in files) < 2_000_000
    for path in files:
        path.read_text(encoding="utf-8")
    data = Runs(EXAMPLE.parent).read("example")
    assert len(data.results) >= 20
    assert not data.references.empty
    assert not data.curves.empty
