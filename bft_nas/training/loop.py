"""One training loop for search, comparison and benchmarks."""

from __future__ import annotations

import math
import time
import traceback
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from bft_nas.core.errors import RunError, one_line
from bft_nas.core.memory import is_out_of_memory
from bft_nas.data.images import Images, resize
from bft_nas.network import Architecture, build
from bft_nas.training.augment import augment
from bft_nas.training.checkpoint import Parts, restore, store
from bft_nas.training.curve import Epoch
from bft_nas.training.fast import trained_fast
from bft_nas.training.initialise import initialise
from bft_nas.training.optimiser import make_optimiser, make_schedule
from bft_nas.training.protocol import Protocol

OUT_OF_MEMORY = "out of memory"
"""How the reason of such a failure begins."""


class TrainingFailed(Exception):  # noqa: N818 - it is an outcome of a candidate, not a defect of the program
    """A training that failed, with the reason that the record keeps.

    ``traceback`` is that of the error behind it; empty when the network was trained without one.
    """

    def __init__(self, reason: str, *, traceback: str = "") -> None:
        super().__init__(reason)
        self.traceback = traceback


class Diverged(TrainingFailed):
    """The loss became NaN, infinite or far worse than chance: of this network, and nothing to do with the next one."""


@contextmanager
def failing() -> Iterator[None]:
    """Take whatever goes wrong within for the failure of one training, but for what is in the way of all of them.

    Raises:
        TrainingFailed: with the reason, and the traceback of what went wrong.
    """
    try:
        yield
    except (TrainingFailed, RunError):
        raise
    except Exception as error:
        kind = OUT_OF_MEMORY if is_out_of_memory(error) else type(error).__name__
        reason = f"{kind}: {one_line(error)[:200]}".rstrip(": ")
        raise TrainingFailed(reason, traceback=traceback.format_exc()) from None


@dataclass(frozen=True)
class Training:
    """The outcome of a training."""

    curve: tuple[Epoch, ...]
    weights: Mapping[str, Tensor]
    """On the CPU; empty when it was stopped before its last epoch."""

    @property
    def stopped(self) -> bool:
        """Whether it was stopped early."""
        return not self.weights


def build_and_train(
    architecture: Architecture,
    protocol: Protocol,
    images: Images,
    *,
    checkpoint: Path | None = None,
    on_epoch: Callable[[tuple[Epoch, ...]], bool | None] = lambda curve: True,
    on_step: Callable[[int, int], None] = lambda done, total: None,
) -> Training:
    """Build a network and train it under a protocol; see `train` for the arguments.

    Raises:
        TrainingFailed: see `train`; or the network cannot be built.
    """
    torch.manual_seed(protocol.seed)
    with failing():
        model = build(architecture).to(images.device)
        initialise(model, protocol.recipe)
    curve = train(
        model,
        protocol,
        images,
        protocol.proxy_resolution(architecture.resolution),
        checkpoint=checkpoint,
        on_epoch=on_epoch,
        on_step=on_step,
    )
    if len(curve) < protocol.epochs:
        return Training(curve, {})
    with failing():
        # A copy of its own: what is stored must not be laid out for the convolutions of this machine.
        state = {
            name: value.detach().cpu().contiguous().clone() for name, value in model.state_dict().items()
        }
    return Training(curve, state)


