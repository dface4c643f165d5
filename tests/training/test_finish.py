"""A training to the end: put down anywhere and taken up again, it ends as if nothing had happened."""

from __future__ import annotations

import errno
import math
import os
import random
import signal
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from safetensors.torch import load_file
from torch import Tensor

from bft_nas.core.errors import RunError
from bft_nas.core.interrupts import Interrupt
from bft_nas.data.division import Split
from bft_nas.data.feed import feeds_of
from bft_nas.data.images import Images, resize
from bft_nas.network import DENSE, Architecture, Head, Stem, build, butterfly_fusion
from bft_nas.network.blocks.separable import SeparableBlock
from bft_nas.training.augment import augment, mix
from bft_nas.training.curve import BEST, CHECKPOINT, LAST, FullCurve, FullEpoch
from bft_nas.training.finish import FullTraining, predict
from bft_nas.training.initialise import initialise
from bft_nas.training.loop import Diverged
from bft_nas.training.optimiser import learning_rate_at
from bft_nas.training.processes import Processes
from bft_nas.training.protocol import Protocol
from bft_nas.training.recipe import Recipe
from bft_nas.training.teacher import Teacher
from tests.training.by_hand import SIZE, ByHand, classifier, loss_of

NET = Architecture(
    "tiny",
    32,
    Stem(16),
    (SeparableBlock(32, stride=2, fusion=butterfly_fusion(4)), SeparableBlock(64, stride=2, fusion=DENSE)),
    Head(),
    classes=10,
)
RECIPE = Recipe(crop_area=0.5, jitter=0.2, erasing=0.2, averaging=0.9, clip=5.0)
EPOCHS = 3


def training(images: Images, folder: Path, *, minutes: float = 10.0, **changes: Any) -> FullTraining:
    protocol = Protocol.of(images.dataset, 1, epochs=EPOCHS, batch_size=50)
    recipe = replace(RECIPE, **changes)
    torch.manual_seed(0)
    model = build(NET)
    initialise(model, recipe)
    folder.mkdir(exist_ok=True)
    return FullTraining(model, replace(protocol, recipe=recipe), images, 32, folder, minutes=minutes)


def told(curve: FullCurve) -> list[tuple[float, ...]]:
    return [(row.train_loss, row.loss, row.accuracy, row.averaged, row.rate) for row in curve]


def equal(one: Path, other: Path) -> bool:
    a, b = load_file(one), load_file(other)
    return a.keys() == b.keys() and all(torch.equal(a[name], b[name]) for name in a)


@pytest.fixture(scope="module")
def undisturbed(images: Images, tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, FullCurve]:
    folder = tmp_path_factory.mktemp("undisturbed") / "trained"
    return folder, training(images, folder).run()


def test_it_learns_and_leaves_the_best_and_the_last_weights(
    undisturbed: tuple[Path, FullCurve], images: Images
) -> None:
    folder, curve = undisturbed
    assert [row.epoch for row in curve] == [1, 2, 3]
    assert curve[-1].train_loss < curve[0].train_loss
    assert curve[-1].rate == pytest.approx(0, abs=1e-6)
    assert {path.name for path in folder.iterdir()} == {BEST, LAST}
    model = build(NET)
    model.load_state_dict(load_file(folder / BEST))
    data = images.at(28)
    protocol = Protocol.of(images.dataset, 1)
    logits = predict(model, protocol, images, data.validation, 32)
    right = int((logits.argmax(1) == data.validation_labels).sum())
    assert right / len(data.validation_labels) == max(row.best for row in curve)


class Dies(Exception):  # noqa: N818
    """In the place of a SIGKILL, which leaves as little time."""


def test_killed_after_any_step_it_ends_with_the_same_weights(
    undisturbed: tuple[Path, FullCurve], images: Images, tmp_path: Path
) -> None:
    choose = random.Random(0)
    curve: FullCurve = ()
    left = 0
    for _ in range(int(os.environ.get("BFT_NAS_CHAOS_ROUNDS", "5"))):

        def die(done: int, total: int) -> None:
            nonlocal left
            left -= 1
            if not left:
                raise Dies

        left = choose.randrange(1, 6)
        # Without minutes there is a checkpoint after each step.
        try:
            curve = training(images, tmp_path, minutes=choose.choice((0.0, 10.0))).run(on_step=die)
            break
        except Dies:
            assert (tmp_path / CHECKPOINT).is_file()
    else:
        curve = training(images, tmp_path).run()
    assert told(curve) == told(undisturbed[1])
    for name in (BEST, LAST):
        assert equal(tmp_path / name, undisturbed[0] / name)
    assert not (tmp_path / CHECKPOINT).exists()


