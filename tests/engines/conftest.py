"""A Ray cluster of two nodes."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from tests.engines.clusters import TwoNodes, of_two_nodes


@pytest.fixture
def two_nodes(monkeypatch: pytest.MonkeyPatch) -> Iterator[TwoNodes]:
    # Without it, a node would be refused where another cluster has left its token.
    monkeypatch.setenv("RAY_AUTH_MODE", "disabled")
    with of_two_nodes() as nodes:
        yield nodes
