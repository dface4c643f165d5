"""A finished search as people meet it on the command line: what it printed, shown, resumed, compared, exported."""

from __future__ import annotations

import json
import math
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from bft_nas.cli.tables import make_console, plan_facts, print_front
from bft_nas.export.write import CONTENTS
from bft_nas.record import Run
from bft_nas.record.pareto import complete, front
from bft_nas.searching.references import USUAL
from tests.cli.conftest import Cli, files_under, write_image
from tests.conftest import FORMER, SPACE, tiny_prepared, tiny_run

SMALL = (
    *("--sampler", "random", "--trials", "2", "--images", "64", "--epochs", "1", "--batch-size", "32"),
    *("--no-references", "--no-confirm", "--no-timing", "--workers", "1"),
)


@pytest.fixture(scope="module")
def searched(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, str]:
    """A finished search with two budgets of a user's own space and images, and what it printed."""
    folder = tmp_path_factory.mktemp("searched")
    (folder / "mine.yaml").write_text(SPACE)
    for k, name in enumerate(["cats & dogs", "<b>birds</b>"]):
        for i in range(10):
            write_image(folder / "photos" / name.replace("/", "_") / f"{i}.png", 100 * k + i)
    arguments = [
        *("search", "--flops", "1.5M,3M", "--space", "mine.yaml", "--data", "photos", "--name", "first")
    ]
    done = subprocess.run(
        [sys.executable, "-m", "bft_nas.cli.main", *arguments, *SMALL],
        cwd=folder,
        capture_output=True,
        text=True,
        check=True,
        timeout=240,
    )
    return folder, done.stdout


def test_a_search_says_what_it_will_do_and_what_came_of_it(searched: tuple[Path, str]) -> None:
    folder, out = searched
    plan, _, rest = out.partition("candidate 0 (1 of 2)")
    for expected in (
        "mine",
        "choices",
        "1.5M, 3M MACs, reachable",
        "reaches",
        "photos",
        "protocol",
        "runs/first",
    ):
        assert expected in plan
    # A user's own task sets its own classes: two here, not ImageNet's 1000.
    assert "2 classes" in plan
    assert "epoch 1/1" in rest
    for expected in (
        "Front of first",
        "accuracy",
        "parameters",
        "winner",
        "butterflies too few candidates, or too much alike, to tell in any family (",
        "proposing",
        "proxy trainings",
        "recording",
    ):
        assert expected in rest
    for expected in ("bft-nas show first", "bft-nas export first", "runs/first/report.html"):
        assert expected in rest
    report = (folder / "runs" / "first" / "report.html").read_text()
    assert "plotly" in report.lower()
    assert "\x1b[" not in out


