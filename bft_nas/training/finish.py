"""A training to the end: at the deployment resolution, with averaged weights, from one checkpoint to the next."""

from __future__ import annotations

import io
import math
import time
from collections.abc import Callable, Mapping
from contextlib import ExitStack, suppress
from dataclasses import astuple
from itertools import chain
from pathlib import Path
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn
from torch.optim.swa_utils import AveragedModel, get_ema_multi_avg_fn

from bft_nas.core.files import write_bytes
from bft_nas.core.interrupts import awaited
from bft_nas.data.feed import Feed, batches_of, feeds_of
from bft_nas.data.images import Images, resize
from bft_nas.training.augment import augment, mix
from bft_nas.training.checkpoint import UNREADABLE, Parts, load_state, state_of, stored_bytes, write
from bft_nas.training.curve import BEST, CHECKPOINT, LAST, FullCurve, FullEpoch
from bft_nas.training.draws import Share
from bft_nas.training.fast import trained_fast
from bft_nas.training.loop import (
    Diverged,
    check_loss,
    failing,
    precision_of,
    settle_norms,
    settling_batches,
)
from bft_nas.training.optimiser import make_optimiser, make_schedule
from bft_nas.training.processes import ALONE, Processes
from bft_nas.training.protocol import Protocol
from bft_nas.training.sync_norms import norms_synchronised
from bft_nas.training.teacher import Teacher, distillation_loss

MINUTES = 10.0
"""Between two checkpoints, at most; there is one after each epoch besides."""
STEPS_TO_LOOK = 50
"""After which the loss is looked at: NaN is not trained on for an epoch."""
GROWN = 0.75
"""The part of all epochs after which images have their whole size."""
GRID = 8
"""Sides of smaller images are multiples of it, in pixels."""
BATCH = 100
"""Images at once where nothing is learnt."""


class NotFinite(Exception):  # noqa: N818 - it leads back to a checkpoint
    """The loss became NaN or infinite."""


