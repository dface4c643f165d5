"""What a search was asked to do: each option of the run with its default and its help, and what a resumed run keeps."""

from __future__ import annotations

import secrets
from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any

from bft_nas.core.errors import UserError, setting
from bft_nas.core.options import (
    BUDGETS,
    MILLISECONDS,
    NATURAL,
    POSITIVE,
    RESOLUTIONS,
    SECONDS,
    option,
    options_of,
    values_of,
)
from bft_nas.network.fusion import FUSIONS

LATENCY_RUNTIMES = ("onnxruntime",)
"""In which latencies can be predicted: those of `bft_nas.latency.calibration.RUNTIMES`, the default first."""
TRIALS = 32
"""Candidates of a search that was given no limit."""


@dataclass(frozen=True, kw_only=True)
class Settings:
    """What a search was asked to do."""

    budgets: tuple[int, ...] = option(
        "hard budget such as 50M, 0.05G, 50e6; several: 20M,50M",
        name="flops",
        metavar="MACS",
        kind=BUDGETS,
        default=(),
        kept=True,
    )
    latency: float | None = option(
        "hard limit such as 3ms, beside {flops}: for one image and one thread, predicted for this machine",
        metavar="MS",
        kind=MILLISECONDS,
        kept=True,
        unsaid=None,
    )
    latency_runtime: str | None = option(
        f"{LATENCY_RUNTIMES[0]} (default with {{latency}}): predict latencies in it, limit or not",
        metavar="NAME",
        kept=True,
        choices=LATENCY_RUNTIMES,
        unsaid=None,
    )
    space: str = option(
        "a space's name or a .yaml file (default: {default})", metavar="SPACE", default="mobile", kept=True
    )
    fusion: str | None = option(
        f"{' or '.join(FUSIONS)}: only these channel fusions, in any space (default: the space's)",
        metavar="NAME",
        kept=True,
        choices=FUSIONS,
        unsaid=None,
    )
    data: str = option(
        "{default} (default, bundled), cifar10, cifar10=FOLDER, a folder of class folders, a .npz or hf:NAME",
        metavar="DATA",
        default="fashion-mnist",
    )
    trials: int | None = option(
        f"candidates to train (default: {TRIALS}, or as {{time}} allows)", kind=POSITIVE
    )
    seconds: float | None = option(
        "stop after a time such as 30m or 1h30m", name="time", metavar="TIME", kind=SECONDS
    )
    seed: int = option("of the proposals (default: {default})", kind=NATURAL, default=0, kept=True)
    sampler: str = option("{default} (default){others}", metavar="NAME", default="surrogate", kept=True)
    resolutions: tuple[int, ...] = option(
        "deployment resolutions in pixels, instead of the space's",
        name="resolution",
        metavar="N,N",
        kind=RESOLUTIONS,
        default=(),
        kept=True,
    )
    classes: int = option(
        "classes at deployment (default: 1000 for fashion-mnist and cifar10 above 96 pixels, else the data's own)",
        kind=POSITIVE,
        default=0,
        kept=True,
    )
    epochs: int = option("of each proxy training (default: {default})", kind=POSITIVE, default=2)
    scheduler: str = option(
        "halving: only the best 1/eta of the candidates are trained past 1, eta, eta*eta epochs; {default} (default)",
        metavar="NAME",
        default="none",
        kept=True,
        unsaid="none",
    )
    eta: int = option(
        "of {scheduler} halving (default: {default})", kind=POSITIVE, default=3, kept=True, unsaid=3
    )
    min_epochs: int = option(
        "before the first is stopped (default: {default})", kind=POSITIVE, default=1, kept=True, unsaid=1
    )
    images: int | None = option("most images to train on (default: {default})", kind=POSITIVE, default=8000)
    max_unreadable: int | None = option(
        "images of a folder that may be left out because they cannot be decoded (default: 20, or 1% if more)",
        kind=NATURAL,
        unsaid=None,
    )
    batch_size: int = option("images a step (default: {default})", kind=POSITIVE, default=64)
    proxy_divisor: int = option(
        "train at the deployment resolution divided by this (default: 6, less for small images)",
        kind=POSITIVE,
        default=0,
    )
    confirm_divisor: int = option(
        "confirm at the deployment resolution divided by this, or by {proxy_divisor} if that is less "
        "(default: 1 up to 60M MACs, 2 up to 240M, else 3)",
        kind=POSITIVE,
        default=0,
        unsaid=0,
    )
    storage: str = option(
        "a database that owns the study, such as postgresql://user@host/db (default: a file in the run's folder)",
        metavar="URL",
        default="",
        unsaid="",
    )
    study: str = "search"
    """The study's name in its storage."""

    @classmethod
    def of(cls, given: Mapping[str, Any]) -> Settings:
        """Those of a new search, from what is given under the names of the options.

        Raises:
            UserError: no budget, a value that an option does not take, or an option that would do nothing.
        """
        flops = setting("flops")
        if "flops" not in given:
            raise UserError(f"{flops}: missing; expected a budget in MACs such as {flops} 50M")
        settings = cls(**values_of(cls, given))
        for name in ("eta", "min_epochs"):
            if name in given and settings.scheduler == "none":
                raise UserError(f"{setting(name)}: needs {setting('scheduler')} halving")
        if "min_epochs" in given and settings.min_epochs >= settings.epochs:
            raise UserError(
                f"{setting('min_epochs')} {settings.min_epochs}: expected fewer than the {settings.epochs} "
                f"of {setting('epochs')}"
            )
        if settings.trials is None and settings.seconds is None:
            settings = replace(settings, trials=TRIALS)
        if settings.latency is not None and settings.latency_runtime is None:
            settings = replace(settings, latency_runtime=LATENCY_RUNTIMES[0])
        if settings.storage:
            from bft_nas.record.storage import without_password

            # Many runs may share a database, and two of a name may come from two folders.
            study = f"bft-nas-{secrets.token_hex(6)}"
            settings = replace(settings, storage=without_password(settings.storage), study=study)
        return settings

    @property
    def confirmed_at(self) -> str:
        """How large the images are on which winners are confirmed, in words; empty for runs that do not say."""
        whole = "the deployment resolution"
        if self.confirm_divisor < 2:
            return f"at {whole}" if self.confirm_divisor else ""
        return f"at 1/{self.confirm_divisor} of {whole}"

    def resumed(self, given: Mapping[str, Any]) -> Settings:
        """These, with what may change when the run is resumed.

        Raises:
            UserError: an option of which a run keeps its own, or a value that an option does not take.
        """
        changes = {}
        for name, each in options_of(type(self)).items():
            if name not in given:
                continue
            if each.kept:
                raise kept_by_run(name)
            changes[each.field] = each.convert(given[name])
        # The study stays where it is, though the way there may be another one.
        changes.pop("storage", None)
        if {"trials", "seconds"} & set(changes):
            # One limit takes the place of both.
            changes = {"trials": None, "seconds": None} | changes
        return replace(self, **changes)


def kept_by_run(name: str) -> UserError:
    """That an option is none of a resumed run."""
    return UserError(f"{setting(name)}: a resumed run keeps its own; expected {setting('resume')} without it")
