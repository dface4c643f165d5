"""The dashboard's page of networks trained to the end, in a real browser and in its parts."""

from __future__ import annotations

import json
import re
import shutil
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from urllib.parse import quote

import pytest
from playwright.sync_api import BrowserContext, Page, expect

from bft_nas.core.errors import UserError
from bft_nas.dashboard._runs import Runs
from bft_nas.dashboard._trainings import Trainings
from bft_nas.dashboard.app import make_app
from bft_nas.record import Run
from bft_nas.record.trained import Evaluation, Trained, candidate_source
from bft_nas.training.curve import BEST
from tests.dashboard.browsing import looking, served, until
from tests.dashboard.made_up import make_run
from tests.dashboard.made_up_training import end, go_on, make_training

HOSTILE = "a <b>bold name"


@pytest.fixture(scope="module")
def run(tmp_path_factory: pytest.TempPathFactory) -> Run:
    return make_run(tmp_path_factory.mktemp("trained") / "runs", "first", candidates=12, failed=0)


@pytest.fixture(scope="module")
def place(run: Run) -> Path:
    """Where the trained networks are."""
    return run.folder.parent.parent / "trained"


@pytest.fixture(scope="module")
def number(run: Run) -> int:
    """Of a candidate from which a network was trained."""
    return int(run.winner()["number"])


@pytest.fixture(scope="module")
def shoes(run: Run, place: Path, number: int) -> Evaluation:
    made = make_training(
        place, "shoes", network=run.architecture(number), source=candidate_source("first", number)
    )
    make_training(place, HOSTILE, source="<img src=x>")
    return end(made)


@pytest.fixture(scope="module")
def growing(place: Path) -> Iterator[Trained]:
    """A network that this process trains."""
    made = make_training(place, "growing", epochs=8)
    with made.at_work():
        go_on(made, 2)
        yield made


@pytest.fixture(scope="module")
def address(run: Run, place: Path, shoes: Evaluation, growing: Trained) -> Iterator[str]:
    with served(run.folder.parent, "--trained", str(place)) as address:
        yield address.rstrip("/")


@pytest.fixture(scope="module")
def seen(window: BrowserContext, address: str) -> Iterator[Page]:
    """The page of a network that is trained."""
    with looking(window, f"{address}/trained?network=shoes") as page:
        expect(page.locator("#trained-title")).to_have_text("shoes")
        yield page


def test_every_network_is_listed_with_what_is_on_record(seen: Page, shoes: Evaluation, number: int) -> None:
    rows = seen.locator("#trained-list tbody tr")
    told = {cells[0]: cells[1:-1] for cells in (row.split("\t") for row in rows.all_inner_texts())}
    measures = shoes.measures
    low, high = (f"{end:.1%}" for end in measures.interval)
    assert told == {
        "shoes": [
            *(f"{measures.accuracy:.2%} (test; 95 %: {low} to {high})", *told["shoes"][1:3]),
            *(f"candidate {number} of first @{told['shoes'][3].split('@')[1]}", "photos"),
        ],
        HOSTILE: ["interrupted, epoch 0/4", "1.06M", "0.248M", "<img src=x> @64", "photos"],
        "growing": [
            *("in training, epoch 2/8, best 65.00% (validation)", "1.06M", "0.248M"),
            *("mobilenet_v3_small within 5M @64", "photos"),
        ],
    }
    expect(seen).to_have_title("trained networks · bft-nas")
    expect(seen.locator("#trained-live")).to_contain_text("3 trained networks, 1 in training")
    expect(seen.locator("#trained-headline")).to_have_text(
        re.compile(rf"{measures.accuracy:.2%} of 90 test images \(95 %: .* to .*\)")
    )
    assert seen.locator("main img, #trained-list b").count() == 0


def test_its_figures_are_drawn_and_have_words(seen: Page) -> None:
    for name in ("trained-curve", "trained-loss", "trained-strip"):
        expect(seen.locator(f"#{name} .main-svg").first).to_be_visible()
        expect(seen.locator(f"#{name}-figure")).to_have_attribute("aria-label", re.compile(r"\w+"))
    expect(seen.locator("#trained-curve .ytitle")).to_have_text("Validation accuracy")


def test_it_is_read_in_any_light_at_any_width_and_with_the_keyboard(seen: Page) -> None:
    for scheme in ("dark", "light"):
        seen.emulate_media(color_scheme=scheme)
        for place in ("#trained-list thead th", "#trained-facts", "body"):
            colour = seen.evaluate(f"getComputedStyle(document.querySelector('{place}')).backgroundColor")
            assert (sum(map(int, re.findall(r"\d+", colour)[:3])) > 600) == (scheme == "light")
    seen.set_viewport_size({"width": 390, "height": 844})
    # Figures follow in a moment.
    until(seen, lambda: seen.evaluate("document.documentElement.scrollWidth") <= 390)
    # What a network is worth is seen without scrolling.
    box = seen.locator("#trained-list tbody td").first.bounding_box()
    assert box is not None
    assert box["x"] + box["width"] <= 390
    seen.set_viewport_size({"width": 1280, "height": 900})
    reached = set()
    seen.locator("body").press("Tab")
    for _ in range(20):
        reached.add(seen.evaluate("document.activeElement.id || document.activeElement.innerText"))
        seen.keyboard.press("Tab")
    assert {"shoes", "growing", "trained-report", "1 run"} <= reached


