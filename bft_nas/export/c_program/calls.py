"""Each step as a call in C, and the tables, weights and kernels that the calls need."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from bft_nas.export.c_program import pack
from bft_nas.export.c_program.memory import ALIGNMENT, Arena, rounded
from bft_nas.export.c_program.steps import IMAGE, Step, Value
from bft_nas.export.c_program.transform import Stage, Transform
from bft_nas.export.checks import ExportError
from bft_nas.export.folded_butterfly import FoldedButterfly

TILE_BYTES = 64 * 1024
"""Of the rows between the stages of a butterfly, for a tile of pixels."""
NO_SKIP = "(tensor){NULL, NULL}"


def tile_pixels(transform: Transform, pixels: int) -> int:
    """Of a tile: whole images where they are small, else nearly equal tiles."""
    most = max(32, TILE_BYTES // (4 * max(1, transform.between)))
    tiles = -(-pixels // most)
    return rounded(-(-pixels // tiles))


def phase_step(step: Step) -> int:
    """Elements of a row of a convolution's window at each of its phases."""
    layer: Any = step.layer
    return rounded(-(-(step.x.width + 2 * layer.padding[1]) // layer.stride[1]) + ALIGNMENT)


def scratch_of(step: Step) -> int:
    """Elements that a step needs while it runs."""
    layer: Any = step.layer
    if step.kernel == "butterfly":
        transform = Transform.of(layer)
        return transform.scratch_rows * tile_pixels(transform, step.x.pixels)
    if step.kernel == "convolution":
        rows: int = len(step.x) * layer.kernel_size[0] * layer.stride[1]
        return rows * phase_step(step)
    return 0


def pair(values: Sequence[int]) -> str:
    """Of rows and of columns."""
    return f"(const int[]){{{values[0]}, {values[1]}}}"


@dataclass
class Calls:
    """What the calls refer to, gathered as they are written."""

    arena: Arena
    weights: pack.Weights = field(default_factory=pack.Weights)
    tables: dict[str, Sequence[int]] = field(default_factory=dict)
    """Constant tables of int32 by name."""
    kernels: dict[str, None] = field(default_factory=dict)
    """Lines that make a kernel of a template, each once."""
    stages: list[str] = field(default_factory=list)
    """Tables of butterflies' stages."""
    _known: dict[tuple[int, ...], str] = field(default_factory=dict)

    def call(self, step: Step) -> str:
        """A statement, which may be of several lines."""
        text: str = getattr(self, f"_{step.kernel}")(step)
        return text

    # Operands.

    def image(self, value: Value) -> str:
        """A tensor: planes one behind the other share a table, others have their own."""
        buffers = {buffer for buffer, _ in value.planes}
        first, index = value.planes[0]
        if len(buffers) == 1 and [c for _, c in value.planes] == list(range(index, index + len(value))):
            begin = (
                "image" if first.number == IMAGE else f"a + {self.arena.offsets[first] + index * first.step}"
            )
            return f"(tensor){{{begin}, {self._planes(first.step, len(value))}}}"
        at = [self.arena.offsets[buffer] + index * buffer.step for buffer, index in value.planes]
        return f"(tensor){{a, {self._table('channels', at)}}}"

    def skip(self, step: Step) -> str:
        return self.image(step.other) if step.other else NO_SKIP

    def vector(self, value: Value) -> str:
        buffer, first = value.planes[0]
        if any(plane != (buffer, first + i) for i, plane in enumerate(value.planes)) or buffer.step != 1:
            raise ExportError("model.c: a linear layer reads channels that do not follow each other")
        return f"a + {self.arena.offsets[buffer] + first}"

    def result(self, step: Step) -> str:
        buffer = step.y.planes[0][0]
        return f"a + {self.arena.offsets[buffer]}, {buffer.step}"

    def _planes(self, step: int, count: int) -> str:
        name = f"planes_{step}"
        self.tables[name] = range(0, step * max(count, len(self.tables.get(name, ()))), step)
        return name

    def _table(self, kind: str, values: Sequence[int]) -> str:
        key = tuple(values)
        name = self._known.setdefault(key, f"{kind}_{len(self._known)}")
        self.tables[name] = key
        return name

    def _parameters(self, packed: pack.Array, bias: Any, outputs: int) -> str:
        values = np.zeros(outputs, np.float32) if bias is None else bias.numpy()
        return f"w + {self.weights.append(packed)}, w + {self.weights.append(values)}"

    # Calls.

    def _pointwise(self, step: Step) -> str:
        layer: Any = step.layer
        dense = isinstance(layer, FoldedButterfly)
        matrix, groups = (layer.matrix, 1) if dense else (layer.weight.flatten(1), layer.groups)
        parameters = self._parameters(pack.matrix(matrix.numpy(), groups), layer.bias, len(step.y))
        return (
            f"pointwise({parameters}, {self.image(step.x)}, {self.result(step)}, {self.skip(step)},"
            f" {len(step.x)}, {len(step.y)}, {groups}, {step.y.pixels}, {step.activation});"
        )

    def _convolution(self, step: Step) -> str:
        layer: Any = step.layer
        (rows, columns), stride = layer.kernel_size, layer.stride[1]
        each, phase = len(step.x) // layer.groups, phase_step(step)
        taps = [
            ((channel * rows + ky) * stride + kx % stride) * phase + kx // stride
            for channel in range(each)
            for ky in range(rows)
            for kx in range(columns)
        ]
        parameters = self._parameters(
            pack.matrix(layer.weight.flatten(1).numpy(), layer.groups), layer.bias, len(step.y)
        )
        return (
            f"convolution({parameters}, {self.image(step.x)}, {self.result(step)}, {self.skip(step)},"
            f" {len(step.x)}, {len(step.y)}, {layer.groups}, {step.x.height}, {step.x.width},"
            f" {pair(layer.kernel_size)},"
            f" {pair(layer.stride)}, {pair(layer.padding)}, {step.activation},"
            f" {self._table('taps', taps)}, a + {self.arena.scratch}, {phase});"
        )

    def _depthwise(self, step: Step) -> str:
        layer: Any = step.layer
        kernel, stride = layer.kernel_size[0], layer.stride[0]
        name = f"depthwise_{kernel}_{stride}_{step.activation.lower()}"
        self.kernels[f"DEPTHWISE({name}, {kernel}, {stride}, {step.activation})"] = None
        parameters = self._parameters(layer.weight.numpy(), layer.bias, len(step.y))
        return (
            f"{name}({parameters}, {self.image(step.x)}, {self.result(step)}, {len(step.y)}, {step.x.height},"
            f" {step.x.width});"
        )

    def _max_pool(self, step: Step) -> str:
        layer: Any = step.layer
        kernel, stride = layer.kernel_size, layer.stride
        name = f"max_pool_{kernel}_{stride}"
        self.kernels[f"MAX_POOL({name}, {kernel}, {stride})"] = None
        return f"{name}({self.image(step.x)}, {self.result(step)}, {len(step.y)}, {step.x.height}, {step.x.width});"

    def _butterfly(self, step: Step) -> str:
        layer: Any = step.layer
        transform = Transform.of(layer)
        name = f"stages_{len(self.stages)}"
        source, begin, rows = 0, self.weights.size, []
        for number, stage in enumerate(transform.stages):
            before, rest, blocks, columns, _ = stage.weights.shape
            target = source if stage.in_place or number == 0 else transform.between - source
            at = self.weights.append(stage.weights) - begin
            kernel = self._stage_kernel(stage, number == 0, number == len(transform.stages) - 1)
            rows.append(f"{{{kernel}, {at}, {before}, {rest}, {blocks}, {columns}, {source}, {target}}}")
            source = target
        self.stages.append(f"static const butterfly_stage {name}[] = {{\n    " + ",\n    ".join(rows) + "};")
        bias, scale = self.weights.append(transform.bias), self.weights.append(transform.scale)
        skip = NO_SKIP
        if step.other:
            spare = transform.stored_rows - len(step.y)
            skip = self.image(step.other.of([*range(len(step.y)), *[0] * spare]))
        buffer = step.y.planes[0][0]
        tile = tile_pixels(transform, step.x.pixels)
        return (
            f"butterfly(&(butterfly_layer){{w + {begin}, w + {bias}, w + {scale},"
            f" {self.image(step.x.of(transform.first_channels()))},"
            f" {self.image(step.x.of(transform.residual_channels()))}, {transform.chunks},"
            f" a + {self.arena.offsets[buffer]}, {buffer.step}, {skip}, a + {self.arena.scratch},"
            f" {step.x.pixels}, {tile}, {step.activation}}}, {name}, {len(transform.stages)});"
        )

    def _stage_kernel(self, stage: Stage, first: bool, last: bool) -> str:
        *_, columns, rows = stage.weights.shape
        place = "only" if first and last else "first" if first else "last" if last else "middle"
        name = f"stage_{rows}_{columns}_{place}"
        known = columns if columns <= 8 else 0
        self.kernels[f"BUTTERFLY_STAGE({name}, {rows}, {known}, {first:d}, {last:d})"] = None
        return name

    def _linear(self, step: Step) -> str:
        layer: Any = step.layer
        packed = pack.linear(layer.weight.flatten(1).numpy())
        parameters = self._parameters(packed, layer.bias, len(step.y))
        return (
            f"linear({parameters}, {self.vector(step.x)}, {self.vector(step.y)},"
            f" {len(step.x)}, {len(step.y)}, {step.activation});"
        )

    def _mean(self, step: Step) -> str:
        return f"mean({self.image(step.x)}, {self.vector(step.y)}, {len(step.x)}, {step.x.pixels});"

    def _add(self, step: Step) -> str:
        assert step.other
        return (
            f"add({self.image(step.x)}, {self.image(step.other)}, {self.result(step)}, {len(step.y)},"
            f" {step.y.pixels}, {step.activation});"
        )

    def _activate(self, step: Step) -> str:
        return (
            f"activate({self.image(step.x)}, {self.result(step)}, {len(step.y)}, {step.y.pixels},"
            f" {step.activation});"
        )

    def _acon(self, step: Step) -> str:
        layer: Any = step.layer
        learned = (layer.p1 - layer.p2, layer.p2, layer.beta)
        parameters = ", ".join(f"w + {self.weights.append(values.detach().numpy())}" for values in learned)
        return (
            f"acon({parameters}, {self.image(step.x)}, {self.result(step)}, {len(step.y)}, {step.y.pixels});"
        )

    def _scale(self, step: Step) -> str:
        assert step.other
        return (
            f"scale({self.image(step.x)}, {self.vector(step.other)}, {self.result(step)}, {len(step.y)},"
            f" {step.y.pixels});"
        )

    def _subsample(self, step: Step) -> str:
        stride = -(-step.x.height // step.y.height)
        return (
            f"subsample({self.image(step.x)}, {self.result(step)}, {len(step.y)}, {step.x.height},"
            f" {step.x.width}, {stride});"
        )
