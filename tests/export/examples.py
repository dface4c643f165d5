"""Networks to export, trained and exported ones, for the tests of exports."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import torch
from torch import Tensor, nn

from bft_nas.export.write import TOLERANCE, ExportReport
from bft_nas.network import Architecture, Block, Head, Stem, build, cost, reference

CLASSES = ("cat", "dog", 'a "quoted" name', '""" + 1 / 0\\', "line\nbreak", "naïve ☃")
NORMALISATION = ((0.485, 0.456, 0.406), (0.229, 0.224, 0.225))

SEPARABLE = Architecture(
    "mobilenet_v1",
    32,
    Stem(8),
    (Block("separable", 24, fusion="butterfly-4"), Block("separable", 36, kernel=5, stride=2)),
    Head(),
    classes=10,
)
SHUFFLE = Architecture(
    "shufflenet_v2",
    64,
    Stem(12, pool=True),
    (Block("shuffle", 36, stride=2, fusion="butterfly-4"), Block("shuffle", 36)),
    Head(64, "butterfly-8"),
    classes=10,
)
INVERTED = Architecture(
    "mobilenet_v3",
    64,
    Stem(16, activation="hard_swish"),
    (
        Block("inverted", 16, expanded=16, squeeze=8, fusion="butterfly-8", stride=2),
        Block("inverted", 24, 5, 2, "hard_swish", "butterfly-4", expanded=60, squeeze=12),
        Block("inverted", 24, activation="hard_swish", expanded=72, expand_fusion="butterfly-8"),
    ),
    Head(96, "butterfly-16", hidden=40, activation="hard_swish"),
    classes=10,
)
DENSE = Architecture("mobilenet_v2", 32, Stem(8), (Block("inverted", 8, expanded=24),), Head(), in_channels=1)

GROUPED = reference("fbnet_a", width=0.25, resolution=32, classes=10)


COMMON = {"Stem", "Head", "Network"}
BUTTERFLY = {"ButterflyPlan", "ButterflyTransform"}


@dataclass(frozen=True)
class Case:
    """A network that is exported, and the classes that its model.py has to define."""

    architecture: Architecture
    defines: frozenset[str]
    labelled: bool = False


CASES = {
    "separable": Case(SEPARABLE, frozenset(COMMON | BUTTERFLY | {"Separable"})),
    "shuffle": Case(SHUFFLE, frozenset(COMMON | BUTTERFLY | {"Shuffle"})),
    "inverted": Case(INVERTED, frozenset(COMMON | BUTTERFLY | {"Inverted", "SqueezeExcite"}), labelled=True),
    "dense": Case(DENSE, frozenset(COMMON | {"Inverted"})),
    "grouped": Case(GROUPED, frozenset(COMMON | {"Inverted"})),
}


@dataclass(frozen=True)
class Exported:
    """A trained network and its export."""

    case: Case
    network: nn.Module
    report: ExportReport

    @property
    def folder(self) -> Path:
        return self.report.folder

    def images(self, batch: int) -> Tensor:
        net = self.case.architecture
        generator = torch.Generator().manual_seed(batch)
        return torch.randn(batch, net.in_channels, net.resolution, net.resolution, generator=generator)

    def agrees(self, images: Tensor, logits: Tensor) -> bool:
        with torch.no_grad():
            expected = self.network(images)
        return bool((logits - expected).abs().max() <= TOLERANCE * expected.abs().max())

    @property
    def residual_macs(self) -> int:
        layers = cost(self.case.architecture).layers
        return sum(layer.plan.residual_macs * layer.size**2 for layer in layers if layer.plan)


def trained(architecture: Architecture) -> nn.Module:
    """A network whose batch norm has seen images, so that forgetting its statistics would show."""
    torch.manual_seed(0)
    network = build(architecture).train()
    shape = (architecture.in_channels, architecture.resolution, architecture.resolution)
    with torch.no_grad():
        for _ in range(3):
            network(2 * torch.randn(8, *shape) + 1)
    return network.eval()
