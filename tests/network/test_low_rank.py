"""Low-rank fusions: what their plan promises, of any widths, and that the module is that plan."""

from __future__ import annotations

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from bft_nas.network import low_rank_fusion
from bft_nas.network.low_rank import low_rank_plan
from bft_nas.network.modules.layers import LowRankGrouped, pointwise
from bft_nas.network.widths import width_grid

WIDTHS = st.integers(1, 200)
NARROWINGS = st.integers(1, 12)


@given(WIDTHS, WIDTHS, NARROWINGS)
def test_a_plan_divides_its_widths_and_narrows_no_further_than_asked(n_in: int, n_out: int, by: int) -> None:
    plan = low_rank_plan(n_in, n_out, by)
    assert n_in % plan.first == 0
    assert n_out % plan.second == 0
    assert plan.rank * by >= min(n_in, n_out)
    # A dense layer is the plan of one group that narrows nothing.
    assert plan.weights <= n_in * n_out + n_out


@given(st.sampled_from(width_grid()[:40]), st.sampled_from(width_grid()[:40]), st.sampled_from((1, 2, 4)))
def test_what_narrows_further_costs_less(n_in: int, n_out: int, by: int) -> None:
    assert low_rank_plan(n_in, n_out, 2 * by).weights <= low_rank_plan(n_in, n_out, by).weights


@pytest.mark.parametrize(("n_in", "n_out", "by"), [(24, 24, 1), (24, 48, 2), (96, 24, 4), (36, 40, 3)])
def test_every_output_has_every_input_through_one_channel_in_the_middle(
    n_in: int, n_out: int, by: int
) -> None:
    plan = low_rank_plan(n_in, n_out, by)
    fuse = pointwise(n_in, n_out, low_rank_fusion(by))
    assert isinstance(fuse, LowRankGrouped)
    assert sum(weight.numel() for weight in fuse.parameters()) == plan.weights
    with torch.no_grad():
        for weight in fuse.parameters():
            weight.fill_(1.0)
        paths = fuse(torch.eye(n_in).view(n_in, n_in, 1, 1)).view(n_in, n_out)
        assert torch.equal(paths, torch.ones(n_in, n_out))
        middle = fuse.narrow(torch.eye(n_in).view(n_in, n_in, 1, 1)).view(n_in, -1)
    assert middle.shape[1] == plan.rank


def test_at_full_rank_it_costs_what_a_butterfly_of_two_stages_does_without_its_residual() -> None:
    plan = low_rank_plan(96, 96, 1)
    assert {plan.first, plan.second} == {8, 12}
    assert plan.weights == 96 * (8 + 12)


@pytest.mark.parametrize("counts", [(0, 8, 1), (8, 0, 1), (8, 8, 0)])
def test_counts_below_one_are_refused(counts: tuple[int, int, int]) -> None:
    with pytest.raises(ValueError, match="counts of 1 or more"):
        low_rank_plan(*counts)
