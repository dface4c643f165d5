"""The card of a trained network."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
from scipy.stats import binomtest

from bft_nas.record.card import accuracy_text
from bft_nas.record.trained import Evaluation
from bft_nas.training.measures import measures_of


def test_an_accuracy_has_its_interval_from_end_to_end() -> None:
    labels = np.zeros(90, dtype=np.int64)
    logits = np.eye(3, dtype=np.float32)[[0] * 70 + [1] * 20]
    ends = binomtest(70, 90).proportion_ci(method="wilson")
    evaluation = Evaluation("test", "photos", measures_of(logits, labels))
    told = f"(95 %: {100 * ends.low:.2f}% to {100 * ends.high:.2f}%)"
    assert accuracy_text(evaluation) == f"77.78% of 90 test images {told}"
    fewer = replace(evaluation, left_out=("a.jpg", "b.jpg"))
    assert accuracy_text(fewer) == f"77.78% of 90 test images, without 2 that cannot be decoded {told}"
