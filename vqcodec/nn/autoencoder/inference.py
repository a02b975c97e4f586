"""Runs of OpenVINO's graphs whose outputs are known to be those of their inputs. Imports no OpenVINO itself, and no torch.

Where memory is short, OpenVINO may end a run without an error and leave outputs as they were. So memory is asked for before a run of larger
inputs than before, and each output is marked: a run that leaves the mark has failed. Runs write into arrays of their caller, so that none
is copied.
"""

import threading
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from threading import Lock
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from vqcodec.errors import lack_of_memory_told
from vqcodec.nn.runtime import import_openvino
from vqcodec.nn.threads import num_workers

_MARK: Final = np.random.default_rng(0).integers(0, 256, 64, np.uint8)
"""What the first bytes of an output are before a run."""

_GRAPH_BYTES: Final = 256 << 20
"""Memory that OpenVINO takes to be loaded, and to build and compile a graph. It may end the process where it gets less."""
_SPARE_BYTES: Final = 32 << 20
"""Memory that a run takes beside that for its pixels."""
KEPT_PIXELS: Final = 1 << 19
"""Most pixels whose memory is kept for pictures to come: several graphs see a larger one in turn, and each would keep its own."""


_holders: Final[list["_Request"]] = []
"""Requests that hold the memory of runs of larger pictures."""


class _Keeping(threading.local):
    """How many `memory_kept` of a thread have begun."""

    depth = 0


_keeping = _Keeping()


@contextmanager
def memory_kept() -> Iterator[None]:
    """Leaves the memory of runs of larger pictures to the next runs of the same stage; at its end all of it is given up.

    Where one begins within another, that is at the end of the outer one.
    """
    _keeping.depth += 1
    try:
        yield
    finally:
        _keeping.depth -= 1
        if _keeping.depth == 0:
            _release_memory()


def _release_memory(but: str = "") -> None:
    """Gives up the memory that runs of larger pictures have left to the next runs of their graphs, except those of one stage."""
    for request in list(_holders):
        if request.stage != but:
            request.release()


def require_memory(num_bytes: int = _GRAPH_BYTES) -> None:
    """Checks that there is memory, by default for a graph; none of it is touched.

    Raises:
        MemoryError: There is not.
    """
    try:
        np.empty(num_bytes, np.uint8)
    except MemoryError as error:
        raise MemoryError(f"not enough memory for a network, which may need {num_bytes >> 20} MiB more") from error


class _Request:
    """Memory for the runs of a compiled graph, one at a time.

    Args:
        stage: stage of work that its graph belongs to.

    Attributes:
        lock: held while a run goes on.
        infer: OpenVINO's request, or None before the first run, and after one that failed.
        most_pixels: most pixels of a run whose memory is kept.
    """

    def __init__(self, stage: str) -> None:
        self.stage = stage
        self.lock = Lock()
        self.forget()

    def forget(self) -> None:
        """Gives the memory up."""
        self.infer: Any = None
        self.most_pixels = 0

    def run(self, inputs: Sequence[NDArray[Any]], outputs: Sequence[NDArray[Any]]) -> None:
        """Runs the graph into arrays; neither these nor the inputs are kept.

        Raises:
            MemoryError: OpenVINO did not run it.
        """
        tensor = import_openvino().Tensor
        for number, output in enumerate(outputs):
            _mark_of(output)[:] = _MARK[: output.nbytes]
            self.infer.set_output_tensor(number, tensor(output, shared_memory=True))
        try:
            self.infer.infer(inputs, share_inputs=True, share_outputs=True)
        finally:
            self.infer._inputs_data = None  # by which OpenVINO's wrapper would keep the inputs alive
            for number, array in enumerate(outputs):
                self.infer.set_output_tensor(number, tensor(np.empty((0,) * array.ndim, array.dtype)))
        if any(np.array_equal(_mark_of(output), _MARK[: output.nbytes]) for output in outputs):
            raise MemoryError("not enough memory for a network, which OpenVINO did not run")

    def hold(self, num_pixels: int) -> None:
        """Notes a run of so many pixels."""
        self.most_pixels = max(num_pixels, self.most_pixels)
        if num_pixels > KEPT_PIXELS and self not in _holders:
            _holders.append(self)

    def release(self) -> None:
        """Gives up the memory of larger pictures, unless another thread uses it."""
        if not self.lock.acquire(blocking=False):
            return
        try:
            if self in _holders:
                _holders.remove(self)
                if self.infer is not None:
                    self.infer.get_compiled_model().release_memory()
                    self.most_pixels = 0
        finally:
            self.lock.release()


