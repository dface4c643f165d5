"""What is kept of latencies, and that no table has those of two setups."""

from __future__ import annotations

import json
import tempfile
from dataclasses import replace
from pathlib import Path

import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from bft_nas.core.errors import UserError
from bft_nas.record.card import card_of, facts_of_trained
from bft_nas.record.columns import LATENCY_COLUMNS, LATER, column_named, columns_for
from bft_nas.record.latency import (
    LATENCY_FILE,
    QUIET,
    Latency,
    Setup,
    add_latencies,
    measured_on,
    read_latencies,
    setups_of,
    with_latency,
)
from tests.dashboard.made_up_training import end, make_training

SETUP = Setup("onnxruntime", "1.32.0", 1, "float32", "AMD EPYC", 2)
SETUPS = st.builds(
    Setup,
    st.sampled_from(["onnxruntime", "pytorch"]),
    st.sampled_from(["1.0", "2.0"]),
    st.integers(1, 2),
    st.just("float32"),
    st.sampled_from(["AMD EPYC", "Cortex-A55"]),
    st.just(2),
)
LATENCIES = st.builds(
    Latency,
    st.text(),
    st.sampled_from(["a", "b", "c"]),
    SETUPS,
    st.floats(1e-6, 1),
    st.floats(1e-6, 1),
    st.integers(1, 2000),
    st.none() | st.integers(0, 10**9),
    st.just("2026-11-29T12:00:00+00:00"),
    st.just(1.0),
)


@settings(max_examples=20, deadline=None)
@given(first=st.lists(LATENCIES), later=st.lists(LATENCIES))
def test_what_is_kept_is_read_again_and_the_latest_of_a_network_and_setup_stands(
    first: list[Latency], later: list[Latency]
) -> None:
    with tempfile.TemporaryDirectory() as folder:
        add_latencies(Path(folder), first)
        add_latencies(Path(folder), later)
        kept = read_latencies(Path(folder))
    latest = {(each.hash, each.setup): each for each in (*first, *later)}
    assert {(each.hash, each.setup): each for each in kept} == latest
    assert len(kept) == len(latest)


@settings(max_examples=40, deadline=None)
@given(latencies=st.lists(LATENCIES, max_size=8))
def test_a_table_has_the_latencies_of_one_setup(latencies: list[Latency]) -> None:
    kept = list({(each.hash, each.setup): each for each in latencies}.values())
    frame = pd.DataFrame({"hash": ["a", "b", "c", "d"]})
    assert with_latency(frame, []) is frame
    for key in ("", *(setup.key for setup in setups_of(kept))):
        found = with_latency(frame, kept, key)
        setup = next((each for each in setups_of(kept) if each.key == key), next(iter(setups_of(kept)), None))
        expected = {each.hash: each.p50 for each in kept if each.setup == setup}
        if setup is not None:
            assert found.set_index("hash")["latency"].dropna().to_dict() == expected
            assert {text for text in found["latency_on"] if text} == {setup.text}
            assert measured_on(found) == setup.text
    counts = [sum(each.setup == setup for each in kept) for setup in setups_of(kept)]
    assert counts == sorted(counts, reverse=True)


def test_setups_that_differ_in_anything_have_other_keys_and_other_texts() -> None:
    changes = {"runtime": "c", "version": "2", "threads": 2, "precision": "int8", "cpu": "M4", "cores": 8}
    others = [replace(SETUP, **{name: value}) for name, value in changes.items()]  # type: ignore[arg-type]
    assert len({each.key for each in (SETUP, *others)}) == len({each.text for each in (SETUP, *others)}) == 7
    assert SETUP.text == "onnxruntime 1.32.0, 1 thread, float32, AMD EPYC, 2 cores"


@given(share=st.floats(0, 1))
def test_what_was_measured_beside_other_work_says_so_wherever_it_stands(share: float) -> None:
    latency = Latency("shoes", "a", SETUP, 0.005, 0.006, 64, None, "2026-11-29", share)
    on = measured_on(with_latency(pd.DataFrame({"hash": ["a"]}), [latency]))
    assert on.startswith(SETUP.text)
    for text in (on, latency.text):
        assert ("measured beside other work" in text) == (share < QUIET)


@pytest.mark.parametrize("text", ["torn", "{}x", '[{"network": "a"}]', "[1]", '{"a": 1}'])
def test_a_file_that_is_none_is_named(tmp_path: Path, text: str) -> None:
    (tmp_path / LATENCY_FILE).write_text(text)
    with pytest.raises(UserError, match=f"{LATENCY_FILE}: expected latencies"):
        read_latencies(tmp_path)


def test_columns_of_latencies_are_there_as_soon_as_anything_was_measured() -> None:
    names = {column.name for column in LATENCY_COLUMNS}
    assert names <= set(LATER)
    assert "latency" in [column.name for column in columns_for("summary", ["macs", "latency"])]
    assert "latency" not in [column.name for column in columns_for("summary", ["macs"])]
    assert column_named("latency").text(0.00512) == "5.12 ms"


def test_the_card_of_a_trained_network_says_its_latencies(tmp_path: Path) -> None:
    trained = make_training(tmp_path, "shoes")
    end(trained)
    assert "latency" not in dict(facts_of_trained(trained))
    latency = Latency("shoes", trained.architecture.hash, SETUP, 0.0051, 0.0062, 64, 10**6, "2026-11-29")
    trained.record_latencies([latency, replace(latency, setup=replace(SETUP, threads=2), p50=0.003)])
    card = card_of(trained)
    assert (
        "| latency | 5.10 ms (90 % within 6.20 ms) in onnxruntime 1.32.0, 1 thread, float32, AMD EPYC" in card
    )
    assert card.count("| latency |") == 2
    assert json.loads((trained.folder / LATENCY_FILE).read_text())[0]["setup"]["cpu"] == "AMD EPYC"


def test_latencies_of_versions_that_did_not_look_for_other_work_are_read(tmp_path: Path) -> None:
    latency = Latency("shoes", "a", SETUP, 0.005, 0.006, 64, None, "2026-11-29")
    add_latencies(tmp_path, [latency])
    path = tmp_path / LATENCY_FILE
    rows = json.loads(path.read_text())
    path.write_text(json.dumps([{k: v for k, v in row.items() if k != "share"} for row in rows]))
    assert read_latencies(tmp_path) == (latency,)
