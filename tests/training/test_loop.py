"""The training loop and the protocol."""

from __future__ import annotations

import errno
import math
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch
from hypothesis import example, given, settings
from hypothesis import strategies as st
from torch import nn

from bft_nas.core.errors import RunError
from bft_nas.data.dataset import Split, load_dataset
from bft_nas.data.images import Images
from bft_nas.network import DENSE, Architecture, Head, Stem, build, butterfly_fusion
from bft_nas.network.blocks.separable import SeparableBlock
from bft_nas.training.augment import augment
from bft_nas.training.loop import (
    Diverged,
    Training,
    TrainingFailed,
    accuracy,
    build_and_train,
    check_loss,
    settle_norms,
    settling_batches,
    train,
)
from bft_nas.training.optimiser import learning_rate_at
from bft_nas.training.protocol import Protocol
from tests.network.rows import EXAMPLES, Rows
from tests.training.by_hand import SIZE, ByHand, classifier, loss_of

NET = Architecture(
    "tiny",
    96,
    Stem(16),
    (
        SeparableBlock(32, stride=2, fusion=butterfly_fusion(4)),
        SeparableBlock(64, stride=2, fusion=DENSE),
    ),
    Head(),
    classes=1000,
)


def protocol_of(images: Images, **changes: Any) -> Protocol:
    return Protocol.of(images.dataset, 4, **({"batch_size": 32} | changes))


def outcome(training: Training) -> list[tuple[float, float]]:
    return [(row.train_loss, row.accuracy) for row in training.curve]


def test_a_small_network_learns_from_real_images(images: Images) -> None:
    curve = build_and_train(NET, protocol_of(images, epochs=8), images).curve
    assert [row.epoch for row in curve] == list(range(1, 9))
    assert curve[-1].accuracy > 0.45
    assert curve[-1].train_loss < curve[0].train_loss


def test_the_same_protocol_gives_the_same_accuracy_and_weights(images: Images) -> None:
    protocol = protocol_of(images)
    first, second = (build_and_train(NET, protocol, images) for _ in range(2))
    assert outcome(first) == outcome(second)
    assert all(torch.equal(first.weights[name], second.weights[name]) for name in first.weights)
    other = build_and_train(NET, replace(protocol, seed=1), images)
    assert outcome(other) != outcome(first)


def test_an_epoch_is_the_steps_of_the_formulas_in_the_order_of_its_seed(images: Images) -> None:
    recipe = {"learning_rate": 0.01, "weight_decay": 0.1, "label_smoothing": 0.2}
    protocol = protocol_of(images, epochs=1, batch_size=60, seed=3, **recipe)
    model, by_hand = classifier(), ByHand(protocol.recipe)
    (row,) = train(model, protocol, images, SIZE)
    data, generator = images.at(SIZE), torch.Generator().manual_seed(3)
    order, losses = torch.randperm(len(data.train), generator=generator), []
    steps = len(order) // 60
    for step, picked in enumerate(torch.split(order, 60)[:steps]):
        x = images.normalise(augment(data.train[picked], protocol.recipe, generator, SIZE))
        logits, targets = by_hand.logits(x), by_hand.targets(data.train_labels[picked])
        losses.append(loss_of(logits, targets))
        rate = 0.01 * learning_rate_at(step / steps, protocol.recipe.warmup)
        by_hand.step(x, (logits.softmax(1) - targets) / len(x), rate)
    for found, expected in zip(model.parameters(), by_hand.values, strict=True):
        assert torch.allclose(found, expected, rtol=0, atol=1e-6)
    assert row.train_loss == pytest.approx(sum(losses) / steps, abs=1e-5)


def test_seeds_differ_in_order_and_changes_of_images_at_equal_weights(images: Images) -> None:
    def loss(seed: int, **changes: Any) -> float:
        protocol = protocol_of(images, epochs=1, seed=seed, learning_rate=1e-3, **changes)
        return train(classifier(), protocol, images, SIZE)[0].train_loss

    assert loss(0) == loss(0) != loss(1)
    unchanged: dict[str, Any] = {"flip": False, "shift": 0}
    assert loss(0, **unchanged) != loss(1, **unchanged)


