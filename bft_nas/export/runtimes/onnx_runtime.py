"""Files for ONNX Runtime."""

from __future__ import annotations

import copy
from collections.abc import Iterator, Mapping
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

import torch
from torch import fx

from bft_nas.core.errors import one_line
from bft_nas.export.butterfly_convolutions import pointwise
from bft_nas.export.checks import Answer, ExportedFile, ExportError, check_logits
from bft_nas.export.folded_butterfly import FoldedButterfly
from bft_nas.export.graphs import write_onnx
from bft_nas.export.onnx_session import cpu_seconds, runner, session_of
from bft_nas.export.residual_scale import absorb_scales
from bft_nas.export.runtimes import Deployment
from bft_nas.export.runtimes.onnx_choice import choose_forms
from bft_nas.export.runtimes.onnx_forms import (
    OnnxForm,
    dense_form,
    grouped_form,
    replaced,
    structured_form,
)
from bft_nas.export.runtimes.onnx_int8 import write_int8

if TYPE_CHECKING:
    import numpy as np
    import numpy.typing as npt
    import onnx

    from bft_nas.export.runtimes import Session

ROUNDS = 15


def write(deployment: Deployment) -> Iterator[ExportedFile]:
    """``onnxruntime.onnx``, with norms folded and each butterfly in the form that is the fastest here.

    With images for calibration ``onnxruntime-int8.onnx`` too, whose butterflies are convolutions.
    """
    import onnx

    path = deployment.folder / "onnxruntime.onnx"
    network, butterflies = with_dense_butterflies(deployment.network)
    write_onnx(network, deployment.architecture, path, quickly=deployment.for_timing)
    dense = onnx.load(path)
    chosen, layers = choose_forms(butterflies)
    notes: tuple[str, ...] = ()
    if butterflies:
        forms, notes = _write_fastest(path, dense, butterflies, chosen, deployment.images[0].numpy())
        layers = tuple(replace(layer, form=str(forms[layer.name])) for layer in layers)
    if deployment.for_timing:
        yield ExportedFile(path.name, None, None, path.stat().st_size)
        return
    session = open_file(path)
    answer = Answer([torch.from_numpy(session(batch.numpy())) for batch in deployment.images])
    difference = check_logits(path.name, answer, deployment.expected)
    yield ExportedFile(path.name, difference, None, path.stat().st_size, layers, notes)
    if deployment.calibration is None:
        return
    variants = {"dense" if butterflies else "": dense}
    grouped = {name: grouped_form(butterflies[name][0], form) for name, form in chosen.items()}
    if any(form.kind != "dense" for form in grouped.values()):
        variants["grouped"] = replaced(dense, butterflies, grouped)
    quantised = deployment.folder / "onnxruntime-int8.onnx"
    classes = len(deployment.labels.get("classes", ()))
    try:
        file = write_int8(quantised, path, variants, deployment.calibration.numpy(), classes)
    except OSError:
        raise
    except Exception as error:
        raise ExportError(f"{quantised.name}: cannot be written ({one_line(error)[:300]})") from error
    yield file


def with_dense_butterflies(
    network: fx.GraphModule,
) -> tuple[fx.GraphModule, dict[str, tuple[FoldedButterfly, int]]]:
    """A copy with butterflies as 1x1 convolutions, and the butterflies, each with the side of its images."""
    network = copy.deepcopy(network)
    absorb_scales(network)
    butterflies: dict[str, tuple[FoldedButterfly, int]] = {}
    modules = dict(network.named_modules())
    for node in network.graph.nodes:
        module = modules.get(str(node.target)) if node.op == "call_module" else None
        if isinstance(module, FoldedButterfly):
            butterflies[node.target] = module, int(node.meta["tensor_meta"].shape[-1])
    for name, (butterfly, _) in butterflies.items():
        network.set_submodule(name, pointwise(butterfly.matrix, butterfly.bias))
    return network, butterflies


def _write_fastest(
    path: Path,
    dense: onnx.ModelProto,
    butterflies: Mapping[str, tuple[FoldedButterfly, int]],
    chosen: Mapping[str, OnnxForm],
    image: npt.NDArray[np.float32],
) -> tuple[Mapping[str, OnnxForm], tuple[str, ...]]:
    """Write the fastest forms in place of dense butterflies: a mixture, or all dense, or all structured."""
    import onnx

    mixtures: dict[str, Mapping[str, OnnxForm]] = {
        "chosen": chosen,
        "dense": {name: dense_form(butterfly) for name, (butterfly, _) in butterflies.items()},
        "structured": {name: structured_form(butterfly) for name, (butterfly, _) in butterflies.items()},
    }
    models = {name: replaced(dense, butterflies, forms) for name, forms in mixtures.items()}
    seconds = cpu_seconds({name: runner(model, image) for name, model in models.items()}, ROUNDS)
    best = min(seconds, key=lambda name: seconds[name])
    onnx.save(models[best], path)
    ratios = ", ".join(
        f"{seconds[best] / seconds[name]:.2f} of all {name}" for name in ("dense", "structured")
    )
    return mixtures[best], (f"{seconds[best] * 1e3:.1f} ms an image with one thread, {ratios} butterflies",)


def open_file(path: Path, threads: int = 1) -> Session:
    """A file made ready to run with some threads."""
    session = session_of(path, threads)

    def run(images: npt.NDArray[np.float32]) -> npt.NDArray[np.float32]:
        logits: npt.NDArray[np.float32] = session.run(["logits"], {"images": images})[0]
        return logits

    return run
