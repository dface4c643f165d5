"""Which run a search is about, and what is done at its end. Needs no torch."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

from bft_nas.core.errors import UserError, setting
from bft_nas.core.options import FLAG, PLACE, SOME, option, options_of, values_of
from bft_nas.record.settings import kept_by_run


@dataclass(frozen=True, kw_only=True)
class RunOptions:
    """Which run it is: a new one, or one that is resumed or shared."""

    references: bool | Literal["all"] = option(
        "all: train all references at the end, which {trials} and {time} do not count (default: four)",
        metavar="all",
        kind=SOME,
        default=True,
        without="train no references",
    )
    confirm: bool = option(
        "do not confirm the winner: leave out the longer trainings that prove it",
        kind=FLAG,
        default=True,
    )
    timing: bool = option(
        "do not measure the latency of the front at the end, which takes some seconds",
        kind=FLAG,
        default=True,
    )
    name: str | None = option("of the run (default: made from space and budget)", metavar="NAME", kept=True)
    resume: str | None = option(
        "resume a run; {trials} and {time} may be given again, and {data} with where its data are now",
        metavar="RUN",
    )
    join: str | None = option(
        "share a run that another process is at, here or on another machine", metavar="RUN"
    )
    runs: Path = option("where the runs are (default: {default})", metavar="DIR", kind=PLACE, default="runs")

    @classmethod
    def of(cls, given: Mapping[str, Any]) -> RunOptions:
        """From what is given under the names of the options.

        Raises:
            UserError: a value that an option does not take, or options that do not go together.
        """
        options = cls(**values_of(cls, given))
        if options.resume is not None and options.join is not None:
            raise UserError(f"{setting('join')}: not together with {setting('resume')}; expected one of them")
        if options.existing is not None:
            for name, each in options_of(cls).items():
                if each.kept and name in given:
                    raise kept_by_run(name)
        if "confirm_divisor" in given and not options.confirm:
            raise UserError(f"{setting('confirm_divisor')}: needs the confirmation, which is to be left out")
        return options

    @property
    def existing(self) -> str | None:
        """The run that there is already, if it is about one."""
        return self.join if self.resume is None else self.resume
