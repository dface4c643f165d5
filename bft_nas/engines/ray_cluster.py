"""A Ray cluster: how this process joins it, and what of it each training gets."""

from __future__ import annotations

import logging
import os
import socket
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager, suppress

import ray

from bft_nas.core.errors import UserError, one_line, setting
from bft_nas.engines._ray_worker import Portion

CORES_PER_TRIAL = 4
"""Of a cluster, whose nodes' memory nobody asks for."""
SECONDS_TO_ANSWER = 10.0
Node = dict[str, float]
"""The resources of one: ``CPU``, ``GPU``."""
QUIET = {
    # One line a trial is the search's to print, and the study is the record.
    "RAY_AIR_NEW_OUTPUT": "0",
    "TUNE_DISABLE_AUTO_CALLBACK_LOGGERS": "1",
    "TUNE_WARN_EXCESSIVE_EXPERIMENT_CHECKPOINT_SYNC_THRESHOLD_S": "0",
    # Ctrl-C is the search's: Tune would wait for every training's next epoch.
    "TUNE_DISABLE_SIGINT_HANDLER": "1",
    "RAY_TRAIN_ENABLE_V2_MIGRATION_WARNINGS": "0",
    "RAY_ACCEL_ENV_VAR_OVERRIDE_ON_ZERO": "0",
}

_begun = ExitStack()
"""What ends the session with Ray that `connect` began in this process."""


def connect(
    address: str | None, *, workers: int | None = None, cpus: float | None = None, gpus: float | None = None
) -> Portion:
    """Join a cluster, or start one of this machine's own without an address, and share it out.

    A program that has joined one by itself stays in it; what is begun here ends by `leave`.

    Args:
        address: of the cluster's head, such as ``10.0.0.1:6379``.
        workers: trainings at once; by default one for each GPU (or part of one that is asked for), or for every four
            cores where there is none.
        cpus: cores for each; by default all, shared out evenly.
        gpus: for each, fractions allowed; by default all, shared out evenly, a training at most one.

    Raises:
        UserError: nobody answers at the address, the program is in another cluster, or no node has what is asked for.
    """
    os.environ.update({name: os.environ.get(name, value) for name, value in QUIET.items()})
    if ray.is_initialized():
        joined = ray.get_runtime_context().gcs_address
        if address is not None and not _is_same(address, joined):
            raise UserError(
                f"{setting('ray_address')} '{address}': this program is in the cluster at {joined} already; expected "
                f"that one, or ray.shutdown() before"
            )
    else:
        try:
            if address is not None:
                _reach(address)
            ray.init(
                address=address or "local",
                log_to_driver=False,
                logging_level=logging.CRITICAL,
                include_dashboard=None if address else False,
            )
        except (OSError, ValueError, RuntimeError) as error:
            raise UserError(
                f"{setting('ray_address')} '{address or 'local'}': cannot be joined ({one_line(error)[:120]}); "
                f"expected the address of a cluster's head such as 10.0.0.1:6379"
            ) from None
        _begun.callback(ray.shutdown)
        _begin_no_other()
    for name in ("ray", "ray.tune"):
        # What fails is the search's to tell, in a line.
        logging.getLogger(name).setLevel(logging.CRITICAL)
    return shared_out(nodes(), workers=workers, cpus=cpus, gpus=gpus)


def _begin_no_other() -> None:
    """A thread of Ray's that outlives this session would join whatever cluster there is, or begin one."""
    # Private, and by the environment told only to who imports Ray later.
    with suppress(ImportError):
        from ray._private import auto_init_hook

        auto_init_hook.enable_auto_connect = False


def leave() -> None:
    """End the session with Ray that `connect` began, and whatever is trained in it."""
    _begun.close()


@contextmanager
def connected(
    address: str | None, *, workers: int | None = None, cpus: float | None = None, gpus: float | None = None
) -> Iterator[Portion]:
    """`connect`, and `leave` where the block ends."""
    try:
        yield connect(address, workers=workers, cpus=cpus, gpus=gpus)
    finally:
        leave()


def shared_out(
    nodes: Sequence[Node], *, workers: int | None = None, cpus: float | None = None, gpus: float | None = None
) -> Portion:
    """What each training gets of so many nodes; see `connect`."""
    all_cpus, all_gpus = (sum(node.get(kind, 0.0) for node in nodes) for kind in ("CPU", "GPU"))
    most_cpus, most_gpus = (max(node.get(kind, 0.0) for node in nodes) for kind in ("CPU", "GPU"))
    if workers is None:
        workers = int(all_gpus / (gpus or 1.0)) or max(1, int(all_cpus) // CORES_PER_TRIAL)
    if gpus is None:
        gpus = min(1.0, all_gpus / workers)
    if cpus is None:
        even = max(1, int(min(most_cpus, all_cpus // workers)))
        # What no node has room for would have others wait.
        cpus = float(
            max(range(1, even + 1), key=lambda each: (at_once(Portion(workers, each, gpus), nodes), each))
        )
    for name, asked, most in (("cpus_per_trial", cpus, most_cpus), ("gpus_per_trial", gpus, most_gpus)):
        if asked > most:
            raise UserError(
                f"{setting(name)} {asked:g}: no node of the cluster has so many; expected at most {most:g}"
            )
    return Portion(workers, cpus, gpus)


def nodes() -> list[Node]:
    """Those of the cluster that are there."""
    return [node["Resources"] for node in ray.nodes() if node["Alive"]]  # type: ignore[no-untyped-call]


def at_once(portion: Portion, nodes: Sequence[Node]) -> int:
    """As many workers as the nodes have room for, of those that were asked for."""
    asked = [(kind, amount) for kind, amount in (("CPU", portion.cpus), ("GPU", portion.gpus)) if amount]
    room = sum(
        min((int(node.get(kind, 0.0) / amount) for kind, amount in asked), default=portion.workers)
        for node in nodes
    )
    return min(portion.workers, room)


def clear(storage: str, name: str) -> None:
    """Delete what Ray keeps under a name in its storage, a folder or a URI."""
    from pyarrow.fs import FileSystem

    with suppress(OSError):
        filesystem, folder = FileSystem.from_uri(storage)
        filesystem.delete_dir(f"{folder}/{name}")


def _is_same(address: str, joined: str) -> bool:
    """Whether an address is that of the cluster that was joined, which says it in figures."""
    host, _, port = address.rpartition(":")
    try:
        names = {socket.gethostbyname(host)}
    except OSError:
        return False
    if names == {"127.0.0.1"}:
        names.add(ray.util.get_node_ip_address())  # type: ignore[no-untyped-call]
    return joined in {f"{name}:{port}" for name in names}


def _reach(address: str) -> None:
    """OSError or ValueError within seconds where Ray itself would try for minutes."""
    host, colon, port = address.rpartition(":")
    if not colon:
        raise ValueError("no port")
    socket.create_connection((host, int(port)), timeout=SECONDS_TO_ANSWER).close()
