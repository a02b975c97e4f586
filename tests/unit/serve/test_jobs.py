"""Checks the queue with a worker that does what the test says: one task runs, one waits, a newer one takes its place."""

import asyncio
from collections.abc import Awaitable, Callable

import pytest

from vqcodec.serve import jobs as jobs_module
from vqcodec.serve.jobs import REPLACED, Job, Jobs, OnEvent
from vqcodec.serve.protocol import Done, Event, Failed, Made, Progress, Task, Waiting
from vqcodec.serve.store import Blob, Store

DONE = Done({"a": 1})


class FakeWorker:
    """A worker that notes what it is told."""

    def __init__(self, on_event: OnEvent) -> None:
        self.say = on_event
        self.sent: list[int] = []
        self.cancelled: list[int] = []
        self.is_killed = False

    def send(self, number: int, task: Task) -> None:
        self.sent.append(number)

    def cancel(self, number: int) -> None:
        self.cancelled.append(number)

    def kill(self) -> None:
        self.is_killed = True
        self.say(None)


def with_queue(test: Callable[[Jobs, list[FakeWorker]], Awaitable[None]]) -> None:
    async def run() -> None:
        workers: list[FakeWorker] = []

        def start(on_event: OnEvent) -> FakeWorker:
            workers.append(FakeWorker(on_event))
            return workers[-1]

        await test(Jobs(start, Store(1000)), workers)

    asyncio.run(run())


def submit(jobs: Jobs, file: str = "id") -> Job:
    return jobs.submit(Task("code", file, b""))


async def said(job: Job) -> list[Event]:
    for _ in range(3):
        await asyncio.sleep(0)
    return [job.events.get_nowait() for _ in range(job.events.qsize())]


def test_a_newer_one_takes_the_place_of_the_one_that_waits() -> None:
    async def test(jobs: Jobs, workers: list[FakeWorker]) -> None:
        first, second, third = (submit(jobs) for _ in range(3))
        (worker,) = workers
        assert worker.sent == [first.number]
        assert await said(second) == [Waiting(), Failed(REPLACED, can_retry=True)]
        worker.say(Progress(0.5, "half"))
        worker.say(DONE)
        assert await said(first) == [Progress(0.5, "half"), DONE]
        assert worker.sent == [first.number, third.number]
        worker.say(DONE)
        assert await said(third) == [Waiting(), DONE]
        fourth = submit(jobs)
        assert worker.sent[-1] == fourth.number and len(workers) == 1

    with_queue(test)


def test_one_that_waits_is_taken_out() -> None:
    async def test(jobs: Jobs, workers: list[FakeWorker]) -> None:
        first, second = submit(jobs), submit(jobs)
        jobs.cancel(second)
        workers[0].say(DONE)
        assert await said(first) == [DONE]
        jobs.cancel(first)
        assert workers[0].sent == [first.number] and workers[0].cancelled == []

    with_queue(test)


def test_what_is_made_of_a_task_that_was_given_up_is_kept() -> None:
    async def test(jobs: Jobs, workers: list[FakeWorker]) -> None:
        file = jobs.store.add_upload(b"photo")
        jobs.cancel(submit(jobs, file))
        workers[0].say(Made("original.png", "image/png", b"pixels"))
        workers[0].say(Failed("cancelled"))
        assert jobs.store.get(file, "original.png") is None
        second = submit(jobs)
        await asyncio.sleep(0.01)
        assert jobs.store.get(file, "original.png") == Blob("image/png", b"pixels")
        assert workers[0].sent[-1] == second.number and await said(second) == [Waiting()]

    with_queue(test)


def test_the_next_one_is_done_by_a_new_worker_if_one_dies() -> None:
    async def test(jobs: Jobs, workers: list[FakeWorker]) -> None:
        first, second = submit(jobs), submit(jobs)
        workers[0].say(None)
        (failed,) = await said(first)
        assert isinstance(failed, Failed) and "ended" in failed.message
        assert workers[1].sent == [second.number]
        workers[0].say(DONE)
        assert await said(second) == [Waiting()]
        workers[1].say(None)
        await said(second)
        assert len(workers) == 2
        submit(jobs)
        assert len(workers) == 3

    with_queue(test)


def test_a_worker_that_does_not_give_up_is_ended(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(jobs_module, "_PATIENCE_S", 0.0)

    async def test(jobs: Jobs, workers: list[FakeWorker]) -> None:
        first = submit(jobs)
        jobs.cancel(first)
        assert workers[0].cancelled == [first.number] and not workers[0].is_killed
        await asyncio.sleep(0.01)
        assert not workers[0].is_killed  # it may still load the model
        workers[0].say(Progress(0.1, "work"))
        await asyncio.sleep(0.01)
        assert workers[0].is_killed
        second = submit(jobs)
        jobs.cancel(second)
        workers[1].say(Failed("cancelled"))
        await said(second)
        await asyncio.sleep(0.01)
        assert not workers[1].is_killed

    with_queue(test)
