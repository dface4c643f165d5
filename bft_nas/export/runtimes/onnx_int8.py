"""int8 for ONNX Runtime: static quantisation as QDQ, measured on images that the ranges were not taken from."""

from __future__ import annotations

import copy
import tempfile
import time
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from itertools import product
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt

from bft_nas.export.checks import ExportedFile
from bft_nas.export.onnx_session import cpu_seconds, runner, session_of

if TYPE_CHECKING:
    import onnx

    Inputs = npt.NDArray[np.float32]

BATCH = 20
ROUNDS = 15
LESS = 0.01
"""Top-1 agreement that may be lost for what is faster: a way to write butterflies, or layers left in float."""
SECONDS = 60.0
"""Spent on looking for layers that are better left in float."""
ENOUGH = 0.99
"""Top-1 agreement with the float network at which no layer is left in float for its sake."""
MOST_IN_FLOAT = 4
"""Layers that may be left in float one by one."""
LIGHT = "depthwise layers and squeeze-excites"
"""They have few products each, so that the way into int8 and back may take longer than what it saves."""
GAIN = 0.9
"""What leaving a layer in float has to bring the error to, as a part of what it was."""


@dataclass(frozen=True)
class Quantised:
    """A quantised network and what it is worth."""

    model: onnx.ModelProto
    agreement: float
    """Part of the held-out images whose class is the float network's."""
    error: float
    """How much of the probability of all classes is elsewhere than the float network has it: the mean over images."""
    per_channel: bool
    reduce_range: bool
    in_float: tuple[str, ...] = ()

    @property
    def worth(self) -> tuple[float, float]:
        """Larger is better."""
        return self.agreement, -self.error

    def __str__(self) -> str:
        weights = "channel" if self.per_channel else "tensor"
        return f"weights scaled per {weights}" + (" in 7 bits" if self.reduce_range else "")


def write_int8(
    path: Path, float_file: Path, variants: Mapping[str, onnx.ModelProto], images: Inputs, classes: int = 0
) -> ExportedFile:
    """Quantise a network and write it.

    Args:
        path: where to.
        float_file: that it is compared with.
        variants: the same network in float, with its butterflies written in several ways, each by what it is called.
        images: as for `Quantiser`.
        classes: as for `Quantiser`.
    """
    import onnx

    quantisers = {name: Quantiser(model, images, classes) for name, model in variants.items()}
    tried = {
        f"{name}, {LIGHT} in float" if in_float else name: (name, quantiser.best(in_float))
        for name, quantiser in quantisers.items()
        for in_float in sorted({(), quantiser.light})
    }
    seconds = cpu_seconds({key: runner(each.model, images[:1]) for key, (_, each) in tried.items()}, ROUNDS)
    most = max(each.agreement for _, each in tried.values())
    close = [key for key, (_, each) in tried.items() if each.agreement >= most - LESS]
    name, begun = tried[min(close, key=lambda key: seconds[key])]
    found = quantisers[name].improved(begun)
    left = [*([LIGHT] if begun.in_float else []), *found.in_float[len(begun.in_float) :]]
    onnx.save(found.model, path)
    pair = {"float": runner(onnx.load(float_file), images[:1]), "int8": runner(found.model, images[:1])}
    taken = cpu_seconds(pair, ROUNDS)
    size, of = path.stat().st_size, float_file.stat().st_size
    notes = (
        f"{found.agreement:.1%} of {len(quantisers[name].held_out)} training images, which its ranges are not of, are "
        f"given the float network's class; {found.error:.1%} of the probability is elsewhere",
        f"{taken['int8'] * 1e3:.1f} ms an image with one thread, {taken['int8'] / taken['float']:.2f} of "
        f"{float_file.name}; {size / of:.2f} of its bytes",
        f"{found}{name and f', butterflies {name}'}; left in float: {', '.join(left) or 'no layer'}",
    )
    return ExportedFile(path.name, None, None, size, notes=notes)


