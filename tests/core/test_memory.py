"""What a training frees is there for its next step."""

import os
import subprocess
import sys

import pytest

FAULTS = """
import resource, torch
from bft_nas.core.memory import keep_freed_memory
{keep}
def step():
    return torch.ones(1 << 24).sum().item() + torch.ones(1 << 22).sum().item()
for _ in range(5):
    step()
counts = []
for _ in range(9):
    before = resource.getrusage(resource.RUSAGE_SELF).ru_minflt
    step()
    counts.append(resource.getrusage(resource.RUSAGE_SELF).ru_minflt - before)
print(sorted(counts)[4])
"""


def faults(keep: str) -> int:
    """Pages that a step asks the kernel for, the median of nine."""
    environment = {name: value for name, value in os.environ.items() if not name.startswith("MALLOC_")}
    command = [sys.executable, "-c", FAULTS.format(keep=keep)]
    done = subprocess.run(command, capture_output=True, text=True, check=True, env=environment)
    return int(done.stdout)


@pytest.mark.skipif(sys.platform != "linux", reason="of glibc")
def test_steps_after_the_first_need_no_new_pages() -> None:
    # The first few find their places between smaller blocks, and now and then a later one.
    kept = faults("assert keep_freed_memory()")
    assert kept < 20
    assert kept * 5 < faults("")
