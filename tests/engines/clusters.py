"""What tests on Ray clusters share: how to leave one, and one of two nodes on this machine."""

from __future__ import annotations

import os
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager

from tests.processes import kill_all

TwoNodes = tuple[str, Callable[[], None]]
"""The address of a cluster of two nodes with a core each, and what kills the second one."""
RAY = [sys.executable, "-m", "ray.scripts.scripts"]
# Ends when both nodes of a cluster are there.
BOTH_NODES = """\
import sys, time, ray
ray.init(sys.argv[1], log_to_driver=False)
while ray.cluster_resources().get("CPU", 0) < 2:
    time.sleep(0.2)
"""


def leave() -> None:
    """Leave the cluster, and end it where it is this process's own."""
    # Not imported above: Ray reads its settings when it is, and these are made where the package imports it.
    if "ray" in sys.modules:
        sys.modules["ray"].shutdown()


@contextmanager
def of_two_nodes() -> Iterator[TwoNodes]:
    leave()
    port = 6390 + os.getpid() % 1000

    def start(*arguments: str) -> subprocess.Popen[bytes]:
        return subprocess.Popen(
            [*RAY, "start", *arguments, "--num-cpus=1", "--disable-usage-stats", "--block"],
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
            start_new_session=True,
        )

    address = f"127.0.0.2:{port}"
    head = ("--head", "--node-ip-address=127.0.0.2", f"--port={port}", "--include-dashboard=false")
    # Nobody adds nodes to it or reads its logs.
    nodes = [start(*head, "--no-monitor", "--include-log-monitor=false")]
    try:
        wait_until(lambda: _answers(port))
        nodes.append(start(f"--address={address}", "--node-ip-address=127.0.0.3"))
        subprocess.run(
            [sys.executable, "-c", BOTH_NODES, address], check=True, capture_output=True, timeout=120
        )
        yield address, lambda: kill_all(nodes[1].pid)
    finally:
        # Whoever has joined it ends soon after it.
        leave()
        for node in reversed(nodes):
            try:
                os.killpg(node.pid, signal.SIGKILL)
            except ProcessLookupError:
                continue
            node.wait()


def _answers(port: int) -> bool:
    with socket.socket() as caller:
        return caller.connect_ex(("127.0.0.2", port)) == 0


def wait_until(sign: Callable[[], bool]) -> None:
    """Look for a sign, for two minutes at most."""
    deadline = time.monotonic() + 120
    while not sign():
        assert time.monotonic() < deadline
        time.sleep(0.2)
