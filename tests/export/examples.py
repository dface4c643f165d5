"""Networks to export, trained and exported ones, for the tests of exports."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import torch
from torch import Tensor, nn

from bft_nas.export.write import TOLERANCE, ExportReport
from bft_nas.network import (
    Architecture,
    Head,
    Stem,
    build,
    butterfly_fusion,
    cost,
    grouped_fusion,
    low_rank_fusion,
    reference,
)
from bft_nas.network.blocks.ghost import GhostBlock
from bft_nas.network.blocks.inverted import InvertedBlock
from bft_nas.network.blocks.separable import SeparableBlock
from bft_nas.network.blocks.shuffle import ShuffleBlock

CLASSES = ("cat", "dog", 'a "quoted" name', '""" + 1 / 0\\', "line\nbreak", "naïve ☃")
NORMALISATION = ((0.485, 0.456, 0.406), (0.229, 0.224, 0.225))

SEPARABLE = Architecture(
    "mobilenet_v1",
    32,
    Stem(8),
    (SeparableBlock(24, fusion=butterfly_fusion(4)), SeparableBlock(36, kernel=5, stride=2)),
    Head(),
    classes=10,
)
SHUFFLE = Architecture(
    "shufflenet_v2",
    64,
    Stem(12, pool=True),
    (ShuffleBlock(36, stride=2, fusion=butterfly_fusion(4)), ShuffleBlock(36)),
    Head(64, butterfly_fusion(8)),
    classes=10,
)
INVERTED = Architecture(
    "mobilenet_v3",
    64,
    Stem(16, activation="hard_swish"),
    (
        InvertedBlock(16, expanded=16, squeeze=8, fusion=butterfly_fusion(8), stride=2),
        InvertedBlock(24, 5, 2, "hard_swish", butterfly_fusion(4), expanded=60, squeeze=12),
        InvertedBlock(24, activation="hard_swish", expanded=72, expand_fusion=butterfly_fusion(8)),
    ),
    Head(96, butterfly_fusion(16), hidden=40, activation="hard_swish"),
    classes=10,
)
DENSE = Architecture("mobilenet_v2", 32, Stem(8), (InvertedBlock(8, expanded=24),), Head(), in_channels=1)

GROUPED = reference("fbnet_a", width=0.25, resolution=32, classes=10)

LOW_RANK = Architecture(
    "low_rank",
    32,
    Stem(8, activation="acon_c", factorised=True),
    (
        SeparableBlock(24, fusion=grouped_fusion(4), stride=2),
        ShuffleBlock(32, fusion=low_rank_fusion(2), stride=2),
        InvertedBlock(32, fusion=grouped_fusion(2), expanded=64, expand_fusion=low_rank_fusion(4)),
        SeparableBlock(32, 7, activation="acon_c", depthwise_form="residual"),
        GhostBlock(33, stride=2, expanded=48, expand_fusion=butterfly_fusion(4), cheap_form="added"),
    ),
    Head(48, low_rank_fusion(1), hidden=40, activation="acon_c"),
    classes=10,
)

COMMON = {"Stem", "Head", "Network", "Fusion"}
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
    "low rank": Case(
        LOW_RANK,
        frozenset(
            COMMON
            | {"Separable", "Shuffle", "Inverted", "LowRankGrouped", "LowRankPlan", "AconC"}
            | {"Ghost", "NormedSum"}
            | BUTTERFLY
        ),
    ),
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
