"""Says what is on images, by the first file of this folder whose runtime is installed. Written by bft-nas.

    python predict.py photo.jpg more.png

Needs Pillow, numpy and one runtime: onnxruntime, executorch, ai-edge-litert or torch; or model.so, which is
model.c after cc -O3 -march=native -shared -fPIC -o model.so model.c -lm.
"""

from __future__ import annotations

import argparse
import json
import runpy
import sys
from collections.abc import Callable
from importlib.util import find_spec
from pathlib import Path
from typing import Any

FOLDER = Path(__file__).resolve().parent
SHOWN = 5

Network = Callable[[Any], Any]
"""An image, a float32 array (1, 3, height, width), to its logits, (1, outputs)."""


def by_onnxruntime(path: Path) -> Network:
    import onnxruntime

    session = onnxruntime.InferenceSession(str(path), providers=["CPUExecutionProvider"])
    check_architecture(path, session.get_modelmeta().custom_metadata_map.get("architecture"))
    return lambda image: session.run(None, {"images": image})[0]


def by_executorch(path: Path) -> Network:
    import torch
    from executorch.runtime import Runtime, Verification

    program = Runtime.get().load_program(path, verification=Verification.Minimal)
    method = program.load_method("forward")

    def run(image: Any, _kept: Any = program) -> Any:
        # A method does not keep the program that it is of.
        return method.execute([torch.from_numpy(image)])[0].numpy()

    return run


def by_litert(path: Path) -> Network:
    import numpy as np
    from ai_edge_litert.interpreter import Interpreter

    interpreter = Interpreter(model_path=str(path))
    interpreter.allocate_tensors()
    (given,), (made,) = interpreter.get_input_details(), interpreter.get_output_details()

    def run(image: Any) -> Any:
        if given["dtype"] == np.int8:
            scale, zero = given["quantization"]
            image = np.clip(np.rint(image / scale) + zero, -128, 127).astype(np.int8)
        interpreter.set_tensor(given["index"], image)
        interpreter.invoke()
        logits = interpreter.get_tensor(made["index"])
        if made["dtype"] == np.int8:
            scale, zero = made["quantization"]
            logits = (logits.astype(np.float32) - zero) * scale
        return logits

    return run


def by_c(path: Path) -> Network:
    import ctypes

    import numpy as np

    library = ctypes.CDLL(str(path))
    library.model_load.argtypes, library.model_load.restype = [ctypes.c_char_p], ctypes.c_void_p
    library.model_run.argtypes, library.model_run.restype = [ctypes.c_void_p] * 3, None
    model = library.model_load(str(path.with_suffix(".bin")).encode())
    if not model:
        raise ended(
            f"{path.name}: of another network than model.bin; expected that of model.c, compiled anew"
        )

    def run(image: Any) -> Any:
        image = np.ascontiguousarray(image)
        logits = np.empty((1, config()["outputs"]), np.float32)
        library.model_run(model, image.ctypes.data, logits.ctypes.data)
        return logits

    return run


def by_torch(path: Path) -> Network:
    import torch

    network = runpy.run_path(str(path))["load"]()
    return lambda image: network(torch.from_numpy(image)).detach().numpy()


RUNTIMES: dict[str, tuple[str, str, Callable[[Path], Network]]] = {
    "onnxruntime.onnx": ("onnxruntime", "onnxruntime", by_onnxruntime),
    "onnxruntime-int8.onnx": ("onnxruntime", "onnxruntime", by_onnxruntime),
    "model.onnx": ("onnxruntime", "onnxruntime", by_onnxruntime),
    "executorch.pte": ("executorch", "executorch", by_executorch),
    "executorch-int8.pte": ("executorch", "executorch", by_executorch),
    "litert.tflite": ("ai_edge_litert", "ai-edge-litert", by_litert),
    "litert-int8.tflite": ("ai_edge_litert", "ai-edge-litert", by_litert),
    "model.so": ("ctypes", "", by_c),
    "model.py": ("torch", "torch", by_torch),
}
"""Of each file, the first one first: what is imported to run it, what brings that, and how it is opened."""
BESIDE = {"model.so": "model.bin"}
"""What a file is of no use without: it was compiled here, and may be left of another export."""


def config() -> dict[str, Any]:
    """Names of the classes and how images are prepared, as they stand beside this file."""
    found: dict[str, Any] = json.loads((FOLDER / "config.json").read_text(encoding="utf-8"))
    return found


def check_architecture(path: Path, noted: str | None) -> None:
    """Classes are named as config.json has them, which a file of another network does not know."""
    wanted = config()["architecture"]
    if noted != wanted:
        raise ended(f"{path.name}: of architecture {noted}; expected {wanted}, as in config.json")


def network() -> tuple[str, Network]:
    """The first file that can be run here, and what runs it."""
    there = {
        name: runtime
        for name, runtime in RUNTIMES.items()
        if (FOLDER / name).is_file() and (FOLDER / BESIDE.get(name, name)).is_file()
    }
    for name, (module, _, opened) in there.items():
        if find_spec(module) is not None:
            return name, opened(FOLDER / name)
    if not there:
        raise ended(f"{FOLDER}: holds no file to run; expected one of {', '.join(RUNTIMES)}")
    brings = dict.fromkeys(package for _, package, _ in there.values())
    raise ended(f"no runtime is installed; expected pip install {' or '.join(brings)}")


def shown(path: str, name: str, logits: Any, classes: list[str]) -> str:
    """The likeliest classes of an image; outputs behind the last class were never trained."""
    import numpy as np

    values = logits[0].astype(np.float64)[: len(classes) or None]
    likely = np.exp(values - values.max())
    likely /= likely.sum()
    lines = [f"{path} ({name})"]
    for k in np.argsort(-likely, kind="stable")[:SHOWN]:
        lines.append(f"  {100 * likely[k]:5.1f} %  {classes[k] if classes else f'class {k}'}")
    return "\n".join(map(printable, lines))


def printable(text: str) -> str:
    """What cannot be printed in one line, as escapes."""
    return "".join(c if c.isprintable() else c.encode("unicode_escape").decode() for c in text)


def ended(reason: str) -> SystemExit:
    """By one line."""
    complain(reason)
    return SystemExit(2)


def complain(reason: str) -> None:
    print(f"predict.py: error: {printable(reason)}", file=sys.stderr)


def main() -> int:
    """Say what is on each image; 2 if one of them is none."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("images", nargs="+", metavar="IMAGE", help="an image file")
    images = parser.parse_args().images
    for stream in (sys.stdout, sys.stderr):
        stream.reconfigure(errors="backslashreplace")  # type: ignore[union-attr]
    for module, package in {"numpy": "numpy", "PIL": "pillow"}.items():
        if find_spec(module) is None:
            raise ended(f"{module} is not installed; expected pip install {package}")
    prepare = runpy.run_path(str(FOLDER / "prepare.py"))["prepare"]
    classes = config().get("classes", [])
    name, run = network()
    code = 0
    for path in images:
        try:
            image = prepare(path)
        # Decoders raise whatever a damaged file leads them to.
        except Exception as error:
            complain(f"{path}: no image that can be read ({error})")
            code = 2
            continue
        print(shown(path, name, run(image), classes))
    return code


if __name__ == "__main__":
    sys.exit(main())
