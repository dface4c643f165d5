"""Who won, and over whom: the winner of each budget beside everything that was confirmed with it, in numbers and words.

What says that one network is better than another is said here, with an interval or the word unconfirmed.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from bft_nas.core.units import format_macs, format_percent
from bft_nas.record.columns import column_named, is_missing
from bft_nas.record.confirmations import (
    ConfirmedNetwork,
    LeftNetwork,
    confirmed_networks,
    left_networks,
    samples_of,
)
from bft_nas.record.confirmed import Difference, compare, kendall_tau, pooled_spread, standard_error
from bft_nas.record.pareto import complete, front, front_in, winners

if TYPE_CHECKING:
    import pandas as pd

    from bft_nas.record.run import Run

UNCONFIRMED = "unconfirmed"


@dataclass(frozen=True)
class Standing:
    """A confirmed network beside the winner of its budget."""

    network: ConfirmedNetwork
    accuracy: float | None
    """Under the proxy protocol; None where it was not trained under it."""
    error: float | None
    """Standard error of the confirmed mean; None where no network has several seeds."""
    lead: Difference | None
    """How much more accurate the winner is; None for the winner."""

    @property
    def confirmed(self) -> str:
        """The mean with its error."""
        return confirmed_text(self.network.mean, self.error)


@dataclass(frozen=True)
class Left:
    """A candidate that was left at the rung, beside the winner of a budget."""

    network: LeftNetwork
    accuracy: float | None
    """Under the proxy protocol."""
    winner: float | None
    """The winner's accuracy at the rung; None where there was none for it."""


@dataclass(frozen=True)
class Verdict:
    """What the confirmation says within one budget."""

    budget: int
    winner: Standing
    others: tuple[Standing, ...]
    """Candidates within the budget and references made for it, the most accurate first."""
    left: tuple[Left, ...] = ()
    """Candidates within it that went no further than the rung, the most accurate there first."""

    @property
    def everyone(self) -> tuple[Standing, ...]:
        """The winner first."""
        return (self.winner, *self.others)

    @property
    def rivals(self) -> tuple[Standing, ...]:
        """Whom the winner has to beat: the best candidate without butterflies and the best reference."""
        dense = [s for s in self.others if s.network.number is not None and s.network.dense]
        if self.winner.network.dense:
            dense = []
        references = [s for s in self.others if s.network.number is None]
        return (*references[:1], *dense[:1])


def verdicts_of(run: Run) -> tuple[Verdict, ...]:
    """One for each budget of a run within which a candidate was confirmed."""
    tables = run.results(), run.references(), run.confirmations()
    return verdicts(*tables, run.settings.budgets, run.protocol.validation_images)


def verdicts(
    results: pd.DataFrame,
    references: pd.DataFrame,
    confirmations: pd.DataFrame,
    budgets: Sequence[int],
    images: int,
) -> tuple[Verdict, ...]:
    """See `verdicts_of`; the tables are those of a `Run`, and accuracies were measured on so many images."""
    networks = confirmed_networks(confirmations)
    left = left_networks(confirmations)
    compared = compare({network.key: network.sample for network in networks}, images)
    spread = pooled_spread(network.sample for network in networks)
    proxy = proxy_accuracies(results, references)

    def standing(network: ConfirmedNetwork, winner: ConfirmedNetwork | None = None) -> Standing:
        return Standing(
            network,
            proxy.get(network.key),
            standard_error(network.sample, spread),
            None if winner is None else compared.difference(winner.key, network.key),
        )

    found = []
    for row in winners(results, budgets).to_dict("records"):
        budget = int(row["for_budget"])
        won = [network for network in networks if network.number == row["number"]]
        if not won or is_missing(row.get("confirmed")):
            continue
        others = [
            network
            for network in networks
            if network is not won[0]
            and (network.macs <= budget if network.number is not None else network.budget == budget)
        ]
        ranked = sorted(others, key=lambda network: -network.mean)
        found.append(
            Verdict(
                budget,
                standing(won[0]),
                tuple(standing(each, won[0]) for each in ranked),
                tuple(
                    Left(each, proxy.get(each.number), won[0].rung) for each in left if each.macs <= budget
                ),
            )
        )
    return tuple(found)


def proxy_accuracies(results: pd.DataFrame, references: pd.DataFrame) -> dict[Any, float]:
    """The accuracies under the proxy protocol, by `ConfirmedNetwork.key`."""
    candidates = complete(results).to_dict("records")
    trained = complete(references).to_dict("records")
    return {
        **{int(row["number"]): float(row["accuracy"]) for row in candidates},
        **{(row["name"], int(row["budget"])): float(row["accuracy"]) for row in trained},
    }


def tau_of(results: pd.DataFrame, references: pd.DataFrame, confirmations: pd.DataFrame) -> tuple[float, int]:
    """Kendall's tau between proxy and confirmation, and over how many networks; see `samples_of`."""
    proxy = proxy_accuracies(results, references)
    means = compare(samples_of(confirmations)).means
    both = [(proxy[key], mean) for key, mean in means.items() if key in proxy]
    return kendall_tau(*zip(*both, strict=True)) if len(both) > 1 else float("nan"), len(both)


# In words


def confirmed_text(mean: float, error: float | None) -> str:
    """A confirmed accuracy.

    >>> confirmed_text(0.6932, 0.0031), confirmed_text(0.6932, None)
    ('69.32% ± 0.31', '69.32%')
    """
    return format_percent(mean) if error is None else f"{format_percent(mean)} ± {100 * error:.2f}"


