"""Conversion of many files by several processes at a time.

Every process is started anew, loads the model by itself and is given some jobs at a time. A process that dies, perhaps because memory ran
out, takes no other with it: the jobs that it had are given to a new one, those of one output at a time, and a job fails if its process
dies again.
"""

import math
import multiprocessing
import os
import signal
import sys
import threading
from collections import deque
from collections.abc import Iterator, Sequence
from multiprocessing.connection import Connection, wait
from typing import Any, Final

from vqcodec.cli.batches import Conversion, convert_files
from vqcodec.cli.files import input_name
from vqcodec.cli.jobs import Job, Plan
from vqcodec.cli.messages import TERMINATED_EXIT_CODE
from vqcodec.cli.results import FileResult, Notice, Results
from vqcodec.errors import VqcodecError
from vqcodec.nn.threads import num_threads, set_num_threads, threads_of_new_processes

_PATIENCE_S: Final = 10.0
"""Seconds that a process is given to end by itself."""

Group = list[Job]
"""Jobs that are converted by one process, one after the other or together."""


def convert_plan(plan: Plan, conversion: Conversion[Any, Any], *, processes: int) -> Results:
    """Converts the files of a plan, in this process alone where one is enough or where standard streams are used."""
    if processes == 1 or len(plan.jobs) == 1 or plan.uses_streams:
        return convert_files(plan.jobs, conversion)
    return convert_in_processes(plan.jobs, conversion, processes=processes)


def convert_in_processes(jobs: Sequence[Job], conversion: Conversion[Any, Any], *, processes: int) -> Results:
    """Converts files like `convert_files`, by several processes, and yields results as they come.

    Each process has its share of the threads.

    Args:
        jobs: the jobs, none of which reads or writes a standard stream.
        conversion: the conversion, which is sent to the processes.
        processes: number of processes, at least 1.

    Raises:
        VqcodecError: No job can be done, as the model cannot be loaded.
    """
    waiting = deque(_groups(jobs, conversion.batch_size, processes))
    count = min(processes, len(waiting))
    threads = max(1, num_threads() // max(1, count))
    workers: list[_Worker] = []
    try:
        while waiting or workers:
            while waiting and len(workers) < count:
                workers.append(_Worker(conversion, threads, waiting.popleft()))
            ready = wait([worker.connection for worker in workers])
            for worker in [worker for worker in workers if worker.connection in ready]:
                yield from worker.results()
                if worker.is_dead:
                    workers.remove(worker)
                    yield from _after_death(worker, waiting)
                elif not worker.jobs and waiting:
                    worker.give(waiting.popleft())
                elif not worker.jobs:
                    workers.remove(worker)
                    worker.end()
    finally:
        for worker in workers:
            worker.process.terminate()
        for worker in workers:
            worker.end()


def _groups(jobs: Sequence[Job], batch_size: int, processes: int) -> Iterator[Group]:
    """Yields the jobs in groups for the processes; those of one output stay together, since only the first of them is converted."""
    by_target: dict[str, Group] = {}
    for job in jobs:
        by_target.setdefault(os.path.realpath(job.target), []).append(job)
    group: Group = []
    left = len(jobs)
    for same_target in by_target.values():
        group += same_target
        if len(group) >= min(batch_size, math.ceil(left / (2 * processes))):
            yield group
            left -= len(group)
            group = []
    if group:
        yield group


def _after_death(worker: "_Worker", waiting: deque[Group]) -> Iterator[FileResult]:
    """Puts the jobs of a process that died before all others, in groups of one output; where it had one such group, the first is failed."""
    groups = list(_groups(worker.jobs, batch_size=1, processes=1))
    if len(groups) == 1:
        job, *others = worker.jobs
        yield FileResult(job, error=VqcodecError(f"{input_name(job.source)}: the process that converted it {worker.death()}"))
        groups = [others] if others else []
    waiting.extendleft(reversed(groups))


class _Worker:
    """A process that converts files.

    Attributes:
        process: the process.
        connection: the parent's end of the pipe between them.
        jobs: jobs that were given to it and have no result yet.
        is_dead: whether it ended before it was told to.
    """

    def __init__(self, conversion: Conversion[Any, Any], threads: int, jobs: Group) -> None:
        context = multiprocessing.get_context("spawn")
        self.connection, other_end = context.Pipe()
        self.process = context.Process(target=_work, args=(conversion, threads, other_end), daemon=True)
        with threads_of_new_processes(threads):
            self.process.start()
        other_end.close()
        self.jobs: Group = []
        self.is_dead = False
        self.give(jobs)

    def give(self, jobs: Group) -> None:
        """Gives jobs to the process."""
        self.jobs = list(jobs)
        try:
            self.connection.send(jobs)
        except OSError:
            self.is_dead = True

    def results(self) -> Iterator[FileResult | Notice]:
        """Yields the results and notices that are there.

        Raises:
            VqcodecError: The process cannot convert any file.
        """
        try:
            while self.connection.poll():
                message = self.connection.recv()
                if isinstance(message, VqcodecError):
                    raise message
                if isinstance(message, FileResult):
                    self.jobs = [job for job in self.jobs if job != message.job]
                yield message
        except (EOFError, OSError):
            self.is_dead = True

    def death(self) -> str:
        """Returns how the process ended."""
        self.process.join(_PATIENCE_S)
        code = self.process.exitcode
        if code is None or code >= 0:
            return f"ended with code {code}"
        reason = "; memory may have run out" if -code == getattr(signal, "SIGKILL", None) else ""
        return f"was ended by signal {-code}{reason}"

    def end(self) -> None:
        """Waits until the process has ended, and ends it where it does not end by itself."""
        self.connection.close()
        self.process.join(_PATIENCE_S)
        if self.process.is_alive():
            self.process.kill()
            self.process.join()


def _work(conversion: Conversion[Any, Any], threads: int, connection: Connection) -> None:
    """Converts the jobs that come, in a process of its own, until the other end of the connection is closed."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # Ctrl-C reaches the parent too, which ends this process
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(TERMINATED_EXIT_CODE))
    threading.Thread(target=_end_with_parent, daemon=True).start()
    set_num_threads(threads)
    try:
        conversion.prepare()
        while True:
            for result in convert_files(connection.recv(), conversion):
                connection.send(result)
    except VqcodecError as error:
        connection.send(error)
    except MemoryError:
        connection.send(VqcodecError("out of memory in one of the processes; fewer --jobs need less"))
    except (EOFError, BrokenPipeError, ConnectionResetError):
        return


def _end_with_parent() -> None:
    """Ends this process when the one that started it is gone, so that it does not go on for nobody."""
    parent = multiprocessing.parent_process()
    assert parent is not None
    parent.join()
    os._exit(1)