@pytest.mark.parametrize(
    ("other", "said"),
    [
        ("--space mobile", "; so near the least there is little to choose from, --space mobile leaves more"),
        ("", ""),
    ],
)
def test_the_plan_names_what_leaves_more_to_choose_from(
    other: str, said: str, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setattr("bft_nas.cli.tables.roomier", lambda *given: other)
    prepared = tiny_prepared()
    budget = dict(plan_facts(prepared, tiny_run(tmp_path, prepared)))["budget"]
    assert budget.partition(" MACs, reachable: the space reaches ")[2].partition(" MACs")[2] == said


def test_a_winner_behind_the_front_is_said_to_be(capsys: pytest.CaptureFixture[str]) -> None:
    run = Run(FORMER)
    results = run.results()
    print_front(make_console(), run, results)
    assert "is not on the front" not in capsys.readouterr().out
    behind = next(iter(set(complete(results)["number"]) - set(front(results)["number"])))
    confirmed = results.assign(
        confirmed=[0.9 if number == behind else math.nan for number in results["number"]],
        confirmed_error=0.01,
    )
    print_front(make_console(), run, confirmed)
    said = capsys.readouterr().out
    assert f"candidate {behind}, 90.00" in said
    assert f"candidate {behind} is not on the front, which is by the proxy trainings; it won by its" in said


def test_show_prints_layer_by_layer(
    searched: tuple[Path, str], monkeypatch: pytest.MonkeyPatch, cli: Cli
) -> None:
    folder, _ = searched
    monkeypatch.chdir(folder)
    code, out, _ = cli("show", "first", "--candidate", "1")
    assert code == 0
    net = json.loads((folder / "runs/first/candidates/0001/architecture.json").read_text())
    for i in range(len(net["blocks"])):
        assert f"blocks.{i}.depthwise" in out
    assert "classifier" in out
    assert "100.0%" in out
    row = next(line for line in out.splitlines() if line.startswith("total"))
    results = (folder / "runs/first/results.csv").read_text().splitlines()
    macs = results[2].split(",")[results[0].split(",").index("macs")]
    assert f"{int(macs):,}" in row
    assert "2x1x1" in next(line for line in out.splitlines() if line.startswith("classifier"))


def test_a_report_is_written_anew_and_says_where(
    searched: tuple[Path, str], monkeypatch: pytest.MonkeyPatch, cli: Cli
) -> None:
    folder, _ = searched
    monkeypatch.chdir(folder)
    own = folder / "runs/first/report.html"
    as_searched = own.read_bytes()
    own.write_text("older")
    assert cli("report", "first") == (0, "runs/first/report.html\n", "")
    assert own.read_bytes() == as_searched
    assert cli("report", "first", "-o", "mine.html") == (0, "mine.html\n", "")
    assert (folder / "mine.html").read_bytes() == as_searched
    (folder / "mine.html").unlink()
    code, _, err = cli("report", "first", "-o", "nowhere/mine.html")
    assert code == 2
    assert "report 'nowhere/mine.html': expected a folder that there is" in err


def test_runs_lists_it(searched: tuple[Path, str], monkeypatch: pytest.MonkeyPatch, cli: Cli) -> None:
    monkeypatch.chdir(searched[0])
    code, out, _ = cli("runs")
    assert code == 0
    assert "first" in out
    assert "1.5M, 3M" in out


def test_resume_goes_on_and_refuses_another_protocol(
    searched: tuple[Path, str], monkeypatch: pytest.MonkeyPatch, cli: Cli
) -> None:
    folder, _ = searched
    monkeypatch.chdir(folder)
    before = (folder / "runs/first/results.csv").read_text()
    code, out, err = cli("search", "--resume", "first", "--epochs", "2")
    assert (code, out) == (2, "")
    assert "epochs 1 there, 2 here" in err
    code, _, err = cli("search", "--resume", "first", "--space", "mobile")
    assert code == 2
    assert "--space: a resumed run keeps its own" in err
    assert (folder / "runs/first/results.csv").read_text() == before
    code, out, _ = cli(
        "search",
        "--resume",
        "first",
        "--trials",
        "3",
        "--no-references",
        "--no-confirm",
        "--no-timing",
        "--workers",
        "1",
    )
    assert code == 0
    assert "candidate 2 (3 of 3)" in out
    after = (folder / "runs/first/results.csv").read_text()
    assert after.startswith(before)
    assert len(after.splitlines()) == 4


def test_a_run_is_resumed_from_another_directory(
    searched: tuple[Path, str], tmp_path: Path, cli: Cli
) -> None:
    run = searched[0] / "runs" / "first"
    code, out, err = cli(
        "search",
        "--resume",
        str(run),
        "--trials",
        "2",
        "--no-references",
        "--no-confirm",
        "--no-timing",
        "--workers",
        "1",
    )
    assert code == 0, err
    assert f"bft-nas show {run}" in out
    assert files_under(tmp_path) == set()


@pytest.mark.parametrize("command", [("search", "--resume", "first", "--trials", "4"), ("compare", "first")])
def test_a_run_whose_images_changed_is_refused(
    command: tuple[str, ...], searched: tuple[Path, str], monkeypatch: pytest.MonkeyPatch, cli: Cli
) -> None:
    folder, _ = searched
    monkeypatch.chdir(folder)
    victim = next((folder / "photos").rglob("3.png"))
    original = victim.read_bytes()
    write_image(victim, 999)
    code, _, err = cli(*command)
    victim.write_bytes(original)
    assert code == 2
    assert "data_digest" in err


def test_compare_trains_the_references_at_the_runs_budgets_and_adds_them(
    searched: tuple[Path, str], monkeypatch: pytest.MonkeyPatch, cli: Cli
) -> None:
    folder, printed = searched
    assert "References" not in printed
    monkeypatch.chdir(folder)
    trained = (*USUAL, "mobilenet_v1", "mobilenet_v1_bft", "mobilenet_v4_conv_small", "shufflenet_v2_bft")
    monkeypatch.setattr("bft_nas.searching.references.REFERENCES", (*trained, "resnet_8"))
    code, out, err = cli("compare", "first")
    assert code == 0, err
    for name in trained:
        assert name in out.partition("References under the same protocol")[2]
    # ResNet-8 has no network for images this large within any of the budgets.
    assert f"of {len(trained)} references" in out
    assert "shufflenet_v2_bft" in (folder / "runs/first/results.csv").read_text()
    assert "shufflenet_v2_bft" in (folder / "runs/first/report.html").read_text()
    # All of them are known by now.
    code, out, _ = cli("search", "--resume", "first", "--trials", "2", "--no-confirm", "--no-timing")
    assert (code, "epoch 1/1" in out) == (0, False)
    assert "References under the same protocol" in out


def test_it_says_how_large_the_images_of_a_confirmation_were_and_how_it_is_surer(
    searched: tuple[Path, str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch, cli: Cli
) -> None:
    shutil.copytree(searched[0], tmp_path / "copy")
    monkeypatch.chdir(tmp_path / "copy")
    confirm = (
        "search",
        "--resume",
        "first",
        "--trials",
        "2",
        "--no-references",
        "--no-timing",
        "--workers",
        "1",
    )
    surer = "surer    bft-nas search --resume first --confirm-divisor 1"
    code, out, err = cli(*confirm, "--confirm-divisor", "2")
    assert code == 0, err
    assert "at 1/2 of the deployment resolution, seeds 1, 2, 3" in " ".join(out.split())
    assert surer in out
    code, out, _ = cli(*confirm, "--confirm-divisor", "1")
    assert code == 0
    assert "at the deployment resolution, seeds 1, 2, 3" in " ".join(out.split())
    assert surer not in out


def test_a_run_that_is_named_by_its_path_is_called_by_it_once(
    searched: tuple[Path, str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch, cli: Cli
) -> None:
    shutil.copytree(searched[0], tmp_path / "copy")
    (tmp_path / "copy" / "elsewhere").mkdir()
    monkeypatch.chdir(tmp_path / "copy" / "elsewhere")
    there = ("--resume", "../runs/first", "--runs", "../runs", "--data", "../photos")
    code, out, err = cli(
        "search", *there, "--trials", "2", "--no-references", "--no-confirm", "--no-timing", "--workers", "1"
    )
    assert code == 0, err
    assert "../runs/.." not in out
    offered = [each.split(maxsplit=1)[1] for each in out.splitlines() if "bft-nas" in each]
    assert "bft-nas show ../runs/first" in offered
    assert "bft-nas export ../runs/first -o first-winner" in offered
    assert cli("show", "../runs/first")[0] == 0


def test_a_search_whose_time_was_up_at_once_says_so_and_offers_nothing_that_fails(
    monkeypatch: pytest.MonkeyPatch, cli: Cli
) -> None:
    monkeypatch.setattr("bft_nas.searching.loop.Clock.whole", property(lambda clock: 2.0))
    line = ("search", "--flops", "3M", "--resolution", "32", "--time", "1s", "--images", "64", "--no-timing")
    code, out, err = cli(*line, "--name", "late")
    assert (code, err) == (0, "")
    assert "the time was up before the first candidate was trained\n" in out
    offered = [each for each in out.splitlines() if "bft-nas" in each]
    assert offered == ["resume   bft-nas search --resume late --trials 16 --no-timing"]


def test_export_of_a_failed_or_forgotten_candidate_is_refused(
    searched: tuple[Path, str], monkeypatch: pytest.MonkeyPatch, cli: Cli
) -> None:
    folder, _ = searched
    monkeypatch.chdir(folder)
    for weights in folder.glob("runs/first/candidates/0000/weights.safetensors"):
        weights.rename(weights.with_suffix(".away"))
    code, _, err = cli("export", "first", "--candidate", "0", "-o", "out")
    for weights in folder.glob("runs/first/candidates/0000/weights.away"):
        weights.rename(weights.with_suffix(".safetensors"))
    assert code == 2
    assert "weights are kept for the front only" in err
    assert not (folder / "out").exists()


def test_export_writes_the_winner(
    searched: tuple[Path, str], monkeypatch: pytest.MonkeyPatch, cli: Cli
) -> None:
    folder, _ = searched
    monkeypatch.chdir(folder)
    code, out, _ = cli("export", "first", "-o", "winner")
    assert code == 0
    names = set(CONTENTS)
    assert {path.name for path in (folder / "winner").iterdir()} == names
    for name in names:
        assert name in out
    assert "largest difference" in out
    code, _, err = cli("export", "first", "--candidate", "77", "-o", "other")
    assert code == 2
    assert "candidate 77: not in run 'first'; expected 0, 1" in err
