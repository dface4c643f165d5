"""`bft_nas.evaluate_files`: what the files of an export are worth on the images that their network was tried on."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from bft_nas.api.trained import Trained, open_trained
from bft_nas.core.errors import UserError, setting
from bft_nas.core.files import check_writable, is_file
from bft_nas.latency.networks import RUNTIME_OF, File, files_at
from bft_nas.record.card import CARD, write_card
from bft_nas.record.exported import FileEvaluation, add_files
from bft_nas.record.trained_folder import TRAINED

if TYPE_CHECKING:
    from bft_nas.data.dataset import Split


def evaluate_files(
    name: str | Path,
    *files: str | Path,
    trained: str | Path = TRAINED,
    watcher: Callable[[int, int], None] = lambda done, total: None,
) -> list[FileEvaluation]:
    """Predict a trained network's test images by files of its export, one image at a time, and keep what came of it.

    Where the data has no test images, those for validation are predicted.

    Args:
        name: of the trained network, or its folder.
        files: an export, of which all files are tried whose runtime is installed, or files of one.
        trained: where trained networks are.
        watcher: is told how many of all images are done.

    Raises:
        UserError: there is no such network, it is not trained to the end, or its images are others by now; something
            is no file of an export of it, or two files have one name; what came of it cannot be kept.

    >>> [each.accuracy for each in evaluate_files("shoes", "shoes-export")]  # doctest: +SKIP
    """
    from bft_nas.api.evaluation import judged, kept_evaluation
    from bft_nas.api.training_work import images_of

    network = open_trained(name, trained=trained)
    kept_evaluation(network)
    check_writable(network.folder)
    found = _checked(network, [file for place in files for file in _files_at(Path(place))])
    images, source = images_of(network, {})
    split, test = judged(source, images.dataset, network.architecture.resolution)
    told = _predicted(network, found, split, test, watcher)
    add_files(network.folder, told)
    if is_file(network.folder / CARD):
        write_card(network)
        network.report()
    return told


def _files_at(path: Path) -> list[File]:
    files = files_at(path)
    if files is None:
        raise UserError(
            f"{setting('files')} '{path}': no export or file of one; expected a folder that export wrote, or a file of "
            f"it that ends in {', '.join(RUNTIME_OF)}"
        )
    return files


def _checked(network: Trained, files: Sequence[File]) -> list[File]:
    """Each file once; UserError where there is none, one is of another network, or two could not be told apart."""
    found = list({file.path.resolve(): file for file in files}.values())
    if not found:
        raise UserError(f"{setting('files')}: expected an export of {network.name}, or files of one")
    of_folder = {file.path.parent: file for file in found}
    for folder, file in of_folder.items():
        if file.architecture is None or file.architecture.hash != network.architecture.hash:
            raise UserError(
                f"{file.path}: of another network; expected a file of an export of {network.name}"
            )
        if not _has_weights_of(network, folder):
            raise UserError(f"{file.path}: of other weights; expected a file of an export of {network.name}")
    names = [file.path.name for file in found]
    for name in names:
        if names.count(name) > 1:
            raise UserError(f"{setting('files')}: two of the name {name}; expected files of one export")
    return found


def _has_weights_of(network: Trained, folder: Path) -> bool:
    """Whether an export is of these weights, and not of others for the same architecture."""
    import torch
    from safetensors.torch import load_file

    try:
        exported = load_file(folder / "weights.safetensors")
    except Exception:
        return False
    own = network.weights()
    return exported.keys() == own.keys() and all(torch.equal(exported[name], own[name]) for name in own)


def _predicted(
    network: Trained, files: Sequence[File], split: str, test: Split, watcher: Callable[[int, int], None]
) -> list[FileEvaluation]:
    import numpy as np
    import torch

    from bft_nas.api.evaluation import normalised, prepared

    classes, total = len(network.data.classes), len(test.labels)
    model, sessions = network.model(), [file.session() for file in files]
    sizes = [file.size for file in files]
    right, same = np.zeros(len(files), int), np.zeros(len(files), int)
    done = 0
    for pixels in prepared(test, network.architecture.resolution):
        images = normalised(pixels, network.data)
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
        FileEvaluation(file.path.name, size, split, total, int(hits), int(agreed))
        for file, size, hits, agreed in zip(files, sizes, right, same, strict=True)
    ]
