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
from bft_nas.export.runtimes.onnx_session import cpu_seconds, runner, session_of

if TYPE_CHECKING:
    import onnx

    Images = npt.NDArray[np.float32]

BATCH = 20
ROUNDS = 15
LESS = 0.01
"""Top-1 agreement that may be lost for the faster way to write butterflies."""
SECONDS = 30.0
"""Spent on looking for layers that are better left in float."""
ENOUGH = 0.99
"""Top-1 agreement with the float network at which no layer is left in float."""
MOST_IN_FLOAT = 4
"""Layers that may be left in float."""
GAIN = 0.9
"""What leaving a layer in float has to bring the error to, as a part of what it was."""


@dataclass(frozen=True)
class Quantised:
    """A quantised network and what it is worth."""

    model: onnx.ModelProto
    agreement: float
    """Part of the held-out images whose class is the float network's."""
    error: float
    """Root mean square of what logits differ by, over that of the logits."""
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
    path: Path, float_file: Path, variants: Mapping[str, onnx.ModelProto], images: Images
) -> ExportedFile:
    """Quantise a network and write it.

    Args:
        path: where to.
        float_file: that it is compared with.
        variants: the same network in float, with its butterflies written in several ways, each by what it is called.
        images: as for `Quantiser`.
    """
    import onnx

    quantisers = {name: Quantiser(model, images) for name, model in variants.items()}
    best = {name: quantiser.best() for name, quantiser in quantisers.items()}
    runs = {name: runner(found.model, images[:1]) for name, found in best.items()}
    seconds = cpu_seconds(runs, ROUNDS)
    most = max(found.agreement for found in best.values())
    name = min(
        (name for name, found in best.items() if found.agreement >= most - LESS),
        key=lambda each: seconds[each],
    )
    found = quantisers[name].improved(best[name])
    onnx.save(found.model, path)
    pair = {"float": runner(onnx.load(float_file), images[:1]), "int8": runner(found.model, images[:1])}
    seconds = cpu_seconds(pair, ROUNDS)
    size, of = path.stat().st_size, float_file.stat().st_size
    notes = (
        f"{found.agreement:.1%} of {len(quantisers[name].held_out)} training images, which its ranges are not of, are "
        f"given the float network's class; logits differ by {found.error:.1%}",
        f"{seconds['int8'] * 1e3:.1f} ms an image with one thread, {seconds['int8'] / seconds['float']:.2f} of "
        f"{float_file.name}; {size / of:.2f} of its bytes",
        f"{found}{name and f', butterflies {name}'}; left in float: {', '.join(found.in_float) or 'no layer'}",
    )
    return ExportedFile(path.name, None, None, size, notes=notes)


class Quantiser:
    """A float model that is quantised in several ways, with ranges that are measured once.

    Args:
        model: images to logits.
        images: normalised, (N, channels, height, width): the first half for the ranges, the others held out.
    """

    def __init__(self, model: onnx.ModelProto, images: Images) -> None:
        half = len(images) // 2
        self.held_out = images[half:]
        self.model = model
        self.expected = _logits(model, self.held_out)
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
        logits = _logits(found, self.held_out)
        agreement = float((logits.argmax(1) == self.expected.argmax(1)).mean())
        error = float(np.sqrt(((logits - self.expected) ** 2).mean() / (self.expected**2).mean()))
        return Quantised(found, agreement, error, per_channel, reduce_range, tuple(in_float))

    def best(self) -> Quantised:
        """Per tensor or per channel, and where products of int8 would overflow also in 7 bits, as is measured best."""
        narrow = (False,) if has_int8_products() else (False, True)
        tried = [
            self.quantised(per_channel=per_channel, reduce_range=reduce_range)
            for per_channel, reduce_range in product((False, True), narrow)
        ]
        return max(tried, key=lambda each: each.worth)

    def improved(self, found: Quantised) -> Quantised:
        """The same with the most sensitive layers left in float, until it agrees or nothing more is gained."""
        ends = time.monotonic() + SECONDS
        candidates = list(self.layers)
        while found.agreement < ENOUGH and len(found.in_float) < MOST_IN_FLOAT:
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
        """The nodes of each layer that can be left in float; those of a squeeze-excite are one layer, first of all."""
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
        return dict(sorted(layers.items(), key=lambda item: not item[0].endswith(".se")))

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


def _logits(model: onnx.ModelProto, images: Images) -> npt.NDArray[np.float32]:
    session = session_of(model.SerializeToString())
    parts = [
        session.run(["logits"], {"images": images[at : at + BATCH]})[0] for at in range(0, len(images), BATCH)
    ]
    return np.concatenate(parts)


def _ranges(model: onnx.ModelProto, images: Images, scratch: Path) -> Any:
    """The least and largest value of each tensor."""
    import onnx
    from onnxruntime.quantization import CalibrationDataReader
    from onnxruntime.quantization.calibrate import create_calibrator

    class Reader(CalibrationDataReader):  # type: ignore[misc]
        def __init__(self) -> None:
            self.batches = iter([images[at : at + BATCH] for at in range(0, len(images), BATCH)])

        def get_next(self) -> dict[str, Images] | None:
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
