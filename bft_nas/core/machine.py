"""What of this machine a process may use: its cores and its memory, within the limits of a container."""

from __future__ import annotations

import os
import platform
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path

PROC, CGROUPS = Path("/proc"), Path("/sys/fs/cgroup")


def usable_cores(*, proc: Path = PROC, cgroups: Path = CGROUPS) -> int:
    """Cores that this process may keep busy, at least one."""
    affinity = getattr(os, "sched_getaffinity", None)
    cores = float(len(affinity(0)) if affinity else os.cpu_count() or 1)
    for group in _groups("cpu", proc, cgroups):
        with suppress(OSError, ValueError):
            quota, period = (group / "cpu.max").read_text().split()
            cores = min(cores, int(quota) / int(period))
        with suppress(OSError, ValueError):
            quota, period = ((group / f"cpu.cfs_{name}_us").read_text() for name in ("quota", "period"))
            if int(quota) > 0:
                cores = min(cores, int(quota) / int(period))
    return max(1, int(cores))


def processor_name(*, proc: Path = PROC) -> str:
    """The model of this machine's processor or of its board, or its architecture where nobody says."""
    said: dict[str, dict[str, None]] = {}
    with suppress(OSError, ValueError):
        for line in (proc / "cpuinfo").read_text(encoding="utf-8").splitlines():
            name, _, value = (" ".join(part.split()) for part in line.partition(":"))
            if value:
                said.setdefault(name, {})[value] = None
    for name in ("Model", "Hardware"):
        if name in said:
            return next(iter(said[name]))
    model = next(iter(said.get("model name", ())), "") or platform.processor() or platform.machine()
    # On ARM all models have one name, and a machine may have cores of several.
    parts = [f"{name} {' '.join(said[name])}" for name in ("CPU implementer", "CPU part") if name in said]
    return ", ".join([model, *parts])


def usable_memory(*, proc: Path = PROC, cgroups: Path = CGROUPS) -> int | None:
    """Bytes that processes can still take without being killed for it; None where nobody says."""
    found: list[int] = []
    with suppress(OSError, ValueError, StopIteration):
        lines = (proc / "meminfo").read_text().splitlines()
        found.append(next(int(line.split()[1]) * 1024 for line in lines if line.startswith("MemAvailable:")))
    for group in _groups("memory", proc, cgroups):
        for most, used in (
            ("memory.max", "memory.current"),
            ("memory.limit_in_bytes", "memory.usage_in_bytes"),
        ):
            with suppress(OSError, ValueError):
                left = int((group / most).read_text()) - int((group / used).read_text())
                found.append(max(0, left + _cached(group)))
    return min(found, default=None)


def _groups(controller: str, proc: Path, cgroups: Path) -> Iterator[Path]:
    """The groups of this process, whose limits all hold, as control groups of both versions lie in the file system."""
    try:
        lines = (proc / "self/cgroup").read_text().splitlines()
    except OSError:
        return
    for line in lines:
        _, controllers, path = line.split(":", 2)
        if controllers and controller not in controllers.split(","):
            continue
        root = cgroups / controller if controllers else cgroups
        group = root / path.lstrip("/")
        # In a container the path may be that of the host, which is not there.
        yield from {root, group, *(each for each in group.parents if root in each.parents)}


def _cached(group: Path) -> int:
    """Bytes of files that are given back when they are needed for something else."""
    with suppress(OSError, ValueError):
        stat = dict(line.split() for line in (group / "memory.stat").read_text().splitlines())
        return int(stat.get("inactive_file", 0))
    return 0
