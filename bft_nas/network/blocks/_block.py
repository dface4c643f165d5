"""What every kind of block says of itself."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field, fields
from typing import Any, ClassVar, Self

from bft_nas.network.blocks._choices import Check, Choice, Chosen, whole
from bft_nas.network.blocks._counts import Count
from bft_nas.network.checks import Activation, check_kernel, check_layer
from bft_nas.network.fusion import Fusion
from bft_nas.network.layer import Array, Layer, learned

COLUMNS = ("channels", "kernel", "stride", "activation", "fusion", "expanded", "expand_fusion", "squeeze")
"""Of files, in their order; a kind's others come behind them."""
UNUSED = {"expanded": 0, "expand_fusion": "dense"}
"""Columns that files had in every row when there was one table for all kinds; hashes of architectures hold them."""
ADDED = {"added": True}
"""Metadata of a field that came later: at its default, files do not name it and hashes do not hold it."""


def written(row: Any) -> dict[str, Any]:
    """The fields of a dataclass that its files hold, and their values."""
    values = [(each, getattr(row, each.name)) for each in fields(row)]
    return {each.name: value for each, value in values if not each.metadata or value != each.default}


@dataclass(frozen=True, slots=True)
class Block:
    """One row of a network's table; the channel count of its input is that of the row above.

    A kind of block is a subclass in a file of its own, ``KIND.py`` beside this one, and a module in
    ``bft_nas/network/modules/KIND.py``.
    """

    kind: ClassVar[str] = ""
    """Its name in search spaces and files, and that of its two files."""
    parts: ClassVar[Mapping[str, str]]
    """Its layers, named as in the built network and in the order in which they run, and what people call them."""
    dialect: ClassVar[str] = ""
    """What a row writes of its fusions where that is more than one, in words."""
    choices: ClassVar[tuple[Choice, ...]]
    """What a stage of a search space chooses for it, in the order in which samplers are asked."""
    first_stride: ClassVar[Check] = whole(1, 2)
    """What the stride of a stage may be, which is that of its first block."""
    unused: ClassVar[Mapping[str, Any]] = {}
    """Columns of files that mean nothing to this kind, and what stands there."""

    channels: int
    kernel: int = 3
    stride: int = 1
    activation: Activation = "relu"
    stage: int = field(default=0, kw_only=True)
    """Which stage of the search space the row belongs to; a label for people, without effect on the network."""

    @classmethod
    def chosen(
        cls, chosen: Chosen, in_channels: int, channels: int, stride: int, activation: Activation, stage: int
    ) -> Self:
        """The row for what was chosen, once the widths are known."""
        raise NotImplementedError

    def check(self, where: str, in_channels: int) -> None:
        """Raise ValueError naming the field if there is no such block behind that many channels."""
        check_layer(where, self.channels, self.stride, self.activation)
        check_kernel(f"{where}.kernel", self.kernel)

    def layers(self, in_channels: int, size: int) -> Iterator[Layer]:
        """What is counted, for an input of ``in_channels`` channels of ``size`` x ``size`` pixels."""
        raise NotImplementedError

    @classmethod
    def counts(
        cls, chosen: Mapping[str, Array], in_channels: Array, channels: Array, stride: int, size: Array
    ) -> Count:
        """What `layers` of many rows come to, each as `chosen` makes it; a kind can do without.

        Args:
            chosen: see `bft_nas.network.blocks._counts.chosen_arrays`; ``learned`` has what the activation of each
                row learns for a channel.
            in_channels: of the input of each row.
            channels: of its output.
            stride: of all of them.
            size: height and width of the input of each row.
        """
        raise NotImplementedError

    def pattern(self, in_channels: int) -> str:
        """Its fusions in short, as in `Architecture.fusion_pattern`; empty if it has none."""
        raise NotImplementedError

    @property
    def activated(self) -> int:
        """Learned values per channel of a batch norm and the activation behind it."""
        return 2 + learned(self.activation)

    def arguments(self, in_channels: int) -> dict[str, Any]:
        """What its module is constructed with; what files do not name has the same default there."""
        values = {"in_channels": in_channels, **written(self)}
        del values["stage"]
        return values

    def to_dict(self) -> dict[str, Any]:
        """Words and numbers, the kind included."""
        row = {**texts(written(self)), **self.unused}
        ordered = {name: row.pop(name) for name in COLUMNS if name in row}
        del row["stage"]
        return {"kind": self.kind, **ordered, **row, "stage": self.stage}


def texts(values: Mapping[str, Any]) -> dict[str, Any]:
    """Values as files have them: fusions as text."""
    return {name: str(value) if isinstance(value, Fusion) else value for name, value in values.items()}
