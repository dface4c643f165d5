"""What is read back of an export: each file is run on the same images as the trained network, and counted."""

from __future__ import annotations

import io
import json
import math
import subprocess
import sys
import tempfile
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType
from typing import TYPE_CHECKING, Any, Self

import torch
from torch import Tensor, nn

from bft_nas.core.errors import RunError, one_line
from bft_nas.export.onnx_session import session_of
from bft_nas.network import Architecture, build, cost
from bft_nas.network.build import Normalisation, default_cfg

if TYPE_CHECKING:
    import numpy as np
    import numpy.typing as npt

TOLERANCE = 1e-4
"""The largest difference of a logit from the trained network's, relative to the largest absolute logit."""

BATCHES = (1, 3)

# Run by a Python that finds what this one does but for the package: a file, or model.py and its weights, is all that is
# needed.
RUN_FILES = """\
import importlib.util, io, json, sys, warnings
sys.modules["bft_nas"] = sys.modules["safetensors"] = None
warnings.simplefilter("ignore")
import torch
from torch.utils.flop_counter import FlopCounterMode

def load(path):
    if path.endswith(".pt2"):
        return torch.export.load(path).module()
    spec = importlib.util.spec_from_file_location("model", path)
    sys.modules["model"] = module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module.load()

batches = torch.load(sys.argv[1], weights_only=True)
for request in sys.stdin:
    network = load(json.loads(request))
    with torch.no_grad():
        logits = [network(batch) for batch in batches]
        with FlopCounterMode(display=False) as counter:
            network(batches[0][:1])
    answer = io.BytesIO()
    torch.save({"logits": logits, "flops": counter.get_total_flops()}, answer)
    print(answer.getvalue().hex(), flush=True)
"""


class ExportError(RunError):
    """A file that cannot be written, or does not do what the trained network does: one line that names it."""


@dataclass(frozen=True)
class FormTimes:
    """One way to write a butterfly in a runtime's file."""

    form: str
    macs: int
    """For one image."""
    size: int
    """Bytes of its weights in float32."""
    seconds: float
    """Of one image with one thread, with the layers beside it that it was timed between."""


@dataclass(frozen=True)
class LayerForm:
    """How a butterfly is written in a runtime's file, and what else was timed."""

    name: str
    in_channels: int
    out_channels: int
    side: int
    """Height and width of its images."""
    form: str
    """That the file has."""
    forms: tuple[FormTimes, ...]
    """The fastest first."""


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
    layers: tuple[LayerForm, ...] = ()
    """Its butterflies, where each has a form of its own."""
    notes: tuple[str, ...] = ()
    """What else was found of it: a sentence each."""


@dataclass(frozen=True)
class Answer:
    """What a file says when it is run: logits of each batch, and the products for one image."""

    logits: Sequence[Tensor]
    products: int | None = None


def trained(
    architecture: Architecture,
    state: Mapping[str, Tensor],
    *,
    normalisation: Normalisation | None = None,
    arrays: bool = False,
) -> nn.Module:
    """The network in eval mode, without a trace in the caller's random state.

    Where the normalisation of its images is known, and whether they were arrays, ``default_cfg`` has it.
    """
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
    network.default_cfg = default_cfg(architecture, normalisation, arrays=arrays)
    return network.eval()


def sample_images(architecture: Architecture) -> list[Tensor]:
    """Batches of several sizes, the same ones each time."""
    generator = torch.Generator().manual_seed(0)
    shape = (architecture.in_channels, architecture.resolution, architecture.resolution)
    return [torch.randn(batch, *shape, generator=generator) for batch in BATCHES]


class Checks:
    """What the files of an export have to agree with.

    Args:
        architecture: the network's.
        folder: where the files are.
        expected: the trained network's logits of `sample_images`.
    """

    def __init__(self, architecture: Architecture, folder: Path, expected: Sequence[Tensor]) -> None:
        counted = cost(architecture)
        self.macs, self.folder, self.expected = counted.macs, folder, expected
        # No counter of products sees them: they are additions.
        self.residuals = sum(
            layer.plan.residual_macs * layer.size**2 for layer in counted.layers if layer.plan
        )

    def file(self, name: str, difference: float | None, macs: int | None) -> ExportedFile:
        """A file that was checked."""
        return ExportedFile(name, difference, macs, (self.folder / name).stat().st_size)

    def check(self, name: str, run: Callable[[], Answer]) -> ExportedFile:
        """Raises `ExportError` where what a file answers is not what the network does."""
        try:
            answer = run()
        except ExportError:
            raise
        except Exception as error:
            raise ExportError(f"{name}: cannot be run ({one_line(error)[:300]})") from error
        difference = check_logits(name, answer, self.expected)
        macs = None if answer.products is None else answer.products + self.residuals
        if macs not in {None, self.macs}:
            raise ExportError(f"{name}: {macs} MACs where the architecture counts {self.macs}")
        return self.file(name, difference, macs)


