"""What network a name stands for."""

from __future__ import annotations

from dataclasses import replace

from bft_nas.api.sources import architecture_of, source_of
from bft_nas.api.training_options import TrainingOptions
from bft_nas.data.dataset import load_dataset
from bft_nas.network.references import widest


def test_a_reference_is_known_by_its_name_whatever_is_said_of_it() -> None:
    options = TrainingOptions.of({"flops": "2M", "resolution": 32})
    source = replace(source_of("mobilenet_v2", options), said="a network")
    data = load_dataset("fashion-mnist", size=28, images=64)
    found = widest("mobilenet_v2", 2_000_000, resolution=32, classes=10)
    assert found is not None
    assert architecture_of(source, options, data) == found[1]
