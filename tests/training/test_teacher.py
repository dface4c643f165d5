"""What is learnt from a teacher: its soft predictions, of images prepared as it knows them."""

from __future__ import annotations

import pytest
import torch
from torch import Tensor, nn

from bft_nas.training.teacher import Teacher, distillation_loss


def test_nothing_is_to_be_learnt_from_ones_own_predictions() -> None:
    logits = torch.randn(5, 4, generator=torch.Generator().manual_seed(0))
    assert distillation_loss(logits, logits, 4.0) == pytest.approx(0, abs=1e-6)
    # What is added to all logits of an image changes no prediction.
    assert distillation_loss(logits, logits + 3, 4.0) == pytest.approx(0, abs=1e-5)


@pytest.mark.parametrize("temperature", [1.0, 4.0])
def test_the_loss_is_the_divergence_at_a_temperature(temperature: float) -> None:
    random = torch.Generator().manual_seed(1)
    ours, theirs = torch.randn(2, 6, 3, generator=random)
    p, q = ((logits / temperature).softmax(1) for logits in (theirs, ours))
    expected = float((p * (p / q).log()).sum(1).mean()) * temperature**2
    assert float(distillation_loss(ours, theirs, temperature)) == pytest.approx(expected, rel=1e-4)


class Means(nn.Module):
    """The mean of each channel, and a logit that nobody reads."""

    def forward(self, x: Tensor) -> Tensor:
        assert x.shape[2:] == (8, 8)
        return torch.cat([x.mean((2, 3)), torch.full((len(x), 1), 99.0)], 1)


def test_images_are_prepared_as_the_teacher_knows_them() -> None:
    teacher = Teacher(Means(), (0.5, 0.25, 0.0), (0.5, 0.25, 1.0), 8, 3, torch.device("cpu"))
    grey = torch.full((2, 1, 12, 12), 255, dtype=torch.uint8)
    assert torch.allclose(teacher(grey), torch.tensor([[1.0, 3.0, 1.0]]).expand(2, 3))
    assert not teacher(grey).requires_grad


def test_its_digest_changes_with_any_weight() -> None:
    model = nn.Sequential(nn.Linear(2, 3), nn.Linear(3, 2))
    teacher = Teacher(model, (0.5,), (0.5,), 8, 2, torch.device("cpu"))
    found = [teacher.digest]
    assert teacher.digest == found[0]
    for values in model.state_dict().values():
        values.view(-1)[-1] += 1
        found.append(teacher.digest)
    assert len(set(found)) == 1 + 4
