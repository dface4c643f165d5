"""Real exports, each made once."""

from __future__ import annotations

from collections.abc import Callable
from functools import cache
from typing import Any

import pytest

from bft_nas.export.write import export
from tests.export.examples import (
    CASES,
    CLASSES,
    NORMALISATION,
    Exported,
    trained,
)


@pytest.fixture(scope="session")
def exports(tmp_path_factory: pytest.TempPathFactory) -> Callable[[str], Exported]:
    """The real export of a case, made once."""

    @cache
    def make(name: str) -> Exported:
        case = CASES[name]
        network = trained(case.architecture)
        labels: dict[str, Any] = {"classes": CLASSES, "normalisation": NORMALISATION} if case.labelled else {}
        folder = tmp_path_factory.mktemp(name) / "export"
        return Exported(case, network, export(case.architecture, network.state_dict(), folder, **labels))

    return make


@pytest.fixture(params=list(CASES))
def exported(request: pytest.FixtureRequest, exports: Callable[[str], Exported]) -> Exported:
    return exports(request.param)
