"""Cores and memory that a process may use, as Linux and its containers say it."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from bft_nas.core.machine import processor_name, usable_cores, usable_memory

GIB = 1 << 30


@pytest.fixture
def many_cores(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(os, "sched_getaffinity", lambda process: set(range(16)), raising=False)


def machine(folder: Path, group: str, files: dict[str, str]) -> dict[str, Path]:
    """A machine of 8 GiB free memory, and files of control groups by their paths."""
    proc, cgroups = folder / "proc", folder / "cgroup"
    (proc / "self").mkdir(parents=True)
    (proc / "meminfo").write_text("MemTotal: 16777216 kB\nMemAvailable: 8388608 kB\n")
    (proc / "self" / "cgroup").write_text(group)
    for path, content in files.items():
        (cgroups / path).parent.mkdir(parents=True, exist_ok=True)
        (cgroups / path).write_text(content)
    return {"proc": proc, "cgroups": cgroups}


@pytest.mark.usefixtures("many_cores")
@pytest.mark.parametrize(
    ("group", "files", "cores"),
    [
        ("0::/", {}, 16),
        ("0::/", {"cpu.max": "max 100000\n"}, 16),
        ("0::/", {"cpu.max": "250000 100000\n"}, 2),
        ("0::/", {"cpu.max": "50000 100000\n"}, 1),
        ("0::/a/b\n", {"a/cpu.max": "400000 100000\n", "a/b/cpu.max": "max 100000\n"}, 4),
        ("0::/where/the/host/has/it\n", {"cpu.max": "300000 100000\n"}, 3),
        ("3:cpu,cpuacct:/x\n", {"cpu/x/cpu.cfs_quota_us": "600000", "cpu/x/cpu.cfs_period_us": "100000"}, 6),
        ("3:cpu:/x\n", {"cpu/x/cpu.cfs_quota_us": "-1", "cpu/x/cpu.cfs_period_us": "100000"}, 16),
    ],
)  # fmt: skip
def test_cores_are_those_that_affinity_and_every_group_leave(
    group: str, files: dict[str, str], cores: int, tmp_path: Path
) -> None:
    assert usable_cores(**machine(tmp_path, group, files)) == cores


@pytest.mark.parametrize(
    ("group", "files", "memory"),
    [
        ("0::/", {}, 8 * GIB),
        ("0::/", {"memory.max": "max\n", "memory.current": "5"}, 8 * GIB),
        ("0::/", {"memory.max": f"{3 * GIB}\n", "memory.current": f"{GIB}\n"}, 2 * GIB),
        (
            "0::/a\n",
            {
                "a/memory.max": f"{3 * GIB}\n",
                "a/memory.current": f"{2 * GIB}\n",
                "a/memory.stat": f"anon 7\ninactive_file {GIB}\n",
            },
            2 * GIB,
        ),
        ("0::/", {"memory.max": f"{GIB}\n", "memory.current": f"{2 * GIB}\n"}, 0),
        (
            "4:memory:/x\n",
            {
                "memory/x/memory.limit_in_bytes": f"{4 * GIB}",
                "memory/x/memory.usage_in_bytes": f"{3 * GIB}",
            },
            GIB,
        ),
    ],
)
def test_memory_is_what_the_machine_and_every_group_leave(
    group: str, files: dict[str, str], memory: int, tmp_path: Path
) -> None:
    assert usable_memory(**machine(tmp_path, group, files)) == memory


def test_a_machine_that_says_nothing_has_a_core_and_unknown_memory(tmp_path: Path) -> None:
    nowhere = {"proc": tmp_path / "none", "cgroups": tmp_path / "neither"}
    assert usable_cores(**nowhere) >= 1
    assert usable_memory(**nowhere) is None


def test_the_processor_has_the_name_that_the_system_gives_it(tmp_path: Path) -> None:
    (tmp_path / "cpuinfo").write_text("processor\t: 0\nmodel name\t: A  Model @ 2 GHz\nmodel name\t: other\n")
    assert processor_name(proc=tmp_path) == "A Model @ 2 GHz"
    cores = "CPU implementer\t: 0x41\nCPU part\t: 0xd05\n\nCPU implementer\t: 0x41\nCPU part\t: 0xd0b\n\n"
    (tmp_path / "cpuinfo").write_text(cores)
    assert processor_name(proc=tmp_path).endswith(", CPU implementer 0x41, CPU part 0xd05 0xd0b")
    (tmp_path / "cpuinfo").write_text(f"{cores}Hardware\t: BCM2835\nModel\t\t: Board 4 Rev 1.4\n")
    assert processor_name(proc=tmp_path) == "Board 4 Rev 1.4"
    (tmp_path / "cpuinfo").write_text(f"{cores}Hardware\t: BCM2835\n")
    assert processor_name(proc=tmp_path) == "BCM2835"
    (tmp_path / "cpuinfo").write_text("processor\t: 0\nBogoMIPS\t: 50\n")
    named = processor_name(proc=tmp_path)
    assert named
    assert named == processor_name(proc=tmp_path / "nowhere")
