"""The options of a training to the end. Needs no torch."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, get_args

from bft_nas.core.errors import UserError, setting
from bft_nas.core.extras import require
from bft_nas.core.options import BUDGETS, NATURAL, PLACE, POSITIVE, RESOLUTION, SWITCH, option, values_of
from bft_nas.training.recipe import Precision

OF_RAY = ("workers", "retries", "ray_address", "ray_storage")
RETRIES = 2


@dataclass(frozen=True, kw_only=True)
class TrainingOptions:
    """What is trained, on what, and for how long."""

    candidate: int | None = option("of a run, by its number (default: the winner)", kind=NATURAL)
    budget: tuple[int, ...] = option(
        "of a reference, which is as wide as that allows, such as 50M",
        name="flops",
        metavar="MACS",
        kind=BUDGETS,
        default=(),
    )
    resolution: int | None = option("of a reference in pixels (default: 224)", kind=RESOLUTION)
    classes: int | None = option("of a reference (default: as in a search)", kind=POSITIVE)
    data: str | None = option(
        "fashion-mnist, cifar10, cifar10=FOLDER, a folder of class folders, a .npz or hf:NAME (default: the run's)",
        metavar="DATA",
    )
    max_unreadable: int | None = option(
        "images of a folder that may be left out because they cannot be decoded (default: 20, or 1% if more)",
        kind=NATURAL,
    )
    recipe: str | None = option(
        "thousands, tens_of_thousands_small, tens_of_thousands, millions or a .yaml file (default: by the images' "
        "number and size; they are changed less where they are seen fewer than 40 times)",
        metavar="NAME",
    )
    teacher: str | None = option(
        "whose soft targets are learnt besides the labels: a trained network, the model.pt2 of an export, timm:NAME, "
        "or the run's best reference or widest candidate, trained first: reference, widest",
        metavar="NAME",
    )
    epochs: int | None = option("of the training (default: the recipe's)", kind=POSITIVE)
    batch_size: int | None = option("images a step (default: the recipe's)", kind=POSITIVE)
    precision: Precision | None = option(
        "float32 or bfloat16 (default: the recipe's, or bfloat16 on a GPU)",
        metavar="NAME",
        choices=get_args(Precision),
    )
    compile: bool = option("by torch.compile, which takes a while to begin with", kind=SWITCH, default=False)
    patience: int | None = option(
        "epochs without a better validation accuracy that end it; 0 for all epochs (default: the recipe's)",
        kind=NATURAL,
    )
    balance: bool = option(
        "draw as many images of one class as of another (default: as the recipe says)",
        kind=SWITCH,
        default=False,
    )
    sync_norms: bool = option(
        "of several processes: normalise a whole batch together, not each its share (default: as the recipe says)",
        kind=SWITCH,
        default=False,
    )
    seed: int = option(
        "of the weights and of the images' order (default: {default})", kind=NATURAL, default=0
    )
    engine: str = option(
        "ray: on a Ray cluster; {default} (default): in this process, or in those that torchrun started",
        metavar="NAME",
        default="local",
        choices=("local", "ray"),
    )
    workers: int | None = option(
        "of a Ray cluster that share the training (default: one for each GPU, or for every four cores)",
        kind=POSITIVE,
    )
    retries: int | None = option(
        f"how often it goes on when a Ray cluster lost a worker (default: {RETRIES})", kind=NATURAL
    )
    ray_address: str | None = option(
        "of the head of a running cluster, such as 10.0.0.1:6379 (default: a cluster of this machine's own)",
        metavar="ADDRESS",
    )
    ray_storage: str | None = option(
        "where all nodes can keep checkpoints: a shared folder or a URI (default: in the training's folder)",
        metavar="PATH",
    )
    name: str | None = option("of the folder (default: made from the network's)", metavar="NAME")
    resume: str | None = option("go on with a training that was cut short", metavar="NAME")
    runs: Path = option("where the runs are (default: {default})", metavar="DIR", kind=PLACE, default="runs")
    trained: Path = option(
        "where trained networks are (default: {default})", metavar="DIR", kind=PLACE, default="trained"
    )

    @classmethod
    def of(cls, given: Mapping[str, Any]) -> TrainingOptions:
        """From what is given under the names of the options.

        Raises:
            UserError: a value that an option does not take.
        """
        options = cls(**values_of(cls, given))
        if len(options.budget) > 1:
            raise UserError(f"{setting('flops')}: several budgets; expected one")
        if options.engine == "ray":
            require("ray", f"{setting('engine')} ray")
        for name in OF_RAY:
            if options.engine != "ray" and getattr(options, name) is not None:
                raise UserError(f"{setting(name)}: needs {setting('engine')} ray")
        return options

    @property
    def flops(self) -> int | None:
        """The budget in MACs."""
        return self.budget[0] if self.budget else None
