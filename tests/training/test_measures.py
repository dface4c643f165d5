"""What is told of predictions, beside what scikit-learn and SciPy tell."""

from __future__ import annotations

import json

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy.stats import binomtest
from sklearn.metrics import accuracy_score, confusion_matrix, log_loss

from bft_nas.training.measures import Measures, measures_of, wilson


@given(images=st.integers(1, 10_000), part=st.floats(0, 1))
def test_the_interval_is_wilsons(images: int, part: float) -> None:
    right = round(part * images)
    expected = binomtest(right, images).proportion_ci(method="wilson")
    assert wilson(right, images) == pytest.approx((expected.low, expected.high), abs=1e-6)


@given(seed=st.integers(0, 1000), images=st.integers(1, 60), classes=st.integers(2, 5))
def test_they_are_those_of_scikit_learn(seed: int, images: int, classes: int) -> None:
    random = np.random.default_rng(seed)
    logits = random.normal(scale=3, size=(images, classes)).astype(np.float32)
    labels = random.integers(0, classes, images)
    found = measures_of(logits, labels)
    predicted, names = logits.argmax(1), list(range(classes))
    assert np.array_equal(found.confusion, confusion_matrix(labels, predicted, labels=names))
    assert found.accuracy == pytest.approx(accuracy_score(labels, predicted))
    odds = np.exp(logits.astype(np.float64))
    odds /= odds.sum(1, keepdims=True)
    assert found.loss == pytest.approx(log_loss(labels, odds, labels=names), rel=1e-5)
    assert sum(each.images for each in found.bins) == found.images == images
    assert sum(right for _, right, _ in found.by_class) == found.right
    assert [each.confidence for each in found.worst] == sorted(
        (m.confidence for m in found.worst), reverse=True
    )
    assert all(labels[m.index] == m.label != m.predicted == predicted[m.index] for m in found.worst)
    named = measures_of(logits, labels, [f"{number}.png" for number in range(images)])
    assert [each.name for each in named.worst] == [f"{each.index}.png" for each in found.worst]
    assert Measures.from_dict(json.loads(json.dumps(found.to_dict()))) == found


def test_calibration_is_how_far_confidence_is_from_accuracy() -> None:
    # Sure of all by 0.9, and right in half of the cases.
    logits = np.log(np.array([[0.9, 0.1]] * 10, np.float32))
    found = measures_of(logits, [0] * 5 + [1] * 5)
    assert found.calibration_error == pytest.approx(0.4)
    assert len(found.bins) == 1
    assert found.confused == [(5, 1, 0)]