def test_accuracy_is_the_part_of_the_validation_images_whose_labels_a_model_says(images: Images) -> None:
    model, protocol, size = classifier(), protocol_of(images), SIZE
    data = images.at(size)
    said = model(images.normalise(data.validation)).argmax(1)
    labels = said.clone()
    labels[:100] = (said[:100] + 1) % 10
    validation = Split(images.dataset.validation.images, labels.numpy())
    told = Images(replace(images.dataset, validation=validation), images.device)
    assert accuracy(model, protocol, told, size) == 1 - 100 / len(labels)


def test_a_training_has_diverged_from_three_times_the_loss_of_guessing() -> None:
    check_loss(3 * math.log(10) - 1e-9, 2, 10)
    with pytest.raises(Diverged, match=r"^diverged: training loss 6\.9 in epoch 2, guessing gives 2\.3$"):
        check_loss(3 * math.log(10) + 1e-9, 2, 10)
    # Of one class, guessing gives nothing: it is judged as two.
    check_loss(3 * math.log(2) - 1e-9, 1, 1)
    with pytest.raises(Diverged):
        check_loss(3 * math.log(2) + 1e-9, 1, 1)


def test_the_network_trained_is_the_network_counted(images: Images) -> None:
    weights = build_and_train(NET, protocol_of(images, epochs=1), images).weights
    assert weights["classifier.weight"].shape == (1000, 64)
    # Outputs beyond the data's ten classes take no part: their weights only decay.
    torch.manual_seed(0)
    fresh = nn.init.normal_(torch.empty(1000, 64), std=0.01)
    assert weights["classifier.bias"][10:].abs().max() == 0
    assert weights["classifier.weight"][10:].std() == pytest.approx(float(fresh[10:].std()), rel=0.05)


def test_progress_is_told_step_by_step_and_epoch_by_epoch(images: Images) -> None:
    steps: list[tuple[int, int]] = []
    epochs: list[int] = []
    build_and_train(
        NET,
        protocol_of(images),
        images,
        on_epoch=lambda curve: epochs.append(curve[-1].epoch),
        on_step=lambda done, total: steps.append((done, total)),
    )
    assert epochs == [1, 2]
    assert steps == [(i, 18) for i in range(1, 19)]


class Killed(BaseException):
    """Ends a training in the middle, as a kill would."""


def killed_in_epoch(epoch: int, checkpoint: Path, protocol: Protocol, images: Images) -> None:
    steps = 9

    def die(done: int, total: int) -> None:
        if done == (epoch - 1) * steps + 5:
            raise Killed

    with pytest.raises(Killed):
        build_and_train(NET, protocol, images, checkpoint=checkpoint, on_step=die)


@pytest.mark.parametrize("killed", [(1,), (2,), (4,), (2, 2, 3, 4)])
def test_a_killed_training_goes_on_from_its_last_epoch_as_if_nothing_had_happened(
    killed: tuple[int, ...], images: Images, tmp_path: Path
) -> None:
    protocol = protocol_of(images, epochs=4)
    whole = build_and_train(NET, protocol, images)
    checkpoint = tmp_path / "checkpoint.pt"
    for epoch in killed:
        killed_in_epoch(epoch, checkpoint, protocol, images)
    steps: list[int] = []
    resumed = build_and_train(
        NET, protocol, images, checkpoint=checkpoint, on_step=lambda done, _: steps.append(done)
    )
    assert steps[0] == (killed[-1] - 1) * 9 + 1
    assert outcome(resumed) == outcome(whole)
    assert all(torch.equal(resumed.weights[name], whole.weights[name]) for name in whole.weights)
    assert [path.name for path in tmp_path.iterdir()] == ["checkpoint.pt"]