class _Compiled:
    """A graph that is compiled when it is needed first.

    Args:
        compiled: function that returns OpenVINO's compiled graph for so many runs at a time.
        num_runs: that number.
        stage: that of `Inference`.

    Attributes:
        requests: as many requests.
    """

    def __init__(self, compiled: Callable[[int], Any], num_runs: int, stage: str) -> None:
        self.requests = [_Request(stage) for _ in range(num_runs)]
        self._compiled = compiled
        self._model: Any = None
        self._lock = Lock()

    def prepare(self, request: _Request) -> None:
        """Compiles the graph unless that was done, and prepares a request for a run."""
        if request.infer is None:
            with self._lock:
                model = self._model or self._compiled(len(self.requests))
                self._model, request.infer = model, model.create_infer_request()

    def forget(self, request: _Request) -> None:
        """Gives up the graph and a request after a failure: runs that follow a failed one would fail, too."""
        self._model = None
        request.forget()


class Inference:
    """A graph that is compiled when it is needed first.

    There is one run at a time, since each takes all cores. Where threads share the cores (`sharing_threads`), each has a run of its own,
    except for larger pictures. The memory of these is kept for more runs of the same stage of work, until `memory_kept` ends.

    Args:
        compiled: function that returns OpenVINO's compiled graph for a number of runs at a time.
        pixel_bytes: bytes that a run takes at most for each pixel of its pictures.
        stage: name of the stage of work that the graph belongs to: graphs that take turns.
    """

    def __init__(self, compiled: Callable[[int], Any], pixel_bytes: int, stage: str) -> None:
        self._compiled, self._pixel_bytes, self._stage = compiled, pixel_bytes, stage
        self._graphs: dict[int, _Compiled] = {}

    def run(self, inputs: Sequence[NDArray[Any]], num_pixels: int, shape: tuple[int, ...], dtype: type[Any] = np.float32) -> NDArray[Any]:
        """Runs a graph of one output; the arguments and errors are those of `run_all`."""
        (output,) = self.run_all(inputs, num_pixels, [shape], dtype)
        return output

    def run_all(
        self, inputs: Sequence[NDArray[Any]], num_pixels: int, shapes: Sequence[tuple[int, ...]], dtype: type[Any] = np.float32
    ) -> list[NDArray[Any]]:
        """Runs the graph.

        Args:
            inputs: its inputs in their order.
            num_pixels: the number of pixels of the pictures that they stand for.
            shapes: the shapes of its outputs.
            dtype: the type of their numbers.

        Raises:
            MemoryError: Memory does not hold the run.
        """
        num_runs = num_workers() if num_pixels <= KEPT_PIXELS else 1
        graph = self._graphs.setdefault(num_runs, _Compiled(self._compiled, num_runs, self._stage))
        _release_memory(but=self._stage)
        request = min(graph.requests, key=lambda one: one.lock.locked())
        with request.lock:
            if request.infer is None or num_pixels > request.most_pixels:
                wanted = _SPARE_BYTES + num_pixels * self._pixel_bytes
                require_memory(wanted if request.infer else max(wanted, _GRAPH_BYTES))
            try:
                with lack_of_memory_told():
                    graph.prepare(request)
                    outputs = [np.empty(shape, dtype) for shape in shapes]
                    request.run(inputs, outputs)
            except BaseException:
                graph.forget(request)
                raise
            request.hold(num_pixels)
            return outputs


def _mark_of(output: NDArray[Any]) -> NDArray[np.uint8]:
    """Returns the first bytes of an output."""
    return output.reshape(-1).view(np.uint8)[: _MARK.size]
