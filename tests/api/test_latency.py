"""What `bft_nas.measure_latency` takes."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

import bft_nas
from bft_nas.core.errors import UserError


def test_folders_are_texts_or_paths(tmp_path: Path) -> None:
    for place in (str(tmp_path), tmp_path):
        with pytest.raises(UserError, match=r"^'nobody': no run, trained network, export or file"):
            bft_nas.measure_latency("nobody", runs=place, trained=place)


def test_one_runtime_and_one_number_of_threads_are_several_of_one(monkeypatch: pytest.MonkeyPatch) -> None:
    measured: list[tuple[Any, ...]] = []

    def measure(*given: Any, **options: Any) -> list[Any]:
        measured.append(given[:3])
        return []

    monkeypatch.setattr("bft_nas.latency.measure.measure", measure)
    bft_nas.measure_latency(runtimes="pytorch", threads=2)
    bft_nas.measure_latency(runtimes=["pytorch"], threads=[2])
    assert measured == [([], ("pytorch",), (2,))] * 2