class FullTraining:
    """A training of a model to the end, in place, with all that it needs to be put down and taken up again.

    In its folder are the checkpoint while it lasts, `BEST` with the weights of the best validation accuracy so far, be
    they averaged or not, and `LAST` at the end. Killed at any moment and begun again with the same arguments, it ends
    with the same weights on the same machine.

    Args:
        model: fresh, on the device of the images.
        protocol: epochs, batch size, recipe and seed.
        images: to train and validate on.
        size: the side of the images that the model gets, in pixels.
        folder: its own.
        minutes: between two checkpoints, at most.
        teacher: whose soft targets the network learns, too, where the recipe gives them a weight.
        processes: that train together, each on its share of every batch; the first one alone has the folder.
    """

    def __init__(
        self,
        model: nn.Module,
        protocol: Protocol,
        images: Images,
        size: int,
        folder: Path,
        *,
        minutes: float = MINUTES,
        teacher: Teacher | None = None,
        processes: Processes = ALONE,
    ) -> None:
        self.teacher = teacher
        self.processes = processes
        self.protocol = protocol
        self.images = images
        self.size = size
        self.folder = folder
        self.minutes = minutes
        # Images are kept as they are and brought to the size a batch at a time: enlarged ones fill the memory.
        self.data = feeds_of(images, size)
        self.steps = max(1, len(self.data.train) // protocol.batch_size)
        model.to(memory_format=torch.channels_last)  # type: ignore[call-overload]
        optimiser = make_optimiser(model, protocol.recipe)
        schedule = make_schedule(optimiser, protocol.recipe, protocol.epochs * self.steps)
        generator = torch.Generator().manual_seed(protocol.seed)
        self.parts = Parts(model, optimiser, schedule, generator)
        self.network = torch.compile(model) if protocol.recipe.compiled else model
        """What a step of the training goes through."""
        self.average = _average_of(model, protocol.recipe.averaging)
        self.curve: FullCurve = ()
        self.order: Tensor | None = None
        """Of the images of the epoch under way."""
        self.step = 0
        """Of the epoch under way: as many are done."""
        self.losses = torch.zeros((), device=images.device)
        self.seconds = 0.0
        """That the epoch under way took before this process."""
        self.slowed = False
        """It went back to a checkpoint at half of the learning rate."""
        self.restored = self._restore()

    def run(
        self,
        *,
        on_epoch: Callable[[FullCurve], None] = lambda curve: None,
        on_step: Callable[[int, int], None] = lambda done, total: None,
        say: Callable[[str], None] = lambda text: None,
        check: Callable[[], None] = lambda: None,
    ) -> FullCurve:
        """Train until the last epoch and return the curve.

        The first SIGINT or SIGTERM writes a checkpoint and raises `bft_nas.core.interrupts.Interrupt`.

        Args:
            on_epoch: receives the curve so far after each epoch.
            on_step: receives how many of all steps are done.
            say: is told in a line when the training went back to a checkpoint.
            check: raises such an `Interrupt` where something else than a signal asks for it; called after each step.

        Raises:
            Diverged: the loss became NaN or infinite twice, or far worse than chance.
            TrainingFailed: memory ran out, or anything else went wrong, but for what the callbacks raise.
            RunError: a file cannot be written.
        """
        with ExitStack() as stack:
            together = self.processes.count > 1 and self.protocol.recipe.sync_norms
            if not self.protocol.recipe.compiled:
                stack.enter_context(
                    trained_fast(self.parts.model, self.protocol.data_classes, norms=not together)
                )
            stack.callback(self.data.close)
            if together:
                stack.enter_context(norms_synchronised(self.parts.model, self.processes))
            self._check_interrupt = self.processes.agreed(stack.enter_context(awaited()), check)
            self._stored = time.monotonic()
            if not self.restored:
                self._store()
            while len(self.curve) < self.protocol.epochs and not self._out_of_patience(say):
                try:
                    self._train_epoch(on_step)
                except NotFinite:
                    self._go_back(say)
                    continue
                on_epoch(self.curve)
                self._check_interrupt()
        if self.processes.first:
            write_bytes(self.folder / LAST, _as_bytes(self.parts.model))
            with suppress(FileNotFoundError):
                (self.folder / CHECKPOINT).unlink()
        return self.curve

    def _train_epoch(self, on_step: Callable[[int, int], None]) -> None:
        started = time.perf_counter() - self.seconds
        parts, protocol = self.parts, self.protocol
        if self.order is None:
            self.order = self._new_order()
            self.step, self.losses = 0, torch.zeros((), device=self.images.device)
        batches = torch.split(self.order, protocol.batch_size)[: self.steps]
        coming = chain.from_iterable(
            batch.tensor_split(protocol.recipe.accumulation) for batch in batches[self.step :]
        )
        self.data.train.ahead(some[self._made(len(some)).places] for some in coming)
        parts.model.train()
        while self.step < self.steps:
            with failing():
                self.losses += self._train_step(batches[self.step].to(self.images.device))
            self.step += 1
            self.seconds = time.perf_counter() - started
            if self.step % STEPS_TO_LOOK == 0 and not self.losses.isfinite():
                raise NotFinite
            on_step(len(self.curve) * self.steps + self.step, protocol.epochs * self.steps)
            self._keep_in_time()
        train_loss = float(self.losses) / self.steps
        if not math.isfinite(train_loss):
            raise NotFinite
        check_loss(train_loss, len(self.curve) + 1, protocol.data_classes)
        averaged = math.nan
        with failing():
            settling = self.order[: protocol.norm_images]
            loss, accuracy = self._judge(parts.model, settling)
            if self.average is not None:
                _, averaged = self._judge(self.average.module, settling)
        # What the last step did to the weights is in no loss of the training.
        if not math.isfinite(loss):
            raise NotFinite
        rate = float(parts.optimiser.param_groups[0]["lr"])
        seconds = time.perf_counter() - started
        row = FullEpoch(len(self.curve) + 1, train_loss, loss, accuracy, averaged, rate, seconds)
        if self.processes.first and row.best > max((each.best for each in self.curve), default=-1.0):
            better = self.average is not None and averaged >= accuracy
            chosen = self.average.module if better and self.average is not None else parts.model
            write_bytes(self.folder / BEST, _as_bytes(chosen))
        self.curve, self.order, self.seconds = (*self.curve, row), None, 0.0
        self._store()

    def _new_order(self) -> Tensor:
        """In which the images of an epoch are trained on."""
        count, generator = len(self.data.train), self.parts.generator
        if not self.protocol.recipe.balance:
            return torch.randperm(count, generator=generator)
        labels = self.data.train_labels.cpu()
        chances = 1 / torch.bincount(labels).double()
        return torch.multinomial(chances[labels], count, replacement=True, generator=generator)

    def _train_step(self, picked: Tensor) -> Tensor:
        """Train on the images of these numbers, and return the loss that their labels tell."""
        parts, recipe = self.parts, self.protocol.recipe
        parts.optimiser.zero_grad(set_to_none=True)
        told = torch.zeros((), device=self.images.device)
        for some in picked.tensor_split(recipe.accumulation):
            share = self.processes.share(len(some))
            weight = share.part * len(some) / len(picked)
            loss, tells = self._losses(some, share)
            (loss * weight).backward()  # type: ignore[no-untyped-call]
            told += tells * weight
        told = self.processes.add_up(parts.model.parameters(), told)
        if recipe.clip:
            nn.utils.clip_grad_norm_(parts.model.parameters(), recipe.clip)
        parts.optimiser.step()
        parts.schedule.step()
        if self.average is not None:
            self.average.update_parameters(parts.model)
        return told

    def _losses(self, picked: Tensor, share: Share) -> tuple[Tensor, Tensor]:
        """What the network is to make small on its share of these images, and what their labels tell of it."""
        recipe, generator = self.protocol.recipe, self.parts.generator
        size = size_at(len(self.curve) / self.protocol.epochs, recipe.growth, self.size)
        made = self._made(len(picked))
        pixels = augment(self.data.train[picked[made.places]], recipe, generator, size, made)
        pixels, order, part = mix(pixels, recipe, generator)
        labels = self.data.train_labels[picked]
        others = labels if order is None else labels[order]
        if made != share:
            pixels = pixels[share.places]
        labels, others = labels[share.places], others[share.places]
        with precision_of(self.protocol, self.images.device):
            logits = self.network(self.images.normalise(pixels))[:, : self.protocol.data_classes]
            told = F.cross_entropy(logits, labels, label_smoothing=recipe.label_smoothing)
            if order is not None:
                other = F.cross_entropy(logits, others, label_smoothing=recipe.label_smoothing)
                told = part * told + (1 - part) * other
            loss = told
            if self.teacher is not None and recipe.distillation:
                taught = distillation_loss(logits, self.teacher(pixels), recipe.temperature)
                loss = (1 - recipe.distillation) * told + recipe.distillation * taught
        return loss, told.detach()

    def _made(self, images: int) -> Share:
        """Which ones of so many images this process makes: one may be blended with one of another process."""
        recipe = self.protocol.recipe
        return Share.all(images) if recipe.mixup or recipe.cutmix else self.processes.share(images)

    def _out_of_patience(self, say: Callable[[str], None]) -> bool:
        """Whether the last epochs were no better than an earlier one, as many as the recipe has patience for."""
        patience = self.protocol.recipe.patience
        best = max(self.curve, key=lambda row: row.best, default=None)
        if not patience or best is None or len(self.curve) - best.epoch < patience:
            return False
        epochs = f"{patience} such epoch" + "s" * (patience > 1)
        say(f"no better validation accuracy since epoch {best.epoch}: the training ends after {epochs}")
        return True

    def _judge(self, model: nn.Module, settling: Tensor) -> tuple[float, float]:
        """Loss and accuracy on the validation split, with the norms' statistics taken anew."""
        batches = self.data.train.batches(settling_batches(settling))
        settle_norms(model, self.protocol, self.images, batches, self.size)
        own = self.processes.share(len(self.data.validation)).places
        logits = predict(model, self.protocol, self.images, self.data.validation, self.size, places=own)
        logits = self.processes.rows(logits)
        labels = self.data.validation_labels.cpu()
        right = int((logits.argmax(1) == labels).sum())
        return float(F.cross_entropy(logits, labels)), right / len(labels)

    def _keep_in_time(self) -> None:
        """A checkpoint when the last one is old, or when somebody asks this process to end."""
        try:
            self._check_interrupt()
        except KeyboardInterrupt:
            if self._is_finite():
                self._store()
            raise
        # What is not finite is found out later, by all processes at the same step.
        if time.monotonic() - self._stored > 60 * self.minutes and self._is_finite():
            self._store()

    def _is_finite(self) -> bool:
        """Whether losses and weights are numbers; if not, the checkpoint that there is stays."""
        weights = self.parts.model.parameters()
        return bool(self.losses.isfinite()) and all(bool(each.isfinite().all()) for each in weights)

    def _store(self) -> None:
        # Of all processes: each looks at its weights before, and not after every step.
        self._stored = time.monotonic()
        if not self.processes.first:
            return
        content = {
            "protocol": self.protocol.hash,
            "curve": [astuple(row) for row in self.curve],
            "order": self.order,
            "step": self.step,
            "losses": self.losses,
            "seconds": self.seconds,
            "slowed": self.slowed,
            "average": None if self.average is None else self.average.state_dict(),
            **state_of(self.parts),
        }
        write(self.folder / CHECKPOINT, content, durable=True)

    def _restore(self) -> bool:
        """Take up the training of the checkpoint in the folder, if there is one of this protocol."""
        try:
            own = stored_bytes(self.folder / CHECKPOINT) if self.processes.first else None
            stored = self.processes.from_first(own)
            if stored is None:
                return False
            content: Mapping[str, Any] = torch.load(io.BytesIO(stored), map_location="cpu", weights_only=True)
            if content["protocol"] != self.protocol.hash:
                return False
            curve = tuple(FullEpoch(*row) for row in content["curve"])
        except UNREADABLE:
            return False
        load_state(self.parts, content)
        if self.average is not None:
            self.average.load_state_dict(content["average"])
        self.curve, self.order, self.step = curve, content["order"], content["step"]
        self.losses = content["losses"].to(self.images.device)
        self.seconds, self.slowed = content["seconds"], content["slowed"]
        return True

    def _go_back(self, say: Callable[[str], None]) -> None:
        epoch = len(self.curve) + 1
        if self.slowed or not self._restore():
            raise Diverged(f"the training loss became NaN or infinite in epoch {epoch}, again") from None
        self.slowed = True
        for group in self.parts.optimiser.param_groups:
            group["lr"] *= 0.5
            group["initial_lr"] *= 0.5
        self.parts.schedule.base_lrs = [rate / 2 for rate in self.parts.schedule.base_lrs]
        self._store()
        say(
            f"the training loss became NaN or infinite in epoch {epoch}: it goes on from the last checkpoint at half "
            "of the learning rate"
        )


def size_at(progress: float, growth: float, size: int) -> int:
    """The side of the images, in pixels, when a part of all epochs is done, 0 to 1; see `Recipe.growth`.

    >>> [size_at(progress, 0.5, 224) for progress in (0.0, 0.25, 0.5, 0.75)]
    [112, 152, 184, 224]
    """
    part = growth + (1 - growth) * min(1.0, progress / GROWN)
    return min(size, max(1, round(size * part / GRID)) * GRID) if part < 1 else size


@torch.inference_mode()
def predict(
    model: nn.Module,
    protocol: Protocol,
    images: Images,
    pixels: Tensor | Feed,
    size: int,
    *,
    places: slice = slice(None),
) -> Tensor:
    """The logits, float32 (n, classes) on the CPU, that a model has for images, which are brought to its size.

    ``places``: of the images that are meant, by default all.
    """
    model.eval()
    found = [torch.empty(0, protocol.data_classes)]
    for batch in batches_of(pixels, BATCH, places):
        with precision_of(protocol, images.device):
            logits = model(images.normalise(resize(batch.to(images.device), size)))
        found.append(logits[:, : protocol.data_classes].float().cpu())
    return torch.cat(found)


def _average_of(model: nn.Module, decay: float) -> AveragedModel | None:
    """What averages a model's weights; the norms' statistics are taken anew for it."""
    if not decay:
        return None
    average = get_ema_multi_avg_fn(decay)  # type: ignore[no-untyped-call]
    return AveragedModel(model, multi_avg_fn=average)


def _as_bytes(model: nn.Module) -> bytes:
    from safetensors.torch import save

    state = {name: value.detach().cpu().contiguous().clone() for name, value in model.state_dict().items()}
    return save(state, metadata={"format": "pt"})
