"""The command line as people meet it: help, mistakes, lists, a live display."""

from __future__ import annotations

import io
import os
import subprocess
import sys
from pathlib import Path

import pytest

from tests.cli.conftest import Cli, files_under, write_image
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
        (("search", "--flops", "50M,"), "--flops 50M,: expected a number of MACs"),
        (("search", "--flops", "5"), "--flops 5: outside the MAC range"),
        (("search", "--flops", "50"), "M (50M?)\n"),
        (
            ("search", "--flops", "1k"),
            "outside the MAC range of space 'mobile' at 128x128 to 224x224 and 1000 classes",
        ),
        (("search", "--flops", "1k"), "expected 1.18M to"),
        (
            ("search", "--flops", "50M", "--space", "huge"),
            "space 'huge': not found; expected mnasnet, mobile,",
        ),
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
        (("search", "--flops", "50M", "--time", "5"), "--time 5: expected its unit, as in 5s, 5m or 5h\n"),
        (
            ("search", "--flops", "50M", "--trial-timeout", "5"),
            "--trial-timeout: 5: expected its unit, as in 5s",
        ),
        (
            ("search", "--flops", "50M", "--scheduler", "luck"),
            "--scheduler 'luck': unknown; expected none, halving",
        ),
        (
            ("search", "--flops", "50M", "--scheduler", "halving", "--eta", "1"),
            "--eta 1: expected 2 or more",
        ),
        (("search", "--flops", "50M", "--eta", "2"), "--eta: needs --scheduler halving"),
        (("search", "--flops", "50M", "--min-epochs", "1"), "--min-epochs: needs --scheduler halving"),
        (
            ("search", "--flops", "50M", "--scheduler", "halving", "--min-epochs", "2"),
            "--min-epochs 2: expected fewer than the 2 of --epochs",
        ),
        *(
            (
                ("search", *of, "--no-confirm", "--confirm-divisor", "1"),
                "--confirm-divisor: needs the confirmation, which is to be left out",
            )
            for of in (("--resume", "nobody"), ("--flops", "50M", "--images", "64"))
        ),
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
        (
            ("search", "--flops", "50M", "--images", "3"),
            "--images 3: expected at least one for each of the 10",
        ),
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
        (
            ("references", "--flops", "50"),
            "--flops 50: no reference has a network within it at 224x224; expected 3.",
        ),
        (("references", "--flops", "50"), "M or more (50M?)\n"),
        (("references", "--flops", "0.34M"), "M or more\n"),
        (("references", "--flops", "lots"), "--flops lots: expected a number of MACs above zero"),
        (("references", "--resolution", "2"), "--resolution 2: expected pixels from 8"),
        (("references", "--resolution", "128"), "--resolution: needs --flops"),
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
    assert "mobilenet_v1, shufflenet_v2, mobilenet_v3, mnasnet" in out
    assert "1.84M to" in out


def test_runs_without_any_says_how_to_begin(cli: Cli) -> None:
    code, out, _ = cli("runs")
    assert code == 0
    assert "bft-nas search --flops 50M" in out


def test_references_are_listed_with_their_published_counts(cli: Cli) -> None:
    code, out, _ = cli("references")
    assert code == 0
    row = next(line for line in out.splitlines() if line.startswith("mnasnet_small"))
    assert row.split()[:6] == ["mnasnet_small", "1", "224", "68.3M", "68.3M", "+0.1%"]
    assert "timm mnasnet_small" in row
    # Neither count is cut off, as a budget would be.
    assert ["mobilenet_v2", "1", "224", "300.8M", "300.8M"] in [line.split()[:5] for line in out.splitlines()]


def test_help_of_compare_says_where_all_references_are_listed(cli: Cli) -> None:
    assert "All references, which bft-nas references lists" in " ".join(cli("compare", "--help")[1].split())


def test_references_are_scaled_to_a_budget(cli: Cli) -> None:
    code, out, _ = cli("references", "--flops", "6M", "--resolution", "160")
    assert code == 0
    assert "infeasible" in next(line for line in out.splitlines() if line.startswith("mnasnet_a1"))
    macs = [float(line.split()[3][:-1]) for line in out.splitlines()[1:] if "infeasible" not in line]
    assert len(macs) > 5
    assert max(macs) <= 6


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
        first, second = (Candidate(number, net, 49_900_000, 50_000_000) for number in (7, 9))
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
        "candidate 7 (1 of 2)",
        "1 done, best 80.00%",
        "epoch 1/2",
        "75.00%",
        "best 50.00%",
        "left",
        "80.00%",
        "best 80.00%",
        "signal 9",
    ):
        assert expected in shown
