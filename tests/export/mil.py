"""Runs a program of Core ML in torch, operation by operation as its reference says, where no Apple system is."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor

Values = Mapping[str, Any]


def run_mil(path: Path, image: Tensor) -> tuple[Tensor, list[str]]:
    """What an .mlpackage has for an image, (1, channels, height, width), in float32, and the classes that this is of.

    These are none where it names no class.
    """
    import coremltools
    from coremltools.converters.mil.frontend.milproto.load import load

    spec = coremltools.models.MLModel(str(path), skip_model_load=True).get_spec()
    program = load(spec, spec.specificationVersion, str(path / "Data/com.apple.CoreML/weights"))
    function = program.functions["main"]
    (given,) = function.inputs.values()
    known: dict[str, Any] = {given.name: image}
    for operation in function.operations:
        values = {name: _value(given, known) for name, given in operation.inputs.items()}
        if operation.op_type == "classify":
            return values["probabilities"], values["classes"]
        if operation.op_type == "const":
            continue
        made = OPERATIONS[operation.op_type](values)
        outputs = made if isinstance(made, tuple | list) else (made,)
        known |= {output.name: value for output, value in zip(operation.outputs, outputs, strict=True)}
    (output,) = function.outputs
    return known[output.name], []


def _value(given: Any, known: Values) -> Any:
    if isinstance(given, tuple | list):
        return [_value(each, known) for each in given]
    if given is None:
        return None
    if given.name in known:
        return known[given.name]
    value = given.val
    if hasattr(value, "dtype") and value.ndim and value.dtype.kind == "f":
        return torch.from_numpy(value).float()
    return value.tolist() if hasattr(value, "tolist") else value


def _convolved(v: Values) -> Tensor:
    top, bottom, left, right = (0, 0, 0, 0) if v["pad_type"] == "valid" else v["pad"]
    assert v["pad_type"] in ("valid", "custom")
    x = F.pad(v["x"], (left, right, top, bottom))
    return F.conv2d(x, v["weight"], v.get("bias"), v["strides"], 0, v["dilations"], v["groups"])


def _joined(v: Values) -> Tensor:
    values, axis = v["values"], v["axis"]
    if not v["interleave"]:
        return torch.cat(values, axis)
    return torch.stack(values, axis + 1).flatten(axis, axis + 1)


def _pooled(v: Values) -> Tensor:
    top, bottom, left, right = v["pad"] if v["pad_type"] == "custom" else (0, 0, 0, 0)
    assert not v["ceil_mode"]
    x = F.pad(v["x"], (left, right, top, bottom), value=-torch.inf)
    return F.max_pool2d(x, v["kernel_sizes"], v["strides"])


def _sliced(v: Values) -> Tensor:
    x: Tensor = v["x"]
    none = [False] * x.ndim
    from_first, to_last = v.get("begin_mask") or none, v.get("end_mask") or none
    for axis, (begin, end) in enumerate(zip(v["begin"], v["end"], strict=True)):
        step = (v.get("stride") or [1] * x.ndim)[axis]
        picked = slice(None if from_first[axis] else begin, None if to_last[axis] else end, step)
        x = x[(slice(None),) * axis + (picked,)]
    return x


OPERATIONS: Mapping[str, Callable[[Values], Any]] = {
    "cast": lambda v: v["x"],
    "conv": _convolved,
    "max_pool": _pooled,
    "linear": lambda v: F.linear(v["x"], v["weight"], v.get("bias")),
    "matmul": lambda v: (
        (v["x"].mT if v["transpose_x"] else v["x"]) @ (v["y"].mT if v["transpose_y"] else v["y"])
    ),
    "add": lambda v: v["x"] + v["y"],
    "sub": lambda v: v["x"] - v["y"],
    "mul": lambda v: v["x"] * v["y"],
    "real_div": lambda v: v["x"] / v["y"],
    "relu": lambda v: v["x"].relu(),
    "relu6": lambda v: v["x"].clamp(0, 6),
    "silu": lambda v: F.silu(v["x"]),
    "sigmoid": lambda v: v["x"].sigmoid(),
    "sigmoid_hard": lambda v: (v["alpha"] * v["x"] + v["beta"]).clamp(0, 1),
    "softmax": lambda v: v["x"].softmax(v["axis"]),
    "thresholded_relu": lambda v: torch.where(v["x"] >= v["alpha"], v["x"], 0.0),
    "reduce_mean": lambda v: v["x"].mean(v["axes"], keepdim=v["keep_dims"]),
    "reshape": lambda v: v["x"].reshape(v["shape"]),
    "squeeze": lambda v: v["x"].squeeze(v["axes"]),
    "transpose": lambda v: v["x"].permute(v["perm"]),
    "concat": _joined,
    "split": lambda v: v["x"].split(v["split_sizes"], v["axis"]),
    "slice_by_index": _sliced,
}
