"""The proposals of the surrogate as a sampler of Optuna's, for studies of one's own."""

from __future__ import annotations

import random
from collections.abc import Mapping, Sequence
from typing import Any

from optuna import Study
from optuna.distributions import BaseDistribution
from optuna.samplers import BaseSampler
from optuna.trial import FrozenTrial, TrialState

from bft_nas.network import cost
from bft_nas.searching.proposers.regression import Observed, Point
from bft_nas.searching.proposers.surrogate import proposed
from bft_nas.space.space import Proposal, SearchSpace


class SurrogateSampler(BaseSampler):
    """Chooses for trials that ask `bft_nas.space.SearchSpace.propose_for`; see `surrogate.proposed`.

    The first value that is told of a trial is its accuracy. Values that a trial reports on the way teach too, by epoch,
    those of pruned trials included.

    Args:
        space: what the trials propose from.
        budgets: in MACs, as the trials have them.
        seed: the same one, and the same study, give the same choices.

    >>> import optuna
    >>> space = SearchSpace.load("mobile")
    >>> def objective(trial: optuna.Trial) -> float:
    ...     proposal = space.propose_for(trial.suggest_categorical, [15_000_000])
    ...     return 1 - 1 / proposal.architecture.resolution  # a training, in earnest
    >>> optuna.logging.set_verbosity(optuna.logging.WARNING)
    >>> study = optuna.create_study(direction="maximize", sampler=SurrogateSampler(space, [15_000_000]))
    >>> study.optimize(objective, n_trials=12)
    """

    def __init__(self, space: SearchSpace, budgets: Sequence[int], seed: int = 0) -> None:
        self._space = space.within(min(budgets))
        self._budgets = tuple(budgets)
        self._seed = seed
        self._proposals: dict[int, Proposal] = {}
        """By number of the trial: of those that were asked for here, and of others that were seen."""
        self._points: dict[str, Point] = {}
        """By hash of the architecture, which is counted once."""

    def before_trial(self, study: Study, trial: FrozenTrial) -> None:
        """Decide all of a trial's choices."""
        earlier = [
            each for each in study.get_trials(deepcopy=False) if each.number < trial.number and each.params
        ]
        by_number = {each.number: self._proposal(each) for each in earlier}
        observed = [
            Observed(self._point(by_number[each.number]), accuracies)
            for each in earlier
            if (accuracies := _accuracies(each))
        ]
        self._proposals[trial.number] = proposed(
            self._space,
            self._budgets,
            observed,
            position=trial.number,
            avoided=[each.params for each in earlier if not each.state.is_finished()],
            known={proposal.architecture.hash for proposal in by_number.values()},
            seed=random.Random(f"{self._seed} {trial.number}").getrandbits(32),
        )

    def infer_relative_search_space(self, study: Study, trial: FrozenTrial) -> dict[str, BaseDistribution]:
        """Empty: everything is decided before the trial."""
        return {}

    def sample_relative(
        self, study: Study, trial: FrozenTrial, search_space: dict[str, BaseDistribution]
    ) -> dict[str, Any]:
        """Empty: everything is decided before the trial."""
        return {}

    def sample_independent(
        self, study: Study, trial: FrozenTrial, param_name: str, param_distribution: BaseDistribution
    ) -> Any:
        """What was decided; KeyError for a name that is no choice of the space."""
        return self._proposals[trial.number].parameters[param_name]

    def _proposal(self, trial: FrozenTrial) -> Proposal:
        if trial.number not in self._proposals or self._proposals[trial.number].parameters != trial.params:
            choices: Mapping[str, Any] = trial.params
            self._proposals[trial.number] = self._space.propose_for(
                lambda name, values: choices[name], self._budgets
            )
        return self._proposals[trial.number]

    def _point(self, proposal: Proposal) -> Point:
        architecture = proposal.architecture
        if architecture.hash not in self._points:
            params = cost(architecture).params
            self._points[architecture.hash] = Point(
                proposal.parameters, proposal.macs, params, architecture.resolution
            )
        return self._points[architecture.hash]


def _accuracies(trial: FrozenTrial) -> dict[int, float]:
    """By epoch: what was reported, or the value at the end alone."""
    reported = {max(1, step): value for step, value in trial.intermediate_values.items()}
    if reported or trial.state != TrialState.COMPLETE:
        return reported
    return {1: trial.values[0]}
