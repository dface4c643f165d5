"""What is told of predictions, beside what scikit-learn and SciPy tell."""

from __future__ import annotations

import json
from collections import Counter

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
    assert {label: count for label, _, count in found.by_class} == Counter(labels.tolist())
    taken = Counter(zip(labels.tolist(), predicted.tolist(), strict=True))
    mistaken = Counter({pair: count for pair, count in taken.items() if pair[0] != pair[1]})
    assert {(label, other): count for count, label, other in found.confused} == mistaken
    assert [count for count, _, _ in found.confused] == sorted(mistaken.values(), reverse=True)
    sure = sorted(odds.max(1)[predicted != labels], reverse=True)
    assert [each.confidence for each in found.worst] == pytest.approx(sure[:10])
    assert all(labels[m.index] == m.label != m.predicted == predicted[m.index] for m in found.worst)
    named = measures_of(logits, labels, [f"{number}.png" for number in range(images)])
    assert [each.name for each in named.worst] == [f"{each.index}.png" for each in found.worst]
    assert Measures.from_dict(json.loads(json.dumps(found.to_dict()))) == found


def test_calibration_is_how_far_confidence_is_from_accuracy_in_tenths_weighed_by_their_images() -> None:
    # Two images are right by 0.75; of six that are sure by 0.95 on average, half are right.
    sure = np.array([0.75] * 2 + [0.92] * 3 + [0.98] * 3, np.float32)
    found = measures_of(np.log(np.stack([sure, 1 - sure], 1)), [0] * 5 + [1] * 3)
    less, more = found.bins
    assert (less.images, less.confidence, less.accuracy) == pytest.approx((2, 0.75, 1.0))
    assert (more.images, more.confidence, more.accuracy) == pytest.approx((6, 0.95, 0.5))
    assert found.calibration_error == pytest.approx((2 * 0.25 + 6 * 0.45) / 8)


def test_classes_are_told_by_their_own_images_and_confusions_the_most_first() -> None:
    predicted = [0, 1, 2, 2, 0, 1]
    found = measures_of(np.eye(4, dtype=np.float32)[predicted], [0, 0, 1, 1, 1, 1])
    assert found.by_class == [(0, 1, 2), (1, 1, 4)]
    assert found.confused == [(2, 1, 2), (1, 1, 0), (1, 0, 1)]
