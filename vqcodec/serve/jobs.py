"""The queue of tasks: one is worked on, one waits, and a newer one takes the place of the one that waits."""

import asyncio
import itertools
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Final, Protocol

from vqcodec.serve.protocol import Done, Event, Failed, Made, Task, Waiting
from vqcodec.serve.store import Blob, Store

REPLACED: Final = "a newer request took the place of this one, which waited"
_DIED: Final = "the process that worked on it ended, perhaps because memory ran out"
_PATIENCE_S: Final = 3.0
"""Seconds after which a process that does not give up a cancelled task is ended."""


class Worker(Protocol):
    """What works on tasks, one after the other."""

    def send(self, number: int, task: Task) -> None:
        """Gives it a task."""

    def cancel(self, number: int) -> None:
        """Asks it to give up the task of a number."""

    def kill(self) -> None:
        """Ends it at once."""


OnEvent = Callable[[Event | None], object]
"""Function that is told, in any thread, what a worker says; None when the worker has ended."""


@dataclass(eq=False)
class Job:
    """A task in the queue.

    Attributes:
        number: number of the task.
        task: the task.
        events: what is said of it.
        is_begun: whether the worker has said anything of it, which it does not while it still loads the model.
    """

    number: int
    task: Task
    events: asyncio.Queue[Event] = field(default_factory=asyncio.Queue)
    is_begun: bool = False


class Jobs:
    """A queue of tasks. All methods are called in the thread of one event loop.

    Args:
        start: function that starts a worker, given whom to tell what it says.
        store: what keeps the files that a worker makes, also of a task that was given up: it makes some of them once for many tasks.

    Attributes:
        store: the same.
    """

    def __init__(self, start: Callable[[OnEvent], Worker], store: Store) -> None:
        self.store = store
        self._start = start
        self._numbers = itertools.count(1)
        self._worker: Worker | None = None
        self._generation = 0
        self._running: Job | None = None
        self._waiting: Job | None = None

    def warm_up(self) -> None:
        """Starts the worker, so that it is ready when the first task comes."""
        if self._worker is None:
            self._generation += 1
            loop, generation = asyncio.get_running_loop(), self._generation
            self._worker = self._start(lambda event: loop.call_soon_threadsafe(self._hear, generation, event))

    def submit(self, task: Task) -> Job:
        """Puts a task into the queue."""
        job = Job(next(self._numbers), task)
        if self._running is None:
            self._run(job)
            return job
        if self._waiting is not None:
            self._waiting.events.put_nowait(Failed(REPLACED, can_retry=True))
        self._waiting = job
        job.events.put_nowait(Waiting())
        return job

    def cancel(self, job: Job) -> None:
        """Takes a task out of the queue, or gives up the work on it; nothing happens if it is done."""
        if job is self._waiting:
            self._waiting = None
        elif job is self._running and self._worker is not None:
            self._worker.cancel(job.number)
            self._end_worker_later(job)

    def kill(self) -> None:
        """Ends the worker at once."""
        if self._worker is not None:
            self._worker.kill()

    def _end_worker_later(self, job: Job) -> None:
        asyncio.get_running_loop().call_later(_PATIENCE_S, self._end_worker_of, job)

    def _end_worker_of(self, job: Job) -> None:
        """Ends the worker if it still works on a cancelled task; one that loads the model for it is left to do so."""
        if job is self._running and not job.is_begun:
            self._end_worker_later(job)
        elif job is self._running:
            self.kill()

    def _run(self, job: Job) -> None:
        self._running = job
        self.warm_up()
        assert self._worker is not None
        self._worker.send(job.number, job.task)

    def _hear(self, generation: int, event: Event | None) -> None:
        if generation != self._generation:
            return
        if event is None:
            self._worker = None
            event = Failed(_DIED, can_retry=True)
        if self._running is not None:
            if isinstance(event, Made):
                self.store.put(self._running.task.file, event.name, Blob(event.media_type, event.data))
            self._running.is_begun = True
            self._running.events.put_nowait(event)
        if isinstance(event, Done | Failed):
            self._running = None
            if self._waiting is not None:
                job, self._waiting = self._waiting, None
                self._run(job)
