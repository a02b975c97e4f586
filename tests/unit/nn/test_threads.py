"""Checks how many threads networks work with."""

import os
import subprocess
import sys
import threading

import pytest
import torch

from vqcodec.nn.threads import MAX_THREADS, map_in_threads, num_own_threads, num_threads, num_workers, set_num_threads, sharing_threads

TOLD = "from vqcodec.nn.threads import num_threads; print(num_threads())"


@pytest.mark.parametrize("asked", ["3", "", "0", "many", "2147483648", pytest.param(5000 * "9", id="5000 digits")])
def test_threads_are_those_that_are_asked_for(asked: str) -> None:
    told = subprocess.run([sys.executable, "-c", TOLD], env={**os.environ, "OMP_NUM_THREADS": asked}, capture_output=True, check=True)
    assert int(told.stdout) == 3 if asked == "3" else 1 <= int(told.stdout) <= MAX_THREADS


def test_threads_are_those_of_torch_where_it_is_imported(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("OMP_NUM_THREADS", "1")
    before = torch.get_num_threads()
    try:
        torch.set_num_threads(3)
        assert num_threads() == 3
        set_num_threads(2)
        assert torch.get_num_threads() == num_threads() == 2 and os.environ["OMP_NUM_THREADS"] == "2"
    finally:
        torch.set_num_threads(before)


@pytest.mark.parametrize(("available", "workers", "own"), [(1, 1, 1), (2, 2, 1), (3, 2, 2), (16, 2, 8)])
def test_threads_are_shared_among_workers(available: int, workers: int, own: int) -> None:
    before = num_threads()
    set_num_threads(available)
    try:
        with sharing_threads(2):
            assert (num_workers(), num_own_threads(), num_threads()) == (workers, own, available)
            elsewhere: list[int] = []
            other = threading.Thread(target=lambda: elsewhere.append(num_own_threads()))
            other.start()
            other.join()
            assert elsewhere == [available]
        assert (num_workers(), num_own_threads()) == (1, available)
    finally:
        set_num_threads(before)


@pytest.mark.parametrize("available", [1, 3])
def test_results_of_threads_are_in_order(available: int) -> None:
    meeting = threading.Barrier(available, timeout=60)

    def result(number: int) -> int:
        meeting.wait()  # so many are at work at a time
        return number**2

    before = num_threads()
    set_num_threads(available)
    try:
        assert map_in_threads(result, range(6)) == [0, 1, 4, 9, 16, 25]
        assert map_in_threads(result, range(0)) == []
    finally:
        set_num_threads(before)


def test_the_calling_thread_does_all_where_there_are_no_more_threads(monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(*_: object) -> None:
        raise RuntimeError("cannot schedule new futures after interpreter shutdown")

    before = num_threads()
    set_num_threads(2)
    try:
        monkeypatch.setattr("concurrent.futures.ThreadPoolExecutor.submit", refuse)
        assert map_in_threads(lambda number: (number, threading.current_thread()), range(3)) == [
            (number, threading.current_thread()) for number in range(3)
        ]
    finally:
        set_num_threads(before)


def test_nothing_is_done_twice_where_the_system_refuses_a_later_thread(monkeypatch: pytest.MonkeyPatch) -> None:
    start, started, done = threading.Thread.start, list[threading.Thread](), list[int]()

    def start_one(thread: threading.Thread) -> None:
        if started:
            raise RuntimeError("can't start new thread")
        started.append(thread)
        start(thread)

    meeting = threading.Barrier(2, timeout=60)

    def note(number: int) -> int:
        if number < 2:
            meeting.wait()  # the one that was started is at work, too
        done.append(number)
        return number

    monkeypatch.setattr(threading.Thread, "start", start_one)
    assert map_in_threads(note, range(50), 4) == [*range(50)]
    assert sorted(done) == [*range(50)] and len(started) == 1


def test_an_error_ends_the_work_of_all_threads() -> None:
    begun: list[int] = []

    def fail(number: int) -> None:
        begun.append(number)
        raise ValueError(f"item {number}")

    with pytest.raises(ValueError, match="item [0-3]"):
        map_in_threads(fail, range(1000), 4)
    assert len(begun) <= 4


def test_threads_that_share_the_cores_start_no_others() -> None:
    before = num_threads()
    set_num_threads(8)
    try:
        with sharing_threads(2):
            workers = map_in_threads(lambda _: threading.current_thread(), range(8))
    finally:
        set_num_threads(before)
    assert set(workers) == {threading.current_thread()}
