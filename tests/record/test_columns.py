"""The table of columns: what files and views are made of."""

from __future__ import annotations

import math
import shutil
from pathlib import Path
from typing import get_args

import pandas as pd
import pytest

from bft_nas.core.errors import UserError
from bft_nas.network import cost, reference
from bft_nas.record import COLUMNS, REFERENCE_COLUMNS, REFERENCE_NAMES, RESULT_NAMES, Run, facts_of
from bft_nas.record.columns import View, column_named, columns_in
from bft_nas.record.pareto import OBJECTIVES
from tests.conftest import FORMER

# Of results.csv as every version has written it: other programs read it by these names, in this order.
NAMES = [
    "number", "state", "family", "resolution", "budget", "macs", "params", "peak_memory", "butterfly_share", "fusions",
    "accuracy", "epochs", "seconds", "reason", "hash",
]  # fmt: skip


@pytest.fixture
def example(tmp_path: Path) -> Run:
    return Run(Path(shutil.copytree(FORMER, tmp_path / "example")))


def test_the_files_have_the_columns_of_before() -> None:
    assert list(RESULT_NAMES) == NAMES
    assert list(REFERENCE_NAMES) == ["name", "width", *NAMES[1:]]
    header = (FORMER / "results.csv").read_text(encoding="utf-8").splitlines()[0]
    assert header.split(",") == [*NAMES, "name", "width"]


def test_the_facts_of_a_network_are_columns_in_their_order() -> None:
    network = reference("mobilenet_v1_bft")
    facts = facts_of(network, budget=10**9)
    assert list(facts) == [name for name in NAMES if name in facts]
    assert (facts["budget"], facts["macs"], facts["hash"]) == (10**9, cost(network).macs, network.hash)


def test_the_direction_of_a_column_decides_what_the_search_makes_large() -> None:
    assert [(each.column, each.maximised) for each in OBJECTIVES] == [("macs", False), ("accuracy", True)]


@pytest.mark.parametrize("view", get_args(View))
def test_a_view_begins_with_what_names_a_row_and_then_what_is_best_high(view: View) -> None:
    columns = columns_in(view, REFERENCE_COLUMNS if view == "references" else COLUMNS)
    first, *others = columns
    assert columns
    directions = [column.direction for column in (columns if first.direction != "none" else others)]
    assert directions == sorted(directions, key=["up", "down", "none"].index)


def test_a_value_that_there_is_not_is_empty_and_a_failure_says_so() -> None:
    for column in COLUMNS:
        assert column.text(None) == column.text(math.nan) == column.exact(None) == column.cell({}) == ""
    assert column_named("accuracy").cell({"accuracy": math.nan, "state": "failed"}) == "failed"


def test_a_time_says_what_it_is_of_and_in_which_unit() -> None:
    seconds = column_named("seconds")
    assert (seconds.heading, seconds.text(2.84)) == ("trained in", "2.8 s")


def test_a_shortened_number_has_all_its_digits_when_pointed_at() -> None:
    macs = column_named("macs")
    assert (macs.text(48_765_432), macs.exact(48_765_432)) == ("48.7M", "48,765,432 MACs")
    assert column_named("epochs").exact(12_000) == ""


def test_references_of_a_version_without_a_column_are_read(example: Run) -> None:
    path = example.folder / "references.csv"
    frame = pd.read_csv(path)
    frame.drop(columns="peak_memory").to_csv(path, index=False)
    references = example.references()
    assert tuple(references.columns) == REFERENCE_NAMES
    assert references["peak_memory"].isna().all()
    assert references["macs"].tolist() == frame["macs"].tolist()
    frame.drop(columns="accuracy").to_csv(path, index=False)
    with pytest.raises(UserError, match=r"references\.csv: expected the references of the run \(.*accuracy"):
        example.references()


def test_a_choice_that_many_trials_had_is_parsed_once(example: Run) -> None:
    trials = example.ledger.study.get_trials(deepcopy=False)
    parsed = {id(trial.distributions["family"]) for trial in trials}
    assert len(trials) > 20
    assert len(parsed) == 1
