"""Networks, files and runs are measured as they are, what came of it is kept, and nothing else changes."""

from __future__ import annotations

import math
import shlex
import shutil
import sys
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from types import ModuleType

import numpy as np
import numpy.typing as npt
import pandas as pd
import pytest
import torch

from bft_nas.api.latency import measure_latency
from bft_nas.api.run import Run
from bft_nas.api.work import time_front
from bft_nas.cli.latency import print_latencies
from bft_nas.cli.main import main
from bft_nas.cli.tables import make_console
from bft_nas.core.errors import UserError
from bft_nas.export.graphs import write_onnx
from bft_nas.export.inference import inference_network
from bft_nas.export.runtimes import RUNTIMES
from bft_nas.latency import front
from bft_nas.latency.measure import Measured, measure
from bft_nas.latency.networks import (
    MODULES,
    PYTORCH,
    RUNTIME_OF,
    File,
    Network,
    checked_names,
    files_at,
    networks_of_run,
    setup_of,
)
from bft_nas.latency.single_stream import Rule
from bft_nas.network import build, cost, reference
from bft_nas.record.card import CARD, write_card
from bft_nas.record.latency import QUIET, Latency
from bft_nas.record.pareto import front as front_of
from bft_nas.record.pareto import winners
from tests.conftest import FORMER, closed
from tests.dashboard.made_up_training import end, make_training
from tests.export.examples import CASES, SEPARABLE, SHUFFLE

QUICK = Rule(queries=8, seconds=0)
INSTALLED = [name for name, each in RUNTIMES.items() if each.is_installed and each.runs_here]
NAMES = (PYTORCH, *INSTALLED)


@pytest.fixture
def run(tmp_path: Path) -> Run:
    """A run with one reference for each budget."""
    folder = Path(shutil.copytree(FORMER, tmp_path / "runs/example"))
    references = pd.read_csv(folder / "references.csv")
    references[references["name"] == "mobilenet_v1"].to_csv(folder / "references.csv", index=False)
    return Run(folder)


def test_a_network_is_measured_in_every_runtime_with_every_number_of_threads() -> None:
    threads = torch.get_num_threads()
    subjects = [Network("one", SEPARABLE), Network("other", SHUFFLE)]
    state = torch.random.get_rng_state()
    measured = measure(subjects, NAMES, [1, 2], QUICK)
    assert torch.equal(torch.random.get_rng_state(), state)
    assert torch.get_num_threads() == threads
    setups = [each.latency.setup for each in measured if each.subject is subjects[0]]
    single = {name for name, runtime in RUNTIMES.items() if runtime.one_thread}
    assert set(setups) == {
        setup_of(name, count) for name in NAMES for count in ((1,) if name in single else (1, 2))
    }
    assert len(measured) == 2 * len(setups)
    for each in measured:
        latency = each.latency
        assert 0 < latency.p50 <= latency.p90 < 60
        assert latency.queries >= 8
        assert (latency.size is None) == (latency.setup.runtime == PYTORCH)
        assert each.macs == cost(each.subject.architecture or SEPARABLE).macs


