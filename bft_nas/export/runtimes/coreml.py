"""Files for Core ML, which Apple's systems alone can run: elsewhere they are written and not run."""

from __future__ import annotations

import shutil
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor, nn

from bft_nas.core.errors import one_line
from bft_nas.core.files import size_of
from bft_nas.export.checks import ExportedFile, ExportError
from bft_nas.export.graphs import quiet
from bft_nas.export.labels import metadata
from bft_nas.export.runtimes import Deployment
from bft_nas.export.runtimes.onnx_runtime import with_dense_butterflies

if TYPE_CHECKING:
    import coremltools

NOTE = "written and not run, which Apple's systems alone can; in float16"
BUTTERFLIES = ", butterflies as dense 1x1 convolutions"


def write(deployment: Deployment) -> Iterator[ExportedFile]:
    """``coreml.mlpackage``, from iOS 15 and macOS 12 on.

    Where classes and normalisation are known, it takes an image as the camera has it, and says the class and the
    probability of each; otherwise it takes the normalised image and has the logits. Which form of a butterfly is the
    fastest there cannot be measured here: all are their whole matrix, which every processor knows how to multiply.
    """
    path = deployment.folder / "coreml.mlpackage"
    network, butterflies = with_dense_butterflies(deployment.network)
    try:
        model = _converted(network, deployment)
        model.user_defined_metadata.update(metadata(deployment.labels))
        model.save(str(path))
        _check_readable(path)
    except OSError:
        raise
    except Exception as error:
        shutil.rmtree(path, ignore_errors=True)
        raise ExportError(f"{path.name}: cannot be written ({one_line(error)[:300]})") from error
    note = NOTE + (BUTTERFLIES if butterflies else "")
    yield ExportedFile(path.name, None, None, size_of(path), notes=(note,))


def _converted(network: nn.Module, deployment: Deployment) -> coremltools.models.MLModel:
    with quiet(), torch.no_grad():
        import coremltools

        labels, image = deployment.labels, deployment.images[0][:1]
        classes, normalisation = labels.get("classes"), labels.get("normalisation")
        given: dict[str, Any] = {"outputs": [coremltools.TensorType(name="logits")]}
        inputs = coremltools.TensorType(name="image", shape=image.shape)
        if classes and normalisation:
            network = _Classifier(network, normalisation["mean"], normalisation["std"], len(classes))
            colours = (
                coremltools.colorlayout.RGB if image.shape[1] == 3 else coremltools.colorlayout.GRAYSCALE
            )
            inputs = coremltools.ImageType(
                name="image", shape=image.shape, scale=1 / 255, color_layout=colours
            )
            given = {"classifier_config": coremltools.ClassifierConfig(list(classes))}
        decompositions = {torch.ops.aten.channel_shuffle.default: _shuffled}
        graph = torch.export.export(network.eval(), (image,)).run_decompositions(decompositions)
        return coremltools.convert(
            graph,
            inputs=[inputs],
            minimum_deployment_target=coremltools.target.iOS15,
            skip_model_load=True,
            **given,
        )


def _check_readable(path: Path) -> None:
    with quiet():
        import coremltools

        coremltools.models.MLModel(str(path), skip_model_load=True)


def _shuffled(images: Tensor, groups: int) -> Tensor:
    """A shuffle of channels by operations that the converter knows."""
    count, channels, *sides = images.shape
    grouped = images.reshape(count, groups, channels // groups, *sides)
    return grouped.transpose(1, 2).reshape(images.shape)


class _Classifier(nn.Module):
    """Pixels from 0 to 1 to the probabilities of the trained classes."""

    mean: Tensor
    std: Tensor

    def __init__(self, network: nn.Module, mean: Sequence[float], std: Sequence[float], classes: int) -> None:
        super().__init__()
        self.network = network
        self.classes = classes
        self.register_buffer("mean", torch.tensor(mean).view(-1, 1, 1))
        self.register_buffer("std", torch.tensor(std).view(-1, 1, 1))

    def forward(self, images: Tensor) -> Tensor:
        logits: Tensor = self.network((images - self.mean) / self.std)
        return logits[:, : self.classes].softmax(1)
