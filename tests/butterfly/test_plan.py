"""How a transform is cut into stages, and what it costs."""

from math import prod

import pytest
from hypothesis import given
from hypothesis import strategies as st

from bft_nas.butterfly import ButterflyPlan, factorize
from bft_nas.butterfly.plan import root_radix

channels = st.integers(1, 4000)
radices = st.integers(2, 64)


def is_prime(n: int) -> bool:
    return n > 1 and all(n % d for d in range(2, int(n**0.5) + 1))


@given(channels, radices)
def test_the_factors_multiply_to_n_and_none_exceeds_the_radix_unless_it_is_prime(n: int, radix: int) -> None:
    factors = factorize(n, radix)
    assert prod(factors) == n
    assert n == 1 or all(2 <= f <= radix or is_prime(f) for f in factors)
    assert list(factors) == sorted(factors, reverse=True)


@given(st.integers(1, 6), st.sampled_from([2, 4, 8, 16]))
def test_a_power_of_the_radix_is_cut_evenly(stages: int, radix: int) -> None:
    assert factorize(radix**stages, radix) == (radix,) * stages


@given(st.integers(2, 600), st.integers(2, 20))
def test_no_cut_has_fewer_stages_or_as_many_with_a_smaller_sum(n: int, radix: int) -> None:
    def cuts(rest: int, largest: int) -> list[tuple[int, ...]]:
        if rest == 1:
            return [()]
        return [
            (f, *others)
            for f in range(2, min(rest, largest) + 1)
            if rest % f == 0 and (f <= radix or is_prime(f))
            for others in cuts(rest // f, f)
        ]

    best = min((len(cut), sum(cut)) for cut in cuts(n, n))
    factors = factorize(n, radix)
    assert (len(factors), sum(factors)) == best


def test_radix_2_and_4_cost_the_same_where_both_divide_evenly() -> None:
    assert ButterflyPlan(256, 256, 2).weights == ButterflyPlan(256, 256, 4).weights == 256 * 16


@given(channels, channels, radices)
def test_macs_are_those_of_square_transforms_and_their_residuals(n_in: int, n_out: int, radix: int) -> None:
    plan = ButterflyPlan(n_in, n_out, radix)
    square = min(n_in, n_out)
    copies = -(-max(n_in, n_out) // square)
    assert plan.macs == copies * (square * sum(factorize(square, radix)) + square)
    assert plan.weights == plan.macs - plan.residual_macs


@given(channels, channels, radices)
def test_the_input_is_cut_into_the_fewest_parts_that_hold_it(n_in: int, n_out: int, radix: int) -> None:
    plan = ButterflyPlan(n_in, n_out, radix)
    assert (plan.chunks - 1) * plan.size < n_in <= plan.chunks * plan.size
    assert plan.chunks == (plan.copies if n_in > n_out else 1)


@pytest.mark.parametrize(("n", "radix"), [(0, 4), (-3, 4), (8, 1), (8, 0)])
def test_sizes_without_a_transform_are_refused(n: int, radix: int) -> None:
    with pytest.raises(ValueError, match="butterfly"):
        factorize(n, radix)


@given(st.integers(1, 3000))
def test_the_root_radix_is_the_least_that_cuts_into_two_stages(n: int) -> None:
    radix = root_radix(n)
    factors = factorize(n, radix)
    assert len(factors) <= 2
    if radix > 2 and len(factors) == 2:
        assert len(factorize(n, radix - 1)) > 2 or max(factorize(n, radix - 1)) >= radix
