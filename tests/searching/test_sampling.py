"""Whether a proxy can be trusted: who is trained for that, and that it is a confirmation like any other."""

from __future__ import annotations

from pathlib import Path

import pytest

import bft_nas
from bft_nas.cli.main import main
from bft_nas.core.errors import UserError
from bft_nas.engines import local_engine
from bft_nas.searching.contenders import contenders_of
from bft_nas.searching.loop import Clock, search
from bft_nas.searching.racing import Racer
from bft_nas.searching.sampling import of_all_ranks, sample_round
from bft_nas.training.confirmation import Confirmation
from tests.conftest import Silent, tiny_prepared, tiny_run

TRIALS = 9


@pytest.fixture(scope="module")
def run(tmp_path_factory: pytest.TempPathFactory) -> bft_nas.Run:
    """A run whose winner is not confirmed."""
    prepared = tiny_prepared(images=64, trials=TRIALS)
    run = tiny_run(tmp_path_factory.mktemp("sampled"), prepared)
    search(run, local_engine(prepared.images, run.protocol), Silent(), Clock(), trials=TRIALS, seconds=None)
    return bft_nas.open_run(run.folder)


def test_candidates_of_all_ranks_are_taken(run: bft_nas.Run) -> None:
    results = run.results().sort_values("accuracy", ascending=False, kind="stable")
    ranked = results["number"].tolist()
    assert list(of_all_ranks(run, TRIALS)) == ranked
    assert list(of_all_ranks(run, 100)) == ranked
    assert list(of_all_ranks(run, 5)) == ranked[::2]
    assert list(of_all_ranks(run, 2)) == [ranked[0], ranked[-1]]


def test_everyone_has_a_seed_and_one_of_three_another_one() -> None:
    racers = [Racer(str(number), frozenset({1})) for number in range(7)]
    seeds = (5, 6, 7)
    wanted = sample_round(racers, {}, seeds)
    assert [due.racer for due in wanted if due.seed == 5] == racers
    assert [due.racer.key for due in wanted if due.seed == 6] == ["0", "3", "6"]
    assert not any(due.to_rung for due in wanted)
    # What failed is known, too.
    assert sample_round(racers, {"0": {5: 0.5}, "3": {6: None}}, seeds) == wanted[1:8] + wanted[9:]
    assert sample_round(racers, {racer.key: {5: 0.5, 6: 0.5} for racer in racers}, seeds) == []


class Impatient(Silent):
    """Ends by Ctrl-C when a fourth training begins."""

    def begin(self, candidate: object, position: int) -> None:
        super().begin(candidate, position)  # type: ignore[arg-type]
        if len(self.begun) > 3:
            raise KeyboardInterrupt


def test_it_says_how_far_the_proxy_agrees_and_a_better_one_may_win(
    run: bft_nas.Run, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("bft_nas.searching.wider.LONGER", 1)
    before = bft_nas.fidelity(run)
    assert not before.enough
    assert "train 12" in before.verdict
    with pytest.raises(KeyboardInterrupt):
        bft_nas.fidelity(run, train=6, workers=1, progress=Impatient())
    assert len(run.confirmations()) == 3
    watcher = Silent()
    found = bft_nas.fidelity(run, train=6, workers=1, progress=watcher)
    assert found.enough
    assert found.networks == 6
    assert found.spread is not None
    assert found.spread.freedom == 2
    # What had ended is not trained again, nor is anything by the next call.
    assert len(watcher.begun) == 6 + 2 - 3
    again = Silent()
    assert bft_nas.fidelity(run, train=6, workers=1, progress=again) == found
    assert again.begun == []
    rows = run.confirmations()
    best = rows.groupby("number")["accuracy"].mean().idxmax()
    assert run.winner()["number"] == best
    # The next confirmation of the run has them all.
    (protocol,) = set(rows["protocol"])
    numbers = {each.candidate.number for each in contenders_of(run, protocol=protocol)}
    assert numbers >= set(rows["number"])
    assert {each.candidate.number for each in contenders_of(run, protocol="another")} < numbers
    assert Confirmation.of(run.protocol, divisor=run.settings.confirm_divisor).hash == protocol
    # What it says of a winner is not given up for trainings under another one.
    kept = run.folder / "confirmations.csv"
    kept.write_text(kept.read_text().replace(protocol, "0" * 12))
    with pytest.raises(UserError, match="confirmed under another protocol; expected resume first"):
        bft_nas.fidelity(run, train=6, workers=1, progress=False)
    assert set(run.confirmations()["protocol"]) == {"0" * 12}


@pytest.mark.parametrize("train", [0, 5, "12"])
def test_too_few_are_refused(run: bft_nas.Run, train: object) -> None:
    with pytest.raises(UserError, match=f"train {train!r}: expected a whole number of 6 or more"):
        bft_nas.fidelity(run, train=train, progress=False)  # type: ignore[arg-type]


def test_a_run_of_too_few_candidates_is_refused(tmp_path: Path, run: bft_nas.Run) -> None:
    empty = bft_nas.open_run(tiny_run(tmp_path, tiny_prepared(images=64)).folder)
    with pytest.raises(UserError, match="run 'tiny': 0 candidates of it are trained to the end; expected 6"):
        bft_nas.fidelity(empty, train=6, progress=False)


@pytest.mark.parametrize(
    ("given", "said"),
    [
        (("--workers", "1"), "--workers: needs --train"),
        (("--data", "x"), "--data: needs --train"),
        (("--train", "3"), "--train 3: expected a whole number of 6 or more"),
        (("--train", "none"), "argument --train: 'none': expected a whole number of 1 or more"),
    ],
)
def test_a_mistake_on_the_command_line_is_one_line(
    given: tuple[str, ...], said: str, run: bft_nas.Run, capsys: pytest.CaptureFixture[str]
) -> None:
    line = ("fidelity", run.name, "--runs", str(run.folder.parent), *given)
    try:
        code = main(line)
    except SystemExit as leaving:
        code = int(leaving.code or 0)
    assert code == 2
    complaint = capsys.readouterr().err
    assert said in complaint
    assert complaint.count("\n") == 1
