"""Files that are written whole or not at all, and places that are asked before."""

from __future__ import annotations

from pathlib import Path

import pytest

from bft_nas.core.errors import UserError
from bft_nas.core.files import check_writable


def test_a_folder_that_can_be_written_or_made_is_left_as_it_is(tmp_path: Path) -> None:
    check_writable(tmp_path)
    check_writable(tmp_path / "missing" / "deeper")
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("place", ["file", "file/below", "/proc/none"])
def test_a_folder_that_cannot_be_written_is_named(
    place: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    Path("file").write_text("in the way")
    with pytest.raises(UserError, match=rf"^{place}: cannot be written \([^\n]+\)$"):
        check_writable(Path(place))
