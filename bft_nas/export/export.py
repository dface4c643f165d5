"""A trained network as files that need nothing of this package: .pt2, .onnx, safetensors, one readable .py.

Whatever is written is read back, run on the same images as the trained network, and counted; a file that does not
agree is an error, and then nothing is left behind.
"""

from __future__ import annotations

import json
import logging
import math
import subprocess
import sys
import tempfile
import warnings
from collections.abc import Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager, redirect_stderr, redirect_stdout, suppress
from dataclasses import dataclass
from io import StringIO
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from bft_nas.butterfly import ButterflyTransform
from bft_nas.core.errors import UserError, one_line
from bft_nas.export.source import Normalisation, model_source
from bft_nas.network import Architecture, build, cost

TOLERANCE = 1e-4
"""The largest difference of a logit from the trained network's, relative to the largest absolute logit."""

BATCHES = (1, 3)
CONTENTS = ("architecture.json", "weights.safetensors", "model.pt2", "model.onnx", "model.py")

# Run by a Python that is told of no other path, to show that model.py and its weights are all that is needed.
RUN_MODEL = """\
import importlib.util, sys
sys.modules["bft_nas"] = sys.modules["safetensors"] = None
import torch
from torch.utils.flop_counter import FlopCounterMode

source, images, answers = sys.argv[1:]
spec = importlib.util.spec_from_file_location("model", source)
sys.modules["model"] = module = importlib.util.module_from_spec(spec)
spec.loader.exec_module(module)
network = module.load()
batches = torch.load(images, weights_only=True)
with torch.no_grad():
    logits = [network(batch) for batch in batches]
    with FlopCounterMode(display=False) as counter:
        network(batches[0][:1])
torch.save({"logits": logits, "flops": counter.get_total_flops()}, answers)
"""


class ExportError(Exception):
    """A file that cannot be written, or does not do what the trained network does: one line that names it."""


@dataclass(frozen=True)
class ExportedFile:
    """One file of an export, and how it was checked."""

    name: str
    difference: float | None
    """Largest difference from the trained network's logits, relative to the largest; None if it has none."""
    macs: int | None
    """Multiply-accumulates for one image, counted in the file; None where there is nothing to count."""
    size: int
    """Bytes."""


@dataclass(frozen=True)
class ExportReport:
    """A folder that was exported to."""

    folder: Path
    files: tuple[ExportedFile, ...]


@dataclass(frozen=True)
class _Answer:
    """What a file says when it is run: logits of each batch, and the products for one image."""

    logits: Sequence[Tensor]
    products: int | None = None


def export(
    architecture: Architecture,
    state: Mapping[str, Tensor],
    folder: Path,
    *,
    classes: Sequence[str] = (),
    normalisation: Normalisation | None = None,
) -> ExportReport:
    """Write a trained network to a folder of its own, and check each file against the network.

    The graphs and ``model.py`` multiply butterflies stage by stage, so that their MACs are the counted ones.

    Args:
        architecture: the network.
        state: its trained state dict, written as float32.
        folder: where to; made if missing. A previous export there is replaced, other files in it are kept.
        classes: names of the trained outputs, which are the first ones.
        normalisation: mean and standard deviation of each channel, as in training, for images in [0, 1].

    Raises:
        UserError: the folder holds something else or cannot be written; more names than outputs; a mean or
            standard deviation that does not fit the channels.
        ExportError: the state does not fit the architecture, or a file does not agree with the network.
    """
    _check_labels(architecture, classes, normalisation)
    _check_free(folder)
    network = _trained(architecture, state)
    images = _images(architecture)
    with torch.no_grad():
        expected = [network(batch) for batch in images]
    if not all(logits.isfinite().all() for logits in expected):
        raise ExportError("weights.safetensors: the trained network's logits are not finite")
    modules = {type(module).__name__ for module in network.modules()}
    with _staged(folder) as staging:
        (staging / "architecture.json").write_text(architecture.to_json(), encoding="utf-8")
        _write_weights(network, staging, _metadata(architecture, classes, normalisation))
        source = model_source(architecture, modules, classes=classes, normalisation=normalisation)
        (staging / "model.py").write_text(source, encoding="utf-8")
        _write_graphs(network, architecture, staging)
        files = _verify(architecture, staging, images, expected)
    return ExportReport(folder, files)


