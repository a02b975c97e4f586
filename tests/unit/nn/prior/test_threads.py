"""Checks that work in several threads and forked processes leaves torch's number of threads as it was, and ends."""

import os
import subprocess
import sys
import threading
from pathlib import Path

import pytest
import torch

from vqcodec.nn.prior.threads import threads_for


@pytest.mark.parametrize("rows", [1, 40, 300])
def test_threads_are_as_before_after_a_walk(rows: int) -> None:
    available = torch.get_num_threads()
    with pytest.raises(KeyError), threads_for(rows):
        assert 1 <= torch.get_num_threads() <= available
        raise KeyError
    assert torch.get_num_threads() == available


def test_walks_in_several_threads_leave_the_number_of_threads(monkeypatch: pytest.MonkeyPatch) -> None:
    before = torch.get_num_threads()
    monkeypatch.setattr("vqcodec.nn.prior.threads.fastest_threads", lambda rows, available: 1)
    torch.set_num_threads(3)
    first_inside, second_done = threading.Event(), threading.Event()
    seen = []

    def first() -> None:
        with threads_for(8):
            first_inside.set()
            second_done.wait(60)

    def second() -> None:
        first_inside.wait(60)
        with threads_for(8):
            seen.append(torch.get_num_threads())
        seen.append(torch.get_num_threads())
        second_done.set()

    def run(*targets: object) -> None:
        threads = [threading.Thread(target=target) for target in targets]  # type: ignore[arg-type]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join(60)

    try:
        run(first, second)
        run(lambda: seen.append(torch.get_num_threads()))
        assert seen == [1, 3, 3] and torch.get_num_threads() == 3
    finally:
        torch.set_num_threads(before)


FORKED = """
import multiprocessing, sys
import numpy as np
import vqcodec
from vqcodec.nn.runtime import has_fast_runtime
image = np.zeros((96, 128, 3), np.uint8)
image[:, ::7] = 200
def encode(_):
    return vqcodec.encode(image, model=sys.argv[1], layers=False)
def is_fast(_):
    return has_fast_runtime("cpu")
if __name__ == "__main__":
    import torch
    torch.set_num_threads(2)
    expected = encode(0)
    with multiprocessing.get_context("fork").Pool(2) as pool:
        assert pool.map_async(encode, range(4)).get(120) == [expected] * 4
        assert not any(pool.map_async(is_fast, range(4)).get(120)), "OpenVINO's threads are not there"
    assert torch.get_num_threads() == 2
"""


@pytest.mark.slow
@pytest.mark.skipif(not hasattr(os, "fork"), reason="processes cannot be forked here")
def test_a_process_that_was_forked_after_work_does_not_hang(models_root: Path) -> None:
    subprocess.run([sys.executable, "-c", FORKED, models_root / "small-test"], check=True, timeout=300)
