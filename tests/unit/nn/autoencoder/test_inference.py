"""Checks that runs of a graph that end without a result are not taken for one."""

from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from threading import Barrier
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

from vqcodec.nn.autoencoder.inference import Inference, memory_kept, require_memory
from vqcodec.nn.threads import num_threads, set_num_threads, sharing_threads

pytest.importorskip("openvino", reason="the extra fast is not installed")

SHAPE = (1, 4, 8, 3)


class Graph:
    """A compiled graph, which keeps its requests."""

    def __init__(self, num_runs: int) -> None:
        self.num_runs = num_runs
        self.requests: list[Request] = []
        self.releases = 0

    def create_infer_request(self) -> "Request":
        self.requests.append(Request(self))
        return self.requests[-1]

    def release_memory(self) -> None:
        self.releases += 1


class Request:
    """A request that doubles its input, and triples it for another output. Broken outputs are left as they were, as OpenVINO may do."""

    def __init__(self, graph: Graph) -> None:
        self.graph = graph
        self.outputs: dict[int, Any] = {}
        self.broken: list[int] = []

    def get_compiled_model(self) -> Graph:
        return self.graph

    def set_output_tensor(self, number: int, tensor: Any) -> None:
        self.outputs[number] = tensor

    def infer(self, inputs: list[NDArray[np.float32]], **_: Any) -> None:
        for number, tensor in self.outputs.items():
            if number not in self.broken:
                np.multiply(inputs[0], 2 + number, out=tensor.data)


class Compiler:
    """Compiles such graphs, and keeps them."""

    def __init__(self) -> None:
        self.graphs: list[Graph] = []

    def __call__(self, num_runs: int) -> Graph:
        self.graphs.append(Graph(num_runs))
        return self.graphs[-1]

    @property
    def requests(self) -> list[Request]:
        """All requests of all graphs."""
        return [request for graph in self.graphs for request in graph.requests]


@contextmanager
def threads(count: int) -> Iterator[None]:
    """Sets the number of threads for a while."""
    before = num_threads()
    set_num_threads(count)
    try:
        yield
    finally:
        set_num_threads(before)


def ones(shape: tuple[int, ...] = SHAPE) -> list[NDArray[np.float32]]:
    return [np.ones(shape, np.float32)]


def test_outputs_are_those_of_the_inputs() -> None:
    compiler = Compiler()
    inference = Inference(compiler, 1, "stage")
    for factor in (1, 1, 3):
        whole = inference.run([factor * ones()[0]], 32, SHAPE)
        assert np.array_equal(whole, np.full(SHAPE, 2 * factor))
        assert [tensor.data.size for tensor in compiler.requests[0].outputs.values()] == [0], "no address of an output is kept"
    assert len(compiler.requests) == 1


def test_memory_of_large_runs_is_kept_within_a_stage() -> None:
    compiler = Compiler()
    first, beside, other = (Inference(compiler, 1, stage) for stage in ("first", "first", "other"))

    def run(inference: Inference, num_pixels: int, *releases: int) -> None:
        assert np.array_equal(inference.run(ones(), num_pixels, SHAPE), np.full(SHAPE, 2))
        assert tuple(graph.releases for graph in compiler.graphs) == releases

    large = (1 << 19) + 1
    run(first, 1 << 19, 0)
    run(beside, large, 0, 0)
    run(first, large, 0, 0)
    run(beside, large, 0, 0)
    run(other, 1 << 19, 1, 1, 0)
    with memory_kept():
        with memory_kept():
            run(beside, large, 1, 1, 0)
        run(beside, large, 1, 1, 0)
    assert [graph.releases for graph in compiler.graphs] == [1, 2, 0]
    with pytest.raises(ValueError, match="between"), memory_kept():
        run(first, large, 1, 2, 0)
        raise ValueError("between")
    run(first, 1 << 19, 2, 2, 0)
    assert [len(graph.requests) for graph in compiler.graphs] == [1, 1, 1]


@pytest.mark.parametrize("shape", [SHAPE, (1, 8, 8, 3)])
def test_an_output_that_is_left_as_it_was_is_no_result(shape: tuple[int, ...]) -> None:
    compiler = Compiler()
    inference = Inference(compiler, 1, "stage")
    inference.run(ones(), 32, SHAPE)
    compiler.requests[0].broken = [0]
    with pytest.raises(MemoryError, match="not enough memory for a network"):
        inference.run(ones(shape), 64, shape)
    assert np.array_equal(inference.run(ones(shape), 64, shape), np.full(shape, 2)), "the next run has a request of its own"
    assert len(compiler.graphs) == len(compiler.requests) == 2


def test_threads_that_share_the_cores_run_at_a_time() -> None:
    compiler = Compiler()
    meeting = Barrier(2, timeout=60)

    class Meeting(Request):
        def infer(self, inputs: list[NDArray[np.float32]], **options: Any) -> None:
            meeting.wait()  # where one of two runs waits for the other
            super().infer(inputs, **options)

    def compiled(num_runs: int) -> Graph:
        graph = compiler(num_runs)
        graph.create_infer_request = lambda: Meeting(graph)  # type: ignore[method-assign]
        return graph

    inference = Inference(compiled, 1, "stage")

    def run(factor: int) -> NDArray[np.float32]:
        with sharing_threads(2):
            return inference.run([factor * ones()[0]], 32, SHAPE)

    with ThreadPoolExecutor(2) as pool, threads(4):
        for _ in range(3):
            for factor, output in zip((1, 3), pool.map(run, (1, 3)), strict=True):
                assert np.array_equal(output, np.full(SHAPE, 2 * factor))
    assert [graph.num_runs for graph in compiler.graphs] == [2], "it is compiled once"


def test_large_runs_and_those_of_one_thread_take_all_cores() -> None:
    compiler = Compiler()
    inference = Inference(compiler, 1, "stage")
    with threads(4), sharing_threads(2):
        inference.run(ones(), (1 << 19) + 1, SHAPE)
    with threads(1), sharing_threads(2):
        inference.run(ones(), 32, SHAPE)
    assert [graph.num_runs for graph in compiler.graphs] == [1]


@pytest.mark.parametrize("broken", [0, 1])
def test_each_of_several_outputs_must_be_a_result(broken: int) -> None:
    compiler = Compiler()
    inference = Inference(compiler, 1, "stage")
    doubled, tripled = inference.run_all(ones(), 32, [SHAPE, SHAPE])
    assert np.array_equal(doubled, np.full(SHAPE, 2)) and np.array_equal(tripled, np.full(SHAPE, 3))
    compiler.requests[0].broken = [broken]
    with pytest.raises(MemoryError, match="not enough memory for a network"):
        inference.run_all(ones(), 32, [SHAPE, SHAPE])


def test_memory_is_asked_for_before_a_run() -> None:
    compiler = Compiler()
    inference = Inference(compiler, 1 << 55, "stage")
    with pytest.raises(MemoryError, match="not enough memory for a network, which may need"):
        inference.run(ones(), 32, SHAPE)
    assert compiler.requests == []
    require_memory(1 << 10)
    with pytest.raises(MemoryError):
        require_memory(1 << 60)
