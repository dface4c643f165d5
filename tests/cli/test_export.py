"""Which network ``bft-nas export`` takes."""

from __future__ import annotations

from pathlib import Path

import pytest

from bft_nas.api.trained import Trained
from bft_nas.cli.main import main
from bft_nas.core.errors import UserError
from tests.dashboard.made_up_training import end, make_training


def test_a_trained_network_is_found_where_trained_networks_are_said_to_be(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    end(make_training(tmp_path / "elsewhere", "net"))
    monkeypatch.chdir(tmp_path)

    def export(network: Trained, folder: Path, **options: object) -> None:
        raise UserError(f"{network.folder} would be in {folder}")

    monkeypatch.setattr(Trained, "weights", lambda network: {})
    monkeypatch.setattr(Trained, "export", export)
    assert main(["export", "net", "--trained", "elsewhere", "-o", "out"]) == 2
    assert capsys.readouterr().err == "bft-nas: error: elsewhere/net would be in out\n"