def _check_labels(
    architecture: Architecture, classes: Sequence[str], normalisation: Normalisation | None
) -> None:
    if len(classes) > architecture.classes:
        raise UserError(f"classes: {len(classes)} names for a network of {architecture.classes} outputs")
    if normalisation is None:
        return
    for name, values in zip(("mean", "standard deviation"), normalisation, strict=True):
        if len(values) != architecture.in_channels or not all(map(math.isfinite, values)):
            raise UserError(
                f"normalisation: expected a {name} for each of {architecture.in_channels} channels, got {values}"
            )
    if not all(value > 0 for value in normalisation[1]):
        raise UserError(f"normalisation: expected standard deviations above 0, got {normalisation[1]}")


def _metadata(
    architecture: Architecture, classes: Sequence[str], normalisation: Normalisation | None
) -> dict[str, str]:
    metadata = {"format": "pt", "architecture": architecture.hash}
    if normalisation is not None:
        mean, std = (list(map(float, values)) for values in normalisation)
        metadata["normalisation"] = json.dumps({"mean": mean, "std": std})
    if classes:
        metadata["classes"] = json.dumps(list(classes))
    return metadata


def _trained(architecture: Architecture, state: Mapping[str, Tensor]) -> nn.Module:
    """The network in eval mode, without a trace in the caller's random state."""
    with torch.random.fork_rng(devices=[]):
        network = build(architecture)
    wanted = {name: tuple(tensor.shape) for name, tensor in network.state_dict().items()}
    given = {name: tuple(tensor.shape) for name, tensor in state.items()}
    for name in wanted | given:
        if wanted.get(name) != given.get(name):
            raise ExportError(
                f"weights.safetensors: {name}: expected {wanted.get(name, 'no such tensor')} values for this"
                f" architecture, got {given.get(name, 'none')}"
            )
    network.load_state_dict(state)
    return network.eval()


def _images(architecture: Architecture) -> list[Tensor]:
    generator = torch.Generator().manual_seed(0)
    shape = (architecture.in_channels, architecture.resolution, architecture.resolution)
    return [torch.randn(batch, *shape, generator=generator) for batch in BATCHES]


@contextmanager
def _staged(folder: Path) -> Iterator[Path]:
    """A new folder that takes the place of ``folder`` if all goes well, and vanishes otherwise."""
    target = folder.resolve()
    made = [parent for parent in target.parents if not parent.exists()]
    try:
        target.parent.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryDirectory(dir=target.parent, prefix=f".{target.name}-") as scratch:
            # One level down, because the scratch folder itself is readable by nobody else.
            staging, previous = Path(scratch, "export"), Path(scratch, "previous")
            staging.mkdir()
            yield staging
            _check_free(folder)
            _swap(staging, target, previous)
    except BaseException as error:
        for parent in made:
            with suppress(OSError):
                parent.rmdir()
        if isinstance(error, OSError):
            raise UserError(
                f"{folder}: cannot be written ({error.strerror or one_line(error)[:300]})"
            ) from None
        raise


def _check_free(folder: Path) -> None:
    try:
        if not folder.exists():
            return
        if not folder.is_dir():
            raise UserError(f"{folder}: exists and is no folder")
        names = {path.name for path in folder.iterdir()}
    except OSError as error:
        raise UserError(f"{folder}: cannot be read ({error.strerror})") from None
    if names and not {"architecture.json", "model.py"} <= names:
        raise UserError(f"{folder}: exists and holds something else than a previous export")


