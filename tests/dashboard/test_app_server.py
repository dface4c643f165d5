"""What the dashboard listens on, whom it answers, and that it reads nothing but its runs."""

from __future__ import annotations

import http.client
import json
import re
import shutil
import signal
import socket
import time
from collections.abc import Iterator
from pathlib import Path
from urllib.parse import urlsplit

import pytest
from playwright.sync_api import BrowserContext, expect

from bft_nas.core.errors import UserError
from bft_nas.dashboard import _download, _runs
from bft_nas.dashboard._runs import Runs
from bft_nas.record import Run
from tests.conftest import Command
from tests.dashboard.browsing import dashboard, looking, served
from tests.dashboard.made_up import make_run


@pytest.fixture(scope="module")
def run(tmp_path_factory: pytest.TempPathFactory) -> Run:
    folder = tmp_path_factory.mktemp("server")
    make_run(folder / "elsewhere", "secret", candidates=2)
    return make_run(folder / "runs", "first", candidates=3)


@pytest.fixture(scope="module")
def address(run: Run) -> Iterator[str]:
    with served(run.folder.parent) as address:
        yield address


def ask(
    address: str, path: str, *, body: object = None, host: str | None = None
) -> tuple[int, str, dict[str, str]]:
    connection = http.client.HTTPConnection(urlsplit(address).netloc, timeout=30)
    headers = {"Content-Type": "application/json"} | ({"Host": host} if host else {})
    connection.request(
        "GET" if body is None else "POST", path, None if body is None else json.dumps(body), headers
    )
    answer = connection.getresponse()
    return answer.status, answer.read().decode(), dict(answer.getheaders())


@pytest.mark.parametrize(
    "path",
    ["/../../etc/passwd", "/..%2f..%2fetc%2fpasswd", "/first/run.yaml", "/runs/first", "/assets/../app.py"]
    + ["/assets/..%2f_page.py", "/_dash-component-suites/dash/../../../etc/passwd", "/export/first/0.zip"]
    + [
        "/trained/report/..",
        "/trained/report/..%2felsewhere",
        "/trained/x",
        "/trained/report/x/y",
        "/trainedx",
    ],
)
def test_any_other_path_is_not_found(address: str, path: str) -> None:
    status, text, _ = ask(address, path)
    assert status in (400, 404, 500) if path.startswith("/_dash") else status == 404
    assert "root:" not in text
    assert "settings:" not in text


@pytest.mark.parametrize("name", ["../elsewhere/secret", "..", "../..", "/etc", "unknown", "first/../first"])
def test_a_run_that_is_none_of_the_folder_is_not_read(
    window: BrowserContext, address: str, run: Run, name: str
) -> None:
    with pytest.raises(UserError, match="expected first"):
        Runs(run.folder.parent).read(name)
    if name in ("../..", "unknown"):
        with looking(window, f"{address}?run={name}") as page:
            expect(page.locator("main")).to_contain_text(f"run '{name}': not found under", timeout=30_000)
            page.get_by_role("link", name="first").click()
            expect(page.locator("h1")).to_have_text("first", timeout=30_000)


def test_a_browser_cannot_ask_for_a_run_elsewhere_behind_the_pages_back(address: str) -> None:
    view = {"run": "../elsewhere/secret", "tab": "butterflies"}
    output = (
        "..version.data...gone.children...gone.hidden...live.children...facts.children...trained-count.children..."
        "families.options...runs.options...all-runs.children.."
    )
    outputs = [
        {"id": key.split(".")[0], "property": key.split(".")[1]} for key in output.strip(".").split("...")
    ]
    body = {
        "output": output,
        "outputs": outputs,
        "inputs": [{"id": "clock", "property": "n_intervals", "value": 1}],
        "changedPropIds": ["clock.n_intervals"],
        "state": [
            {"id": "version", "property": "data", "value": ""},
            {"id": "view", "property": "data", "value": view},
            {"id": "gone", "property": "hidden", "value": True},
        ],
    }
    dependencies = json.loads(ask(address, "/_dash-dependencies")[1])
    assert output in [each["output"] for each in dependencies]
    status, text, _ = ask(address, "/_dash-update-component", body=body)
    assert status == 200
    assert "not found under" in text
    assert "2 candidates" not in text
    view["run"] = "first"
    assert "candidate" in ask(address, "/_dash-update-component", body=body)[1]


@pytest.mark.parametrize(
    ("query", "says"),
    [
        ("candidate=x", "candidate=x: expected a candidate's number"),
        ("candidate=-1", "candidate=-1: expected a candidate's number"),
        ("macs=many", "macs=many: expected a number of MACs above zero"),
        ("zoom=1", "zoom=1: expected one of run, macs,"),
        ("candidate=99", "candidate 99: not in run 'first'; expected one from 0 to 2"),
        ("candidate=<b>7</b>", "candidate=<b>7</b>: expected a candidate's number"),
    ],
)
def test_what_an_address_asks_for_in_vain_is_said(
    window: BrowserContext, address: str, query: str, says: str
) -> None:
    with looking(window, f"{address}?{query}") as page:
        expect(page.get_by_text(says).first).to_be_visible(timeout=30_000)


