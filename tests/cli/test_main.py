"""The command line as people meet it: help, mistakes, lists, a candidate and its export."""

from __future__ import annotations

import io
import json
import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from bft_nas.cli.main import main
from bft_nas.export.write import CONTENTS
from bft_nas.searching.references import USUAL
from tests.conftest import SPACE

COMMANDS = [
    *(
        "search",
        "show",
        "train",
        "evaluate",
        "export",
        "latency",
        "compare",
        "fidelity",
        "report",
        "dashboard",
        "references",
        "runs",
        "spaces",
        "data",
    )
]
SMALL = (
    *("--sampler", "random", "--trials", "2", "--images", "64", "--epochs", "1", "--batch-size", "32"),
    *("--no-references", "--no-confirm", "--no-timing", "--workers", "1"),
)

Cli = Callable[..., tuple[int, str, str]]


@pytest.fixture
def cli(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> Cli:
    """Runs a command in an empty directory, in this process; returns exit code, standard output and error."""
    monkeypatch.chdir(tmp_path)

    def run(*arguments: str) -> tuple[int, str, str]:
        try:
            code = main(list(arguments))
        except SystemExit as leaving:
            code = int(leaving.code or 0)
        out, err = capsys.readouterr()
        return code, out, err

    return run


def files_under(folder: Path) -> set[Path]:
    return {path.relative_to(folder) for path in folder.rglob("*")}


@pytest.mark.parametrize("command", COMMANDS)
def test_help_has_an_example_and_loads_nothing_slow(command: str) -> None:
    code = (
        "import sys; from bft_nas.cli.main import main\n"
        f"try: main([{command!r}, '--help'])\n"
        "except SystemExit: pass\n"
        "slow = {'torch', 'pandas', 'optuna', 'plotly', 'numpy', 'rich', 'yaml'} & set(sys.modules)\n"
        "print('SLOW', sorted(slow))"
    )
    shown = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout
    assert f"bft-nas {command}" in shown.partition("example:")[2]
    assert "SLOW []" in shown


def test_help_of_search_says_what_is_counted(cli: Cli) -> None:
    _, out, _ = cli("search", "--help")
    assert "multiply-accumulate" in " ".join(out.split())
    assert "Not counted" in " ".join(out.split())


def test_version(cli: Cli) -> None:
    assert cli("--version")[1].startswith("bft-nas 0.")


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ((), "COMMAND"),
        (("find",), "invalid choice: 'find'"),
        (("search",), "--flops: missing"),
        (
            ("search", "--flops", "50M", "--storage", "sqlite:///study.db", "--batch-size", "1"),
            "--batch-size 1: a single image has no spread",
        ),
        (("search", "--flops"), "--flops: expected one argument"),
        (("search", "--flops", "fast"), "--flops fast: expected a number of MACs above zero"),
        (("search", "--flops", "-3M"), "--flops -3M: expected a number of MACs above zero"),
        (("search", "--flops", "0"), "--flops 0: expected a number of MACs above zero"),
        (("search", "--flops", "50M,"), "--flops : expected a number of MACs"),
        (
            ("search", "--flops", "1k"),
            "outside the MAC range of space 'mobile' at 128x128 to 224x224 and 1000 classes",
        ),
        (("search", "--flops", "1k"), "expected 1.18M to"),
        (("search", "--flops", "50M", "--space", "huge"), "space 'huge': not found; expected mobile,"),
        (
            ("search", "--flops", "50M", "--sampler", "magic"),
            "--sampler 'magic': unknown; expected surrogate, tpe, nsga2",
        ),
        (
            ("search", "--flops", "50M", "--trials", "0"),
            "--trials: '0': expected a whole number of 1 or more",
        ),
        (("search", "--flops", "50M", "--trials", "many"), "--trials: 'many': expected a whole number"),
        (("search", "--flops", "50M", "--time", "soon"), "--time soon: expected a time"),
        (
            ("search", "--flops", "50M", "--scheduler", "luck"),
            "--scheduler 'luck': unknown; expected none, halving",
        ),
        (("search", "--flops", "50M", "--eta", "1"), "--eta 1: expected 2 or more"),
        (
            ("search", "--flops", "50M", "--workers", "0"),
            "--workers: '0': expected a whole number of 1 or more",
        ),
        (("search", "--flops", "50M", "--trial-timeout", "never"), "--trial-timeout: never: expected a time"),
        (("search", "--flops", "50M", "--seed", "-1"), "--seed: '-1': expected a whole number of 0 or more"),
        (("search", "--flops", "50M", "--resolution", "4"), "--resolution 4: expected pixels from 8"),
        (("search", "--flops", "50M", "--classes", "5"), "--classes 5: the data has 10 classes"),
        (("search", "--flops", "50M", "--name", "a/b"), "--name 'a/b': expected the name of a folder"),
        (("search", "--flops", "50M", "--data", "nowhere"), "nowhere"),
        (("search", "--flops", "50M", "--images", "3"), "images"),
        (("search", "--flop", "50M", "--colour", "red"), "--colour"),
        (("search", "--flops", "50M", "--engine", "luck"), "--engine: invalid choice: 'luck'"),
        (
            ("search", "--flops", "50M", "--images", "64", "--ray-address", "10.0.0.1:6379"),
            "--ray-address: needs --engine ray",
        ),
        (
            ("search", "--flops", "50M", "--gpus-per-trial", "-1"),
            "--gpus-per-trial: '-1': expected a number such as 2 or 0.5",
        ),
        (("search", "--resume", "nobody"), "run 'nobody': not found under 'runs'"),
        (("search", "--join", "nobody"), "run 'nobody': not found under 'runs'"),
        (("search", "--join", "one", "--resume", "one"), "--join: not together with --resume"),
        (("show", "nobody"), "run 'nobody': not found under 'runs'; expected a run, but there is none yet"),
        (("export", "nobody", "-o", "x"), "run 'nobody': not found"),
        (("export", "nobody"), "-o/--output"),
        (("export", "nobody", "-o", "x", "--int8"), "--int8: expected --for onnxruntime or"),
        (("compare", "nobody"), "run 'nobody': not found"),
        (("report", "nobody"), "run 'nobody': not found under 'runs'"),
        (("references", "--flops", "lots"), "--flops lots: expected a number of MACs above zero"),
        (("references", "--resolution", "2"), "--resolution 2: expected pixels from 8"),
        (("references", "--flops", "50M", "--resolution", "128,160"), "expected one number of pixels"),
    ],
)
def test_a_mistake_is_one_line_exit_code_2_and_nothing_written(
    cli: Cli, tmp_path: Path, arguments: tuple[str, ...], message: str
) -> None:
    code, out, err = cli(*arguments)
    assert code == 2
    assert out == ""
    assert len(err.strip().splitlines()) == 1
    assert message in err
    assert files_under(tmp_path) == set()


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("family: [", "broken YAML in line 1"),
        (SPACE.replace("depth: [1, 2]", "deep: [1, 2]", 1), "unknown key 'deep'"),
        (SPACE.replace("[3, 5]", "[]", 1), "kernel: empty list"),
    ],
)
def test_a_mistake_in_a_space(cli: Cli, tmp_path: Path, text: str, message: str) -> None:
    (tmp_path / "mine.yaml").write_text(text)
    code, _, err = cli("search", "--flops", "50M", "--space", "mine.yaml")
    assert code == 2
    assert err.startswith("bft-nas: error: mine.yaml: ")
    assert message in err
    assert files_under(tmp_path) == {Path("mine.yaml")}


