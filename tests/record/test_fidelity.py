"""Whether a proxy can be trusted: said of rankings, not of luck."""

from __future__ import annotations

import math
from itertools import permutations

import pytest

from bft_nas.cli.options import option_name
from bft_nas.core.errors import settings_spelled
from bft_nas.record.confirmed import kendall_tau
from bft_nas.record.fidelity import LEAST_NETWORKS, Fidelity

TRUST, SHORTLIST, NOT, UNKNOWN = (
    "can be trusted:",
    "for a shortlist only",
    "is not to be trusted",
    "is not known",
)


@pytest.mark.parametrize(
    ("networks", "tau", "said"),
    [
        (40, 0.8, TRUST),
        (40, 0.6, TRUST),
        (40, 0.59, f"{SHORTLIST} (tau below 0.6)"),
        (40, 0.3, f"{SHORTLIST} (tau below 0.6)"),
        (40, 0.29, NOT),
        (40, -0.5, NOT),
        (6, 0.6, f"{SHORTLIST} (6 networks are few)"),
        (6, 0.87, TRUST),
        (6, 0.29, f"{SHORTLIST} (6 networks are few)"),
        (6, -0.2, NOT),
        (5, 1.0, UNKNOWN),
        (40, math.nan, UNKNOWN),
    ],
)
def test_what_is_said_of_a_tau_depends_on_how_many_networks_it_is_of(
    networks: int, tau: float, said: str
) -> None:
    assert said in Fidelity(networks, tau, None, math.nan).verdict


def test_advice_names_settings_as_they_are_given() -> None:
    verdict = Fidelity(40, 0.0, None, math.nan)
    assert verdict.verdict.endswith(": search with more epochs or images")
    with settings_spelled(option_name):
        assert verdict.verdict.endswith(": search with more --epochs or --images")


def test_rankings_that_have_nothing_in_common_are_hardly_ever_trusted() -> None:
    first = range(LEAST_NETWORKS)
    taus = [kendall_tau(first, order) for order in permutations(first)]
    trusted = [TRUST in Fidelity(LEAST_NETWORKS, tau, None, math.nan).verdict for tau in taus]
    assert sum(trusted) / len(trusted) < 0.05


def test_the_line_has_the_error_of_so_many_networks_and_what_seeds_allow() -> None:
    assert Fidelity(15, 0.47, None, 0.57).summary == (
        "proxy against confirmation: Kendall's tau 0.47 ± 0.19 over 15 networks, at most 0.57 by the spread of the "
        "seeds"
    )