@pytest.mark.parametrize("rows", EXAMPLES.values(), ids=EXAMPLES)
def test_blocks_of_any_kind_train_all_that_they_learn_and_go_on(
    rows: Rows, images: Images, tmp_path: Path
) -> None:
    net = Architecture("any", 32, Stem(rows.in_channels), rows.blocks, Head(), classes=10)
    # With a last norm that begins at zero, what is before it learns a step later.
    protocol = protocol_of(images, epochs=2, batch_size=144, zero_residuals=False)
    whole = build_and_train(net, protocol, images)
    torch.manual_seed(protocol.seed)
    fresh = build(net).state_dict()
    still = [name for name in fresh if torch.equal(fresh[name], whole.weights[name])]
    assert still == []
    checkpoint = tmp_path / "checkpoint.pt"

    def die(done: int, total: int) -> None:
        assert total == 4
        if done == 3:
            raise Killed

    with pytest.raises(Killed):
        build_and_train(net, protocol, images, checkpoint=checkpoint, on_step=die)
    resumed = build_and_train(net, protocol, images, checkpoint=checkpoint)
    assert all(torch.equal(resumed.weights[name], whole.weights[name]) for name in whole.weights)


@pytest.mark.parametrize("content", [b"", b"PK\x03\x04 half a file", b"not a checkpoint"])
def test_a_checkpoint_that_cannot_be_read_is_none(content: bytes, images: Images, tmp_path: Path) -> None:
    checkpoint = tmp_path / "checkpoint.pt"
    checkpoint.write_bytes(content)
    protocol = protocol_of(images)
    training = build_and_train(NET, protocol, images, checkpoint=checkpoint)
    assert outcome(training) == outcome(build_and_train(NET, protocol, images))


def test_a_checkpoint_of_another_protocol_or_network_is_none(images: Images, tmp_path: Path) -> None:
    checkpoint = tmp_path / "checkpoint.pt"
    protocol = protocol_of(images)
    killed_in_epoch(2, checkpoint, protocol, images)
    other = replace(protocol, seed=1)
    wider = replace(NET, stem=Stem(24))
    for network, setting in ((NET, other), (wider, protocol)):
        from_here = build_and_train(network, setting, images, checkpoint=checkpoint)
        assert outcome(from_here) == outcome(build_and_train(network, setting, images))
        killed_in_epoch(2, checkpoint, protocol, images)


def test_a_training_stops_where_it_is_told_to_and_goes_on_when_asked_again(
    images: Images, tmp_path: Path
) -> None:
    checkpoint = tmp_path / "checkpoint.pt"
    protocol = protocol_of(images, epochs=3)

    def at_most(epochs: int) -> Training:
        return build_and_train(
            NET, protocol, images, checkpoint=checkpoint, on_epoch=lambda curve: len(curve) < epochs
        )

    stopped = at_most(1)
    assert stopped.stopped
    assert (len(stopped.curve), stopped.weights) == (1, {})
    assert outcome(at_most(1)) == outcome(stopped), "asked again, it is told of the epoch that it has"
    assert len(at_most(2).curve) == 2
    whole = at_most(4)
    assert not whole.stopped
    assert outcome(whole) == outcome(build_and_train(NET, protocol, images))


def test_a_training_that_breaks_down_fails_with_its_reason(images: Images) -> None:
    with pytest.raises(TrainingFailed, match=r"diverged|became nan|became inf"):
        build_and_train(NET, protocol_of(images, learning_rate=1e4), images)


def test_nan_fails_with_its_reason(images: Images) -> None:
    class Poisoned(nn.Module):
        """A network that gives NaN from the first image on."""

        def __init__(self) -> None:
            super().__init__()
            self.inner = nn.Linear(3, 10)

        def forward(self, x: torch.Tensor) -> torch.Tensor:
            return self.inner(x.mean((2, 3))) * math.nan  # type: ignore[no-any-return]

    with pytest.raises(TrainingFailed, match="became nan in epoch 1"):
        train(Poisoned(), protocol_of(images), images, 24)


