"""Sessions of ONNX Runtime, and how long they take."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from bft_nas.core.timing import medians

if TYPE_CHECKING:
    import onnx

SECONDS = 0.002


def session_of(model: Path | bytes, threads: int = 1) -> Any:
    """A session on the CPU that keeps its advice to itself."""
    import onnxruntime

    options = onnxruntime.SessionOptions()
    options.log_severity_level = 3
    options.intra_op_num_threads = threads
    return onnxruntime.InferenceSession(model, options, providers=["CPUExecutionProvider"])


def runner(model: onnx.ModelProto, image: Any) -> Callable[[], object]:
    """Runs a model on an image, with one thread."""
    session = session_of(model.SerializeToString())
    name = session.get_inputs()[0].name
    return lambda: session.run(None, {name: image})


def cpu_seconds(runs: Mapping[str, Callable[[], object]], rounds: int) -> dict[str, float]:
    """Seconds of one call of each, with one thread.

    It is the processor's time: what else runs on the machine takes of the clock's, seldom the same from each.
    """
    return medians(runs, rounds, SECONDS, clock=time.thread_time)
