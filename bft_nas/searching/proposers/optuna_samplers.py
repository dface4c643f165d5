"""Optuna's samplers as proposers, on a study in memory that is built from the history."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Any

from bft_nas.record import Entry, History
from bft_nas.searching.proposers import Fits, NothingFits, anything_fits
from bft_nas.space.space import Proposal, SearchSpace

if TYPE_CHECKING:
    import optuna
    from optuna.samplers import BaseSampler


ASKED = 40
"""How often a sampler is asked for a network that fits."""
SEEDS_APART = 1_000_003
"""Of the seeds of these, in no relation to those of proposals."""


def random(seed: int) -> BaseSampler:
    """Uniform choices."""
    from optuna.samplers import RandomSampler

    return RandomSampler(seed=seed)


def nsga2(seed: int) -> BaseSampler:
    """The genetic algorithm NSGA-II (Deb et al. 2002), with Optuna's mutation and crossover."""
    from optuna.samplers import NSGAIISampler

    return NSGAIISampler(seed=seed, population_size=20)


def tpe(seed: int) -> BaseSampler:
    """Multivariate tree-structured Parzen estimators for several objectives (Ozaki et al. 2022)."""
    import warnings

    import optuna

    with warnings.catch_warnings():
        warnings.simplefilter("ignore", optuna.exceptions.ExperimentalWarning)
        # Choices depend on the family and the fusion: grouped, each part is modelled over the trials that have it.
        return optuna.samplers.TPESampler(seed=seed, multivariate=True, group=True)


class OptunaProposer:
    """Asks a sampler of Optuna's, which learns from a study in memory.

    Candidates that were stopped early are complete there, with the accuracy of their rung: in the record they are
    running, as they may be promoted, and would teach nothing.

    Args:
        make: a sampler for a seed.
        learns: whether the sampler reads the study at all.
    """

    def __init__(self, make: Callable[[int], BaseSampler], *, learns: bool = True) -> None:
        self._make = make
        self._learns = learns
        self._study: optuna.Study | None = None
        self._seen = 0
        """How many of the history's changes the study has."""
        self._known: list[tuple[Any, ...]] = []
        """State and values of each of its trials."""
        self._asked: set[int] = set()
        """Its trials that were asked for here, and may get another number in the record, or none."""

    def __call__(
        self,
        space: SearchSpace,
        budgets: Sequence[int],
        history: History,
        seed: int,
        fits: Fits = anything_fits,
    ) -> Proposal:
        """See `bft_nas.searching.proposers.Proposer`."""
        for attempt in range(ASKED):
            proposal = self._ask(space, budgets, history, seed + attempt * SEEDS_APART)
            if fits(proposal.architecture):
                return proposal
            # It is in the study, where the record will have none like it.
            self._study = None
        raise NothingFits

    def _ask(self, space: SearchSpace, budgets: Sequence[int], history: History, seed: int) -> Proposal:
        if self._study is None or not self._learns or not self._follow(history):
            self._study = self._new_study()
            if self._learns:
                self._follow(history)
        self._study.sampler = self._make(seed)
        trial = self._study.ask()
        try:
            return space.propose_for(
                lambda name, values: trial.suggest_categorical(name, list(values)), budgets
            )
        finally:
            if self._learns:
                # It stands in the study under a number that the record will give to this proposal.
                self._asked.add(len(self._known))
                self._known.append(_outcome(None))

    @property
    def study(self) -> optuna.Study:
        """What the sampler learns from; empty before it is first asked."""
        if self._study is None:
            self._study = self._new_study()
        return self._study

    def _new_study(self) -> optuna.Study:
        import optuna

        optuna.logging.set_verbosity(optuna.logging.WARNING)
        self._seen, self._known, self._asked = 0, [], set()
        return optuna.create_study(directions=["maximize", "minimize"])

    def _follow(self, history: History) -> bool:
        """Bring the study up to the history; False where it has trials that the record knows otherwise."""
        assert self._study is not None
        if len(self._known) > len(history.entries):
            return False
        for number in history.changes[self._seen :]:
            entry = history.entries[number]
            now = _outcome(entry)
            if number == len(self._known):
                self._study.add_trial(_trial(entry))
                self._known.append(now)
                continue
            trial = self._study.get_trials(deepcopy=False)[number]
            if number in self._asked and trial.params != entry.choices:
                return False
            self._asked.discard(number)
            if self._known[number] == now:
                continue
            if trial.state.is_finished():
                return False
            self._study._storage.set_trial_state_values(trial._trial_id, *now)
            self._known[number] = now
        self._seen = len(history.changes)
        return True


def _outcome(entry: Entry | None) -> tuple[Any, ...]:
    """The state and the values that a study in memory has of an entry; of none, those of a trial that runs."""
    from optuna.trial import TrialState

    if entry is None:
        return TrialState.RUNNING, None
    if entry.accuracy is not None:
        return TrialState.COMPLETE, (entry.accuracy, float(entry.macs))
    if entry.state == "repeated" and entry.trial.values:
        return TrialState.COMPLETE, tuple(entry.trial.values)
    running = entry.state in ("running", "proposed") and not entry.trial.state.is_finished()
    return (TrialState.RUNNING if running else TrialState.FAIL), None


def _trial(entry: Entry) -> optuna.trial.FrozenTrial:
    from optuna.trial import create_trial

    state, values = _outcome(entry)
    return create_trial(
        state=state, values=values, params=dict(entry.choices), distributions=dict(entry.trial.distributions)
    )