def test_a_curve_grows_while_its_training_is_under_way(
    window: BrowserContext, address: str, growing: Trained
) -> None:
    # Without a name, the one in training is shown.
    with looking(window, f"{address}/trained") as page:
        expect(page.locator("#trained-title")).to_have_text("growing")
        curve = page.locator("#trained-curve-figure")
        expect(curve).to_have_attribute("aria-label", re.compile("each of 2 epochs"))
        moment = page.evaluate("performance.timeOrigin")
        go_on(growing, 3)
        expect(curve).to_have_attribute("aria-label", re.compile("each of 3 epochs"))
        ends = "document.querySelector('#trained-curve .js-plotly-plot')._fullLayout.xaxis.range"
        until(page, lambda: page.evaluate(ends) == [0.5, 8.5])
        row = page.locator("#trained-list tr", has_text="growing")
        expect(row).to_contain_text("in training, epoch 3/8, best 73.33% (validation)")
        expect(page.locator("#trained-headline")).to_have_text(
            "In training epoch 3/8, best 73.33% (validation)"
        )
        expect(page.locator("#trained-export")).to_be_disabled()
        # An export of weights that are damaged says so, by the command itself.
        (growing.folder / BEST).write_bytes(b"torn")
        expect(page.locator("#trained-export-says")).to_contain_text(
            f"The best weights so far. A folder with PyTorch, ONNX and plain Python, as a zip. Or: bft-nas export "
            f"{growing.folder} -o growing"
        )
        page.get_by_role("button", name="Export").click()
        expect(page.locator("#trouble")).to_contain_text(
            f"'{growing.folder}': model.safetensors cannot be read"
        )
        assert page.evaluate("performance.timeOrigin") == moment


def test_its_report_is_opened_and_is_kept_apart(
    window: BrowserContext, seen: Page, shoes: Evaluation
) -> None:
    with window.expect_page() as opened:
        seen.get_by_role("link", name="Open the report").click()
    with opened.value as report:
        expect(report.locator("#confusion .main-svg").first).to_be_visible()
        expect(report.locator("dl")).to_contain_text(f"{shoes.measures.accuracy:.2%} of 90 test images")
        # Its scripts are those of no host: what the dashboard answers is not for them.
        assert report.evaluate("self.origin") == "null"


def test_a_candidate_leads_to_what_was_trained_from_it(
    window: BrowserContext, address: str, number: int, shoes: Evaluation, run: Run
) -> None:
    with looking(window, f"{address}/?candidate={number}") as page:
        told = page.locator("#card .trained")
        expect(told).to_contain_text(
            f"Trainings of #{number} to the end: shoes, {shoes.measures.accuracy:.2%} (test;"
        )
        expect(told).to_contain_text("not to be compared with its accuracy in the search")
        expect(page.locator("#trained-count")).to_have_text("3 trained networks")
        other = next(other for other in run.results()["number"] if other != number)
        page.get_by_label("Beside it").fill(str(other))
        page.keyboard.press("Enter")
        expect(told.last).to_contain_text(
            f"bft-nas train first --runs {run.folder.parent} --candidate {other}"
        )
        told.first.get_by_role("link").click()
        expect(page.locator("#trained-title")).to_have_text("shoes")
        page.get_by_role("link", name=f"candidate {number} of first").click()
        expect(page.locator("#network-title")).to_have_text(f"The network of #{number}")


@pytest.mark.parametrize("name", ["nobody", "../runs/first", "..", "shoes/../shoes"])
def test_what_is_none_of_the_folder_is_not_read(run: Run, place: Path, shoes: Evaluation, name: str) -> None:
    runs = Runs(run.folder.parent, place)
    with pytest.raises(UserError, match="expected a <b>bold name"):
        runs.trainings.open(name)
    browser = make_app(runs).server.test_client()
    assert f"trained network '{name}': not found under" in page_of(browser, f"?network={quote(name)}")
    assert browser.get(f"/trained/report/{name}").status_code == 404


def page_of(browser: object, search: str = "", path: str = "/trained") -> str:
    """What the dashboard answers when a browser comes to an address."""
    answer = browser.post(  # type: ignore[attr-defined]
        "/_dash-update-component",
        json={
            "output": "page.children",
            "outputs": {"id": "page", "property": "children"},
            "inputs": [{"id": "arrival", "property": "pathname", "value": path}],
            "changedPropIds": ["arrival.pathname"],
            "state": [{"id": "arrival", "property": "search", "value": search}],
        },
    )
    assert answer.status_code == 200
    return json.dumps(json.loads(answer.get_data(as_text=True)), ensure_ascii=False)


