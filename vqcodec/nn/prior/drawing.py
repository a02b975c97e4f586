"""How codes are drawn on the way through maps, step by step, as compiled kernels take it. Imports no torch."""

import ctypes
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import Any, Final, TypeVar

import numpy as np
from numpy.typing import NDArray

Result = TypeVar("Result")

Draw = Callable[[NDArray[Any]], NDArray[np.int64]]
"""Function that draws the codes [P] of some places of a step by their logits [P, K], integers in sixteenths of an octave."""

_FUNCTION: Final = ctypes.CFUNCTYPE(*(ctypes.c_int64,) * 3, *(ctypes.c_void_p,) * 2)


class DrawingOfKernels:
    """A `Draw` as kernels call it (`drawing` in `walk.h`).

    Attributes:
        function: the function for the kernels.
        error: what the draw raised, which ended the walk; None where all is well.
    """

    def __init__(self, draw: Draw, codebook_size: int) -> None:
        self._draw, self._codebook_size = draw, codebook_size
        self.function = _FUNCTION(self._step)
        self.error: BaseException | None = None
        self._is_stopped = False

    def run(self, walk: Callable[[], Result]) -> Result:
        """Returns what a walk returns that calls the function, in a thread of its own.

        Ctrl-C is raised here then, wherever it comes, and ends the walk. In a function that C calls it would be lost.

        Raises:
            BaseException: What the draw raised.
        """
        with ThreadPoolExecutor(max_workers=1) as pool:
            walked = pool.submit(walk)
            try:
                result = walked.result()
            finally:
                self._is_stopped = True
        if self.error is not None:
            raise self.error
        return result

    def _step(self, count: int, room: int, logits: int, codes: int) -> int:
        if self._is_stopped:
            return 0
        try:
            of_places = np.ctypeslib.as_array((ctypes.c_int32 * (count * room)).from_address(logits)).reshape(count, room)
            drawn = np.asarray(self._draw(of_places[:, : self._codebook_size]))
            if drawn.shape != (count,) or drawn.min() < 0 or drawn.max() >= self._codebook_size:
                raise ValueError(f"codes drawn must be {count} in 0..{self._codebook_size - 1}")
            np.ctypeslib.as_array((ctypes.c_int32 * count).from_address(codes))[:] = drawn
        except BaseException as error:  # noqa: BLE001 (what a function raises that C calls would be lost)
            self.error = error
            return 0
        return 1