def _swap(staging: Path, target: Path, previous: Path) -> None:
    """Put ``staging`` where ``target`` is, and move what the user added to ``target`` along."""
    if not target.exists():
        staging.rename(target)
        return
    target.rename(previous)
    try:
        staging.rename(target)
    except OSError:
        previous.rename(target)
        raise
    for path in previous.iterdir():
        if path.name not in {*CONTENTS, "__pycache__"}:
            path.rename(target / path.name)


def _write_weights(network: nn.Module, folder: Path, metadata: dict[str, str]) -> None:
    from safetensors.torch import save

    state = {name: tensor.contiguous() for name, tensor in network.state_dict().items()}
    (folder / "weights.safetensors").write_bytes(save(state, metadata=metadata))


def _write_graphs(network: nn.Module, architecture: Architecture, folder: Path) -> None:
    """``model.pt2`` and ``model.onnx``, for any batch from 1; leaves the butterflies in structured form."""
    import onnx

    for module in network.modules():
        if isinstance(module, ButterflyTransform):
            module.form = "structured"
    # A sample of one image would be taken for a constant.
    sample = torch.zeros(2, architecture.in_channels, architecture.resolution, architecture.resolution)
    dynamic = ({0: torch.export.Dim("batch", min=1)},)
    name = "model.pt2"
    try:
        with _quiet(), torch.no_grad():
            program = torch.export.export(network, (sample,), dynamic_shapes=dynamic, strict=False)
            for node in program.graph.nodes:
                # It names the folders of the machine that exported.
                node.meta.pop("stack_trace", None)
            torch.export.save(program, folder / name)
            name = "model.onnx"
            torch.onnx.export(
                program,
                (),
                folder / name,
                dynamo=True,
                verbose=False,
                external_data=False,
                input_names=["images"],
                output_names=["logits"],
                dynamic_shapes=dynamic,
            )
    except OSError:
        raise
    except Exception as error:
        raise ExportError(f"{name}: cannot be written ({one_line(error)[:300]})") from error
    model = onnx.load(folder / name)
    for node in model.graph.node:
        del node.metadata_props[:]
    onnx.save(model, folder / name)


def _verify(
    architecture: Architecture, folder: Path, images: Sequence[Tensor], expected: Sequence[Tensor]
) -> tuple[ExportedFile, ...]:
    counted = cost(architecture)
    # No counter of products sees them: they are additions.
    residuals = sum(layer.plan.residual_macs * layer.size**2 for layer in counted.layers if layer.plan)
    files = [_exported(folder / "architecture.json", None, counted.macs)]
    largest = max(logits.abs().max().item() for logits in expected) or 1.0
    for name, run in (
        ("weights.safetensors", _run_weights),
        ("model.pt2", _run_pt2),
        ("model.onnx", _run_onnx),
        ("model.py", _run_source),
    ):
        try:
            answer = run(folder, images)
        except ExportError:
            raise
        except Exception as error:
            raise ExportError(f"{name}: cannot be run ({one_line(error)[:300]})") from error
        pairs = zip(answer.logits, expected, strict=True)
        difference = max((got - wanted).abs().max().item() for got, wanted in pairs) / largest
        # Not-a-number is no agreement either.
        if not difference <= TOLERANCE:
            raise ExportError(
                f"{name}: logits differ from the trained network's by {difference:.1e} of the largest,"
                f" more than {TOLERANCE:.0e}"
            )
        macs = None if answer.products is None else answer.products + residuals
        if macs not in {None, counted.macs}:
            raise ExportError(f"{name}: {macs} MACs where the architecture counts {counted.macs}")
        files.append(_exported(folder / name, difference, macs))
    return tuple(files)


def _exported(path: Path, difference: float | None, macs: int | None) -> ExportedFile:
    return ExportedFile(path.name, difference, macs, path.stat().st_size)


