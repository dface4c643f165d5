"""What each training gets of a Ray cluster."""

from __future__ import annotations

import pytest

from bft_nas.engines._ray_worker import Portion
from bft_nas.engines.ray_cluster import Node, at_once, shared_out


def of(cpus: float, gpus: float = 0.0) -> Node:
    return {"CPU": cpus, "GPU": gpus}


@pytest.mark.parametrize(
    ("nodes", "portion"),
    [
        ([of(2)], Portion(1, 2, 0)),
        ([of(8)], Portion(2, 4, 0)),
        ([of(8), of(8)], Portion(4, 4, 0)),
        # Four cores each would leave the third training without a node.
        ([of(6), of(6)], Portion(3, 3, 0)),
        ([of(8, 2)], Portion(2, 4, 1)),
        ([of(4, 4), of(60)], Portion(4, 1, 1)),
    ],
)
def test_by_default_all_trainings_have_room_at_once(nodes: list[Node], portion: Portion) -> None:
    assert shared_out(nodes) == portion
    assert at_once(portion, nodes) == portion.workers


def test_what_is_asked_for_is_what_each_has() -> None:
    assert shared_out([of(8, 2)], workers=4) == Portion(4, 2, 0.5)
    assert shared_out([of(8, 2)], gpus=0.5) == Portion(4, 2, 0.5)
    assert shared_out([of(8)], workers=3, cpus=1) == Portion(3, 1, 0)


def test_workers_without_room_are_not_waited_for() -> None:
    nodes = [of(2), of(3)]
    assert at_once(Portion(2, 1, 0), nodes) == 2
    assert at_once(Portion(10, 1, 0), nodes) == 5
    assert at_once(Portion(10, 2, 0), nodes) == 2
    assert at_once(Portion(1, 0.25, 0), nodes) == 1
    assert at_once(Portion(2, 1, 0.5), nodes) == 0
