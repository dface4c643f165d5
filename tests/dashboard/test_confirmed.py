"""What was confirmed, wherever it is shown: with its error, and every lead with its interval."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import pandas as pd
import pytest
from playwright.sync_api import BrowserContext, expect

from bft_nas.cli.main import main
from bft_nas.core.units import format_macs
from bft_nas.dashboard import write_run_report
from bft_nas.dashboard._candidate import _card, _find, _standing
from bft_nas.dashboard._confirmed import HOW_REFERENCES_ARE_TRAINED, WHAT_IS_LEFT
from bft_nas.dashboard._run_data import read_run, signature
from bft_nas.dashboard._runs import Runs
from bft_nas.dashboard._style import alternative
from bft_nas.dashboard._tabs import _confirmed, _values
from bft_nas.dashboard._view import View
from bft_nas.dashboard.front import front_figure
from bft_nas.dashboard.standings import NONE_CONFIRMED, standings_figure
from bft_nas.network import cost
from bft_nas.network.references import widest
from bft_nas.record import Run, facts_of
from bft_nas.record.columns import column_named
from bft_nas.record.confirmations import LEFT
from bft_nas.record.pareto import by_proxy, winners
from bft_nas.record.standings import VERDICT_HEADINGS, lead_text, rival_texts, verdict_rows, verdicts_of
from tests.dashboard.browsing import looking
from tests.dashboard.made_up import make_run
from tests.dashboard.pages import Page

BUDGET = 50_000_000
NAME = "mobilenet_v3_small"


@pytest.fixture(scope="module")
def runs(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("runs")
    make_run(folder, "plain", candidates=12, budgets=(BUDGET,), failed=0)
    run = make_run(folder, "proven", candidates=12, budgets=(BUDGET,), failed=0)
    _reference(run)
    ranked = run.results().sort_values("accuracy", ascending=False)["number"].tolist()
    dense = run.results().query("butterfly_share == 0")["number"].tolist()
    # The second of the proxy training wins, clearly over the reference and hardly over the first.
    accuracies: dict[Any, tuple[float, ...]] = {
        ranked[1]: (0.701, 0.705, 0.709),
        ranked[0]: (0.699, 0.702, 0.708),
        NAME: (0.651, 0.655, 0.657),
        **({dense[0]: (0.6,)} if dense and dense[0] not in ranked[:2] else {}),
        **{number: (0.55,) for number in ranked[2:4] if number not in dense[:1]},
    }
    rows = [row for key, found in accuracies.items() for row in _rows(run, key, found)]
    left = next(number for number in reversed(ranked) if number not in accuracies)
    (behind,) = _rows(run, left, (0.5,))
    rows.append({**behind, "accuracy": None, "rung": 0.412, "epochs": 8, "reason": LEFT})
    run.record_confirmations(rows)
    return folder


def _reference(run: Run) -> None:
    found = widest(NAME, BUDGET)
    assert found is not None
    row = {"name": NAME, "width": found[0], "state": "complete", "accuracy": 0.5, "epochs": 4, "seconds": 1.0}
    run.record_references([{**row, "reason": "", **facts_of(found[1], BUDGET)}])


def _rows(run: Run, key: Any, accuracies: tuple[float, ...]) -> list[dict[str, Any]]:
    found = widest(NAME, BUDGET)
    assert found is not None
    network = found[1] if key == NAME else run.architecture(int(key))
    named = {"name": NAME, "width": 0.9} if key == NAME else {"number": key}
    facts = {"budget": BUDGET, "macs": cost(network).macs, "hash": network.hash, "protocol": "0123456789ab"}
    share = {"butterfly_share": cost(network).butterfly_share, "fusions": network.fusion_pattern}
    return [
        {**named, **facts, **share, "seed": seed, "accuracy": accuracy, "epochs": 16, "seconds": 2.5}
        for seed, accuracy in enumerate(accuracies, start=1)
    ]


@pytest.fixture
def proven(runs: Path) -> Run:
    return Run(runs / "proven")


def test_a_lead_has_its_interval_or_is_none(proven: Run) -> None:
    (verdict,) = verdicts_of(proven)
    assert verdict.winner.network.number == proven.winner()["number"]
    by_label = {each.network.label: lead_text(each.lead) for each in verdict.others}
    best = winners(by_proxy(proven.results()), [BUDGET]).iloc[0]["number"]
    assert by_label[f"candidate {best}"].startswith("not to be told apart: +0.2 points (95 %: -")
    assert by_label[NAME].startswith("+5.1 points (95 %: +4.")
    assert [each.network.mean for each in verdict.others] == sorted(
        (each.network.mean for each in verdict.others), reverse=True
    )


def test_the_front_has_a_point_with_an_error_bar_for_each(proven: Run) -> None:
    results, references = proven.results(), proven.references()
    figure = front_figure(results, [BUDGET], references=references)
    candidates, known = (
        next(trace for trace in figure.data if trace.name == name)
        for name in ("confirmed, trained longer", "references, confirmed")
    )
    shown = results[results["confirmed"].notna()]
    assert list(candidates.customdata) == shown["number"].tolist()
    assert list(candidates.y) == pytest.approx((100 * shown["confirmed"]).tolist())
    assert list(candidates.error_y.array) == pytest.approx((100 * shown["confirmed_error"]).tolist())
    assert min(candidates.error_y.array) > 0
    assert list(known.y) == pytest.approx([100 * 1.963 / 3])
    low, high = figure.layout.yaxis.range
    assert low < min(candidates.y)
    assert max(candidates.y) < high
    assert "± " in alternative(figure)
    assert "unconfirmed" not in alternative(figure)


def test_the_standings_have_each_network_with_its_seeds_and_its_distance_from_the_winner(proven: Run) -> None:
    found = verdicts_of(proven)
    (verdict,) = found
    figure = standings_figure(found)
    traces = {trace.name: trace for trace in figure.data}
    everyone = list(enumerate(verdict.everyone, start=1))
    drawn = {
        place: (at, margin, symbol == "circle-open", number)
        for trace in figure.data
        if trace.error_x.array is not None
        for place, at, margin, symbol, number in zip(
            trace.y, trace.x, trace.error_x.array, trace.marker.symbol, trace.customdata, strict=True
        )
    }
    assert sorted(drawn) == [place for place, _ in everyone]
    for place, each in everyone:
        margin = 0.0 if each.lead is None else each.lead.margin
        hollow = each.lead is not None and not each.lead.told_apart
        assert margin is not None
        assert drawn[place] == (
            pytest.approx(100 * each.network.mean),
            pytest.approx(100 * margin),
            hollow,
            each.network.number,
        )
        assert figure.layout.yaxis.ticktext[place] == each.network.label
    assert {hollow for _, _, hollow, _ in drawn.values()} == {True, False}
    seeds = sorted(zip(traces["seeds"].y, traces["seeds"].x, strict=True))
    expected = sorted(
        (place, 100 * accuracy) for place, each in everyone for accuracy in each.network.sample.values()
    )
    assert len(seeds) == len(expected)
    assert all(one == pytest.approx(other) for one, other in zip(seeds, expected, strict=True))
    assert list(traces["winner"].y) == [1]
    assert figure.layout.yaxis.ticktext[0] == "<b>within 50M</b>"
    assert list(traces["references"].customdata) == [None]
    for told in (*rival_texts(verdict), verdict.winner.confirmed):
        assert told in alternative(figure)


def test_the_report_begins_with_the_standings_where_there_are_any(
    proven: Run, runs: Path, tmp_path: Path
) -> None:
    text = write_run_report(proven, tmp_path / "report.html").read_text(encoding="utf-8")
    assert text.index('id="standings"') < text.index('id="front"')
    plain = write_run_report(Run(runs / "plain"), tmp_path / "plain.html").read_text(encoding="utf-8")
    assert 'id="standings"' not in plain
    assert NONE_CONFIRMED in alternative(standings_figure(()))


def test_a_click_on_the_standings_shows_the_candidate(
    window: BrowserContext, proven: Run, tmp_path: Path
) -> None:
    (verdict,) = verdicts_of(proven)
    number = next(each.network.number for each in verdict.others if each.network.number is not None)
    path = write_run_report(proven, tmp_path / "report.html")
    with looking(window, path.as_uri()) as page:
        expect(page.locator("html[data-ready]")).to_be_attached(timeout=30_000)
        page.locator("#standings .main-svg").first.wait_for()
        page.evaluate(
            "number => document.getElementById('standings').emit('plotly_click', "
            "{ points: [{ customdata: number }], event: {} })",
            number,
        )
        expect(page.locator("#candidate")).to_have_value(str(number))


def test_a_front_without_confirmations_is_drawn_as_before_and_says_so(runs: Path) -> None:
    figure = front_figure(Run(runs / "plain").results(), [BUDGET])
    assert not [trace for trace in figure.data if "confirmed" in str(trace.name)]
    assert "(unconfirmed: by its brief proxy training)" in alternative(figure)


def test_the_report_tells_who_won_and_over_whom(proven: Run, tmp_path: Path) -> None:
    page = Page(write_run_report(proven, tmp_path / "report.html").read_text(encoding="utf-8"))
    (verdict,) = verdicts_of(proven)
    for row in verdict_rows(verdict):
        line = next(line for line in page.rows if line.startswith(row[0]) and row[1] in line)
        assert row[-1] in line
    assert row[-1] == "left after epoch 8 at 41.20%"
    assert f"{verdict.winner.network.label} over reference {NAME}: +5.1 points (95 %: " in page.text
    assert "Confirmed within 50M: 16 epochs, protocol 0123456789ab" in page.text
    winner = next(line for line in page.rows if line.startswith("50M") and "±" in line)
    assert f"#{verdict.winner.network.number}" in winner


def test_a_report_without_confirmations_says_so(runs: Path, tmp_path: Path) -> None:
    text = Page(write_run_report(Run(runs / "plain"), tmp_path / "r.html").read_text(encoding="utf-8")).text
    assert "The most accurate candidate within the budget, unconfirmed." in text
    assert "what is better is unconfirmed" in text


def test_a_report_names_the_budgets_that_have_no_confirmed_winner(
    proven: Run, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    smallest = int(proven.results()["macs"].min())
    settings = replace(proven.settings, budgets=(smallest, BUDGET))
    monkeypatch.setattr(proven, "settings", settings)
    text = Page(write_run_report(proven, tmp_path / "r.html").read_text(encoding="utf-8")).text
    assert f"within the budget, unconfirmed within {format_macs(smallest)}." in text


def test_the_app_shows_the_same(runs: Path, proven: Run) -> None:
    (verdict,) = verdicts_of(proven)
    data = read_run(proven)
    text = str(_confirmed(data))
    for heading in VERDICT_HEADINGS:
        assert heading in text
    for row in verdict_rows(verdict):
        assert all(cell in text for cell in row)
    for told in (*rival_texts(verdict), HOW_REFERENCES_ARE_TRAINED, "References"):
        assert told in text
    *_, about, tables = _values("confirmed", Runs(runs), View(run="proven"))
    assert WHAT_IS_LEFT in about
    assert str(tables) == text
    assert "Random search" in str(_confirmed(replace(data, control="random search found less")))
    opened = Runs(runs)
    number = int(verdict.winner.network.number or 0)
    standing = _standing(data, _find(opened, data, number))
    assert standing.startswith("winner within 50M; within 50M, ")
    assert "(95 %: " in standing
    plain = read_run(Run(runs / "plain"))
    assert NONE_CONFIRMED in _values("confirmed", Runs(runs), View(run="plain"))
    best = int(Run(runs / "plain").winner()["number"])
    assert _standing(plain, _find(opened, plain, best)) == "winner within 50M (unconfirmed)"


def test_the_app_tells_the_confirmed_accuracy_first_and_the_proxys_among_the_facts(
    runs: Path, proven: Run
) -> None:
    opened = Runs(runs)
    for run, first, among in ((proven, "confirmed", "accuracy"), (Run(runs / "plain"), "accuracy", None)):
        number = int(run.winner()["number"])
        data = opened.read(run.name)
        headline, facts = _card(data, [_find(opened, data, number)])
        assert headline.children[0].children == column_named(first).cell(run.row(number))
        told = {fact.children[0].children: fact.children[1].children for fact in facts.children}
        assert "confirmed" not in told
        assert told.get("accuracy") == (None if among is None else column_named(among).cell(run.row(number)))


def test_the_report_has_the_card_of_the_app_and_exports_what_has_weights(
    window: BrowserContext, proven: Run, runs: Path, tmp_path: Path
) -> None:
    number, data = int(proven.winner()["number"]), read_run(proven)
    (proven.folder / f"candidates/{number:04d}/confirmed.safetensors").touch()
    path = write_run_report(proven, tmp_path / "report.html")
    with looking(window, path.as_uri()) as page:
        expect(page.locator("#candidate")).to_have_value(str(number), timeout=30_000)
        facts = page.locator("#facts tr")
        expect(facts.filter(has_text="outcome").locator("td").first).to_have_text(
            _standing(data, _find(Runs(runs), data, number))
        )
        cell = column_named("confirmed").cell(proven.row(number))
        assert "±" in cell
        expect(facts.filter(has_text="confirmed").locator("td", has_text="±").first).to_have_text(cell)
        expect(page.locator("#export")).to_have_text(
            f"bft-nas export proven --runs {runs} --candidate {number} -o proven-{number}"
        )
        page.locator("#candidate").fill(
            str(next(other for other in data.results["number"] if other != number))
        )
        page.locator("#candidate").press("Tab")
        expect(page.locator("#export")).to_contain_text("there are no weights of it")


def test_what_one_seed_says_is_unconfirmed(tmp_path: Path) -> None:
    run = make_run(tmp_path, "begun", candidates=4, budgets=(BUDGET,), failed=0)
    number = int(run.winner()["number"])
    run.record_confirmations(_rows(run, number, (0.7,)))
    data = read_run(run)
    assert _standing(data, _find(Runs(tmp_path), data, number)) == "winner within 50M (unconfirmed)"
    text = Page(write_run_report(run).read_text(encoding="utf-8")).text
    assert "The most accurate candidate within the budget, unconfirmed." in text


def test_the_app_reads_a_run_again_when_something_is_confirmed(runs: Path, tmp_path: Path) -> None:
    run = make_run(tmp_path, candidates=2, budgets=(BUDGET,), failed=0)
    before = signature(run.folder)
    run.record_confirmations(_rows(run, 0, (0.5,)))
    assert signature(run.folder) != before


def test_results_csv_and_the_terminal_have_it(
    proven: Run, runs: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    written = pd.read_csv(proven.write_results())
    assert {"confirmed", "confirmed_error"} <= set(written.columns)
    assert main(["show", "proven", "--runs", str(runs)]) == 0
    out = capsys.readouterr().out
    assert "confirmed    70.50% ± 0." in out
    assert f"over reference {NAME}: +5.1 points (95 %: " in out
    assert main(["fidelity", "proven", "--runs", str(runs)]) == 0
    out = capsys.readouterr().out
    assert "the proxy protocol" in out
