"""Which of the processes that read a data set together this one is, and what all of them share."""

import os
from dataclasses import dataclass
from typing import Final

import torch
import torch.distributed
from torch.utils.data import get_worker_info

from vqcodec.checks import checked_at_least

_COUNTERS: Final = 1024
"""Counters of what is left out, one a worker."""


@dataclass(frozen=True)
class Rank:
    """One of the processes that train together.

    Attributes:
        number: number of the process, from 0.
        count: number of processes.
    """

    number: int
    count: int

    def __post_init__(self) -> None:
        object.__setattr__(self, "count", checked_at_least("world_size", self.count, 1))
        object.__setattr__(self, "number", checked_at_least("rank", self.number, 0))
        if self.number >= self.count:
            raise ValueError(f"rank must be below the world_size of {self.count}, not {self.number}")


def this_rank(rank: int | None, world_size: int | None) -> Rank:
    """Returns which process this one is: as it is given, as torch.distributed knows it, or as RANK and WORLD_SIZE say.

    Raises:
        TypeError, ValueError: A number is out of its range, or one is given without the other.
    """
    if (rank is None) != (world_size is None):
        raise ValueError("rank and world_size must be given together")
    if rank is not None and world_size is not None:
        return Rank(rank, world_size)
    if torch.distributed.is_available() and torch.distributed.is_initialized():
        return Rank(torch.distributed.get_rank(), torch.distributed.get_world_size())
    try:
        return Rank(int(os.environ.get("RANK", "0")), int(os.environ.get("WORLD_SIZE", "1")))
    except ValueError as error:
        raise ValueError(f"environment variables RANK and WORLD_SIZE: {error}") from error


def is_first_worker() -> bool:
    """Tells whether this process is the first of the workers of its rank, or has none."""
    worker = get_worker_info()
    return worker is None or worker.id == 0


def consumer(rank: Rank) -> Rank:
    """Returns which of all workers of all ranks this process is."""
    worker = get_worker_info()
    if worker is None:
        return rank
    return Rank(rank.number * worker.num_workers + worker.id, rank.count * worker.num_workers)


class SharedState:
    """The epoch, and counts of files that were left out, which a data set and its copies in workers share."""

    def __init__(self) -> None:
        self._epoch = torch.zeros(1, dtype=torch.int64).share_memory_()  # type: ignore[no-untyped-call]
        self._left_out = torch.zeros(_COUNTERS, dtype=torch.int64).share_memory_()  # type: ignore[no-untyped-call]

    @property
    def epoch(self) -> int:
        """The epoch."""
        return int(self._epoch)

    @epoch.setter
    def epoch(self, value: int) -> None:
        self._epoch[0] = checked_at_least("epoch", value, 0)

    @property
    def left_out(self) -> int:
        """Number of files that all workers left out so far."""
        return int(self._left_out.sum())

    def count_left_out(self) -> None:
        """Counts a file that this process leaves out."""
        worker = get_worker_info()
        self._left_out[0 if worker is None else (worker.id + 1) % _COUNTERS] += 1
