"""A run's directory: candidates, results, storage, who is at work on it, fronts. Needs no torch."""

from typing import TYPE_CHECKING

from bft_nas.core.lazy import lazy_exports

if TYPE_CHECKING:
    from bft_nas.record.candidate import Candidate, Progress
    from bft_nas.record.columns import (
        COLUMNS,
        REFERENCE_COLUMNS,
        REFERENCE_NAMES,
        RESULT_NAMES,
        Column,
        facts_of,
    )
    from bft_nas.record.history import Entry, History
    from bft_nas.record.ledger import Ledger, RunStatus
    from bft_nas.record.run import Run
    from bft_nas.record.run_file import RUN_FILE, DataFacts
    from bft_nas.record.run_folder import RUNS, run_names
    from bft_nas.record.settings import Settings

__all__ = [
    "COLUMNS",
    "REFERENCE_COLUMNS",
    "REFERENCE_NAMES",
    "RESULT_NAMES",
    "RUNS",
    "RUN_FILE",
    "Candidate",
    "Column",
    "DataFacts",
    "Entry",
    "History",
    "Ledger",
    "Progress",
    "Run",
    "RunStatus",
    "Settings",
    "facts_of",
    "run_names",
]

# The command line's parser reads the options in `bft_nas.record.settings`, and nothing slow with them.
__getattr__ = lazy_exports(
    __name__,
    {
        "COLUMNS": "bft_nas.record.columns",
        "Candidate": "bft_nas.record.candidate",
        "DataFacts": "bft_nas.record.run_file",
        "Entry": "bft_nas.record.history",
        "History": "bft_nas.record.history",
        "Ledger": "bft_nas.record.ledger",
        "Progress": "bft_nas.record.candidate",
        "Column": "bft_nas.record.columns",
        "REFERENCE_COLUMNS": "bft_nas.record.columns",
        "REFERENCE_NAMES": "bft_nas.record.columns",
        "RESULT_NAMES": "bft_nas.record.columns",
        "RUNS": "bft_nas.record.run_folder",
        "RUN_FILE": "bft_nas.record.run_file",
        "Run": "bft_nas.record.run",
        "RunStatus": "bft_nas.record.ledger",
        "Settings": "bft_nas.record.settings",
        "facts_of": "bft_nas.record.columns",
        "run_names": "bft_nas.record.run_folder",
    },
)