def lead_text(lead: Difference | None) -> str:
    """How much more accurate the winner is than another network, and whether they can be told apart.

    >>> lead_text(Difference(0.029, 0.011))
    '+2.9 points (95 %: +1.8 to +4.0)'
    >>> lead_text(Difference(0.003, 0.011))
    'not to be told apart: +0.3 points (95 %: -0.8 to +1.4)'
    >>> lead_text(Difference(0.029, None))
    '+2.9 points, unconfirmed'
    """
    if lead is None:
        return ""
    points = f"{100 * lead.mean:+.1f} points"
    if lead.margin is None:
        return f"{points}, {UNCONFIRMED}"
    interval = f"{points} (95 %: {100 * lead.low:+.1f} to {100 * lead.high:+.1f})"
    return interval if lead.told_apart else f"not to be told apart: {interval}"


def left_text(left: Left) -> str:
    """Where a network was left, and how far the winner was then.

    >>> left_text(Left(LeftNetwork(7, 10**7, "d d", 1, 0.52, 1), 0.4, 0.5613))
    'left after epoch 1 at 52.00%, where the winner had 56.13%, unconfirmed'
    """
    ahead = (
        "" if left.winner is None else f", where the winner had {format_percent(left.winner)}, {UNCONFIRMED}"
    )
    return f"left after epoch {left.network.epochs} at {format_percent(left.network.accuracy)}{ahead}"


VERDICT_HEADINGS = ("network", "confirmed", "seeds", "proxy", "MACs", "fusions", "the winner's lead")


def verdict_rows(verdict: Verdict) -> list[tuple[str, ...]]:
    """A row of texts for `VERDICT_HEADINGS` each, the winner first, those that were left at the rung last."""

    def row(each: Standing | Left, confirmed: str, seeds: str, lead: str) -> tuple[str, ...]:
        network = each.network
        brief = "" if each.accuracy is None else format_percent(each.accuracy)
        return network.label, confirmed, seeds, brief, format_macs(network.macs), network.fusions, lead

    return [
        *(
            row(each, each.confirmed, str(len(each.network.sample)), lead_text(each.lead) or "winner")
            for each in verdict.everyone
        ),
        *(row(each, "", "", left_text(each)) for each in verdict.left),
    ]


def winner_text(row: dict[Any, Any]) -> str:
    """The winner of a budget in a sentence's words, from its row of `bft_nas.record.pareto.winners`."""
    return f"within {format_macs(int(row['for_budget']))}: candidate {row['number']}, {outcome_text(row)}"


def outcome_text(row: dict[Any, Any]) -> str:
    """The accuracy of a winner, and whether it was confirmed."""
    at = f"at {format_macs(int(row['macs']))} MACs"
    confirmed = column_named("confirmed").cell(row)
    if not confirmed:
        return f"{format_percent(row['accuracy'])} {at} ({UNCONFIRMED}: by its brief proxy training)"
    if is_missing(row.get("confirmed_error")):
        return f"{confirmed} {at} ({UNCONFIRMED}: by one seed of its confirmation)"
    return f"{confirmed} confirmed, {at}"


def rival_texts(verdict: Verdict) -> list[str]:
    """How the winner stands to those it has to beat, a sentence's words for each."""
    return [
        f"{verdict.winner.network.label} over "
        f"{'reference ' if each.network.number is None else ''}{each.network.label}"
        f"{'' if each.network.number is None else ', the best without butterflies'}: {lead_text(each.lead)}"
        for each in verdict.rivals
    ]


def candidate_texts(found: Sequence[Verdict], number: int) -> list[str]:
    """How a candidate stands in each budget: over its rivals where it won, and how far behind the winner otherwise."""
    texts = []
    for verdict in found:
        where = f"within {format_macs(verdict.budget)}"
        if verdict.winner.network.number == number:
            texts += [f"{where}, {text}" for text in rival_texts(verdict)]
        for each in verdict.others:
            if each.network.number == number:
                texts.append(
                    f"{where}, {verdict.winner.network.label} over {each.network.label}: {lead_text(each.lead)}"
                )
        texts += [f"{where}, {left_text(left)}" for left in verdict.left if left.network.number == number]
    return texts


def standing_texts(
    results: pd.DataFrame,
    budgets: Sequence[int],
    found: Sequence[Verdict],
    *,
    rows: pd.DataFrame | None = None,
) -> dict[int, str]:
    """How each candidate came out, in words: what it won, whether it is on the front, and how far it is from a winner.

    Of one that was stopped early or failed it is the reason. Told are these ``rows`` of the results, by default all.
    """
    won: dict[int, list[str]] = {}
    for row in winners(results, budgets).to_dict("records"):
        won.setdefault(int(row["number"]), []).append(format_macs(int(row["for_budget"])))
    on_front, timed = {int(row["number"]) for row in front(results).to_dict("records")}, front_in(results)

    def standing(row: dict[Any, Any]) -> str:
        number = int(row["number"])
        if number in won:
            unconfirmed = f" ({UNCONFIRMED})" if is_missing(row.get("confirmed_error")) else ""
            return f"winner within {' and '.join(won[number])}{unconfirmed}"
        return f"{'on' if number in on_front else 'behind'} the front {timed}".strip()

    return {
        int(row["number"]): "; ".join([standing(row), *candidate_texts(found, int(row["number"]))])
        if row["state"] == "complete"
        else str(row["reason"])
        for row in (results if rows is None else rows).to_dict("records")
    }
