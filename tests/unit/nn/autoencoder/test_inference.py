"""Checks that runs of a graph that end without a result are not taken for one."""

from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

from vqcodec.nn.autoencoder.inference import Inference, require_memory

SHAPE = (1, 4, 8, 3)


class Request:
    """A request that doubles its input, unless it is broken: then it leaves its output as it was, as OpenVINO may."""

    def __init__(self) -> None:
        self.output = np.zeros(SHAPE, np.float32)
        self.is_broken = False
        self.releases = 0

    def get_compiled_model(self) -> "Request":
        return self

    def release_memory(self) -> None:
        self.releases += 1

    def infer(self, inputs: list[NDArray[np.float32]], **_: Any) -> dict[int, NDArray[np.float32]]:
        if not self.is_broken:
            if self.output.shape != inputs[0].shape:
                self.output = np.empty_like(inputs[0])
            np.multiply(inputs[0], 2, out=self.output)
        return {0: self.output}


class Compiler:
    """Compiles such requests, and keeps them."""

    def __init__(self) -> None:
        self.requests: list[Request] = []

    def __call__(self) -> Request:
        self.requests.append(Request())
        return self.requests[-1]


def ones(shape: tuple[int, ...] = SHAPE) -> list[NDArray[np.float32]]:
    return [np.ones(shape, np.float32)]


def test_outputs_are_those_of_the_inputs() -> None:
    compiler = Compiler()
    inference = Inference(compiler, 1)
    for factor in (1, 1, 3):
        whole = inference.run([factor * ones()[0]], 32, SHAPE)
        assert np.array_equal(whole, np.full(SHAPE, 2 * factor))
        assert np.array_equal(inference.run(ones(), 32, SHAPE, (slice(None), slice(1, 3))), np.full((1, 2, 8, 3), 2))
    assert len(compiler.requests) == 1


def test_memory_of_large_runs_is_not_kept() -> None:
    compiler = Compiler()
    inference = Inference(compiler, 1)
    for num_pixels, releases in ((1 << 19, 0), ((1 << 19) + 1, 1), (1 << 19, 1)):
        assert np.array_equal(inference.run(ones(), num_pixels, SHAPE), np.full(SHAPE, 2))
        assert compiler.requests[0].releases == releases
    assert len(compiler.requests) == 1


@pytest.mark.parametrize("shape", [SHAPE, (1, 8, 8, 3)])
def test_an_output_that_is_left_as_it_was_is_no_result(shape: tuple[int, ...]) -> None:
    compiler = Compiler()
    inference = Inference(compiler, 1)
    inference.run(ones(), 32, SHAPE)
    compiler.requests[0].is_broken = True
    with pytest.raises(MemoryError, match="not enough memory for a network"):
        inference.run(ones(shape), 64, shape)
    assert np.array_equal(inference.run(ones(shape), 64, shape), np.full(shape, 2)), "the next run has a request of its own"
    assert len(compiler.requests) == 2


def test_each_of_several_outputs_must_be_a_result() -> None:
    first, second = np.zeros(SHAPE, np.float32), np.zeros(SHAPE, np.float32)

    class Both(Request):
        def infer(self, inputs: list[NDArray[np.float32]], **_: Any) -> dict[int, NDArray[np.float32]]:
            np.multiply(inputs[0], 2, out=first)
            if not self.is_broken:
                np.multiply(inputs[0], 3, out=second)
            return {0: first, 1: second}

    request = Both()
    inference = Inference(lambda: request, 1)
    doubled, tripled = inference.run_all(ones(), 32, [SHAPE, SHAPE], [(), ()])
    assert np.array_equal(doubled, np.full(SHAPE, 2)) and np.array_equal(tripled, np.full(SHAPE, 3))
    request.is_broken = True
    with pytest.raises(MemoryError, match="not enough memory for a network"):
        inference.run_all(ones(), 32, [SHAPE, SHAPE], [(), ()])


def test_memory_is_asked_for_before_a_run() -> None:
    compiler = Compiler()
    inference = Inference(compiler, 1 << 55)
    with pytest.raises(MemoryError, match="not enough memory for a network, which may need"):
        inference.run(ones(), 32, SHAPE)
    assert compiler.requests == []
    require_memory(1 << 10)
    with pytest.raises(MemoryError):
        require_memory(1 << 60)