def test_nothing_is_said_to_have_ended_that_was_interrupted(run: Run, number: int, tmp_path: Path) -> None:
    source = candidate_source("first", number)
    go_on(make_training(tmp_path, "half", network=run.architecture(number), source=source, epochs=6), 2)
    browser = make_app(Runs(run.folder.parent, tmp_path)).server.test_client()
    card, page = page_of(browser, f"?candidate={number}", path="/"), page_of(browser)
    for text in (card, page):
        assert "interrupted, epoch 2/6" in text
        assert "trained to the end" not in text
    assert f"Trainings of #{number} to the end: " in card


def test_before_the_first_one_the_page_says_the_command(tmp_path: Path) -> None:
    runs = Runs(tmp_path / "runs", tmp_path / "none")
    text = page_of(make_app(runs).server.test_client())
    assert "No network was trained to the end under" in text
    into = f"--trained {tmp_path / 'none'}"
    assert f"bft-nas train mobilenet_v3_small --flops 50M {into}" in text
    make_run(tmp_path / "runs", "a second", candidates=1, failed=0)
    command = f"bft-nas train 'a second' --runs {tmp_path / 'runs'} {into}"
    assert f'"{command}"' in page_of(make_app(runs).server.test_client())


def test_who_has_searched_for_nothing_comes_to_what_was_trained(tmp_path: Path) -> None:
    make_training(tmp_path / "trained", "alone")
    browser = make_app(Runs(tmp_path / "runs", tmp_path / "trained")).server.test_client()
    assert '"trained-list"' in page_of(browser, path="/")
    assert '"trained-list"' not in page_of(browser, "?run=example", path="/")


def test_a_network_that_cannot_be_read_does_not_hide_the_others(tmp_path: Path) -> None:
    for name in ("torn", "whole"):
        make_training(tmp_path, name)
    (tmp_path / "torn" / "architecture.json").write_text("{")
    text = page_of(make_app(Runs(tmp_path / "runs", tmp_path)).server.test_client())
    assert "torn': architecture.json cannot be read" in text
    assert "interrupted, epoch 0/4" in text


@pytest.mark.parametrize("name", ["latency.json", "files.json"])
def test_what_cannot_be_read_of_the_newest_network_does_not_hide_the_others(
    tmp_path: Path, name: str
) -> None:
    for network in ("whole", "newest"):
        end(make_training(tmp_path, network))
    (tmp_path / "newest" / name).write_text('[{"network":')
    browser = make_app(Runs(tmp_path / "runs", tmp_path)).server.test_client()
    text = page_of(browser, "?network=newest")
    assert '"trained-list"' in text
    assert f"newest/{name}: expected" in text
    assert "of 90 test images" in page_of(browser, "?network=whole")


def test_a_page_that_cannot_be_made_says_so(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    make_run(tmp_path, "first", candidates=1, failed=0)
    browser = make_app(Runs(tmp_path, tmp_path / "none")).server.test_client()
    monkeypatch.setattr(Trainings, "all", lambda self: 1 / 0)
    text = page_of(browser)
    assert "This view cannot be shown (ZeroDivisionError: division by zero)." in text
    assert "/?run=first" in text


def test_a_network_is_read_again_when_it_has_changed_alone(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    trainings, read = Trainings(tmp_path), []
    ended, begun = (make_training(tmp_path, name) for name in ("ended", "begun"))
    end(ended)
    summary = Trained.evaluation
    monkeypatch.setattr(Trained, "evaluation", lambda self: read.append(self.name) or summary(self))  # type: ignore[func-returns-value]
    assert {each.name: each.epoch for each in trainings.all()[0]} == {"ended": 4, "begun": 0}
    read.clear()
    before = trainings.signature()
    trainings.all()
    assert read == ["begun"]
    assert trainings.signature() == before
    go_on(begun, 1)
    assert trainings.signature() != before
    before, standing = trainings.signature(), trainings.standing()
    with begun.at_work():
        assert trainings.signature() != before
    assert trainings.standing() == standing
    end(begun)
    assert trainings.standing() != standing
    shutil.rmtree(begun.folder)
    assert [each.name for each in trainings.all()[0]] == ["ended"]


def test_a_run_of_the_same_name_as_a_deleted_one_has_not_its_networks(
    run: Run, place: Path, shoes: Evaluation, number: int
) -> None:
    trainings = Trainings(place)
    network = run.architecture(number)
    assert [each.name for each in trainings.of_candidate("first", number, network)] == ["shoes"]
    other = next(run.architecture(n) for n in run.results()["number"] if n != number)
    assert trainings.of_candidate("first", number, other) == []
    assert trainings.of_candidate("second", number, network) == []


def test_the_page_loads_no_torch(run: Run, place: Path, shoes: Evaluation) -> None:
    program = (
        "import sys; from pathlib import Path; from bft_nas.dashboard._runs import Runs\n"
        "from bft_nas.dashboard.app import make_app; from bft_nas.dashboard._trained import trained_page\n"
        f"runs = Runs(Path({str(run.folder.parent)!r}), Path({str(place)!r})); app = make_app(runs)\n"
        "assert 'shoes' in str(trained_page(runs, '?network=shoes'))\n"
        "assert app.server.test_client().get('/trained/report/shoes').status_code == 200\n"
        "assert not {'torch', 'ray'} & {*sys.modules}\n"
    )
    subprocess.run([sys.executable, "-c", program], check=True)
