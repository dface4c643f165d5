"""The two graphs of an export, ``model.pt2`` and ``model.onnx``, from one trace of the network."""

from __future__ import annotations

import copy
import logging
import warnings
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager, redirect_stderr, redirect_stdout
from io import BytesIO, StringIO
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from bft_nas.butterfly import ButterflyTransform
from bft_nas.core.errors import one_line
from bft_nas.core.extras import lacking
from bft_nas.export.checks import ExportError
from bft_nas.export.sums import fold_sums
from bft_nas.network import Architecture

RULES = "_DEFAULT_REWRITE_RULES"


def write_graphs(
    network: nn.Module, architecture: Architecture, folder: Path, written: Callable[[str], None]
) -> None:
    """``model.pt2`` and ``model.onnx``, for any batch from 1; leaves butterflies in structured form and sums folded.

    Without the packages of the extra ``export`` there is no ``model.onnx``.

    Args:
        network: in eval mode.
        architecture: what it was built from.
        folder: where to.
        written: called with the name of each file that is complete.

    Raises:
        ExportError: one of them cannot be written.
    """
    fold_sums(network)
    for module in network.modules():
        if isinstance(module, ButterflyTransform):
            module.form = "structured"
    name = "model.pt2"
    try:
        with quiet(), _spared(), torch.no_grad():
            program = _trace(network, architecture)
            stored = BytesIO()
            torch.export.save(program, stored)
        # PyTorch itself ends the process where the disk is full.
        (folder / name).write_bytes(stored.getvalue())
        written(name)
        if lacking("export"):
            return
        name = "model.onnx"
        with quiet(), _spared(), torch.no_grad():
            _write_onnx(program, folder / name)
        written(name)
    except (OSError, ExportError):
        raise
    except Exception as error:
        raise ExportError(f"{name}: cannot be written ({one_line(error)[:300]})") from error


def write_onnx(network: nn.Module, architecture: Architecture, path: Path, *, quickly: bool = False) -> None:
    """A network as one ONNX file, for any batch from 1.

    Args:
        network: in eval mode.
        architecture: what it was built from.
        path: where to.
        quickly: for one image at a time, by PyTorch's older exporter, which takes a tenth of the time.

    Raises:
        ExportError: it cannot be written.
    """
    try:
        with quiet(), _spared(), torch.no_grad():
            if quickly:
                _write_onnx_quickly(network, architecture, path)
            else:
                _write_onnx(_trace(network, architecture), path)
    except OSError:
        raise
    except Exception as error:
        raise ExportError(f"{path.name}: cannot be written ({one_line(error)[:300]})") from error


def _trace(network: nn.Module, architecture: Architecture) -> torch.export.ExportedProgram:
    # A sample of one image would be taken for a constant.
    sample = torch.zeros(2, architecture.in_channels, architecture.resolution, architecture.resolution)
    dynamic = ({0: torch.export.Dim("batch", min=1)},)
    program = torch.export.export(network, (sample,), dynamic_shapes=dynamic, strict=False)
    for node in program.graph.nodes:
        # It names the folders of the machine that exported.
        node.meta.pop("stack_trace", None)
    return program


def _write_onnx(program: torch.export.ExportedProgram, path: Path) -> None:
    import onnx

    torch.onnx.export(
        program,
        (),
        path,
        dynamo=True,
        verbose=False,
        external_data=False,
        input_names=["images"],
        output_names=["logits"],
        dynamic_shapes=({0: torch.export.Dim("batch", min=1)},),
    )
    model = onnx.load(path)
    for node in model.graph.node:
        del node.metadata_props[:]
    onnx.save(model, path)


def _write_onnx_quickly(network: nn.Module, architecture: Architecture, path: Path) -> None:
    network = copy.deepcopy(network)
    for name, module in list(network.named_modules()):
        if isinstance(module, nn.ChannelShuffle):
            network.set_submodule(name, _Interleave(module.groups))
    image = torch.zeros(1, architecture.in_channels, architecture.resolution, architecture.resolution)
    torch.onnx.export(network, (image,), path, dynamo=False, input_names=["images"], output_names=["logits"])


class _Interleave(nn.Module):
    """A channel shuffle in operators that the older exporter knows."""

    def __init__(self, groups: int) -> None:
        super().__init__()
        self.groups = groups

    def forward(self, x: Tensor) -> Tensor:
        batch, _, height, width = x.shape
        return x.view(batch, self.groups, -1, height, width).transpose(1, 2).reshape(x.shape)


@contextmanager
def _spared() -> Iterator[None]:
    """Spare the exporters what took more than half of their time and leaves no trace in the files.

    That is a stack trace for each node, which is removed again, and a rewriting of two slices as one split, which tries
    each node with each and which no network here has use for. Both are switches inside of other packages: where one is
    missing, an export only takes longer.
    """
    with ExitStack() as stack:
        config, switch = getattr(torch.fx, "config", None), "do_not_emit_stack_traces"
        if hasattr(config, switch):
            _swap(stack, config, switch, True)
        if not lacking("export"):
            from onnxscript import rewriter

            rules = getattr(rewriter, RULES, None)
            if isinstance(rules, tuple):
                kept = tuple(rule for rule in rules if getattr(rule, "name", None) != "SlicesSplit")
                _swap(stack, rewriter, RULES, kept)
        yield


def _swap(stack: ExitStack, owner: Any, name: str, value: Any) -> None:
    """Set an attribute until the stack ends."""
    stack.callback(setattr, owner, name, getattr(owner, name))
    setattr(owner, name, value)


@contextmanager
def quiet() -> Iterator[None]:
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