def test_where_threads_are_those_of_the_whole_process_each_file_runs_with_those_that_its_row_names(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    pools: list[int] = []
    ran: list[tuple[int, int]] = []

    def open_file(path: Path, threads: int) -> Callable[[npt.NDArray[np.float32]], npt.NDArray[np.float32]]:
        # As ExecuTorch does it: a program that was opened before has lost its threads then.
        if not pools or pools[-1] != threads:
            pools.append(threads)
        own = len(pools)

        def session(images: npt.NDArray[np.float32]) -> npt.NDArray[np.float32]:
            assert own == len(pools)
            ran.append((threads, pools[-1]))
            return images

        return session

    stand_in = ModuleType("stand_in")
    stand_in.open_file = open_file  # type: ignore[attr-defined]
    monkeypatch.setitem(sys.modules, "stand_in", stand_in)
    monkeypatch.setitem(MODULES, "executorch", "bft_nas")
    monkeypatch.setitem(RUNTIMES, "executorch", replace(RUNTIMES["executorch"], module="stand_in"))
    files = [tmp_path / "one.pte", tmp_path / "other.pte"]
    for file in files:
        file.touch()
    parts: list[float] = []
    found = measure(
        [File(file, SEPARABLE) for file in files],
        [],
        [1, 2],
        QUICK,
        watcher=lambda text, part: parts.append(part) if text == "measured" else None,
    )
    assert [each.latency.setup.threads for each in found] == [1, 2, 1, 2]
    assert [each.subject.label for each in found] == [str(files[place]) for place in (0, 0, 1, 1)]
    assert set(ran) == {(1, 1), (2, 2)}
    assert parts == sorted(parts)
    assert parts[-1] == 1


@pytest.mark.parametrize(
    ("name", "kind"),
    # What others write for timing is what they write for people, and is checked there.
    [("onnxruntime", kind) for kind in CASES] + [(name, "inverted") for name in INSTALLED],
)
def test_what_a_runtime_writes_for_timing_does_what_the_network_does(
    name: str, kind: str, tmp_path: Path
) -> None:
    architecture = CASES[kind].architecture
    network = build(architecture).eval()
    (ready,) = Network("it", architecture, network.state_dict).ready([name], [1], tmp_path)
    side = architecture.resolution
    image = torch.randn(1, architecture.in_channels, side, side, generator=torch.Generator().manual_seed(0))
    with torch.no_grad():
        expected = network(image)
    found = torch.as_tensor(ready.open()())
    assert (found - expected).abs().max() <= 1e-4 * expected.abs().max()


def test_random_weights_leave_numbers_of_the_size_that_trained_ones_do(tmp_path: Path) -> None:
    architecture = reference("lcnet", width=0.5, resolution=64, classes=10)
    with torch.no_grad():
        assert build(architecture).eval()(torch.randn(1, 3, 64, 64)).abs().max() < 1e-6
    (ready,) = Network("it", architecture).ready(["onnxruntime"], [1], tmp_path)
    assert torch.as_tensor(ready.open()()).abs().max() > 1e-3


def test_files_are_measured_in_their_runtime_with_what_stands_beside_them(tmp_path: Path) -> None:
    network = inference_network(build(SEPARABLE).eval(), SEPARABLE)
    write_onnx(network, SEPARABLE, tmp_path / "model.onnx", quickly=True)
    program = torch.export.export(network, (torch.zeros(1, 3, 32, 32),))
    torch.export.save(program, tmp_path / "model.pt2")
    files = [tmp_path / "model.onnx", tmp_path / "model.pt2"]
    alone = measure_latency(*files, queries=8, seconds=0)
    assert [each.latency.setup.runtime for each in alone] == ["onnxruntime", PYTORCH]
    assert [each.latency.size for each in alone] == [file.stat().st_size for file in files]
    assert {each.macs for each in alone} == {None}
    (tmp_path / "architecture.json").write_text(SEPARABLE.to_json())
    for name in ("model.py", "mine.c", "mine.onnx"):
        (tmp_path / name).touch()
    of_folder = measure_latency(tmp_path, queries=8, seconds=0)
    assert [each.subject.label for each in of_folder] == [str(file) for file in files]
    (beside,) = measure_latency(files[0], runtimes=["onnxruntime"], queries=8, seconds=0)
    assert (beside.macs, beside.latency.hash) == (cost(SEPARABLE).macs, SEPARABLE.hash)
    with pytest.raises(
        UserError, match=r": no file for c; expected runtime onnxruntime or pytorch, or an export for c$"
    ):
        measure_latency(tmp_path, runtimes=["c"])
    # Those of another network's images.
    (tmp_path / "architecture.json").write_text(SHUFFLE.to_json())
    with pytest.raises(
        UserError, match=r"model\.onnx: cannot be run in onnxruntime .*; expected a file of an"
    ):
        measure(files_at(files[0]) or [], [], [1], QUICK)
    with pytest.raises(UserError, match=r"model\.pt2: runs in pytorch; expected it among runtime"):
        measure_latency(files[1], runtimes=["onnxruntime"])


def test_a_trained_network_is_measured_and_its_card_and_its_report_say_so(tmp_path: Path) -> None:
    trained = make_training(tmp_path / "trained", "shoes")
    end(trained)
    write_card(trained)
    (measured,) = measure_latency(
        "shoes", runtimes=[PYTORCH], queries=8, seconds=0, trained=tmp_path / "trained"
    )
    assert trained.latencies() == (measured.latency,)
    assert f"| latency | {measured.latency.text} |" in (trained.folder / CARD).read_text()
    assert measured.latency.text in (trained.folder / "report.html").read_text()


def test_of_a_run_winners_front_references_and_what_was_confirmed_are_measured(run: Run) -> None:
    results = run.results()
    networks = networks_of_run(run)
    assert networks[0].label == f"candidate {run.winner()['number']}"
    labels = [network.label for network in networks]
    assert {f"candidate {number}" for number in front_of(results)["number"]} <= set(labels)
    assert {"mobilenet_v1 within 20M", "mobilenet_v1 within 50M"} <= set(labels)
    assert len({network.architecture.hash for network in networks}) == len(labels)
    # This run has none, and is measured all the same.
    assert all(network.weights is None for network in networks)


def test_who_is_of_several_kinds_is_measured_with_the_first(
    run: Run, monkeypatch: pytest.MonkeyPatch
) -> None:
    results = run.results()
    best = winners(results, run.settings.budgets)["number"].tolist()[::-1]
    others = [number for number in front_of(results)["number"].tolist()[::-1] if number not in best]
    behind = [number for number in results["number"] if number not in {*best, *others}]
    # Winners and front are confirmed, too, and one that is neither.
    is_confirmed = results["number"].isin({*best, *others, behind[0]})
    confirmed = results.assign(confirmed=results["accuracy"].where(is_confirmed), confirmed_error=0.01)
    monkeypatch.setattr(run, "results", lambda: confirmed)
    references = [f"mobilenet_v1 within {budget}" for budget in ("20M", "50M")]
    assert [network.label for network in networks_of_run(run)] == [
        *(f"candidate {number}" for number in (*best, *others)),
        *references,
        f"candidate {behind[0]}",
    ]


def test_the_end_of_a_search_measures_within_its_seconds_and_says_what_is_left(
    run: Run, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(front, "PREPARING", 0)
    monkeypatch.setattr(front, "RULE", Rule(8, 0, 0))
    said: list[str] = []
    time_front(run, said.append)
    more = len(networks_of_run(run)) - 1
    assert said[0].startswith("latency: 1 networks in onnxruntime")
    # No command finds it by its name alone, as it is not under the usual folder.
    assert said[0].endswith(f"bft-nas latency {shlex.quote(str(run.folder))} measures {more} more")
    (latency,) = run.latencies()
    assert 0 < latency.share <= 1
    assert ("beside other work" in said[0]) == (latency.share < QUIET)
    rows = run.results().set_index("number")
    (number,) = rows["latency"].dropna().index
    assert number == run.winner()["number"]
    assert str(rows.loc[number, "latency_on"]).startswith(setup_of("onnxruntime", 1).text)
    assert "latency" in run.write_results().read_text().splitlines()[0].split(",")


def test_what_cannot_be_measured_is_said_and_the_run_is_as_it_was(
    run: Run, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fail(*given: object, **more: object) -> None:
        raise RuntimeError("no\nroom")

    before = run.results()
    monkeypatch.setattr(front, "measure", fail)
    said: list[str] = []
    time_front(run, said.append)
    assert said == ["latency: not measured (no room)"]
    assert run.results().equals(before)
    assert run.latencies() == ()


@pytest.mark.parametrize(
    ("line", "message"),
    [
        (["nowhere"], "'nowhere': no run, trained network, export or file of one (.pt2, .onnx"),
        (["example", "--runtime", "tensorrt"], "--runtime: expected pytorch or onnxruntime"),
        (["example", "--threads", "0"], "'0': expected a whole number of 1 or more"),
        (["example", "--queries", "0"], "'0': expected a whole number of 1 or more"),
        (["example", "--seconds", "soon"], "'soon': expected a number such as 2 or 0.5"),
        (["torn.onnx"], "torn.onnx: cannot be run in onnxruntime"),
        (["torn.pt2"], "torn.pt2: cannot be run in pytorch"),
        (["photo.jpg"], "'photo.jpg': no run, trained network, export or file"),
    ],
)
def test_a_mistake_is_one_line_and_exit_code_2(
    line: list[str],
    message: str,
    run: Run,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    monkeypatch.chdir(tmp_path)
    for name in ("torn.onnx", "torn.pt2", "photo.jpg"):
        (tmp_path / name).write_bytes(b"torn")
    try:
        code = main(["latency", *line])
    except SystemExit as leaving:
        code = int(leaving.code or 0)
    told = capsys.readouterr()
    assert code == 2
    assert message in told.err
    assert told.err.count("\n") == 1
    assert not (run.folder / "latency.json").exists()


@pytest.mark.parametrize("kind", ["run", "trained"])
def test_what_cannot_be_kept_is_not_measured(
    kind: str, run: Run, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("bft_nas.latency.measure.measure", lambda *given, **more: pytest.fail("measured"))
    folder = run.folder if kind == "run" else make_training(tmp_path / "trained", "shoes").folder
    with closed(folder), pytest.raises(UserError, match=r": cannot be written \(Permission denied\)$"):
        measure_latency(str(folder), runtimes=[PYTORCH])


def test_what_is_not_installed_is_named_with_what_installs_it(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("bft_nas.core.extras.find_spec", lambda name: None)
    with pytest.raises(UserError, match=r"runtime onnxruntime: .*pip install 'bft-nas\[export\]'"):
        checked_names(["onnxruntime"])
    assert checked_names([PYTORCH, PYTORCH]) == (PYTORCH,)


def test_the_command_prints_a_row_for_each_network_and_setup(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    make_training(tmp_path / "trained", "shoes")
    line = [
        "latency",
        "shoes",
        "--runtime",
        PYTORCH,
        "--threads",
        "1",
        "2",
        "--queries",
        "8",
        "--seconds",
        "0",
    ]
    assert main(line) == 0
    shown = capsys.readouterr().out.splitlines()
    assert shown[0] == "shoes: made ready"
    assert shown[1].split() == [
        *("network", "MACs", "parameters", "file", "runtime", "threads", "p50", "p90")
    ]
    assert [row.split()[0] for row in shown[2:4]] == ["shoes", "shoes"]
    assert [row.split("ms")[0].split()[-2] for row in shown[2:4]] == ["1", "2"]
    assert shown[4].startswith(setup_of(PYTORCH, 1).machine)
    assert math.isfinite(float(shown[2].split()[-2]))


@pytest.mark.parametrize(("share", "said"), [(0.4, True), (1.0, False)])
def test_the_command_says_when_the_machine_was_busy(
    share: float, said: bool, capsys: pytest.CaptureFixture[str]
) -> None:
    quiet = Latency("one", "", setup_of(PYTORCH, 1), 0.004, 0.005, 64, 1, "now")
    both = [Measured(File(Path("x.pt2"), None), each, 1, 1) for each in (quiet, replace(quiet, share=share))]
    print_latencies(make_console(), both)
    told = " ".join(capsys.readouterr().out.split())
    assert ("measured beside other work, with a core for 40% of the time" in told) == said


def test_every_file_of_a_runtime_is_known_by_how_it_ends() -> None:
    assert RUNTIME_OF[".pt2"] == PYTORCH
    for name, runtime in RUNTIMES.items():
        for file in set(runtime.files) - set(runtime.beside):
            assert RUNTIME_OF.get(Path(file).suffix) == (name if runtime.runs_here else None)
