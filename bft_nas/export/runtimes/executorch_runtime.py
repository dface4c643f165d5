"""Files for ExecuTorch, by XNNPACK."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor, nn

from bft_nas.core.errors import one_line
from bft_nas.export.checks import ExportedFile, ExportError
from bft_nas.export.graphs import quiet
from bft_nas.export.runtimes import Deployment
from bft_nas.export.runtimes.phones import check_file, check_int8, with_fastest_butterflies

if TYPE_CHECKING:
    import numpy as np
    import numpy.typing as npt

    from bft_nas.export.runtimes import Session


def write(deployment: Deployment) -> Iterator[ExportedFile]:
    """``executorch.pte`` and, where there are images to calibrate by, ``executorch-int8.pte``, for batches of one."""
    path = deployment.folder / "executorch.pte"
    image = deployment.images[0]
    try:
        network, layers = with_fastest_butterflies(deployment.network, _runner)
        path.write_bytes(_program(network, image))
        yield check_file(deployment, path, open_file(path), layers)
        if deployment.calibration is None:
            return
        path = deployment.folder / "executorch-int8.pte"
        half = len(deployment.calibration) // 2
        path.write_bytes(_program(_quantised(network, deployment.calibration[:half]), image))
        yield check_int8(deployment, path, open_file(path), deployment.calibration[half:])
    except (OSError, ExportError):
        raise
    except Exception as error:
        raise ExportError(f"{path.name}: cannot be written ({one_line(error)[:300]})") from error


def open_file(path: Path, threads: int = 1) -> Session:
    """A file made ready to run; ``threads`` are those of all programs of the process from now on."""
    run = _loaded(path.read_bytes(), threads)

    def session(images: npt.NDArray[np.float32]) -> npt.NDArray[np.float32]:
        logits: npt.NDArray[np.float32] = run(torch.from_numpy(images)).numpy()
        return logits

    return session


def _program(network: nn.Module, image: Tensor) -> bytes:
    with quiet(), torch.no_grad():
        from executorch.backends.xnnpack.partition.xnnpack_partitioner import XnnpackPartitioner
        from executorch.exir import to_edge_transform_and_lower

        graph = torch.export.export(network, (image,), strict=False)
        edge = to_edge_transform_and_lower(graph, partitioner=[XnnpackPartitioner()])
        return bytes(edge.to_executorch().buffer)


def _quantised(network: nn.Module, images: Tensor) -> nn.Module:
    """Weights per channel, activations in the ranges that they have on some images."""
    with quiet(), torch.no_grad():
        from executorch.backends.xnnpack.quantizer.xnnpack_quantizer import (
            XNNPACKQuantizer,
            get_symmetric_quantization_config,
        )
        from torchao.quantization.pt2e.quantize_pt2e import convert_pt2e, prepare_pt2e

        quantizer = XNNPACKQuantizer().set_global(get_symmetric_quantization_config(is_per_channel=True))
        graph = torch.export.export(network, (images[:1],), strict=False).module()
        observed = prepare_pt2e(graph, quantizer)
        for image in images:
            observed(image[None])
        quantised: nn.Module = convert_pt2e(observed)
        return quantised


def _loaded(program: bytes, threads: int) -> Callable[[Tensor], Tensor]:
    with quiet():
        from executorch.extension.pybindings import _C
        from executorch.runtime import Runtime, Verification

    if _C._threadpool_get_thread_count() != threads:
        _C._unsafe_reset_threadpool(threads)
    loaded = Runtime.get().load_program(program, verification=Verification.Minimal)
    method = loaded.load_method("forward")

    def run(image: Tensor, _kept: Any = loaded) -> Tensor:
        # A method does not keep the program that it is of.
        logits: Tensor = method.execute([image])[0]
        return logits

    return run


def _runner(network: nn.Module, image: Tensor) -> Callable[[], object]:
    run = _loaded(_program(network, image), 1)
    return lambda: run(image)