class Quantiser:
    """A float model that is quantised in several ways, with ranges that are measured once.

    Args:
        model: images to logits.
        images: normalised, (N, channels, height, width): the first half for the ranges, the others held out.
        classes: trained outputs, which are the first ones; 0 says all.
    """

    def __init__(self, model: onnx.ModelProto, images: Inputs, classes: int = 0) -> None:
        half = len(images) // 2
        self.held_out = images[half:]
        self.model = model
        self.classes = classes or None
        self.expected = self._probabilities(model)
        with tempfile.TemporaryDirectory() as scratch:
            self._ranges = _ranges(model, images[:half], Path(scratch))

    def quantised(
        self, *, per_channel: bool, reduce_range: bool = False, in_float: Sequence[str] = ()
    ) -> Quantised:
        """With some `layers` left as they are."""
        from onnxruntime.quantization import QDQQuantizer, QuantType

        left = [name for layer in in_float for name in self.layers[layer]]
        kinds = (QuantType.QInt8, QuantType.QUInt8)
        model = copy.deepcopy(self.model)
        quantizer = QDQQuantizer(
            model, per_channel, reduce_range, *kinds, self._ranges, [], left, _operators(), {}
        )
        quantizer.quantize_model()
        found = quantizer.model.model
        probabilities = self._probabilities(found)
        agreement = float((probabilities.argmax(1) == self.expected.argmax(1)).mean())
        error = float(np.abs(probabilities - self.expected).sum(1).mean()) / 2
        return Quantised(found, agreement, error, per_channel, reduce_range, tuple(in_float))

    def best(self, in_float: Sequence[str] = ()) -> Quantised:
        """Per tensor or per channel, and where products of int8 would overflow also in 7 bits, as is measured best."""
        narrow = (False,) if has_int8_products() else (False, True)
        tried = [
            self.quantised(per_channel=per_channel, reduce_range=reduce_range, in_float=in_float)
            for per_channel, reduce_range in product((False, True), narrow)
        ]
        return max(tried, key=lambda each: each.worth)

    def improved(self, found: Quantised) -> Quantised:
        """The same with the most sensitive layers left in float, until it agrees or nothing more is gained."""
        ends = time.monotonic() + SECONDS
        candidates = [layer for layer in self.layers if layer not in found.in_float]
        most = len(found.in_float) + MOST_IN_FLOAT
        while found.agreement < ENOUGH and len(found.in_float) < most:
            tried: dict[str, Quantised] = {}
            for layer in candidates:
                if time.monotonic() > ends:
                    break
                tried[layer] = self.quantised(
                    per_channel=found.per_channel,
                    reduce_range=found.reduce_range,
                    in_float=(*found.in_float, layer),
                )
            if not tried:
                break
            # The most sensitive first: those that bring little will bring little the next time as well.
            candidates = sorted(tried, key=lambda layer: tried[layer].error)
            better = tried[candidates[0]]
            if better.error > GAIN * found.error or better.agreement < found.agreement:
                break
            found, candidates = better, candidates[1 : 1 + len(candidates) // 2]
        return found

    @cached_property
    def layers(self) -> Mapping[str, list[str]]:
        """The nodes of each layer that can be left in float, from the first; a squeeze-excite's are one layer."""
        layers: dict[str, list[str]] = {}
        for node in self.model.graph.node:
            if node.op_type not in {"Conv", "Gemm", "MatMul"}:
                continue
            name = _layer(node)
            if ".se." in f"{name}.":
                name = f"{name.partition('.se.')[0]}.se"
            layers.setdefault(name, []).append(node.name)
        for name, nodes in layers.items():
            if name.endswith(".se"):
                nodes.extend(self._gate_after(nodes[-1]))
        return layers

    @cached_property
    def light(self) -> tuple[str, ...]:
        """The layers that `LIGHT` names."""
        channels = {
            weight.name: weight.dims[1] for weight in self.model.graph.initializer if len(weight.dims) == 4
        }
        depthwise = {
            _layer(node)
            for node in self.model.graph.node
            if node.op_type == "Conv" and channels.get(node.input[1]) == 1
        }
        return tuple(layer for layer in self.layers if layer in depthwise or layer.endswith(".se"))

    def _probabilities(self, model: onnx.ModelProto) -> npt.NDArray[np.float32]:
        """Of each held-out image's classes."""
        session = session_of(model.SerializeToString())
        parts = [
            session.run(["logits"], {"images": self.held_out[at : at + BATCH]})[0]
            for at in range(0, len(self.held_out), BATCH)
        ]
        logits = np.concatenate(parts)[:, : self.classes]
        powers = np.exp(logits - logits.max(1, keepdims=True))
        found: npt.NDArray[np.float32] = powers / powers.sum(1, keepdims=True)
        return found

    def _gate_after(self, last: str) -> Iterator[str]:
        """What is behind the last convolution of a squeeze-excite, with the product that scales the channels."""
        output = next(node.output[0] for node in self.model.graph.node if node.name == last)
        for node in self.model.graph.node:
            if output in node.input:
                yield node.name
                output = node.output[0]
                if node.op_type == "Mul":
                    return


def has_int8_products() -> bool:
    """Whether products of bytes are summed without overflow: not by x86 without VNNI."""
    try:
        flags = Path("/proc/cpuinfo").read_text(encoding="utf-8", errors="replace")
    except OSError:
        return True
    return "sse2" not in flags or "vnni" in flags


def _layer(node: onnx.NodeProto) -> str:
    """A layer's name: that of its weight, or before the slash where a butterfly is written in several nodes."""
    weight = str(node.input[0] if node.op_type == "MatMul" else node.input[1])
    return weight.partition("/")[0].removesuffix(".weight")


def _ranges(model: onnx.ModelProto, images: Inputs, scratch: Path) -> Any:
    """The least and largest value of each tensor."""
    import onnx
    from onnxruntime.quantization import CalibrationDataReader
    from onnxruntime.quantization.calibrate import create_calibrator

    class Reader(CalibrationDataReader):  # type: ignore[misc]
        def __init__(self) -> None:
            self.batches = iter([images[at : at + BATCH] for at in range(0, len(images), BATCH)])

        def get_next(self) -> dict[str, Inputs] | None:
            batch = next(self.batches, None)
            return None if batch is None else {"images": batch}

    path = scratch / "model.onnx"
    onnx.save(model, path)
    calibrator = create_calibrator(path, _operators(), str(scratch / "augmented.onnx"))
    calibrator.collect_data(Reader())
    return calibrator.compute_data()


def _operators() -> list[str]:
    from onnxruntime.quantization.registry import QDQRegistry, QLinearOpsRegistry

    return sorted({*QLinearOpsRegistry, *QDQRegistry})