def test_out_of_memory_fails_with_its_reason(images: Images, monkeypatch: pytest.MonkeyPatch) -> None:
    def exhausted(architecture: Architecture) -> nn.Module:
        torch.empty(1 << 60)
        raise AssertionError("an exbibyte was to be had")

    monkeypatch.setattr("bft_nas.training.loop.build", exhausted)
    with pytest.raises(TrainingFailed, match=r"out of memory: .*allocate"):
        build_and_train(NET, protocol_of(images), images)


@pytest.mark.parametrize(
    "error",
    [
        MemoryError(),
        MemoryError("std::bad_alloc"),
        RuntimeError("could not create a primitive"),
        RuntimeError("CUDA out of memory. Tried to allocate 2.00 GiB"),
        RuntimeError(
            "[enforce fail at alloc_cpu.cpp:127] err == 0. DefaultCPUAllocator: can't allocate memory"
        ),
        RuntimeError("CUDA error: CUBLAS_STATUS_ALLOC_FAILED when calling `cublasCreate(handle)`"),
        RuntimeError("can't start new thread"),
        OSError(errno.ENOMEM, "Cannot allocate memory"),
        BlockingIOError(errno.EAGAIN, "Resource temporarily unavailable"),
    ],
    ids=str,
)
def test_in_whatever_words_memory_runs_out_the_training_has_failed_for_it(
    error: Exception, images: Images, monkeypatch: pytest.MonkeyPatch
) -> None:
    fail_with(error, "bft_nas.training.loop.settle_norms", monkeypatch)
    with pytest.raises(TrainingFailed, match=r"^out of memory"):
        build_and_train(NET, protocol_of(images), images)


def fail_with(error: Exception, place: str, monkeypatch: pytest.MonkeyPatch) -> None:
    def fails(*arguments: Any, **options: Any) -> Any:
        raise error

    monkeypatch.setattr(place, fails)


@pytest.mark.parametrize("place", ["build", "make_optimiser", "_step", "settle_norms", "accuracy"])
@pytest.mark.parametrize(
    "error",
    [
        RuntimeError("mat1 and mat2 shapes cannot be multiplied"),
        RuntimeError(
            "could not create a primitive descriptor for a convolution forward propagation primitive"
        ),
        ValueError("Expected more than 1 value per channel when training"),
        IndexError("Target 3 is out of bounds."),
        NotImplementedError(),
    ],
    ids=lambda error: type(error).__name__,
)
def test_any_error_of_a_training_is_its_failure_with_reason_and_traceback(
    error: Exception, place: str, images: Images, monkeypatch: pytest.MonkeyPatch
) -> None:
    fail_with(error, f"bft_nas.training.loop.{place}", monkeypatch)
    with pytest.raises(TrainingFailed) as caught:
        build_and_train(NET, protocol_of(images), images)
    assert str(caught.value) == f"{type(error).__name__}: {error}".rstrip(": ")
    assert caught.value.traceback.startswith("Traceback")
    assert not isinstance(caught.value, Diverged)


@pytest.mark.parametrize("callback", ["on_epoch", "on_step"])
@pytest.mark.parametrize(
    "error", [RuntimeError("of whoever listens"), RunError("a full disk"), OSError(28, "x")]
)
def test_an_error_of_whoever_listens_is_no_failure_of_the_training(
    error: Exception, callback: str, images: Images
) -> None:
    def fails(*arguments: Any) -> bool:
        raise error

    listening: dict[str, Any] = {callback: fails}
    with pytest.raises(type(error)) as caught:
        build_and_train(NET, protocol_of(images), images, **listening)
    assert caught.value is error


@given(images=st.integers(1, 1500))
@example(images=129)
@example(images=130)
def test_norms_settle_on_even_batches(images: int) -> None:
    batches = settling_batches(torch.arange(images))
    assert torch.cat(batches).tolist() == list(range(images))
    sizes = [len(batch) for batch in batches]
    assert max(sizes) <= 128
    assert max(sizes) - min(sizes) <= 1
    assert min(sizes) > 1 or images == 1
    if images % 128 == 0:
        assert set(sizes) == {128}


