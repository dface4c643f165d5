"""What was found: a line of JSON for each search, each training and each timing; of one name the last one counts."""

from __future__ import annotations

import fcntl
import json
from pathlib import Path
from typing import Any

from tasks import Search, Training

RECORDS = Path(__file__).parent / "records.jsonl"


def read() -> dict[str, dict[str, Any]]:
    """Each record by the name of its job."""
    if not RECORDS.exists():
        return {}
    rows = [json.loads(line) for line in RECORDS.read_text(encoding="utf-8").splitlines()]
    return {row["job"]: row for row in rows}


def write(job: Search | Training, found: dict[str, Any]) -> None:
    """Add the record of a job."""
    append({"job": job.name, "task": job.task.name, "contestant": job.contestant} | found)


def append(record: dict[str, Any]) -> None:
    """Add a record, which stands for an older one of the same name."""
    with RECORDS.open("a", encoding="utf-8") as file:
        fcntl.flock(file, fcntl.LOCK_EX)
        file.write(json.dumps(record) + "\n")
