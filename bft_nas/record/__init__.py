"""A run's directory: candidates, results, storage, who is at work on it, fronts. Needs no torch."""

from bft_nas.record.candidate import Candidate, Progress
from bft_nas.record.columns import COLUMNS, REFERENCE_COLUMNS, REFERENCE_NAMES, RESULT_NAMES, Column, facts_of
from bft_nas.record.history import Entry, History
from bft_nas.record.ledger import Ledger, RunStatus
from bft_nas.record.run import Run
from bft_nas.record.run_file import RUN_FILE, DataFacts, Settings
from bft_nas.record.run_folder import RUNS, run_names

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
