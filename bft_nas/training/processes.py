"""The processes that share one training: who has which images of a batch, and what they tell one another.

All of them go through the same steps with the same weights. Each takes its share of the images of a step, and gradients
are added up. The first process alone writes.
"""

from __future__ import annotations

import os
import re
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import timedelta
from typing import TYPE_CHECKING

import torch
import torch.distributed as dist
from torch import Tensor, nn
from torch.distributed.distributed_c10d import PrefixStore
from torch.distributed.rendezvous import rendezvous

from bft_nas.core.errors import RunError, UserError, one_line
from bft_nas.core.interrupts import Interrupt
from bft_nas.core.launched import launch, launched
from bft_nas.training.draws import Share

if TYPE_CHECKING:
    from torch.distributed.distributed_c10d import Store

BACKEND = "cpu:gloo,cuda:nccl" if torch.cuda.is_available() else "gloo"
TIMEOUT = timedelta(hours=2)
"""After which a process that says nothing is given up: reading images may take long."""
FAILURE = "bft-nas/failure"
"""Under which a process leaves word of what it ended with."""


LOST = "another process of this training ended"


class ProcessLost(RunError):  # noqa: N818 - it is another one's end
    """Another process of the training ended before its end."""


@dataclass(frozen=True)
class Processes:
    """Those of one training, as one of them sees them."""

    rank: int = 0
    count: int = 1
    launch: str = ""
    """What started them, the same when it starts them again."""

    @classmethod
    def initialised(cls, launch: str = "") -> Processes:
        """Those of torch's default process group."""
        return cls(dist.get_rank(), dist.get_world_size(), launch)

    @property
    def first(self) -> bool:
        """Whether this is the one that writes."""
        return self.rank == 0

    def share(self, images: int) -> Share:
        """Of this process, by the places of images; shares differ by one at most.

        >>> [Processes(rank, 3).share(8).places for rank in range(3)]
        [slice(0, 2, None), slice(2, 5, None), slice(5, 8, None)]
        """
        first, last = (images * rank // self.count for rank in (self.rank, self.rank + 1))
        return Share(first, last, images)

    def total(self, values: Tensor) -> Tensor:
        """The sum over all processes, of the same shape in each, and the same bits."""
        if self.count == 1:
            return values
        values = values.contiguous().clone()
        with _others():
            dist.all_reduce(values)
        return values

    def add_up(self, parameters: Iterable[nn.Parameter], loss: Tensor) -> Tensor:
        """Put the sum over all processes in the place of gradients; returns that of the loss, ()."""
        if self.count == 1:
            return loss
        learnt = [each for each in parameters if each.grad is not None]
        gradients = [each.grad for each in learnt if each.grad is not None]
        flat = torch.cat([each.flatten() for each in [*gradients, loss]])
        with _others():
            dist.all_reduce(flat)
        sums = torch.split(flat, [each.numel() for each in [*gradients, loss]])
        for gradient, total in zip(gradients, sums, strict=False):
            gradient.copy_(total.view_as(gradient))
        return sums[-1].view(())

    def rows(self, own: Tensor) -> Tensor:
        """The rows (n, columns) of all shares, on the CPU, as a single process has them."""
        if self.count == 1:
            return own
        counts = [torch.zeros(1, dtype=torch.int64) for _ in range(self.count)]
        with _others():
            dist.all_gather(counts, torch.tensor([len(own)]))
            most = max(int(count) for count in counts)
            padded = own.new_zeros((most, *own.shape[1:]))
            padded[: len(own)] = own
            found = [torch.empty_like(padded) for _ in range(self.count)]
            dist.all_gather(found, padded)
        return torch.cat([rows[: int(count)] for rows, count in zip(found, counts, strict=True)])

    def from_first(self, content: bytes | None) -> bytes | None:
        """What the first process has."""
        if self.count == 1:
            return content
        size = torch.tensor([-1 if content is None else len(content)])
        with _others():
            dist.broadcast(size, 0)
            if int(size) < 0:
                return None
            values = torch.empty(int(size), dtype=torch.uint8)
            if self.first and content:
                values = torch.frombuffer(bytearray(content), dtype=torch.uint8)
            if int(size):
                dist.broadcast(values, 0)
        return values.numpy().tobytes()

    def agreed(self, *checks: Callable[[], None]) -> Callable[[], None]:
        """A check for an interrupt that all processes make together: what interrupts one interrupts all.

        Args:
            checks: of this process alone, each raises `Interrupt`; see `bft_nas.core.interrupts.awaited`.
        """

        def check_alone() -> None:
            for check in checks:
                check()

        def check_all() -> None:
            number = 0
            try:
                check_alone()
            except Interrupt as interrupt:
                number = interrupt.number
            found = torch.tensor([number])
            with _others():
                dist.all_reduce(found, dist.ReduceOp.MAX)
            if int(found):
                raise Interrupt(int(found), at_once=False)

        return check_alone if self.count == 1 else check_all


ALONE = Processes()


@contextmanager
def _others() -> Iterator[None]:
    """Where another process may be found to have ended."""
    try:
        yield
    except RuntimeError as error:
        # Where in its sources gloo found it is nobody's to know.
        said = re.sub(r"\[\S+\.cc:\d+\]", "", one_line(error)).partition(". ")[0].strip()
        raise ProcessLost(f"{LOST} ({said[:120]})") from error


@contextmanager
def joined() -> Iterator[Processes]:
    """The processes that torchrun started together; alone where it did not.

    When one of them fails, the first one fails with its reason.

    Raises:
        UserError: they do not find one another, or they are more than the GPUs.
        ProcessLost: another one ended before its end.
    """
    numbers = launched()
    if numbers is None:
        yield ALONE
        return
    if dist.is_initialized():
        yield Processes.initialised()
        return
    local = int(os.environ.get("LOCAL_RANK", "0"))
    if torch.cuda.is_available():
        if local >= torch.cuda.device_count():
            raise UserError(
                f"process {local}: this machine has {torch.cuda.device_count()} GPUs; expected one each"
            )
        torch.cuda.set_device(local)
    try:
        found, rank, count = next(rendezvous("env://"))
        # Of this attempt alone: torchrun may keep the store when it starts processes again.
        store = PrefixStore(f"bft-nas/{os.environ.get('TORCHELASTIC_RESTART_COUNT', '0')}", found)
        dist.init_process_group(BACKEND, store=store, rank=rank, world_size=count, timeout=TIMEOUT)
    except (ValueError, RuntimeError) as error:
        raise UserError(
            f"process {numbers[0]} of {numbers[1]}: does not find the others ({one_line(error)[:120]}); "
            "expected torchrun to start it"
        ) from None
    try:
        yield Processes(rank, count, launch())
    except ProcessLost as lost:
        raise ProcessLost(_word_of(store) or str(lost)) from lost
    except Exception as error:
        said = (
            str(error)
            if isinstance(error, RunError | UserError)
            else f"{type(error).__name__}: {one_line(error)}"
        )
        store.set(FAILURE, f"process {rank}: {said}")
        raise
    dist.destroy_process_group()


def _word_of(store: Store) -> str:
    """What another process left for a reason; empty where it was killed."""
    try:
        # It was left before the connection broke.
        return store.get(FAILURE).decode(errors="replace") if store.check([FAILURE]) else ""
    except RuntimeError:
        return ""
