"""The model card of a network that was trained to the end, in the form that the Hugging Face hub reads."""

from __future__ import annotations

import json
import shlex
from typing import Any

import yaml

from bft_nas.core.files import write_text
from bft_nas.core.units import format_duration, format_epochs, format_macs, format_params, format_percent
from bft_nas.data.dataset import is_of_arrays
from bft_nas.network import cost
from bft_nas.record.exported import read_files
from bft_nas.record.trained import Evaluation, Trained

CARD, CONFIG = "card.md", "config.json"
README = "README.md"
"""The hub reads the card under this name."""


def write_card(trained: Trained) -> None:
    """Write the card and the configuration of a trained network beside its weights.

    What it says is on record; the licence is its owner's to choose.
    """
    text = card_of(trained)
    for name in (CARD, README):
        write_text(trained.folder / name, text)
    write_text(trained.folder / CONFIG, json.dumps(_config(trained), indent=1) + "\n")


def facts_of_trained(trained: Trained) -> list[tuple[str, str]]:
    """What is known of a trained network: names and values."""
    architecture, protocol = trained.architecture, trained.protocol
    counted = cost(architecture)
    curve, evaluation = trained.curve(), trained.evaluation()
    facts = {
        "network": str(trained.facts["network"]),
        "input": f"{architecture.resolution}x{architecture.resolution} pixels, {architecture.in_channels} channels",
        "MACs": format_macs(counted.macs),
        "parameters": format_params(counted.params),
        "fusions": architecture.fusion_pattern,
        "data": f"{protocol.data}, {protocol.train_images:,} images to train on, {protocol.data_classes} classes",
        "recipe": f"{trained.facts['recipe']}: {format_epochs(protocol.epochs)}, batches of {protocol.batch_size}, "
        f"{protocol.recipe.optimiser} (protocol {protocol.hash})",
        **({"teacher": str(trained.facts["teacher"])} if trained.facts["teacher"] else {}),
        "trained for": format_duration(sum(row["seconds"] for row in curve)),
    }
    if evaluation is not None:
        error = format_percent(evaluation.measures.calibration_error)
        facts["accuracy"] = accuracy_text(evaluation)
        facts["calibration"] = f"{error} expected calibration error"
    files = (("exported file", each.text) for each in read_files(trained.folder))
    return [*facts.items(), *files, *(("latency", latency.text) for latency in trained.latencies())]


def card_of(trained: Trained) -> str:
    """The card's text."""
    # As a path: it is not told where trained networks are.
    folder = str(trained.folder)
    export = f"bft-nas export {shlex.quote(folder)} -o {shlex.quote(trained.name)}"
    table = "\n".join(f"| {name} | {value} |" for name, value in facts_of_trained(trained))
    return f"""---
{yaml.safe_dump(_front_matter(trained), sort_keys=False).strip()}
---

# {trained.name}

| | |
|---|---|
{table}

{_preparation(trained)} They are divided by 255, from each channel its mean {_numbers(trained.data.mean)} is \
taken, and what is left is divided by {_numbers(trained.data.std)}. `prepare.py` of an export does this with Pillow \
and numpy alone.

```python
import bft_nas

trained = bft_nas.open_trained({json.dumps(folder, ensure_ascii=False)})
model = trained.model()  # a torch.nn.Module in eval mode
classes = trained.data.classes
```

`{export}` writes it as files that need nothing but their runtime.
"""


def accuracy_text(evaluation: Evaluation) -> str:
    """The accuracy with its interval, on which images, and how many there were beside them."""
    measures, without = evaluation.measures, len(evaluation.left_out)
    missing = f", without {without} that cannot be decoded" if without else ""
    low, high = measures.interval
    return (
        f"{format_percent(measures.accuracy)} of {measures.images:,} {evaluation.split} images{missing} "
        f"(95 %: {format_percent(low)} to {format_percent(high)})"
    )


def _front_matter(trained: Trained) -> dict[str, Any]:
    protocol, evaluation = trained.protocol, trained.evaluation()
    content: dict[str, Any] = {
        "library_name": "bft-nas",
        "pipeline_tag": "image-classification",
        "tags": ["image-classification", "bft-nas", trained.architecture.family],
        "datasets": [protocol.data],
    }
    if evaluation is not None:
        metric = {"type": "accuracy", "value": round(evaluation.measures.accuracy, 6)}
        dataset = {"type": protocol.data, "name": protocol.data, "split": evaluation.split}
        result = {"task": {"type": "image-classification"}, "dataset": dataset, "metrics": [metric]}
        content["model-index"] = [{"name": trained.name, "results": [result]}]
    return content


def _config(trained: Trained) -> dict[str, Any]:
    """What is needed to build the network again and to prepare its images."""
    return {
        "library_name": "bft-nas",
        "architecture": trained.architecture.to_dict(),
        "classes": list(trained.data.classes),
        "mean": list(trained.data.mean),
        "std": list(trained.data.std),
    }


def _preparation(trained: Trained) -> str:
    side = trained.architecture.resolution
    if is_of_arrays(trained.facts["data"]):
        return f"The pixels of an image are resized to {side}x{side} (bilinear, antialiased)."
    return (
        "An image file is turned upright, and the centre square of its RGB pixels is resized to "
        f"{side}x{side} (bicubic, antialiased)."
    )


def _numbers(values: tuple[float, ...]) -> str:
    return ", ".join(f"{value:.4f}" for value in values)
