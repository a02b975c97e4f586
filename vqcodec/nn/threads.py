"""How many threads networks work with. Imports no torch."""

import os
import sys
import threading
from collections import deque
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, suppress
from typing import Final, TypeVar

MAX_THREADS: Final = 9999
"""Most threads that may be asked for; no machine has as many cores."""

Item = TypeVar("Item")
Result = TypeVar("Result")


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
    """Returns the number of threads: torch's where torch is imported, else what OMP_NUM_THREADS says, else the cores of this process.

    What is no number of 1 to `MAX_THREADS` says nothing.
    """
    if "torch" in sys.modules:
        import torch

        return torch.get_num_threads()
    asked = os.environ.get("OMP_NUM_THREADS", "")
    if asked.isascii() and asked.isdigit() and len(asked) <= len(str(MAX_THREADS)) and int(asked) > 0:
        return int(asked)
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


def map_in_threads(function: Callable[[Item], Result], items: Sequence[Item], threads: int | None = None) -> list[Result]:
    """Returns what a function that leaves the interpreter's lock alone gives for items, each of which it is called with once.

    The calling thread works, too, and does all that is left where the system gives no more threads, or the interpreter is about to end.

    Args:
        function: the function.
        items: the items.
        threads: most threads; None for the calling thread's share of them, or for it alone where it shares the cores with others, which
            keep them busy, and where it may be stopped.
    """
    if threads is None:
        threads = num_own_threads() if num_workers() == 1 else 1
    others = min(threads, len(items)) - 1
    if others < 1:
        return [function(item) for item in items]
    from concurrent.futures import Future, ThreadPoolExecutor

    left, results = deque(range(len(items))), dict[int, Result]()

    def work() -> None:
        try:
            while True:
                try:
                    number = left.popleft()
                except IndexError:
                    return
                results[number] = function(items[number])
        except BaseException:
            left.clear()
            raise

    with ThreadPoolExecutor(others) as pool:
        started: list[Future[None]] = []
        with suppress(RuntimeError):
            while len(started) < others:
                started.append(pool.submit(work))
        work()
    for worker in started:
        worker.result()
    return [results[number] for number in range(len(items))]


@contextmanager
def threads_of_new_processes(threads: int) -> Iterator[None]:
    """Sets the number of threads of processes that are started meanwhile; numerical libraries read it when they are imported."""
    before = os.environ.get("OMP_NUM_THREADS")
    os.environ["OMP_NUM_THREADS"] = str(threads)
    try:
        yield
    finally:
        if before is None:
            del os.environ["OMP_NUM_THREADS"]
        else:
            os.environ["OMP_NUM_THREADS"] = before


def set_num_threads(threads: int) -> None:
    """Sets the number of threads of this process."""
    os.environ["OMP_NUM_THREADS"] = str(threads)
    if "torch" in sys.modules:
        import torch

        torch.set_num_threads(threads)
