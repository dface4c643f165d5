"""A made-up run of any size on disk: real networks of the bundled space, with accuracies that a formula gives."""

from __future__ import annotations

import random
from collections.abc import Sequence
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any

from bft_nas.network import Architecture
from bft_nas.record import DataFacts, Run, Settings, facts_of
from bft_nas.space.space import SearchSpace

FAILURES = ("loss is NaN in epoch 1", "out of memory", "worker killed by signal 9, tried 3 times <b>&</b>")


def make_run(
    runs: Path,
    name: str = "made-up",
    *,
    candidates: int = 40,
    budgets: Sequence[int] = (20_000_000, 50_000_000),
    epochs: int = 4,
    halving: bool = False,
    failed: float = 0.05,
    curves: bool = True,
    seed: int = 0,
) -> Run:
    """Writes a run under ``runs`` as a search would leave it, without weights.

    Args:
        runs: where runs are.
        name: of the run.
        candidates: how many have an outcome.
        budgets: in MACs, each proposed for equally often.
        epochs: of a whole training.
        halving: whether the worse half is stopped at epochs 1, 2, 4 ...
        failed: the part of the candidates that come to nothing.
        curves: whether there are learning curves.
        seed: of everything that is made up.
    """
    import optuna
    from optuna.distributions import CategoricalDistribution
    from optuna.trial import FrozenTrial, TrialState

    from bft_nas.training.protocol import Protocol

    rng = random.Random(seed)
    space = SearchSpace.load("mobile", resolutions=(96, 128, 160))
    settings = Settings(
        budgets=tuple(budgets), space="mobile", resolutions=space.resolutions, classes=1000, data="fashion-mnist",
        images=500, epochs=epochs, batch_size=64, proxy_divisor=4, sampler="random", seed=seed, trials=candidates,
        seconds=None, scheduler="halving" if halving else "none", eta=2,
    )  # fmt: skip
    protocol = Protocol(
        data="fashion-mnist", data_digest="7ecdc4621dbb", data_classes=10, train_images=500, validation_images=3000,
        resolution_divisor=4, epochs=epochs,
    )  # fmt: skip
    data = DataFacts(("bag", "boot"), (0.3, 0.3, 0.3), (0.3, 0.3, 0.3))
    run = Run.create(
        name, settings, space, protocol, data=data, runs=runs, command="bft-nas search --flops 20M,50M"
    )
    now = datetime(2026, 11, 20, 9)
    for number in range(candidates):
        picked: dict[str, tuple[Any, Sequence[Any]]] = {}

        def suggest(choice: str, values: Sequence[Any], picked: dict[str, Any] = picked) -> Any:
            value = rng.choice(list(values))
            picked[choice] = (value, tuple(values))
            return value

        budget = suggest("budget", budgets) if len(budgets) > 1 else budgets[0]
        architecture = space.within(min(budgets)).propose(suggest, budget).architecture
        candidate = facts_of(architecture, budget) | {"proposing": 0.02 + 0.03 * rng.random()}
        accuracies = _accuracies(architecture, candidate, epochs, rng)
        attributes: dict[str, Any] = {"candidate": candidate}
        seconds, state, values = 2.0 * epochs + candidate["macs"] / 1e7, TrialState.COMPLETE, None
        if rng.random() < failed:
            state, accuracies = TrialState.FAIL, []
            attributes["outcome"] = {"reason": rng.choice(FAILURES), "seconds": seconds / 3}
        elif halving and accuracies[0] < 0.45:
            state, accuracies = TrialState.RUNNING, accuracies[: rng.choice((1, 1, 2))]
            attributes["progress"] = {"accuracies": accuracies, "stopped": True, "seconds": seconds / 4}
        else:
            attributes["outcome"] = {"accuracy": accuracies[-1], "epochs": epochs, "seconds": seconds}
            values = [accuracies[-1], float(candidate["macs"])]
        started, now = now, now + timedelta(seconds=seconds + 0.2 + rng.random())
        run.ledger.study.add_trial(
            FrozenTrial(
                number=number, trial_id=number, state=state, value=None, values=values, datetime_start=started,
                datetime_complete=None if state == TrialState.RUNNING else now, user_attrs=attributes,
                system_attrs={}, intermediate_values={}, params={key: value for key, (value, _) in picked.items()},
                distributions={key: CategoricalDistribution(choices) for key, (_, choices) in picked.items()},
            )
        )  # fmt: skip
        folder = run.folder / "candidates" / f"{number:04d}"
        folder.mkdir(parents=True)
        (folder / "architecture.json").write_text(architecture.to_json(), encoding="utf-8")
        if curves and accuracies:
            rows = [
                f"{i + 1},{2 / (i + 1):.6f},{accuracy:.6f},1.000" for i, accuracy in enumerate(accuracies)
            ]
            text = "\n".join(["epoch,train_loss,accuracy,seconds", *rows])
            (folder / "curve.csv").write_text(text + "\n", encoding="utf-8")
    optuna.logging.set_verbosity(optuna.logging.WARNING)
    run.write_results()
    return run


def _accuracies(net: Architecture, facts: dict[str, Any], epochs: int, rng: random.Random) -> list[float]:
    """Higher with MACs and resolution, best with some butterflies, and with noise."""
    share = facts["butterfly_share"]
    end = 0.3 + 0.16 * (facts["macs"] / 1e7) ** 0.5 + 0.25 * share * (1 - share) + net.resolution / 2000
    end = min(0.93, end + rng.gauss(0, 0.05))
    return [round(end * (1 - 0.6 / (epoch + 1)), 6) for epoch in range(1, epochs)] + [round(end, 6)]
