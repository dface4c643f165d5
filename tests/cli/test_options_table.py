"""What is said of the options: one text, in the help and on the page."""

from __future__ import annotations

from pathlib import Path

import pytest

from bft_nas.api.request import RunOptions
from bft_nas.cli.main import main
from bft_nas.cli.options import option_name
from bft_nas.core.options import FLAG, options_of
from bft_nas.engines.options import EngineOptions
from bft_nas.record.settings import Settings
from bft_nas.searching.named import SCHEDULERS
from bft_nas.searching.proposers import PROPOSERS
from docs.make_options import PAGES, with_table


@pytest.mark.parametrize("path", PAGES, ids=lambda path: path.name)
def test_a_page_has_the_table_as_it_is_now(path: Path) -> None:
    page = path.read_text(encoding="utf-8")
    assert with_table(page, PAGES[path]) == page
    assert "| `--epochs N` | of " in page


def test_the_help_says_the_same(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit):
        main(["search", "--help"])
    said = " ".join(capsys.readouterr().out.split())
    for record in (Settings, EngineOptions, RunOptions):
        for name, each in options_of(record).items():
            assert option_name(f"no_{name}" if each.kind is FLAG else name) in said
            assert all(option_name(form) in said for form in each.forms())
    assert "--trials N candidates to train (default: 32, or as --time allows)" in said
    assert "--space SPACE a space's name or a .yaml file (default: mobile)" in said


def test_the_help_names_every_sampler_and_scheduler(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setitem(PROPOSERS, "of_mine", PROPOSERS["random"])
    with pytest.raises(SystemExit):
        main(["search", "--help"])
    said = " ".join(capsys.readouterr().out.split())
    assert f"--sampler NAME surrogate (default), {', '.join([*PROPOSERS][1:])}" in said
    assert all(name in options_of(Settings)["scheduler"].help.format(default="none") for name in SCHEDULERS)


def test_a_run_written_before_an_option_has_the_value_it_was_made_with() -> None:
    needed = dict.fromkeys(("budgets", "space", "data", "trials", "seconds", "seed", "sampler"))
    more = dict.fromkeys(("resolutions", "classes", "epochs", "images", "batch_size", "proxy_divisor"))
    settings = Settings(**needed, **more)  # type: ignore[arg-type]
    assert (settings.scheduler, settings.eta, settings.min_epochs, settings.storage) == ("none", 3, 1, "")
