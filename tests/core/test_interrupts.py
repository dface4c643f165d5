"""What Ctrl-C and SIGTERM mean: the first ends a command in good order, a second one at once."""

from __future__ import annotations

import importlib
import os
import signal
import sys
import threading
from collections.abc import Iterator
from pathlib import Path

import pytest

from bft_nas.cli.ending import to_the_end
from bft_nas.cli.tables import make_console
from bft_nas.core.interrupts import Interrupt, exit_code, listen
from bft_nas.record import Run
from bft_nas.searching.loop import Clock
from tests.conftest import tiny_prepared, tiny_run

BOTH = (signal.SIGINT, signal.SIGTERM)


@pytest.fixture(autouse=True)
def as_before() -> Iterator[None]:
    """The tests' own handlers afterwards; and Ctrl-C heard even where a shell began them in the background."""
    before = {number: signal.getsignal(number) for number in BOTH}
    signal.signal(signal.SIGINT, signal.default_int_handler)
    yield
    for number, handler in before.items():
        signal.signal(number, handler)


@pytest.fixture
def run(tmp_path: Path) -> Run:
    return tiny_run(tmp_path, tiny_prepared(epochs=1, trials=1))


@pytest.mark.parametrize("number", BOTH)
def test_the_first_is_in_good_order_and_the_second_at_once(number: signal.Signals) -> None:
    listen()
    for at_once in (False, True, True):
        with pytest.raises(Interrupt) as raised:
            signal.raise_signal(number)
        assert raised.value.at_once is at_once
        assert exit_code(raised.value) == 128 + number


@pytest.mark.parametrize("number", BOTH)
def test_it_waits_for_an_import_to_end(
    number: signal.Signals, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """pandas that was left in the middle of its import, and is imported again for the report, ends by a SIGSEGV."""
    (tmp_path / "interrupted_module.py").write_text(
        f"import signal\nsignal.raise_signal({int(number)})\ndone = True\n", encoding="utf-8"
    )
    monkeypatch.syspath_prepend(tmp_path)
    monkeypatch.delitem(sys.modules, "interrupted_module", raising=False)
    listen()
    readable, writable = os.pipe()
    too_late = threading.Timer(20, os.write, (writable, b"."))
    too_late.start()

    def work() -> None:
        importlib.import_module("interrupted_module")
        os.read(readable, 1)

    with pytest.raises(Interrupt) as raised:
        work()
    assert too_late.is_alive()
    too_late.cancel()
    too_late.join()
    os.close(readable)
    os.close(writable)
    assert sys.modules["interrupted_module"].done
    assert exit_code(raised.value) == 128 + number


def test_what_imported_the_program_does_not_count(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "importing_program.py").write_text(
        "import signal\nfrom bft_nas.core.interrupts import listen\nlisten()\nsignal.raise_signal(signal.SIGTERM)\n",
        encoding="utf-8",
    )
    monkeypatch.syspath_prepend(tmp_path)
    with pytest.raises(Interrupt):
        importlib.import_module("importing_program")


def test_an_ignored_ctrl_c_stays_ignored() -> None:
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    listen()
    signal.raise_signal(signal.SIGINT)


@pytest.mark.parametrize("number", BOTH)
def test_after_the_first_the_report_is_written(number: signal.Signals, run: Run) -> None:
    code = to_the_end(make_console(), run, Clock(), lambda: signal.raise_signal(number), "search --resume")
    assert code == 128 + number
    assert (run.folder / "report.html").exists()


@pytest.mark.parametrize("number", BOTH)
def test_a_second_one_does_not_wait_for_what_the_first_one_ends(number: signal.Signals, run: Run) -> None:
    def train() -> None:
        try:
            signal.raise_signal(number)
        finally:
            # Somebody loses patience while workers are being ended.
            signal.raise_signal(number)

    with pytest.raises(Interrupt):
        to_the_end(make_console(), run, Clock(), train, "search --resume")
    assert not (run.folder / "report.html").exists()
