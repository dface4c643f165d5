"""Packages that are not always there, and what is known of those that are."""

from __future__ import annotations

from pathlib import Path

import pytest

from bft_nas.core.extras import version_of


def test_a_module_has_its_version_whatever_package_brought_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.syspath_prepend(tmp_path)
    (tmp_path / "told_here.py").write_text('__version__ = "1.2"\n')
    (tmp_path / "told_beside.py").touch()
    for package, module in (("told-here-gpu", "told_here"), ("told-beside-gpu", "told_beside")):
        noted = tmp_path / f"{package.replace('-', '_')}-3.4.dist-info"
        noted.mkdir()
        (noted / "METADATA").write_text(f"Metadata-Version: 2.1\nName: {package}\nVersion: 3.4\n")
        (noted / "RECORD").write_text(f"{module}.py,,\n")
    assert (version_of("told_here"), version_of("told_beside")) == ("1.2", "3.4")