def image_by_image(
    session: Callable[[npt.NDArray[np.float32]], npt.NDArray[np.float32]], batches: Sequence[Tensor]
) -> Answer:
    """Logits of batches by what takes one image at a time."""
    logits = [[torch.from_numpy(session(image[None].numpy())) for image in batch] for batch in batches]
    return Answer([torch.cat(each) for each in logits])


def check_logits(name: str, answer: Answer, expected: Sequence[Tensor]) -> float:
    """The largest difference of a file's logits from the network's, relative to the largest of these.

    Raises `ExportError` where it is above `TOLERANCE`.
    """
    largest = max(logits.abs().max().item() for logits in expected) or 1.0
    pairs = zip(answer.logits, expected, strict=True)
    difference = max((got - wanted).abs().max().item() for got, wanted in pairs) / largest
    # Not-a-number is no agreement either.
    if not difference <= TOLERANCE:
        raise ExportError(
            f"{name}: logits differ from the trained network's by {difference:.1e} of the largest,"
            f" more than {TOLERANCE:.0e}"
        )
    return difference


@contextmanager
def temporary_folder() -> Iterator[Path]:
    """For what is thrown away; ExportError that names it where the system will not keep that, or run it."""
    try:
        with tempfile.TemporaryDirectory() as folder:
            yield Path(folder)
    except OSError as error:
        raise ExportError(
            f"{tempfile.tempdir or 'temporary files'}: no place for what is checked"
            f" ({error.strerror or one_line(error)[:200]}); expected room and leave to run programs there, or TMPDIR"
            " with a folder that has both"
        ) from error


class OtherPython:
    """A process without this package, which runs files of an export while this one writes the next.

    A process for each would spend its time on importing torch.
    """

    def __init__(self, images: Sequence[Tensor]) -> None:
        given = io.BytesIO()
        torch.save(list(images), given)
        with ExitStack() as stack:
            folder = stack.enter_context(temporary_folder())
            (folder / "images.pt").write_bytes(given.getvalue())
            script = folder / "run.py"
            # Torch may be where only PYTHONPATH or this process says.
            script.write_text(f"import sys\nsys.path[:] = {sys.path!r}\n{RUN_FILES}", encoding="utf-8")
            self._complaints = (folder / "stderr").open("w+", encoding="utf-8", errors="replace")
            stack.enter_context(self._complaints)
            self._process = subprocess.Popen(
                # -I: nothing beyond that path; -B: no __pycache__ in what is handed over.
                [sys.executable, "-I", "-B", str(script), str(folder / "images.pt")],
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                stderr=self._complaints,
                text=True,
                encoding="utf-8",
            )
            self._scratch = stack.pop_all()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._process.kill()
        self._process.communicate()
        self._scratch.close()

    def ask(self, path: Path) -> None:
        """Have a file run, after those that were asked for before."""
        assert self._process.stdin is not None
        try:
            self._process.stdin.write(json.dumps(str(path)) + "\n")
            self._process.stdin.flush()
        except BrokenPipeError:
            pass  # it ended, and `answer` says why

    def answer(self, name: str) -> Answer:
        """Wait for what a file says. To be called in the order in which files were asked for."""
        assert self._process.stdout is not None
        line = self._process.stdout.readline()
        if not line:
            code = self._process.wait()
            self._complaints.seek(0)
            last = (self._complaints.read().strip() or f"exit {code}").splitlines()[-1]
            raise ExportError(f"{name}: does not run by itself ({last})")
        answer = torch.load(io.BytesIO(bytes.fromhex(line)), weights_only=True)
        return Answer(answer["logits"], answer["flops"] // 2)


def run_weights(folder: Path, images: Sequence[Tensor]) -> Answer:
    """Architecture and weights as another program would read them."""
    from safetensors.torch import load_file

    architecture = Architecture.from_json((folder / "architecture.json").read_text(encoding="utf-8"))
    network = trained(architecture, load_file(folder / "weights.safetensors"))
    with torch.no_grad():
        return Answer([network(batch) for batch in images])


def run_onnx(folder: Path, images: Sequence[Tensor]) -> Answer:
    import onnx

    path = folder / "model.onnx"
    session = session_of(path)
    logits = [session.run(["logits"], {"images": batch.numpy()})[0] for batch in images]
    return Answer([torch.from_numpy(values) for values in logits], _onnx_products(onnx.load(path)))


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
