"""How many threads torch works with: fewer in walks through priors, as many as before after them, and one in forked processes."""

import os
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from functools import cache
from typing import Final

import torch

from vqcodec.nn.prior.fixed_layers import has_int8_products
from vqcodec.nn.prior.number_formats import MAX_ACTIVATION

_TRIALS: Final = 5
_TRIAL_INPUTS, _TRIAL_OUTPUTS = 768, 256
_PAYS: Final = 0.9
"""Largest share of the time of half as many threads at which more threads pay."""


class _Walks:
    """The walks that are going on, in all threads.

    Attributes:
        lock: lock for the other attributes, and for the number of torch's threads.
        count: number of walks.
        available: number of torch's threads before the first of them began.
    """

    def __init__(self) -> None:
        self.reset()

    def reset(self) -> None:
        """Forgets all walks, those of threads that a fork left behind."""
        self.lock = threading.Lock()
        self.count = 0
        self.available = 1


_walks: Final = _Walks()


@contextmanager
def threads_for(rows: int) -> Iterator[None]:
    """Lets torch work on the CPU with as many threads as are fastest for steps of about so many rows.

    These are often fewer than there are, as all have to wait for the slowest after every one of many small operations; that costs most
    where other processes keep the cores busy. Torch has one number for all threads that have not used it yet, so contexts in several
    threads share what the first of them found, and the last of them leaves that number behind.
    """
    with _walks.lock:
        if not _walks.count:
            _walks.available = torch.get_num_threads()
        available = _walks.available
        threads = fastest_threads(1 << (rows - 1).bit_length(), available)
        _walks.count += 1
        torch.set_num_threads(threads)
    try:
        yield
    finally:
        with _walks.lock:
            _walks.count -= 1
            torch.set_num_threads(available)


@cache
def make_forks_safe() -> None:
    """Makes torch work with one thread in processes that are forked from this one.

    Torch's threads are not forked with a process, and its OpenMP library would wait for them for ever.
    """
    if hasattr(os, "register_at_fork"):
        os.register_at_fork(after_in_child=_after_fork)


def _after_fork() -> None:
    _walks.reset()
    torch.set_num_threads(1)


@cache
def fastest_threads(rows: int, available: int) -> int:
    """Returns the number of threads, a power of two of at most `available`, that works through steps of so many rows soonest."""
    weight = torch.ones(_TRIAL_INPUTS, _TRIAL_OUTPUTS, dtype=torch.int8, device="cpu").t().contiguous().t()
    x = torch.ones(rows, _TRIAL_INPUTS, device="cpu")
    x_int8, weight_float = x.to(torch.int8), weight.float()

    def step() -> None:
        products = torch._int_mm(x_int8, weight) if has_int8_products() else x @ weight_float
        sums = products.float()
        torch.addcmul(sums, sums, sums).floor_().clamp_(-MAX_ACTIVATION, MAX_ACTIVATION)

    def seconds(threads: int) -> float:
        torch.set_num_threads(threads)
        step()
        started = time.perf_counter()
        for _ in range(_TRIALS):
            step()
        return time.perf_counter() - started

    fastest, least = 1, seconds(1)
    while 2 * fastest <= available and (doubled := seconds(2 * fastest)) < _PAYS * least:
        fastest, least = 2 * fastest, doubled
    return fastest