def train(
    model: nn.Module,
    protocol: Protocol,
    images: Images,
    size: int,
    *,
    checkpoint: Path | None = None,
    on_epoch: Callable[[tuple[Epoch, ...]], bool | None] = lambda curve: True,
    on_step: Callable[[int, int], None] = lambda done, total: None,
) -> tuple[Epoch, ...]:
    """Train a model in place on images of ``size`` x ``size`` pixels and return its learning curve.

    The model may have more outputs than the data has classes, as a network that is counted with 1000 classes
    and tried out on ten: loss and accuracy read the first ones, the others get no gradient.

    Args:
        checkpoint: a file that holds the training as it was after its last whole epoch, in one piece at any moment.
            If it is there and of this protocol, the training resumes from it, and ends as if nothing had happened.
        on_epoch: receives the curve so far after each epoch; False ends the training there. When a training resumes
            from a checkpoint, it receives the curve of then first, and may end it at once.
        on_step: receives how many of all steps are done.

    Raises:
        Diverged: the loss became NaN, infinite or far worse than chance.
        TrainingFailed: memory ran out, or anything else went wrong, but for what the callbacks raise.
        RunError: the checkpoint cannot be written.
    """
    with failing():
        data = images.at(size)
        model.to(memory_format=torch.channels_last)  # type: ignore[call-overload]
        optimiser = make_optimiser(model, protocol.recipe)
        steps_per_epoch = max(1, len(data.train) // protocol.batch_size)
        total = protocol.epochs * steps_per_epoch
        schedule = make_schedule(optimiser, protocol.recipe, total)
        generator = torch.Generator().manual_seed(protocol.seed)
        parts = Parts(model, optimiser, schedule, generator)
        curve = restore(checkpoint, parts, protocol.hash) if checkpoint is not None else ()
    if curve and on_epoch(curve) is False:
        return curve
    with trained_fast(model, protocol.data_classes):
        for epoch in range(len(curve) + 1, protocol.epochs + 1):
            started = time.perf_counter()
            with failing():
                model.train()
                order = torch.randperm(len(data.train), generator=generator)
                losses = torch.zeros((), device=images.device)
                batches = torch.split(order, protocol.batch_size)[:steps_per_epoch]
            for step, picked in enumerate(batches, start=(epoch - 1) * steps_per_epoch + 1):
                with failing():
                    losses += _step(parts, protocol, images, size, picked.to(images.device))
                on_step(step, total)
            with failing():
                train_loss = float(losses) / steps_per_epoch
                check_loss(train_loss, epoch, protocol.data_classes)
                settling = order[: protocol.norm_images].to(images.device)
                pixels = settling_batches(data.train[settling])
                settle_norms(model, protocol, images, pixels, size)
                judged = accuracy(model, protocol, images, size)
                curve = (*curve, Epoch(epoch, train_loss, judged, time.perf_counter() - started))
                if checkpoint is not None and epoch < protocol.epochs:
                    store(checkpoint, parts, curve, protocol.hash)
            if on_epoch(curve) is False:
                break
    return curve


def _step(parts: Parts, protocol: Protocol, images: Images, size: int, picked: Tensor) -> Tensor:
    """Train on the images of these numbers at ``size`` x ``size`` pixels, and return their loss."""
    data = images.at(size)
    pixels = augment(data.train[picked], protocol.recipe, parts.generator, size)
    with precision_of(protocol, images.device):
        logits = parts.model(images.normalise(pixels))[:, : protocol.data_classes]
        loss = F.cross_entropy(
            logits, data.train_labels[picked], label_smoothing=protocol.recipe.label_smoothing
        )
    parts.optimiser.zero_grad(set_to_none=True)
    loss.backward()  # type: ignore[no-untyped-call]
    parts.optimiser.step()
    parts.schedule.step()
    return loss.detach()


def check_loss(train_loss: float, epoch: int, classes: int) -> None:
    """Raise `Diverged` for a mean training loss that is no number, or far above that of guessing."""
    if not math.isfinite(train_loss):
        raise Diverged(f"the training loss became {train_loss} in epoch {epoch}")
    chance = math.log(max(2, classes))
    if train_loss > 3 * chance:
        raise Diverged(
            f"diverged: training loss {train_loss:.1f} in epoch {epoch}, guessing gives {chance:.1f}"
        )


@torch.inference_mode()
def accuracy(model: nn.Module, protocol: Protocol, images: Images, size: int) -> float:
    """The part, 0 to 1, of the validation images that a model classifies correctly."""
    data = images.at(size)
    model.eval()
    right = torch.zeros((), dtype=torch.int64, device=images.device)
    batches = zip(torch.split(data.validation, 250), torch.split(data.validation_labels, 250), strict=True)
    for pixels, labels in batches:
        with precision_of(protocol, images.device):
            logits = model(images.normalise(resize(pixels, size)))[:, : protocol.data_classes]
        right += (logits.argmax(1) == labels).sum()
    return int(right) / len(data.validation)


def settling_batches(images: Tensor) -> tuple[Tensor, ...]:
    """The images, or their numbers, in the batches that `settle_norms` takes, of 128 at most.

    They are even but for one image, since each batch weighs as much as any other: of 130 images two alone would make
    half of every statistic.
    """
    return torch.tensor_split(images, math.ceil(len(images) / 128))


@torch.no_grad()
def settle_norms(
    model: nn.Module, protocol: Protocol, images: Images, batches: Iterable[Tensor], size: int
) -> None:
    """Recalibrate batch-norm statistics: their average over these images at ``size`` x ``size``, not augmented."""
    norms = [module for module in model.modules() if isinstance(module, nn.BatchNorm2d)]
    momenta = [norm.momentum for norm in norms]
    for norm in norms:
        norm.reset_running_stats()
        norm.momentum = None  # a plain average over the batches to come
    model.train()
    for batch in batches:
        with precision_of(protocol, images.device):
            model(images.normalise(resize(batch, size)))
    for norm, momentum in zip(norms, momenta, strict=True):
        norm.momentum = momentum


def precision_of(protocol: Protocol, device: torch.device) -> torch.autocast:
    """In which a network computes within it."""
    return torch.autocast(device.type, torch.bfloat16, enabled=protocol.recipe.precision == "bfloat16")
