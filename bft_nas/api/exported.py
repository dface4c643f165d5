"""`bft_nas.evaluate_files`: what the files of an export are worth on the images that their network was tried on."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from bft_nas.api.trained import Trained, open_trained
from bft_nas.core.errors import UserError, setting
from bft_nas.core.files import is_file
from bft_nas.latency.networks import (
    RUNTIME_OF,
    File,
    check_installed,
    file_at,
    files_of_export,
    is_export,
)
from bft_nas.record.card import CARD, write_card
from bft_nas.record.exported import FileEvaluation, add_files
from bft_nas.record.trained import TRAINED

if TYPE_CHECKING:
    from bft_nas.data.dataset import Split


def evaluate_files(
    name: str | Path,
    *files: str | Path,
    trained: str | Path = TRAINED,
    watcher: Callable[[int, int], None] = lambda done, total: None,
) -> list[FileEvaluation]:
    """Predict a trained network's test images by files of its exports, one image at a time, and keep what came of it.

    Where the data has no test images, those for validation are predicted.

    Args:
        name: of the trained network, or its folder.
        files: exports, of which all files are tried whose runtime is installed, or files of these.
        trained: where trained networks are.
        watcher: is told how many of all images are done.

    Raises:
        UserError: there is no such network, its data is gone, or something is no file of an export of it.

    >>> [each.accuracy for each in evaluate_files("shoes", "shoes-export")]  # doctest: +SKIP
    """
    network = open_trained(name, trained=trained)
    found = [file for place in files for file in _files_at(Path(place))]
    for file in found:
        if file.architecture is None or file.architecture.hash != network.architecture.hash:
            raise UserError(
                f"{file.path}: of another network; expected a file of an export of {network.name}"
            )
    split, test = _test_images(network)
    told = _predicted(network, found, split, test, watcher)
    add_files(network.folder, told)
    if is_file(network.folder / CARD):
        write_card(network)
    return told


def _files_at(path: Path) -> list[File]:
    if is_export(path):
        return files_of_export(path)
    if not is_file(path) or path.suffix not in RUNTIME_OF:
        raise UserError(
            f"{setting('files')} '{path}': no export or file of one; expected a folder that export wrote, or a file of "
            f"it that ends in {', '.join(RUNTIME_OF)}"
        )
    file = file_at(path)
    check_installed(file.runtime, str(path))
    return [file]


def _test_images(network: Trained) -> tuple[str, Split]:
    from bft_nas.data.dataset import Room, has_test, is_there, load_dataset, load_test, with_margin

    source, size = network.facts["data"], network.architecture.resolution
    if not is_there(source):
        raise UserError(f"no data at {source} any more; expected the images of the training there")
    if has_test(source):
        return "test", load_test(source, size=size, room=Room.here())
    return "validation", load_dataset(source, size=with_margin(size), room=Room.here()).validation


def _predicted(
    network: Trained, files: Sequence[File], split: str, test: Split, watcher: Callable[[int, int], None]
) -> list[FileEvaluation]:
    import numpy as np
    import torch

    from bft_nas.api.evaluation import prepared

    mean, std = (
        torch.tensor(values).view(-1, 1, 1) * 255 for values in (network.data.mean, network.data.std)
    )
    classes, total = len(network.data.classes), len(test.labels)
    model, sessions = network.model(), [file.session() for file in files]
    right, same = np.zeros(len(files), int), np.zeros(len(files), int)
    done = 0
    for pixels in prepared(test, network.architecture.resolution):
        images = (pixels - mean) / std
        labels = test.labels[done : done + len(images)]
        with torch.inference_mode():
            own = model(images)[:, :classes].argmax(1).numpy()
        for place, session in enumerate(sessions):
            answers = np.array([session(image[None].numpy())[0, :classes].argmax() for image in images])
            right[place] += (answers == labels).sum()
            same[place] += (answers == own).sum()
        done += len(images)
        watcher(done, total)
    return [
        FileEvaluation(file.path.name, file.size, split, total, int(hits), int(agreed))
        for file, hits, agreed in zip(files, right, same, strict=True)
    ]
