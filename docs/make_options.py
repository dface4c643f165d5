"""Write the tables of options into docs/options.md and docs/training.md: ``python -m docs.make_options``."""

from __future__ import annotations

from pathlib import Path

from bft_nas.api.request import RunOptions
from bft_nas.api.training_options import TrainingOptions
from bft_nas.cli.options import option_name
from bft_nas.core.errors import settings_spelled
from bft_nas.core.options import SWITCH, options_of
from bft_nas.engines.options import EngineOptions
from bft_nas.record.settings import Settings

PAGES: dict[Path, tuple[type, ...]] = {
    Path(__file__).with_name("options.md"): (Settings, EngineOptions, RunOptions),
    Path(__file__).with_name("training.md"): (TrainingOptions,),
}
BEGINNING, END = "<!-- options -->\n", "<!-- end of options -->\n"


def table(records: tuple[type, ...]) -> str:
    """A row an option, in the order of the help; the page says elsewhere which samplers there are."""
    rows = ["| option | | resumed |", "|---|---|---|"]
    for record in records:
        for name, each in options_of(record).items():
            with settings_spelled(option_name):
                forms = {form: said.replace("|", "\\|") for form, said in each.forms().items()}
            for form, said in forms.items():
                alone = form != name or each.kind is SWITCH
                typed = option_name(form) if alone else f"{option_name(form)} {each.metavar}"
                rows.append(f"| `{typed}` | {said} | {'kept' if each.kept else ''} |")
    return "\n".join(rows) + "\n"


def with_table(page: str, records: tuple[type, ...]) -> str:
    """The text of a page with the table of these options as it is now."""
    before, _, rest = page.partition(BEGINNING)
    _, _, after = rest.partition(END)
    return f"{before}{BEGINNING}\n{table(records)}\n{END}{after}"


if __name__ == "__main__":
    for path, records in PAGES.items():
        path.write_text(with_table(path.read_text(encoding="utf-8"), records), encoding="utf-8")