def test_the_browser_itself_lets_nothing_in_or_out(address: str) -> None:
    _, text, headers = ask(address, "/?run=first")
    assert "default-src 'self'" in headers["Content-Security-Policy"]
    assert "http" not in headers["Content-Security-Policy"]
    assert headers["X-Content-Type-Options"] == "nosniff"
    assert not re.search(r"(src|href)=\"(https?:)?//", text)


def test_a_page_that_calls_this_machine_by_another_name_is_not_answered(address: str) -> None:
    assert ask(address, "/", host="evil.example")[0] == 400
    assert ask(address, "/?run=first", host="localhost:1")[0] == 200


@pytest.mark.parametrize(("query", "named"), [("", "run=first"), ("?macs=20M", "run=first&macs=20M")])
def test_an_address_without_a_run_leads_to_one_with_the_newest(address: str, query: str, named: str) -> None:
    status, _, headers = ask(address, f"/{query}")
    assert (status, headers["Location"]) == (302, f"/?{named}")


def test_a_port_in_use_is_passed_over(run: Run) -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        with dashboard("--runs", str(run.folder.parent), "--port", str(port)) as process:
            assert process.stdout is not None
            assert process.stderr is not None
            found = re.match(r"http://127\.0\.0\.1:(\d+)/", process.stdout.readline())
            assert found
            assert port < int(found[1]) < port + 20
            assert process.stderr.readline() == f"port {port} is in use; taking {found[1]}\n"
            assert ask(f"http://127.0.0.1:{found[1]}", "/?run=first")[0] == 200


def test_others_are_let_in_with_a_warning_alone(run: Run) -> None:
    with dashboard("--runs", str(run.folder.parent), "--host", "0.0.0.0", "--port", "8550") as process:
        assert process.stdout is not None
        assert process.stderr is not None
        assert process.stdout.readline().startswith("http://0.0.0.0:")
        assert "warning: whoever reaches this machine" in process.stderr.readline()


@pytest.mark.parametrize("ending", [signal.SIGINT, signal.SIGTERM])
def test_it_ends_quietly(run: Run, ending: signal.Signals) -> None:
    if signal.getsignal(signal.SIGINT) == signal.SIG_IGN:
        pytest.skip("a background shell has its children ignore Ctrl-C")
    with dashboard("--runs", str(run.folder.parent)) as process:
        assert process.stdout is not None
        process.stdout.readline()
        process.send_signal(ending)
        _, errors = process.communicate(timeout=30)
        assert (process.returncode, re.sub("port .*\n", "", errors)) == (0, "")


@pytest.mark.parametrize(
    ("arguments", "says"),
    [
        (("unknown",), "run 'unknown': not found under 'runs'; expected first"),
        (("../elsewhere/secret",), "run '../elsewhere/secret': not found under 'runs'; expected first"),
        (("--host", "example.invalid"), "--host 'example.invalid': expected an address of this machine"),
        (("--host", "192.0.2.7"), "--host '192.0.2.7'"),
        (("--port", "0"), "'0': expected a whole number of 1 or more"),
        (("--port", "70000"), "'70000': expected a port of at most 65535"),
    ],
)
def test_a_mistake_is_told_in_a_line(
    run: Run, tmp_path: Path, bft_nas: Command, arguments: tuple[str, ...], says: str
) -> None:
    (tmp_path / "runs").symlink_to(run.folder.parent)
    (tmp_path / "elsewhere").symlink_to(run.folder.parent.parent / "elsewhere")
    done = bft_nas("dashboard", *arguments, timeout=60)
    assert done.returncode == 2
    assert says in done.stderr
    assert done.stderr.count("\n") == 1


def test_looking_at_a_run_leaves_it_as_it_is(run: Run) -> None:
    def state() -> dict[str, tuple[int, int]]:
        return {
            str(path): (path.stat().st_mtime_ns, path.stat().st_size)
            for path in sorted(run.folder.rglob("*"))
            if path.is_file()
        }

    before = state()
    runs = Runs(run.folder.parent)
    assert len(runs.read("first").results) == 3
    assert state() == before


def test_a_run_is_read_anew_when_another_takes_its_name(tmp_path: Path) -> None:
    run = make_run(tmp_path, "first", candidates=3, failed=0)
    runs = Runs(tmp_path)
    assert len(runs.read("first").results) == 3
    run.folder.rename(tmp_path.parent / f"{tmp_path.name}-away")
    with pytest.raises(UserError, match="not found"):
        runs.read("first")
    time.sleep(0.01)
    make_run(tmp_path, "first", candidates=2, failed=0, seed=1)
    assert len(runs.read("first").results) == 2


def test_few_of_the_runs_that_were_looked_at_are_kept_and_none_that_is_gone(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(_runs, "MOST_OPEN", 2)
    runs = Runs(tmp_path)
    for name in ("one", "two", "three"):
        make_run(tmp_path, name, candidates=1, failed=0)
        runs.read(name)
    assert list(runs._opened) == ["two", "three"]
    shutil.rmtree(tmp_path / "three")
    runs.read("one")
    assert list(runs._opened) == ["two", "one"]


def test_an_export_that_does_not_end_lets_others_begin(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(_download, "LONGEST", 0.01)
    for _ in range(2):
        with pytest.raises(UserError, match=r"the export was not done after 0\.01 seconds"):
            _download.exported_zip(Path("runs/none"), 0)
