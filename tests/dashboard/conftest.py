from __future__ import annotations

import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest
from playwright.sync_api import BrowserContext, sync_playwright

from bft_nas.record import Run
from tests.dashboard.browsing import FLAGS
from tests.dashboard.made_up import make_run
from tests.dashboard.pages import CHROMIUM


@pytest.fixture(scope="session")
def made_up(tmp_path_factory: pytest.TempPathFactory) -> Run:
    """A run of 60 candidates, some of them stopped early and some failed; tests leave it as it is."""
    return make_run(Path(tmp_path_factory.mktemp("runs")), candidates=60, halving=True, failed=0.1)


@pytest.fixture(scope="session")
def window() -> Iterator[BrowserContext]:
    """Debian's chromium without a window on a screen, driven by Playwright."""
    if CHROMIUM is None:
        pytest.skip("no chromium or chrome is installed")
    with sync_playwright() as playwright, tempfile.TemporaryDirectory() as profile:
        window = playwright.chromium.launch_persistent_context(
            profile, executable_path=CHROMIUM, args=list(FLAGS), accept_downloads=True
        )
        yield window
        window.close()
