"""How codes are drawn on the way through maps, step by step, as compiled kernels take it. Imports no torch."""

import ctypes
from collections.abc import Callable
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

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

    def _step(self, count: int, room: int, logits: int, codes: int) -> int:
        try:
            of_places = np.ctypeslib.as_array((ctypes.c_int32 * (count * room)).from_address(logits)).reshape(count, room)
            drawn = np.asarray(self._draw(of_places[:, : self._codebook_size]))
            if drawn.shape != (count,) or drawn.min() < 0 or drawn.max() >= self._codebook_size:
                raise ValueError(f"codes drawn must be {count} in 0..{self._codebook_size - 1}")
            np.ctypeslib.as_array((ctypes.c_int32 * count).from_address(codes))[:] = drawn
        except BaseException as error:  # noqa: BLE001 (what a function raises that C calls would be lost, Ctrl-C too)
            self.error = error
            return 0
        return 1
