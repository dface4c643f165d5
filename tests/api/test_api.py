"""The Python interface: its page runs, its keywords are the command's options, its mistakes name them."""

from __future__ import annotations

import inspect
import re
import subprocess
import sys
from collections.abc import Callable
from functools import partial
from pathlib import Path

import pytest
import torch

import bft_nas
import bft_nas.api.work
from bft_nas.api.opening import open_finished, open_work
from bft_nas.api.request import RunOptions
from bft_nas.api.sources import architecture_of, source_of
from bft_nas.api.training_options import TrainingOptions
from bft_nas.cli.main import main
from bft_nas.core.errors import UserError
from bft_nas.core.options import options_of
from bft_nas.data.dataset import SMALL_SIDE, load_dataset
from bft_nas.engines.options import EngineOptions
from bft_nas.record import Candidate
from bft_nas.record.confirmations import aside
from bft_nas.record.settings import Settings
from bft_nas.training.confirmation import nearer_divisor
from tests.conftest import Silent, tiny_prepared, tiny_run

ROOT = Path(__file__).parents[2]
SMALL = {
    "trials": 1,
    "images": 64,
    "epochs": 1,
    "workers": 1,
    "references": False,
    "confirm": False,
    "timing": False,
}


def test_the_page_on_python_runs_from_top_to_bottom(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    page = (ROOT / "docs/python.md").read_text(encoding="utf-8")
    names: dict[str, object] = {}
    for block in re.findall(r"```python\n(.*?)```", page, re.DOTALL):
        exec(compile(block, "docs/python.md", "exec"), names)
    run = names["run"]
    assert isinstance(run, bft_nas.Run)
    assert len(run.results()) == 3
    logits = names["logits"]
    assert isinstance(logits, torch.Tensor)
    assert logits.shape == (1, run.settings.classes)
    assert (tmp_path / "small.html").is_file()
    assert (tmp_path / "small-winner/model.py").is_file()
    printed = capsys.readouterr().out
    assert "trials 0: expected a whole number of 1 or more" in printed
    assert "candidate 1 (2 of 2)" in printed
    shown = run._repr_html_()
    assert "5M MACs, fashion-mnist" in shown
    assert str(run.front()["fusions"].iloc[-1]) in shown


def test_the_keywords_are_the_options_of_the_command() -> None:
    options = {name for record in (Settings, EngineOptions, RunOptions) for name in options_of(record)}
    assert set(inspect.signature(bft_nas.search).parameters) == options | {"progress"}


@pytest.mark.parametrize(
    ("given", "message"),
    [
        ({}, "flops: missing; expected a budget in MACs such as flops 50M"),
        ({"flops": "fast"}, "flops fast: expected a number of MACs above zero"),
        ({"flops": []}, r"flops \[\]: expected a number of MACs such as 50M, or several"),
        ({"flops": "5M", "trials": 0}, "trials 0: expected a whole number of 1 or more"),
        ({"flops": "5M", "trials": 1.5}, "trials 1.5: expected a whole number of 1 or more"),
        ({"flops": "5M", "time": "soon"}, "time soon: expected a time"),
        ({"flops": "5M", "trial_timeout": "never"}, "trial_timeout 'never': expected a time"),
        ({"flops": "5M", "engine": "luck"}, "engine 'luck': expected local or ray"),
        ({"flops": "5M", "sampler": "magic"}, "sampler 'magic': unknown; expected surrogate, tpe, nsga2"),
        ({"flops": "5M", "images": 64, "ray_address": "a:1"}, "ray_address: needs engine ray"),
        ({"flops": "5M", "resume": "a", "join": "a"}, "join: not together with resume"),
        ({"flops": "5M", "name": "a/b", "images": 64}, "name 'a/b': expected the name of a folder"),
        ({"flops": "5M", "space": 7}, "space 7: expected a text"),
        ({"flops": "5M", "trails": 3}, "trails: unknown; expected trials$"),
        ({"flops": "5M", "colour": 3}, r"colour: unknown; expected a keyword that help\(\) lists$"),
    ],
)
def test_a_mistake_names_the_keyword_and_nothing_is_written(
    given: dict[str, object], message: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    with pytest.raises(UserError, match=f"^{message}"):
        bft_nas.search(**given)  # type: ignore[arg-type]
    assert not list(tmp_path.iterdir())


def test_a_keyword_of_what_else_trains_is_named_too(tmp_path: Path) -> None:
    with pytest.raises(UserError, match=r"^epoch: unknown; expected epochs$"):
        bft_nas.train("mobilenet_v1", epoch=3, trained=tmp_path)  # type: ignore[call-arg]
    run = bft_nas.open_run(tiny_run(tmp_path, tiny_prepared()).folder)
    for call in (bft_nas.compare, partial(bft_nas.fidelity, train=12)):
        with pytest.raises(UserError, match=r"^work: unknown; expected workers$"):
            call(run, work=2)


def test_what_more_is_trained_for_a_run_takes_its_name_or_its_folder(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    folder = tiny_run(Path("runs"), tiny_prepared(), "small").folder
    for run in ("small", folder, str(folder)):
        # A keyword is looked at where there is a run.
        with pytest.raises(UserError, match=r"^work: unknown; expected workers$"):
            bft_nas.compare(run, work=2)
        assert repr(bft_nas.fidelity(run)) == repr(bft_nas.fidelity(bft_nas.open_run(folder)))
    for call in (bft_nas.compare, bft_nas.fidelity):
        with pytest.raises(UserError, match=r"'none'"):
            call("none")


def test_a_watcher_of_the_callers_is_notified_and_nothing_is_printed(
    tmp_path: Path, tiny_space: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    watcher = Silent()
    given = {"space": tiny_space, "runs": tmp_path / "runs", "resolution": [64], "seed": 3, **SMALL}
    run = bft_nas.search([2e6, 3_000_000], progress=watcher, **given)  # type: ignore[arg-type]
    assert run.settings.budgets == (2_000_000, 3_000_000)
    assert [number for number, *_ in watcher.ended] == [0]
    assert isinstance(watcher.begun[0], Candidate)
    assert capsys.readouterr().out == ""
    assert {"results.csv", "report.html"} <= {path.name for path in run.folder.iterdir()}
    with pytest.raises(UserError, match="space: a resumed run keeps its own; expected resume without it"):
        bft_nas.search(resume=run.folder, space="mobile")
    resumed = bft_nas.search(
        resume=run.name, runs=tmp_path / "runs", progress=False, references=False, confirm=False, timing=False
    )
    assert len(resumed.results()) == 1


class Interrupting(Silent):
    """Stops a search at the end of its first candidate."""

    def end(self, candidate: Candidate, accuracy: float | None, reason: str, seconds: float) -> None:
        raise KeyboardInterrupt


def test_a_run_is_confirmed_anew_at_another_resolution_and_keeps_to_it(
    tiny_space: Path, tmp_path: Path
) -> None:
    asked = SMALL | {"confirm": True, "proxy_divisor": 4, "progress": False, "runs": tmp_path}
    run = bft_nas.search(flops="3M", space=tiny_space, resolution=64, name="nearer", **asked)  # type: ignore[arg-type]

    def confirmed(seen: bft_nas.Run) -> set[str]:
        return set(bft_nas.open_run(seen.folder).confirmations()["protocol"])

    assert run.settings.confirm_divisor == nearer_divisor(4, 3e6) == 1
    (before,) = confirmed(run)
    again = {"confirm": True, "references": False, "timing": False, "runs": tmp_path}
    bft_nas.search(resume="nearer", confirm_divisor=2, workers=1, progress=False, **again)  # type: ignore[arg-type]
    (after,) = confirmed(run)
    assert after != before
    assert (run.folder / aside(before)).is_file()
    watcher = Silent()
    bft_nas.search(resume="nearer", workers=1, progress=watcher, **again)  # type: ignore[arg-type]
    assert watcher.begun == []
    assert confirmed(run) == {after}


def test_data_that_the_confirmation_cannot_read_cost_nothing_of_the_search(
    tiny_space: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)

    def gone(prepared: object) -> None:
        raise UserError("photos: no such folder")

    monkeypatch.setattr(bft_nas.api.work, "confirmation_of", gone)
    asked = "--images 64 --epochs 1 --workers 1 --trials 2 --no-references --no-timing --name cut"
    assert main(["search", "--flops", "3M", "--space", str(tiny_space), *asked.split()]) == 1
    told = capsys.readouterr()
    assert "confirmation: photos: no such folder; when that is repaired, resume with" in told.err
    assert "report   " in told.out
    assert len((tmp_path / "runs/cut/results.csv").read_text().splitlines()) == 3


def test_nobody_joins_a_run_for_which_more_is_trained(tmp_path: Path) -> None:
    run = tiny_run(tmp_path, tiny_prepared())
    with open_finished(bft_nas.open_run(run.folder), {"workers": 1}):
        again = bft_nas.open_run(run.folder)
        with (
            pytest.raises(UserError, match="another process trains more for it"),
            again.members.joined(alone=False),
        ):
            pass


@pytest.mark.parametrize("side", [64, SMALL_SIDE, 128])
def test_a_space_has_the_same_classes_by_name_and_by_path(side: int, tmp_path: Path) -> None:
    counted = {}
    for space in ("tiny", ROOT / "search_spaces/tiny.yaml"):
        given = SMALL | {"flops": "20M", "space": space, "resolution": side, "runs": tmp_path}
        with open_work(given, say=lambda text: None) as work:
            counted[str(space)] = work.run.settings.classes
    assert set(counted.values()) == {1000 if side > SMALL_SIDE else 10}
    trained = TrainingOptions.of({"flops": "20M", "resolution": side})
    reference = source_of("mobilenet_v2", trained)
    data = load_dataset("fashion-mnist", size=28, images=64)
    assert {architecture_of(reference, trained, data).classes} == set(counted.values())
    assert f"above {SMALL_SIDE} pixels" in options_of(Settings)["classes"].help


@pytest.mark.parametrize(("divisor", "offered"), [(1, True), (2, False)])
def test_a_quick_look_is_offered_where_winners_are_confirmed_at_the_deployment_resolution(
    divisor: int, offered: bool, tiny_space: Path, tmp_path: Path
) -> None:
    asked = SMALL | {"trials": 3, "confirm": True, "proxy_divisor": 4, "confirm_divisor": divisor}
    watcher = Silent()
    bft_nas.search(flops="3M", space=tiny_space, resolution=64, runs=tmp_path, progress=watcher, **asked)  # type: ignore[arg-type]
    (told,) = watcher.advice
    assert told.startswith("confirmation after the search: ")
    assert told.endswith(" (confirm_divisor 3 has a quick look)") == offered


@pytest.mark.parametrize(("asked", "taken"), [(1, 1), (2, 2), (3, 2)])
def test_a_winner_is_not_confirmed_on_images_smaller_than_it_was_found_on(
    asked: int, taken: int, tiny_space: Path, tmp_path: Path
) -> None:
    given = SMALL | {"confirm": True, "proxy_divisor": 2, "confirm_divisor": asked, "runs": tmp_path}
    given |= {"flops": "3M", "space": tiny_space, "resolution": 64}
    with open_work(given, say=lambda text: None) as work:
        assert work.prepared.settings.confirm_divisor == taken
        assert f" on images of {64 // taken} pixels" in work.confirmation
        assert (" pixels, as in the proxy trainings, seeds 1" in work.confirmation) == (taken == 2)


def test_an_interrupted_search_leaves_results_and_report(tmp_path: Path, tiny_space: Path) -> None:
    given = {"space": tiny_space, "runs": tmp_path / "runs", "name": "cut", "seed": 3, **SMALL}
    with pytest.raises(KeyboardInterrupt):
        bft_nas.search("3M", progress=Interrupting(), **given)  # type: ignore[arg-type]
    run = bft_nas.open_run("cut", runs=tmp_path / "runs")
    assert len((run.folder / "results.csv").read_text().splitlines()) == 2
    assert (run.folder / "report.html").is_file()


def test_a_run_without_a_candidate_says_so(tmp_path: Path) -> None:
    tiny_run(tmp_path, tiny_prepared(), "empty")
    run = bft_nas.open_run("empty", runs=tmp_path)
    for asked in (run.winner, run.model, run.figures.network):
        with pytest.raises(UserError, match="run 'empty': no trained candidate yet"):
            asked()
    assert run.front().empty
    assert "no candidate yet" in run._repr_html_()


def test_the_example_run_has_every_figure() -> None:
    import plotly.graph_objects as go

    run = bft_nas.open_run(ROOT / "runs/example")
    first, second, *_ = run.front()["number"]
    figures = run.figures
    for figure in (
        figures.front(),
        figures.standings(),
        figures.placement(),
        figures.curves(int(first)),
        figures.butterflies(),
        figures.importances(),
        figures.choices(),
        figures.network(),
        figures.comparison(int(first), int(second)),
        figures.course("time"),
    ):
        assert isinstance(figure, go.Figure)
        assert figure.data
    with pytest.raises(UserError, match="no trained candidate within 1M yet"):
        run.winner("1M")
    budget = run.settings.budgets[0]
    assert run.winner(budget)["macs"] <= budget


@pytest.mark.parametrize("number", [99, -1])
def test_a_candidate_that_there_is_not_is_named_with_those_that_there_are(
    number: int, tmp_path: Path
) -> None:
    run = bft_nas.open_run(ROOT / "runs/example")
    asked: tuple[Callable[[], object], ...] = (
        lambda: run.architecture(number),
        lambda: run.model(number),
        lambda: run.weights(number),
        lambda: run.export(tmp_path / "out", number),
        lambda: run.figures.network(number),
        lambda: run.figures.comparison(0, number),
        lambda: run.figures.curves(0, number),
    )
    for ask in asked:
        with pytest.raises(
            UserError, match=f"^candidate {number}: not in run 'example'; expected 0, 1, 2, 3"
        ):
            ask()
    assert not list(tmp_path.iterdir())


def test_a_figure_that_there_is_not_is_named_with_those_that_there_are() -> None:
    figures = bft_nas.open_run(ROOT / "runs/example").figures
    with pytest.raises(UserError, match="against lat: expected macs or latency"):
        figures.front("lat")  # type: ignore[arg-type]
    with pytest.raises(UserError, match="view x: expected one of hypervolume_epochs, "):
        figures.course("x")


SCRIPT = """
import bft_nas

print("the script runs")
run = bft_nas.search("2M", space={space!r}, workers=2, trials=2, images=64, epochs=1, references=False, progress=False)
assert run.results()["accuracy"].notna().all()
"""


def test_workers_do_not_run_the_script_that_searches(tiny_space: Path, tmp_path: Path) -> None:
    script = tmp_path / "script.py"
    script.write_text(SCRIPT.format(space=str(tiny_space)))
    done = subprocess.run(
        [sys.executable, str(script)], cwd=tmp_path, capture_output=True, text=True, check=False, timeout=300
    )
    assert (done.stdout, done.returncode) == ("the script runs\n", 0), done.stderr