def _run_weights(folder: Path, images: Sequence[Tensor]) -> _Answer:
    """Architecture and weights as another program would read them."""
    from safetensors.torch import load_file

    architecture = Architecture.from_json((folder / "architecture.json").read_text(encoding="utf-8"))
    network = _trained(architecture, load_file(folder / "weights.safetensors"))
    with torch.no_grad():
        return _Answer([network(batch) for batch in images])


def _run_pt2(folder: Path, images: Sequence[Tensor]) -> _Answer:
    from torch.utils.flop_counter import FlopCounterMode

    with _quiet():
        network = torch.export.load(folder / "model.pt2").module()
    with torch.no_grad():
        logits = [network(batch) for batch in images]
        with FlopCounterMode(display=False) as counter:
            network(images[0][:1])
    return _Answer(logits, counter.get_total_flops() // 2)


def _run_onnx(folder: Path, images: Sequence[Tensor]) -> _Answer:
    import onnx
    import onnxruntime

    path = folder / "model.onnx"
    options = onnxruntime.SessionOptions()
    options.log_severity_level = 3
    session = onnxruntime.InferenceSession(path, options, providers=["CPUExecutionProvider"])
    logits = [session.run(["logits"], {"images": batch.numpy()})[0] for batch in images]
    return _Answer([torch.from_numpy(values) for values in logits], _onnx_products(onnx.load(path)))


def _onnx_products(model: Any) -> int:
    """The multiplications that an ONNX graph does for one image in convolutions and matrix products."""
    import onnx

    graph = model.graph
    graph.input[0].type.tensor_type.shape.dim[0].dim_value = 1
    # What the exporter wrote there holds for every batch, and would be believed.
    del graph.value_info[:]
    graph.output[0].type.tensor_type.ClearField("shape")
    inferred = onnx.shape_inference.infer_shapes(model, strict_mode=True, data_prop=True).graph
    shapes = {weight.name: list(weight.dims) for weight in graph.initializer}
    for value in (*inferred.input, *inferred.value_info, *inferred.output):
        shapes[value.name] = [dim.dim_value for dim in value.type.tensor_type.shape.dim]
    products = 0
    for node in graph.node:
        if node.op_type == "Conv":
            products += math.prod(shapes[node.output[0]]) * math.prod(shapes[node.input[1]][1:])
        elif node.op_type in {"Gemm", "MatMul"}:
            transposed = any(attribute.name == "transA" and attribute.i for attribute in node.attribute)
            inner = shapes[node.input[0]][0 if transposed else -1]
            products += math.prod(shapes[node.output[0]]) * inner
    return products


def _run_source(folder: Path, images: Sequence[Tensor]) -> _Answer:
    with tempfile.TemporaryDirectory() as scratch:
        script, asked, answers = (Path(scratch, name) for name in ("run.py", "images.pt", "answers.pt"))
        script.write_text(RUN_MODEL, encoding="utf-8")
        torch.save(list(images), asked)
        # -B: no __pycache__ in what is handed over.
        arguments = (script, folder / "model.py", asked, answers)
        command = [sys.executable, "-I", "-B", *map(str, arguments)]
        done = subprocess.run(command, capture_output=True, text=True, check=False)
        if done.returncode:
            last = (done.stderr.strip() or f"exit {done.returncode}").splitlines()[-1]
            raise ExportError(f"model.py: does not run by itself ({last})")
        answer = torch.load(answers, weights_only=True)
    return _Answer(answer["logits"], answer["flops"] // 2)


@contextmanager
def _quiet() -> Iterator[None]:
    """Keep the exporters' progress, advice and deprecations from the user; what they raise is not theirs."""
    logger = logging.getLogger("torch.onnx")
    level = logger.level
    with ExitStack() as stack:
        stack.enter_context(redirect_stdout(StringIO()))
        stack.enter_context(redirect_stderr(StringIO()))
        stack.enter_context(warnings.catch_warnings())
        warnings.simplefilter("ignore")
        stack.callback(logger.setLevel, level)
        logger.setLevel(logging.ERROR)
        yield
