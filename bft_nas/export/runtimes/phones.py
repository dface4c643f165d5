"""What files for phones have in common: butterflies in the form that is the fastest there, and how they are checked."""

from __future__ import annotations

import copy
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor, fx, nn

from bft_nas.export.butterfly_convolutions import pointwise, two_stages
from bft_nas.export.checks import ExportedFile, FormTimes, LayerForm, check_logits, image_by_image
from bft_nas.export.folded_butterfly import FoldedButterfly
from bft_nas.export.onnx_session import cpu_seconds
from bft_nas.export.runtimes import Deployment
from bft_nas.export.runtimes.onnx_runtime import with_dense_butterflies

if TYPE_CHECKING:
    from bft_nas.export.runtimes import Session

Runner = Callable[[nn.Module, Tensor], Callable[[], object]]
"""A network made ready to run on one image in a runtime, with one thread that is the caller's."""

ROUNDS = 7
WORTH_TIMING = 2
"""Times as many MACs as in two stages that a dense form has, below which it is taken without being timed."""
BYTES = 4


def with_fastest_butterflies(
    network: fx.GraphModule, runner: Runner
) -> tuple[fx.GraphModule, tuple[LayerForm, ...]]:
    """A copy whose butterflies are 1x1 convolutions, dense or grouped in two stages, whichever is faster here.

    Each is timed between two depthwise convolutions, for one image and with one thread; those of a shape once.
    """
    network, butterflies = with_dense_butterflies(network)
    timed: dict[tuple[Any, ...], list[FormTimes]] = {}
    layers = []
    for name, (butterfly, side) in butterflies.items():
        shapes = tuple(tuple(stage.shape) for stage in butterfly.stages)
        ends = butterfly.in_channels, butterfly.out_channels
        key = (*ends, side, shapes, butterfly.is_scaled)
        if key not in timed:
            timed[key] = _times(butterfly, side, runner)
        form = timed[key][0].form
        if form != "dense":
            network.set_submodule(name, _forms(butterfly)[form])
        layers.append(LayerForm(name, *ends, side, form, tuple(timed[key])))
    return network, tuple(layers)


def _forms(butterfly: FoldedButterfly) -> dict[str, nn.Module]:
    forms: dict[str, nn.Module] = {"dense": pointwise(butterfly.matrix, butterfly.bias)}
    grouped = two_stages(butterfly)
    if grouped is not None and WORTH_TIMING * _weights(grouped) < butterfly.matrix.numel():
        stages = ", ".join(f"{stage.groups} groups" for stage in grouped.stages)
        forms[f"conv {stages}"] = grouped
    return forms


def _weights(form: nn.Module) -> int:
    return sum(each.weight.numel() for each in form.modules() if isinstance(each, nn.Conv2d))


def _times(butterfly: FoldedButterfly, side: int, runner: Runner) -> list[FormTimes]:
    """Of each form, the fastest first."""
    forms = _forms(butterfly)
    seconds = dict.fromkeys(forms, 0.0)
    if len(forms) > 1:
        image = torch.randn(1, butterfly.in_channels, side, side, generator=torch.Generator().manual_seed(0))
        runs = {name: runner(_between(form, butterfly), image) for name, form in forms.items()}
        seconds = cpu_seconds(runs, ROUNDS)
    pixels = side**2
    times = []
    for name, form in forms.items():
        residual = 0 if name == "dense" else len(butterfly.residual_scale)
        macs = (_weights(form) + residual) * pixels
        times.append(FormTimes(name, macs, _weights(form) * BYTES, seconds[name]))
    return sorted(times, key=lambda each: each.seconds)


def _between(form: nn.Module, butterfly: FoldedButterfly) -> nn.Module:
    ends = butterfly.in_channels, butterfly.out_channels
    before, behind = (nn.Conv2d(n, n, 3, padding=1, groups=n) for n in ends)
    return (
        nn.Sequential(before, nn.ReLU(), copy.deepcopy(form), nn.ReLU(), behind).requires_grad_(False).eval()
    )


def check_file(
    deployment: Deployment, path: Path, session: Session, layers: Sequence[LayerForm] = ()
) -> ExportedFile:
    """A file of float32 that has been run image by image. ExportError where it does not agree with the network."""
    difference = check_logits(path.name, image_by_image(session, deployment.images), deployment.expected)
    return ExportedFile(path.name, difference, None, path.stat().st_size, tuple(layers))


def check_int8(deployment: Deployment, path: Path, session: Session, held_out: Tensor) -> ExportedFile:
    """A file of int8: a note says for how many of some images its class is the network's, of the trained ones."""
    classes = len(deployment.labels.get("classes", ())) or None
    with torch.no_grad():
        expected = deployment.network(held_out)[:, :classes].argmax(1)
    found = image_by_image(session, [held_out]).logits[0][:, :classes].argmax(1)
    agreement = (found == expected).float().mean()
    note = (
        f"{agreement:.1%} of {len(held_out)} training images, which its ranges are not of, are given the float"
        " network's class"
    )
    return ExportedFile(path.name, None, None, path.stat().st_size, notes=(note,))
