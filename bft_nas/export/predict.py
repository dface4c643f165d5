"""Says what is on images, by the first file of this folder whose runtime is installed. Written by bft-nas.

    python predict.py photo.jpg more.png

Needs Pillow, numpy and one runtime: onnxruntime, executorch, ai-edge-litert or torch.
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


def by_torch(path: Path) -> Network:
    import torch

    network = runpy.run_path(str(path))["load"]()
    return lambda image: network(torch.from_numpy(image)).detach().numpy()


RUNTIMES: dict[str, tuple[str, str, Callable[[Path], Network]]] = {
    "onnxruntime.onnx": ("onnxruntime", "onnxruntime", by_onnxruntime),
    "onnxruntime-int8.onnx": ("onnxruntime", "onnxruntime", by_onnxruntime),
    "model.onnx": ("onnxruntime", "onnxruntime", by_onnxruntime),
    "model.py": ("torch", "torch", by_torch),
}
"""Of each file, the first one first: what is imported to run it, what brings that, and how it is opened."""


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
    there = {name: runtime for name, runtime in RUNTIMES.items() if (FOLDER / name).is_file()}
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
