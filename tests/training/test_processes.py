"""Several processes share a training: it is the one of a single process, and one of them writes."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor, nn

from bft_nas.core.errors import UserError
from bft_nas.training.curve import BEST, CHECKPOINT, LAST
from bft_nas.training.processes import ALONE, joined
from bft_nas.training.sync_norms import norms_synchronised
from tests.training.together import BATCH, RECIPES, STEPS, make, weights_after

Found = list[dict[str, Any]]


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("together")


@pytest.fixture(scope="module")
def found(folder: Path) -> Found:
    """What two processes say that torchrun started."""
    torchrun = [sys.executable, "-m", "torch.distributed.run", "--standalone", "--nproc-per-node", "2"]
    done = subprocess.run(
        [*torchrun, "-m", "tests.training.together", str(folder)],
        env={**os.environ, "OMP_NUM_THREADS": "1"},
        capture_output=True,
        text=True,
        timeout=300,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    return [torch.load(folder / f"{rank}.pt", weights_only=True) for rank in range(2)]


@pytest.mark.parametrize("name", ["synchronised", "blended"])
def test_ten_steps_of_two_processes_are_those_of_one_with_the_whole_batch(
    name: str, found: Found, tmp_path: Path
) -> None:
    alone = weights_after(STEPS, make(tmp_path, **RECIPES[name]))
    for weights in found:
        assert weights[name].keys() == alone.keys()
        for key, value in alone.items():
            torch.testing.assert_close(weights[name][key], value, rtol=0, atol=1e-4)
    # Ten steps have changed more than that.
    begun = dict(make(tmp_path / "new", **RECIPES[name]).parts.model.named_parameters())
    assert max(float((alone[key] - value.detach()).abs().max()) for key, value in begun.items()) > 0.01


def test_norms_that_are_not_synchronised_have_a_share_each_and_weights_stay_the_same_everywhere(
    found: Found,
) -> None:
    first, second = found
    assert all(torch.equal(first["apart"][key], value) for key, value in second["apart"].items())
    apart, together = first["apart"], first["synchronised"]
    assert max(float((apart[key] - value).abs().max()) for key, value in together.items()) > 1e-3


def test_an_epoch_has_each_image_once_and_shares_differ_by_one_image_a_step(
    found: Found, folder: Path
) -> None:
    first, second = (set(each["picked"]) for each in found)
    assert len(first) == len(found[0]["picked"])
    assert len(second) == len(found[1]["picked"])
    assert not first & second
    training = make(folder / "count")
    assert len(first) + len(second) == training.steps * BATCH
    assert len(second) - len(first) == training.steps


def test_the_first_process_alone_writes(found: Found, folder: Path) -> None:
    assert found
    for name in (*RECIPES, "picked", "interrupted"):
        assert not list((folder / f"{name}-1").iterdir())
    assert (folder / "synchronised-0" / CHECKPOINT).is_file()
    assert {path.name for path in (folder / "interrupted-0").iterdir()} == {BEST, LAST}


def test_a_signal_to_one_ends_all_after_the_same_step_and_they_go_on_together(found: Found) -> None:
    assert [each["interrupted"] for each in found] == [(15, 3)] * 2
    assert [each["resumed at"] for each in found] == [3, 3]
    assert found[0]["curve"] == found[1]["curve"]
    assert len(found[0]["curve"]) == 2


def test_a_training_of_two_processes_goes_on_in_one(found: Found, folder: Path, tmp_path: Path) -> None:
    assert found
    resumed = make(folder / "synchronised-0", **RECIPES["synchronised"])
    assert (len(resumed.curve), resumed.step) == (0, STEPS - 1)
    alone = make(tmp_path, **RECIPES["synchronised"])
    here, there = alone.run(), resumed.run()
    assert [row.train_loss for row in there] == pytest.approx([row.train_loss for row in here], rel=0.01)
    assert (folder / "synchronised-0" / LAST).is_file()


def test_what_one_process_fails_with_the_first_one_says(found: Found) -> None:
    assert [each["ended"] for each in found] == [
        "process 1: MemoryError: no room for the batch",
        "no room for the batch",
    ]


def test_synchronised_norms_of_one_process_are_those_of_torch() -> None:
    torch.manual_seed(0)
    ours, theirs = (nn.Sequential(nn.Conv2d(3, 5, 3), nn.BatchNorm2d(5)) for _ in range(2))
    nn.init.normal_(ours[1].weight)  # type: ignore[arg-type]
    nn.init.normal_(ours[1].bias)  # type: ignore[arg-type]
    theirs.load_state_dict(ours.state_dict())
    x = (3 + torch.randn(7, 3, 9, 9)).contiguous(memory_format=torch.channels_last)
    told = torch.randn(7, 5, 7, 7)
    with norms_synchronised(ours, ALONE):
        y = ours(x)
        assert y.is_contiguous(memory_format=torch.channels_last)
        (y.tanh() * told).sum().backward()
    (theirs(x).tanh() * told).sum().backward()
    for one, other in zip(ours.parameters(), theirs.parameters(), strict=True):
        torch.testing.assert_close(one.grad, other.grad, rtol=1e-4, atol=1e-3)
    for name, value in theirs.state_dict().items():
        torch.testing.assert_close(ours.state_dict()[name], value)
    assert "forward" not in vars(ours[1])


def test_synchronised_norms_of_bfloat16_are_as_exact_as_those_of_torch() -> None:
    torch.manual_seed(0)
    # Channels whose mean is many of their deviations away, where a rounded factor shifts all of a channel.
    x = (20 + torch.randn(32, 16, 9, 9)).bfloat16().requires_grad_()
    told = torch.randn(32, 16, 9, 9)

    def of(norm: nn.Module, images: Tensor) -> tuple[Tensor, Tensor]:
        """What comes out, and the gradient of what went in."""
        y = norm(images)
        (gradient,) = torch.autograd.grad((y.float() * told).sum(), images)
        return y.float(), gradient.float()

    exact = of(nn.BatchNorm2d(16), x.detach().float().requires_grad_())
    theirs = of(nn.BatchNorm2d(16), x)
    with norms_synchronised(model := nn.Sequential(nn.BatchNorm2d(16)), ALONE):
        ours = of(model, x)
    for own, torchs, wanted in zip(ours, theirs, exact, strict=True):
        assert (own - wanted).square().mean() <= 1.1 * (torchs - wanted).square().mean()
        assert (own - wanted).mean((0, 2, 3)).abs().max() < 1e-3


def test_a_process_that_nobody_started_together_with_others_says_so(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("RANK", "1")
    monkeypatch.setenv("WORLD_SIZE", "2")
    monkeypatch.delenv("MASTER_ADDR", raising=False)
    with (
        pytest.raises(
            UserError, match=r"process 1 of 2: does not find the others .*; expected torchrun to start it"
        ),
        joined(),
    ):
        pass
