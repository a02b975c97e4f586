"""Runs of OpenVINO's graphs whose outputs are known to be those of their inputs. Imports no OpenVINO itself, and no torch.

Where memory is short, OpenVINO may end a run without an error and leave the output of the run before. So memory is asked for before a run
of larger inputs than before, and each output is marked once it was read: a run that leaves the mark, or another shape, has failed.
"""

from collections.abc import Callable, Sequence
from threading import Lock
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from vqcodec.errors import lack_of_memory_told

_MARK: Final = np.random.default_rng(0).integers(0, 256, 64, np.uint8)
"""What the first bytes of an output are overwritten with."""


_GRAPH_BYTES: Final = 256 << 20
"""Memory that OpenVINO takes to be loaded, and to build and compile a graph. It may end the process where it gets less."""
_SPARE_BYTES: Final = 32 << 20
"""Memory that a run takes beside that for its pixels."""
KEPT_PIXELS: Final = 1 << 19
"""Most pixels whose memory is kept for the next run: several graphs take turns in large pictures, and each would keep its own."""


def require_memory(num_bytes: int = _GRAPH_BYTES) -> None:
    """Checks that there is memory, by default for a graph; none of it is touched.

    Raises:
        MemoryError: There is not.
    """
    try:
        np.empty(num_bytes, np.uint8)
    except MemoryError as error:
        raise MemoryError(f"not enough memory for a network, which may need {num_bytes >> 20} MiB more") from error


class Inference:
    """A graph that is compiled when it is needed first; one run at a time, since each takes all cores.

    Args:
        compiled: function that returns the compiled graph as a request of OpenVINO.
        pixel_bytes: bytes that a run takes at most for each pixel of its pictures.
    """

    def __init__(self, compiled: Callable[[], Any], pixel_bytes: int) -> None:
        self._compiled, self._pixel_bytes = compiled, pixel_bytes
        self._lock = Lock()
        self._forget()

    def _forget(self) -> None:
        self._request: Any = None
        self._most_pixels = 0

    def run(self, inputs: Sequence[NDArray[Any]], num_pixels: int, shape: tuple[int, ...], kept: tuple[slice, ...] = ()) -> NDArray[Any]:
        """Runs a graph of one output, whose part `kept` is returned; the other arguments and errors are those of `run_all`."""
        (output,) = self.run_all(inputs, num_pixels, [shape], [kept])
        return output

    def run_all(
        self, inputs: Sequence[NDArray[Any]], num_pixels: int, shapes: Sequence[tuple[int, ...]], kept: Sequence[tuple[slice, ...]]
    ) -> list[NDArray[Any]]:
        """Runs the graph.

        Args:
            inputs: its inputs in their order.
            num_pixels: the number of pixels of the pictures that they stand for.
            shapes: the shapes of its outputs.
            kept: the part of each output that is wanted; an empty tuple for all of it.

        Raises:
            MemoryError: Memory does not hold the run.
        """
        with self._lock:
            if self._request is None or num_pixels > self._most_pixels:
                wanted = _SPARE_BYTES + num_pixels * self._pixel_bytes
                require_memory(wanted if self._request else max(wanted, _GRAPH_BYTES))
            try:
                with lack_of_memory_told():
                    self._request = self._request or self._compiled()
                    outputs = self._request.infer(inputs, share_inputs=True, share_outputs=True).values()
                results = []
                for values, shape, part in zip(outputs, shapes, kept, strict=True):
                    start = values.reshape(-1).view(np.uint8)[: _MARK.size]
                    if values.shape != shape or np.array_equal(start, _MARK[: start.size]):
                        raise MemoryError("not enough memory for a network, which OpenVINO did not run")
                    results.append(np.array(values[part]))
                    start[:] = _MARK[: start.size]
            except BaseException:
                self._forget()  # runs that follow a failed one would fail, too
                raise
            self._most_pixels = max(num_pixels, self._most_pixels)
            if num_pixels > KEPT_PIXELS:
                self._request.get_compiled_model().release_memory()
                self._most_pixels = 0
            return results