def test_a_checkpoint_that_cannot_be_read_now_is_not_begun_over(
    images: Images, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / CHECKPOINT).write_bytes(b"of days")
    read = Path.read_bytes

    def failing(path: Path) -> bytes:
        if path.name == CHECKPOINT:
            raise OSError(errno.EIO, "Input/output error")
        return read(path)

    with monkeypatch.context() as patch:
        patch.setattr(Path, "read_bytes", failing)
        with pytest.raises(RunError, match=r"Input/output error\); the training is left as it is"):
            training(images, tmp_path)
    assert (tmp_path / CHECKPOINT).read_bytes() == b"of days"


def test_a_process_that_stores_nothing_looks_at_the_weights_as_rarely(
    images: Images, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    second, looks = training(images, tmp_path), 0
    second.processes = Processes(rank=1, count=2)

    def look() -> bool:
        nonlocal looks
        looks += 1
        return True

    monkeypatch.setattr(second, "_is_finite", look)
    second._check_interrupt = lambda: None
    second._stored = -math.inf
    for _ in range(3):
        second._keep_in_time()
    assert looks == 1


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_a_signal_waits_for_the_step_and_writes_a_checkpoint(
    number: signal.Signals, undisturbed: tuple[Path, FullCurve], images: Images, tmp_path: Path
) -> None:
    before = signal.signal(number, signal.default_int_handler)

    def interrupt(done: int, total: int) -> None:
        if done == 8:
            signal.raise_signal(number)

    try:
        with pytest.raises(Interrupt) as raised:
            training(images, tmp_path).run(on_step=interrupt)
        assert signal.getsignal(number) is signal.default_int_handler
    finally:
        signal.signal(number, before)
    assert not raised.value.at_once
    again = training(images, tmp_path)
    assert len(again.curve) * again.steps + again.step == 8
    assert told(again.run()) == told(undisturbed[1])
    assert equal(tmp_path / LAST, undisturbed[0] / LAST)


def normed() -> torch.nn.Module:
    """The smallest network with a norm."""
    return torch.nn.Sequential(torch.nn.BatchNorm2d(3), classifier())


class Breaking(torch.nn.Module):
    """A network whose logits are NaN at some of its steps, or their gradient alone, which no loss tells then."""

    def __init__(self, at: set[int], *, in_gradient: bool = False) -> None:
        super().__init__()
        self.network = normed()
        self.at = at
        self.in_gradient = in_gradient
        self.seen = 0

    def forward(self, x: Tensor) -> Tensor:
        logits: Tensor = self.network(x)
        if self.training and torch.is_grad_enabled():
            self.seen += 1
            if self.seen in self.at:
                if not self.in_gradient:
                    return logits * math.nan
                logits.register_hook(lambda gradient: gradient * math.nan)  # type: ignore[no-untyped-call]
        return logits


def broken(images: Images, folder: Path, at: set[int], *, in_gradient: bool = False) -> FullTraining:
    """Two epochs of six steps, of which some are broken."""
    # At a rate that a classifier by itself does not overshoot with.
    recipe = replace(RECIPE, learning_rate=0.01)
    protocol = replace(Protocol.of(images.dataset, 1, epochs=2, batch_size=50), recipe=recipe)
    folder.mkdir(exist_ok=True)
    return FullTraining(Breaking(at, in_gradient=in_gradient), protocol, images, SIZE, folder)


def test_balanced_epochs_have_as_many_images_of_each_class(images: Images, tmp_path: Path) -> None:
    kept = torch.cat(
        [torch.arange(300)[images.at(28).train_labels == label][: 3 + 4 * label] for label in range(10)]
    )
    split = Split(images.dataset.train.images[kept], images.dataset.train.labels[kept])
    uneven = Images(replace(images.dataset, train=split), images.device)
    each_once = training(uneven, tmp_path / "each once")._new_order()
    assert sorted(each_once.tolist()) == list(range(len(kept)))
    balanced = training(uneven, tmp_path / "balanced", balance=True)
    orders = torch.stack([balanced._new_order() for _ in range(50)])
    assert orders.shape[1] == len(kept)
    counts = torch.bincount(torch.from_numpy(split.labels)[orders.flatten()], minlength=10)
    assert (counts / orders.numel()).tolist() == pytest.approx([0.1] * 10, abs=0.015)


def test_nan_leads_back_to_the_last_checkpoint_at_half_of_the_rate_once(
    images: Images, tmp_path: Path
) -> None:
    said: list[str] = []
    slower = broken(images, tmp_path, {9})
    curve = slower.run(say=said.append)
    assert len(said) == 1
    assert "goes on from the last checkpoint at half of the learning rate" in said[0]
    assert [row.epoch for row in curve] == [1, 2]
    assert all(torch.isfinite(value).all() for value in load_file(tmp_path / LAST).values())
    assert slower.parts.schedule.base_lrs[0] == pytest.approx(0.01 / 2)
    with pytest.raises(Diverged, match="again"):
        broken(images, tmp_path / "again", {3, 9}).run()


def test_killed_after_it_went_back_it_ends_as_if_it_had_not_been_and_goes_back_no_more(
    images: Images, tmp_path: Path
) -> None:
    undisturbed, killed = tmp_path / "undisturbed", tmp_path / "killed"
    curve = broken(images, undisturbed, {9}).run()
    said: list[str] = []

    def die(done: int, total: int) -> None:
        if said:
            raise Dies

    with pytest.raises(Dies):
        broken(images, killed, {9}).run(on_step=die, say=said.append)
    with pytest.raises(Diverged, match="again"):
        broken(images, killed, {2}).run()
    assert told(broken(images, killed, set()).run()) == told(curve)
    for name in (BEST, LAST):
        assert equal(killed / name, undisturbed / name)


def test_a_loss_far_worse_than_chance_ends_a_training(images: Images, tmp_path: Path) -> None:
    with pytest.raises(Diverged, match=r"training loss .* in epoch 1, guessing gives 2\.3"):
        trained(images, tmp_path / "far", learning_rate=100.0, clip=0.0)


@pytest.mark.parametrize("last", [6, 12])
def test_nan_in_the_last_step_of_an_epoch_leads_back_and_is_in_no_file(
    last: int, images: Images, tmp_path: Path
) -> None:
    said: list[str] = []
    curve = broken(images, tmp_path, {last}, in_gradient=True).run(say=said.append)
    assert len(said) == 1
    assert [row.epoch for row in curve] == [1, 2]
    for name in (BEST, LAST):
        assert all(torch.isfinite(value).all() for value in load_file(tmp_path / name).values())


def test_nan_is_in_no_checkpoint_of_somebody_who_ends_the_training(images: Images, tmp_path: Path) -> None:
    stopped = broken(images, tmp_path, {9}, in_gradient=True)

    def check() -> None:
        if len(stopped.curve) == 1 and stopped.step == 4:
            raise Interrupt(signal.SIGTERM, at_once=False)

    with pytest.raises(Interrupt):
        stopped.run(check=check)
    said: list[str] = []
    again = broken(images, tmp_path, set())
    assert len(again.curve) == 1
    assert again.order is None
    assert len(again.run(say=said.append)) == 2
    assert not said


class Knows(torch.nn.Module):
    """A teacher that is sure of the first class, whatever it sees."""

    def forward(self, x: Tensor) -> Tensor:
        return torch.tensor([[4.0] + [0.0] * 9]).expand(len(x), 10)


def test_what_a_teacher_says_is_learnt_as_far_as_the_recipe_gives_it_weight(
    images: Images, tmp_path: Path
) -> None:
    def predicted(distillation: float) -> Tensor:
        recipe = replace(RECIPE, distillation=distillation, averaging=0.0)
        protocol = replace(Protocol.of(images.dataset, 1, epochs=4, batch_size=50), recipe=recipe)
        teacher = Teacher(Knows(), images.mean, images.std, 32, 10, images.device)
        torch.manual_seed(0)
        model, folder = build(NET), tmp_path / str(distillation)
        folder.mkdir()
        FullTraining(model, protocol, images, 32, folder, teacher=teacher).run()
        return predict(model, protocol, images, images.at(28).validation, 32).argmax(1)

    assert (predicted(1.0) == 0).all()
    labelled = predicted(0.0)
    assert (labelled == 0).float().mean() < 0.5


class Looks(torch.nn.Module):
    """A teacher of which each image has predictions of its own: some pixels in its middle."""

    def forward(self, x: Tensor) -> Tensor:
        return x[:, 0, SIZE // 2, 3:13]


@pytest.mark.parametrize(
    "changes",
    [
        {"label_smoothing": 0.2},
        {"clip": 0.5},
        {"averaging": 0.8},
        {"mixup": 0.4},
        {"cutmix": 1.0},
        {"distillation": 0.7, "temperature": 3.0},
    ],
    ids=lambda changes: next(iter(changes)),
)
def test_an_epoch_is_the_steps_of_the_formulas_in_the_order_of_its_seed(
    changes: dict[str, Any], images: Images, tmp_path: Path
) -> None:
    recipe = Recipe(**({"learning_rate": 0.01, "weight_decay": 0.1} | changes))
    protocol = replace(Protocol.of(images.dataset, 1, epochs=1, batch_size=60, seed=3), recipe=recipe)
    teacher = Teacher(Looks(), images.mean, images.std, SIZE, 10, images.device)
    model = classifier()
    training = FullTraining(model, protocol, images, SIZE, tmp_path, teacher=teacher)
    (row,) = training.run()
    data, generator, by_hand = feeds_of(images, SIZE), torch.Generator().manual_seed(3), ByHand(recipe)
    order, losses, averages = torch.randperm(len(data.train), generator=generator), [], by_hand.values
    for step, picked in enumerate(torch.split(order, 60)[: training.steps]):
        pixels = augment(data.train[picked], recipe, generator, SIZE)
        pixels, others, part = mix(pixels, recipe, generator)
        x, labels = images.normalise(pixels), data.train_labels[picked]
        logits, targets = by_hand.logits(x), by_hand.targets(labels)
        if others is not None:
            targets = part * targets + (1 - part) * by_hand.targets(labels[others])
        losses.append(loss_of(logits, targets))
        taught, heat, weight = Looks()(x), recipe.temperature, recipe.distillation
        wrong = (1 - weight) * (logits.softmax(1) - targets)
        # Of the divergence times the temperature squared.
        wrong += weight * heat * ((logits / heat).softmax(1) - (taught / heat).softmax(1))
        rate = 0.01 * learning_rate_at(step / training.steps, recipe.warmup)
        by_hand.step(x, wrong / len(x), rate)
        # The average begins with the weights of the first step.
        kept = recipe.averaging if step else 0.0
        averages = [kept * old + (1 - kept) * new for old, new in zip(averages, by_hand.values, strict=True)]
    assert row.train_loss == pytest.approx(sum(losses) / training.steps, abs=1e-5)
    for found, expected in zip(model.parameters(), by_hand.values, strict=True):
        assert torch.allclose(found, expected, rtol=0, atol=1e-6)
    last = load_file(tmp_path / LAST)
    assert all(torch.equal(last[name], value) for name, value in model.state_dict().items())
    if training.average is not None:
        for found, expected in zip(training.average.module.parameters(), averages, strict=True):
            assert torch.allclose(found, expected, rtol=0, atol=1e-6)


def trained(images: Images, folder: Path, **changes: Any) -> dict[str, Tensor]:
    """The weights of a classifier alone, which has no norms, after an epoch; `changes` are of its recipe."""
    recipe = replace(Recipe(flip=False, shift=0, clip=5.0), **changes)
    protocol = replace(Protocol.of(images.dataset, 1, epochs=1, batch_size=50), recipe=recipe)
    folder.mkdir()
    FullTraining(classifier(), protocol, images, SIZE, folder).run()
    return load_file(folder / LAST)


def test_a_batch_in_parts_is_the_same_step_but_for_the_norms(images: Images, tmp_path: Path) -> None:
    whole, parts = (trained(images, tmp_path / str(each), accumulation=each) for each in (1, 3))
    for name, value in classifier().state_dict().items():
        assert torch.allclose(parts[name], whole[name], atol=1e-6)
        assert not torch.allclose(whole[name], value, atol=1e-3)


def test_norms_are_settled_on_the_first_images_of_an_epochs_order(images: Images, tmp_path: Path) -> None:
    # As those of a folder lie: class by class, so that the first ones of all would be of a few classes.
    train = images.dataset.train
    sorted_by = np.argsort(train.labels, kind="stable")
    split = Split(train.images[sorted_by], train.labels[sorted_by])
    images = Images(replace(images.dataset, train=split), images.device)
    recipe = Recipe(learning_rate=0.01, averaging=0.9)
    protocol = Protocol.of(images.dataset, 1, epochs=1, batch_size=50, norm_images=100, seed=3)
    model = normed()
    training = FullTraining(model, replace(protocol, recipe=recipe), images, SIZE, tmp_path)
    training.run()
    data = feeds_of(images, SIZE)
    order = torch.randperm(300, generator=torch.Generator().manual_seed(3))
    x = images.normalise(resize(data.train[order[:100]], SIZE))
    assert training.average is not None
    for network in (model, training.average.module):
        assert torch.allclose(network.get_buffer("0.running_mean"), x.mean((0, 2, 3)), atol=1e-4)
        assert torch.allclose(network.get_buffer("0.running_var"), x.var((0, 2, 3)), rtol=1e-4)


def test_images_grow_to_their_whole_size(images: Images, tmp_path: Path) -> None:
    seen: list[int] = []

    class Looking(torch.nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.network = build(NET)

        def forward(self, x: Tensor) -> Tensor:
            if torch.is_grad_enabled():
                seen.append(x.shape[-1])
            return self.network(x)  # type: ignore[no-any-return]

    recipe = replace(RECIPE, growth=0.5)
    protocol = replace(Protocol.of(images.dataset, 1, epochs=4, batch_size=50), recipe=recipe)
    FullTraining(Looking(), protocol, images, 32, tmp_path).run()
    assert seen == [16] * 6 + [24] * 12 + [32] * 6


def test_patience_ends_a_training_that_gets_no_better(images: Images, tmp_path: Path) -> None:
    said: list[str] = []
    # Without a learning rate to speak of it never does.
    stuck = {"learning_rate": 1e-9, "averaging": 0.0}
    curve = training(images, tmp_path, patience=1, **stuck).run(say=said.append)
    assert len(curve) == 2
    assert said == ["no better validation accuracy since epoch 1: the training ends after 1 such epoch"]
    assert (tmp_path / LAST).is_file()
    assert not (tmp_path / CHECKPOINT).exists()
    patient = tmp_path / "patient"
    assert len(training(images, patient, patience=3, **stuck).run()) == EPOCHS


def test_patience_is_for_the_better_ones_of_last_and_averaged_weights(images: Images, tmp_path: Path) -> None:
    said: list[str] = []
    waiting = training(images, tmp_path, patience=1)
    of_both = [(0.5, 0.3), (0.4, 0.6), (0.55, 0.5)]
    curve = [FullEpoch(at, 2.0, 2.0, *both, 0.1, 1.0) for at, both in enumerate(of_both, start=1)]
    waiting.curve = tuple(curve[:2])
    assert not waiting._out_of_patience(said.append)
    waiting.curve = tuple(curve)
    assert waiting._out_of_patience(said.append)
    assert said == ["no better validation accuracy since epoch 2: the training ends after 1 such epoch"]


def test_a_compiled_step_trains_alike(images: Images, tmp_path: Path) -> None:
    """Of the smallest network: a compiler takes half a minute for one with butterflies."""
    whole, compiled = (trained(images, tmp_path / str(each), compiled=each) for each in (False, True))
    for name, value in whole.items():
        assert torch.allclose(compiled[name], value, atol=1e-5)


def test_a_checkpoint_of_another_protocol_is_not_taken_up(images: Images, tmp_path: Path) -> None:
    def die(done: int, total: int) -> None:
        raise Dies

    with pytest.raises(Dies):
        training(images, tmp_path, minutes=0.0).run(on_step=die)
    assert training(images, tmp_path).restored
    assert not training(images, tmp_path, erasing=0.3).restored
    (tmp_path / CHECKPOINT).write_bytes((tmp_path / CHECKPOINT).read_bytes()[:1000])
    assert not training(images, tmp_path).restored


@pytest.mark.parametrize(
    ("changes", "losses"),
    [
        ({"averaging": 0.0}, (2.305, 2.222, 2.139)),
        ({"optimiser": "adamw", "learning_rate": 0.003}, (2.303, 2.251, 2.213)),
        ({"crop_area": 1.0, "clip": 0.0}, (2.306, 2.258, 2.199)),
        ({"mixup": 0.2, "cutmix": 1.0}, (2.308, 2.282, 2.231)),
        ({"rand_operations": 2}, (2.306, 2.253, 2.188)),
        ({"precision": "bfloat16"}, (2.305, 2.223, 2.139)),
        ({"growth": 0.5}, (2.296, 2.159, 2.082)),
    ],
)
def test_every_recipe_trains(
    changes: dict[str, Any], losses: tuple[float, ...], images: Images, tmp_path: Path
) -> None:
    """As it did when these losses were written down, where guessing has 2.303; what is left out changes them."""
    curve = training(images, tmp_path, **changes).run()
    assert [row.train_loss for row in curve] == pytest.approx(losses, abs=0.01)
    assert [math.isnan(row.averaged) for row in curve] == [changes.get("averaging") == 0.0] * EPOCHS
