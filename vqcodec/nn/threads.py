"""How many threads networks work with. Imports no torch."""

import os
import sys
import threading
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, suppress
from typing import Final, TypeVar

BESIDE: Final = "vqcodec-beside"
"""Name of threads that run functions beside the calling one."""

Item = TypeVar("Item")
Result = TypeVar("Result")


_ending: Final = threading.Event()
"""Set while what runs beside is to end."""


class _Sharing(threading.local):
    """How many threads do the same work as this one at a time, each with its share of the cores."""

    workers = 1


_sharing = _Sharing()


@contextmanager
def sharing_threads(workers: int) -> Iterator[None]:
    """Says that so many threads, one of which is the calling one, work at a time; no more than there are threads to share."""
    before, _sharing.workers = _sharing.workers, min(workers, num_threads())
    try:
        yield
    finally:
        _sharing.workers = before


def num_workers() -> int:
    """Returns how many threads do the same work as the calling one at a time."""
    return _sharing.workers


def num_own_threads() -> int:
    """Returns the calling thread's share of the number of threads."""
    return -(-num_threads() // _sharing.workers)


def num_threads() -> int:
    """Returns the number of threads: torch's where torch is imported, else what OMP_NUM_THREADS says, else the cores of this process."""
    if "torch" in sys.modules:
        import torch

        return torch.get_num_threads()
    asked = os.environ.get("OMP_NUM_THREADS", "")
    if asked.isascii() and asked.isdigit() and int(asked) > 0:
        return int(asked)
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


def map_in_threads(function: Callable[[Item], Result], items: Sequence[Item]) -> list[Result]:
    """Returns what a function that leaves the interpreter's lock alone gives for items, by the calling thread's share of the threads.

    Where the system gives no more threads, or the interpreter is about to end, the calling thread does all.
    """
    threads = min(num_own_threads(), len(items))
    if threads < 2:
        return [function(item) for item in items]
    from concurrent.futures import ThreadPoolExecutor

    with ThreadPoolExecutor(threads) as pool:
        try:
            futures = [pool.submit(function, item) for item in items]
        except RuntimeError:
            return [function(item) for item in items]
        return [future.result() for future in futures]


def run_beside(function: Callable[[], object]) -> None:
    """Runs a function by a thread of its own, which shares the cores like the calling one, for what a later call would else do itself.

    Its errors are not told. Where the system gives no more threads, it is not run.
    """
    workers = _sharing.workers

    def run() -> None:
        with suppress(Exception), sharing_threads(workers):
            function()

    with suppress(RuntimeError):
        threading.Thread(target=run, name=BESIDE).start()


def end_beside() -> None:
    """Waits for what runs beside, which is to begin nothing more (`is_ending`)."""
    _ending.set()
    try:
        for thread in threading.enumerate():
            if thread.name == BESIDE:
                thread.join()
    finally:
        _ending.clear()


def is_ending() -> bool:
    """Returns whether `end_beside` waits."""
    return _ending.is_set()


def set_num_threads(threads: int) -> None:
    """Sets the number of threads of this process."""
    os.environ["OMP_NUM_THREADS"] = str(threads)
    if "torch" in sys.modules:
        import torch

        torch.set_num_threads(threads)
