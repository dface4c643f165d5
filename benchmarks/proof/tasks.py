"""What the proof compares: tasks, and who has to solve each of them."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

REFERENCES = (
    "mobilenet_v3_small",
    "mobilenet_v2",
    "mnasnet_small",
    "fbnet_96",
    "shufflenet_v2",
    "mobilenet_v1",
    "ghostnet",
    "mobilenet_v1_bft",
    "shufflenet_v2_bft",
)
SMALL_REFERENCES = ("resnet_8", "mobilenet_v3_small", "mobilenet_v2", "shufflenet_v2", "mobilenet_v1_bft")


@dataclass(frozen=True)
class Task:
    """Images and a budget."""

    name: str
    title: str
    data: str
    """``cifar10``, ``rotations`` (CIFAR-10, each image turned by 0 to 3 quarters, class and turn to be told) or what
    ``--data`` takes."""
    flops: str
    resolution: int | None = None
    """Where it is not the search that chooses; ``classes`` are then counted there, too."""
    reference_resolution: int = 160
    """That references have: a usual one where the search chooses, and the same for all."""
    references: tuple[str, ...] = REFERENCES
    classes: int = 1000
    """That are counted: as in the literature, or as many as there are."""
    variants: tuple[str, ...] = ()
    """Other trainings of references, such as ``mobilenet_v2-plain``: what a part of the recipe is worth."""
    epochs: int = 6
    """Of each training to the end."""
    recipe: str | None = None
    """Of these, where it is named."""
    searches: str = ""
    """The task whose searches' winners are trained, where it has none of its own."""


TASKS = {
    task.name: task
    for task in (
        Task(
            "small-3M",
            "CIFAR-10 at 32x32 within 3M MACs",
            "cifar10",
            "3M",
            32,
            32,
            SMALL_REFERENCES,
            10,
            epochs=40,
        ),
        Task(
            "small-12.5M",
            "CIFAR-10 at 32x32 within 12.5M",
            "cifar10",
            "12.5M",
            32,
            32,
            SMALL_REFERENCES,
            10,
            variants=("resnet_8-cropped",),
            epochs=40,
        ),
        Task("cifar10-10M", "CIFAR-10 within 10M MACs", "cifar10", "10M"),
        Task(
            "cifar10-15M",
            "CIFAR-10 within 15M MACs",
            "cifar10",
            "15M",
            variants=("mobilenet_v3_small-plain", "mobilenet_v3_small-taught", "mobilenet_v3_small-grown"),
        ),
        Task(
            "augmented-15M",
            "The same with images that are changed as for 40 epochs",
            "cifar10",
            "15M",
            variants=("mobilenet_v3_small-plain", "mobilenet_v3_small-taught"),
            recipe="tens_of_thousands",
            searches="cifar10-15M",
        ),
        Task("rotations-15M", "CIFAR-10, class and rotation (40 classes), within 15M", "rotations", "15M"),
        Task("fashion-15M", "The bundled images (Fashion-MNIST) within 15M", "fashion-mnist", "15M"),
    )
}

VARIANTS = {
    "cropped": ("with crops and colours as larger images have them", ("--recipe", "tens_of_thousands")),
    "plain": ("without augmentation", ("--recipe", "../plain.yaml")),
    "grown": ("with images that grow from half of their size", ("--recipe", "../grown.yaml")),
    "taught": ("with another training of itself as its teacher", ("--teacher", "trained/{teacher}")),
}
"""Of a reference: what they are called behind its name and a dash, what they are, and options of the training."""

SEARCHES = {
    "default": (),
    "dense": ("--fusion", "dense"),
    "random": ("--sampler", "random"),
    "modern": ("--space", "modern"),
}
"""Options of the searches that compete, beside budget and data. All but the first have its seconds."""
FORMER = {
    "former": "20 candidates, confirmed at a sixth of the deployment resolution",
    "former-dense": "that without butterflies",
    "whole": "32 candidates, confirmed at the whole deployment resolution, one of each family",
    "known": "heads may be wide, and the known networks of the space are proposed first",
    "known-dense": "that without butterflies",
    "turns": "turns for networks without butterflies; confirmed half as long as now",
    "rung": "half of the networks is left halfway through the confirmation, whose images are only flipped and shifted",
}
"""The default search as it was, in the order of time; the records stay."""
NAMES = {
    "default": "the winner of bft-nas search",
    "dense": "the same without butterflies",
    "random": "the same, random proposals",
    "modern": "the same in the modern space",
    "mobilenet_v3_small": "MobileNetV3-Small",
    "mobilenet_v2": "MobileNetV2",
    "mnasnet_small": "MNasNet-Small",
    "fbnet_96": "FBNet-96",
    "shufflenet_v2": "ShuffleNetV2",
    "mobilenet_v1": "MobileNetV1",
    "ghostnet": "GhostNet",
    "mobilenet_v1_bft": "MobileNetV1 + BFT",
    "shufflenet_v2_bft": "ShuffleNetV2 + BFT",
}
"""Of contestants, for people."""
SEEDS = 3


@dataclass(frozen=True)
class Search:
    """One search."""

    task: Task
    contestant: str
    seed: int

    @property
    def name(self) -> str:
        return f"{self.task.searches or self.task.name}-{self.contestant}-{self.seed}"


@dataclass(frozen=True)
class Training:
    """One training to the end."""

    task: Task
    contestant: str
    """A search of `SEARCHES`, a reference, or a variant of one."""
    searched: int | None
    """The seed of the search; None of a reference."""
    seed: int

    @property
    def name(self) -> str:
        of = "" if self.searched is None else f"-{self.searched}"
        return f"{self.task.name}-{self.contestant}{of}-seed{self.seed}"


def jobs(task: Task) -> Iterator[Search | Training]:
    """All of a task, in an order in which a part of them is a fair comparison of all contestants."""
    for seed in range(SEEDS):
        for contestant in SEARCHES:
            yield Search(task, contestant, seed)
            yield Training(task, contestant, seed, seed)
        for reference in (*task.references, *task.variants):
            yield Training(task, reference, None, seed)
    for further in range(1, SEEDS):
        for searched in range(SEEDS):
            for contestant in SEARCHES:
                yield Training(task, contestant, searched, (searched + further) % SEEDS)