class Counting(nn.Module):
    """Ends in batch norm over single pixels, as heads do, and knows how many images it was trained with at once."""

    def __init__(self) -> None:
        super().__init__()
        self.norm = nn.BatchNorm2d(3)
        self.classifier = nn.Linear(3, 10)
        self.counts: list[int] = []

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        if self.training:
            self.counts.append(len(x))
        return self.classifier(self.norm(x.mean((2, 3), keepdim=True)).flatten(1))  # type: ignore[no-any-return]


SOME = load_dataset("fashion-mnist", size=8, images=1500)


def images_of(number: int) -> Images:
    """So many images to train on, and a few to judge by."""
    train, validation = (
        Split(split.images[:count], split.labels[:count])
        for split, count in ((SOME.train, number), (SOME.validation, 20))
    )
    return Images(replace(SOME, train=train, validation=validation), torch.device("cpu"))


@settings(max_examples=60)
@given(number=st.integers(2, 400), batch_size=st.integers(2, 130))
@example(number=129, batch_size=64)
@example(number=257, batch_size=64)
@example(number=385, batch_size=128)
def test_any_number_of_images_trains(number: int, batch_size: int) -> None:
    images = images_of(number)
    model = Counting()
    curve = train(model, protocol_of(images, epochs=1, batch_size=batch_size, learning_rate=1e-3), images, 8)
    assert len(curve) == 1
    assert min(model.counts) > 1
    steps = max(1, number // batch_size)
    assert model.counts[:steps] == [min(number, batch_size)] * steps
    assert sum(model.counts[steps:]) == number


@pytest.mark.parametrize("number", [2, 3, 127, 128, 129, 257, 1025])
def test_a_network_that_ends_in_single_pixels_trains_on_any_number_of_images(number: int) -> None:
    small = Architecture("small", 32, Stem(16), (SeparableBlock(32, stride=2),) * 3, Head(64), classes=10)
    images = images_of(number)
    training = build_and_train(small, protocol_of(images, epochs=2), images)
    assert len(training.curve) == 2
    assert all(value.isfinite().all() for value in training.weights.values())


def test_batch_norm_is_judged_by_the_weights_of_now_and_not_by_a_lagging_average() -> None:
    images = Images(load_dataset("fashion-mnist", size=24, images=256), torch.device("cpu"))
    model = build(NET)
    train(model, protocol_of(images, epochs=1), images, 24)
    depthwise, norm = (
        model.get_submodule("blocks.0.depthwise"),
        model.get_submodule("blocks.0.depthwise_norm"),
    )
    assert isinstance(norm, nn.BatchNorm2d)
    assert norm.running_mean is not None
    assert norm.momentum == 0.1
    outputs: list[torch.Tensor] = []
    depthwise.register_forward_hook(lambda module, inputs, output: outputs.append(output))
    # What the layers in front were normalised with was the statistics of each batch of 128, not their average.
    model.stem.train()
    with torch.no_grad():
        model(images.normalise(images.at(24).train))
    spread = outputs[0].std((0, 2, 3))
    difference = (norm.running_mean - outputs[0].mean((0, 2, 3))).abs()
    assert (difference < 0.05 * spread).all()


@pytest.mark.parametrize("number", [130, 258])
def test_few_images_over_whole_batches_are_no_half_of_the_statistics(number: int) -> None:
    images, model = images_of(number), Counting()
    train_images = images.at(8).train
    settle_norms(model, protocol_of(images), images, settling_batches(train_images), 8)
    assert model.norm.running_mean is not None
    found = model.norm.running_mean
    assert torch.allclose(found, images.normalise(train_images).mean((0, 2, 3)), atol=0.01)


def test_images_are_normalised_to_three_channels_in_channels_last(images: Images) -> None:
    batch = images.normalise(images.at(24).train)
    assert batch.shape[1:] == (3, 24, 24)
    assert batch.is_contiguous(memory_format=torch.channels_last)
    native = images.normalise(images.at(28).train)
    assert abs(float(native.mean())) < 0.01
    assert float(native.std()) == pytest.approx(1, abs=0.01)
