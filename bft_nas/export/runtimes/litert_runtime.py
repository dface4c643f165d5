"""Files for LiteRT, which was TensorFlow Lite."""

from __future__ import annotations

import tempfile
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
    """``litert.tflite`` and, where there are images to calibrate by, ``litert-int8.tflite``, for batches of one."""
    path = deployment.folder / "litert.tflite"
    image = deployment.images[0]
    try:
        network, layers = with_fastest_butterflies(deployment.network, _runner)
        _convert(network, image, path)
        yield check_file(deployment, path, open_file(path), layers)
        if deployment.calibration is None:
            return
        path = deployment.folder / "litert-int8.tflite"
        half = len(deployment.calibration) // 2
        _convert_int8(network, deployment.calibration[:half], path)
        yield check_int8(deployment, path, open_file(path), deployment.calibration[half:])
    except (OSError, ExportError):
        raise
    except Exception as error:
        raise ExportError(f"{path.name}: cannot be written ({one_line(error)[:300]})") from error


def open_file(path: Path, threads: int = 1) -> Session:
    """A file made ready to run with some threads."""
    import numpy as np

    interpreter, given, made = _interpreter(path, threads)

    def run(images: npt.NDArray[np.float32]) -> npt.NDArray[np.float32]:
        x: npt.NDArray[Any] = images
        if given["dtype"] == np.int8:
            scale, zero = given["quantization"]
            x = np.clip(np.rint(images / scale) + zero, -128, 127).astype(np.int8)
        interpreter.set_tensor(given["index"], x)
        interpreter.invoke()
        logits: npt.NDArray[np.float32] = interpreter.get_tensor(made["index"])
        if made["dtype"] == np.int8:
            scale, zero = made["quantization"]
            logits = (logits.astype(np.float32) - zero) * np.float32(scale)
        return logits

    return run


def _interpreter(path: Path, threads: int) -> tuple[Any, dict[str, Any], dict[str, Any]]:
    from ai_edge_litert.interpreter import Interpreter

    interpreter = Interpreter(model_path=str(path), num_threads=threads)
    interpreter.allocate_tensors()
    (given,), (made,) = interpreter.get_input_details(), interpreter.get_output_details()
    return interpreter, given, made


def _convert(network: nn.Module, image: Tensor, path: Path) -> None:
    with quiet():
        import litert_torch

        litert_torch.convert(network.eval(), (image,)).export(str(path))


def _convert_int8(network: nn.Module, images: Tensor, path: Path) -> None:
    """Weights per channel, activations in the ranges that they have on some images."""
    with quiet(), torch.no_grad():
        import litert_torch
        from litert_torch.quantize.pt2e_quantizer import PT2EQuantizer, get_symmetric_quantization_config
        from litert_torch.quantize.quant_config import QuantConfig
        from torchao.quantization.pt2e.quantize_pt2e import convert_pt2e, prepare_pt2e

        quantizer = PT2EQuantizer().set_global(get_symmetric_quantization_config(is_per_channel=True))
        graph = torch.export.export(network, (images[:1],), strict=False).module()
        observed = prepare_pt2e(graph, quantizer)
        for image in images:
            observed(image[None])
        quantised = convert_pt2e(observed, fold_quantize=False)
        config = QuantConfig(pt2e_quantizer=quantizer)
        litert_torch.convert(quantised, (images[:1],), quant_config=config).export(str(path))


def _runner(network: nn.Module, image: Tensor) -> Callable[[], object]:
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder, "layer.tflite")
        _convert(network, image, path)
        interpreter, given, _ = _interpreter(path, 1)
    interpreter.set_tensor(given["index"], image.numpy())
    invoke: Callable[[], object] = interpreter.invoke
    return invoke