def write_image(path: Path, seed: int) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    pixels = np.random.default_rng(seed).integers(0, 255, (40, 40, 3), dtype=np.uint8)
    Image.fromarray(pixels).save(path)


def test_mistakes_in_an_image_folder_name_the_file_or_the_class(cli: Cli, tmp_path: Path) -> None:
    photos = tmp_path / "photos"
    photos.mkdir()
    arguments = ("search", "--flops", "50M", "--data", "photos")
    assert "photos" in cli(*arguments)[2]
    for i in range(4):
        write_image(photos / "cats" / f"{i}.png", i)
        write_image(photos / "dogs" / f"{i}.png", 10 + i)
    write_image(photos / "birds" / "only.png", 20)
    code, _, err = cli(*arguments)
    assert (code, "birds" in err, len(err.splitlines())) == (2, True, 1)
    write_image(photos / "birds" / "second.png", 21)
    whole = (photos / "dogs" / "2.png").read_bytes()
    (photos / "dogs" / "2.png").write_bytes(whole[: len(whole) // 2])
    code, _, err = cli(*arguments, "--max-unreadable", "0")
    assert (code, "2.png" in err, len(err.splitlines())) == (2, True, 1)
    assert not (tmp_path / "runs").exists()


def test_a_directory_that_cannot_be_written_is_named(cli: Cli, tmp_path: Path) -> None:
    (tmp_path / "file").write_text("in the way")
    code, out, err = cli("search", "--flops", "50M", "--images", "64", "--runs", "file/runs")
    assert (code, out) == (2, "")
    assert "--runs 'file/runs': cannot be written" in err
    if os.geteuid():
        (tmp_path / "closed").mkdir(mode=0o500)
        assert "closed" in cli("search", "--flops", "50M", "--images", "64", "--runs", "closed/runs")[2]


def test_spaces_lists_families_and_reach(cli: Cli) -> None:
    code, out, _ = cli("spaces")
    assert code == 0
    assert "mobilenet_v1, shufflenet_v2, mobilenet_v3" in out
    assert "1.84M to" in out


def test_runs_without_any_says_how_to_begin(cli: Cli) -> None:
    code, out, _ = cli("runs")
    assert code == 0
    assert "bft-nas search --flops 50M" in out


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
    plan, _, rest = out.partition("candidate 1/2")
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
        "training",
        "recording",
    ):
        assert expected in rest
    for expected in ("bft-nas show first", "bft-nas export first", "runs/first/report.html"):
        assert expected in rest
    report = (folder / "runs" / "first" / "report.html").read_text()
    assert "plotly" in report.lower()
    assert "\x1b[" not in out


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
    assert "candidate 3/3" in out
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


def test_references_are_listed_with_their_published_counts(cli: Cli) -> None:
    code, out, _ = cli("references")
    assert code == 0
    row = next(line for line in out.splitlines() if line.startswith("mnasnet_small"))
    assert row.split()[:6] == ["mnasnet_small", "1", "224", "68.3M", "68.3M", "+0.1%"]
    assert "timm mnasnet_small" in row


def test_references_are_scaled_to_a_budget(cli: Cli) -> None:
    code, out, _ = cli("references", "--flops", "6M", "--resolution", "160")
    assert code == 0
    assert "infeasible" in next(line for line in out.splitlines() if line.startswith("mnasnet_a1"))
    macs = [float(line.split()[3][:-1]) for line in out.splitlines()[1:] if "infeasible" not in line]
    assert len(macs) > 5
    assert max(macs) <= 6


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


def test_output_into_a_pipe_that_closes_is_no_error(tmp_path: Path) -> None:
    command = f"{sys.executable} -m bft_nas.cli.main search --help | head -1"
    done = subprocess.run(
        ["bash", "-o", "pipefail", "-c", command], cwd=tmp_path, capture_output=True, text=True, check=False
    )
    assert done.stderr == ""


def test_a_live_display_fits_a_terminal() -> None:
    from rich.console import Console

    from bft_nas.api.progress import LiveProgress, show_progress
    from bft_nas.network import Architecture, Head, Stem
    from bft_nas.network.blocks.separable import SeparableBlock
    from bft_nas.record import Candidate
    from bft_nas.training.curve import Epoch

    screen = io.StringIO()
    console = Console(file=screen, force_terminal=True, width=120)
    net = Architecture("mobilenet_v1", 224, Stem(8), (SeparableBlock(8),), Head())
    with show_progress(console, trials=2, seconds=None, epochs=2, best=0.5) as display:
        assert isinstance(display, LiveProgress)
        first, second = (Candidate(number, net, 49_900_000, 50_000_000) for number in range(2))
        display.begin(first, 0)
        display.begin(second, 1)
        display.step(first, 1, 4)
        display.progress.refresh()
        display.epoch(first, Epoch(1, 1.0, 0.75, 1.0))
        display.progress.refresh()
        display.lost(second, "its worker was killed by signal 9")
        display.end(first, 0.8, "", 3.0)
        display.progress.refresh()
    shown = screen.getvalue()
    for expected in (
        "candidate 1/2",
        "epoch 1/2",
        "75.00%",
        "best 50.00%",
        "left",
        "80.00%",
        "best 80.00%",
        "signal 9",
    ):
        assert expected in shown
