"""Files for ONNX Runtime."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING

import torch

from bft_nas.export.checks import Answer, ExportedFile, check_logits
from bft_nas.export.graphs import write_onnx
from bft_nas.export.runtimes import Deployment

if TYPE_CHECKING:
    import numpy as np
    import numpy.typing as npt

    from bft_nas.export.runtimes import Session


def write(deployment: Deployment) -> Iterator[ExportedFile]:
    """``onnxruntime.onnx``, with norms folded."""
    path = deployment.folder / "onnxruntime.onnx"
    write_onnx(deployment.network, deployment.architecture, path)
    session = open_file(path)
    answer = Answer([torch.from_numpy(session(batch.numpy())) for batch in deployment.images])
    yield ExportedFile(
        path.name, check_logits(path.name, answer, deployment.expected), None, path.stat().st_size
    )


def open_file(path: Path, threads: int = 1) -> Session:
    """A file made ready to run with some threads."""
    import onnxruntime

    options = onnxruntime.SessionOptions()
    options.log_severity_level = 3
    options.intra_op_num_threads = threads
    session = onnxruntime.InferenceSession(path, options, providers=["CPUExecutionProvider"])

    def run(images: npt.NDArray[np.float32]) -> npt.NDArray[np.float32]:
        logits: npt.NDArray[np.float32] = session.run(["logits"], {"images": images})[0]
        return logits

    return run
