"""A journal that was damaged, made readable again."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

from bft_nas.core.errors import RunError, UserError
from bft_nas.core.files import write_bytes

CREATE_TRIAL = 4
"""Optuna's code of the operation in a journal."""


def repair_journal(
    path: Path, recognised: Callable[[], int], facts: Callable[[int], Mapping[str, Any] | None]
) -> str | None:
    """Take what cannot be read out of a journal; None when it is whole, otherwise what was done.

    The damaged file is kept beside the repaired one. Where the line was lost that begins a trial, all that was said of
    the trial would be said of none: a trial takes its place with what the candidate's folder says of it.

    Args:
        recognised: how many candidates of the journal as it now stands are those that the run's folder describes.
        facts: what the folder of the candidate of that number says of its architecture; None where there is none.

    Raises:
        RunError: it cannot be repaired, and is left as it was.
    """
    if not path.is_file():
        return None
    content = path.read_bytes()
    lines = content.splitlines(keepends=True)
    damaged = [index for index, line in enumerate(lines) if not _is_whole(line)]
    if not damaged:
        return None
    if damaged == [len(lines) - 1] and not lines[-1].endswith(b"\n"):
        # Its writer was killed or found the disk full; nothing of it was acted upon, and who writes next drops it.
        return None
    kept = path.with_name(f"{path.name}.damaged")
    write_bytes(kept, content)
    found = {}
    for repaired in (_without(lines), _with_trials(lines, facts)):
        write_bytes(path, repaired)
        try:
            found[repaired] = recognised()
        except (RunError, UserError):
            continue
    if not found:
        write_bytes(path, content)
        raise RunError(f"{path}: {where_damaged(path)}, and without it the rest cannot be understood")
    write_bytes(path, max(found, key=lambda repaired: found[repaired]))
    where = ", ".join(str(index + 1) for index in damaged[:5])
    return f"{path}: line {where} could not be read and was taken out; the file as it was is {kept.name}"


def _without(lines: Sequence[bytes]) -> bytes:
    """Every line that can be read."""
    return b"".join(line if _is_whole(line) else _whole_end(line) for line in lines)


def _with_trials(lines: Sequence[bytes], facts: Callable[[int], Mapping[str, Any] | None]) -> bytes:
    """Every line that can be read, and a trial in the place of each that cannot."""
    first = next((log for log in map(_read, lines) if log.get("op_code") == CREATE_TRIAL), None)
    if first is None:
        return _without(lines)
    kept = {key: first[key] for key in ("op_code", "worker_id", "study_id", "datetime_start")}
    repaired, number = [], 0
    for line in lines:
        if _is_whole(line):
            repaired.append(line)
            number += _read(line).get("op_code") == CREATE_TRIAL
            continue
        known = facts(number)
        log = {**kept, "user_attrs": {"candidate": known}} if known else kept
        repaired += [json.dumps(log, separators=(",", ":")).encode() + b"\n", _whole_end(line)]
        number += 1
    return b"".join(repaired)


def _read(line: bytes) -> dict[str, Any]:
    return json.loads(line) if _is_whole(line) else {}


def _is_whole(line: bytes) -> bool:
    try:
        return line.endswith(b"\n") and "op_code" in json.loads(line)
    except (ValueError, TypeError):
        return False


def _whole_end(line: bytes) -> bytes:
    """The whole line behind half of another, which a full disk left."""
    end = line[max(0, line.rfind(b'{"op_code"')) :]
    return end if _is_whole(end) else b""


def where_damaged(path: Path) -> str:
    """Which line of a journal cannot be read, in words; empty when all can."""
    try:
        lines = path.read_bytes().splitlines(keepends=True)
    except OSError as error:
        return str(error.strerror)
    return next(
        (f"line {i} cannot be read" for i, line in enumerate(lines, start=1) if not _is_whole(line)), ""
    )
