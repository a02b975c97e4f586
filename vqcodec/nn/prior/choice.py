"""How the codes of maps are chosen on the way through them (`vqcodec.rate.choice`), and the same as compiled kernels take it."""

import ctypes
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

import numpy as np
from numpy.typing import NDArray

_COLOURS: Final = 3


class ChoiceOfKernels(ctypes.Structure):
    """A choice and what places are to be like, as kernels take them (`struct choice` in `choice.h`)."""

    _fields_ = (
        ("dim", ctypes.c_int64),
        *((name, ctypes.c_void_p) for name in ("codebook", "places", "colours")),
        *((name, ctypes.c_double) for name in ("half_weight", "charge", "carried")),
    )

    def __init__(self, dim: int, arrays: Sequence[NDArray[np.float32] | None], *numbers: float) -> None:
        super().__init__(dim, *(None if array is None else array.ctypes.data for array in arrays), *numbers)
        self.kept = arrays  # as long as there are addresses of them


@dataclass(frozen=True)
class Choice:
    """How codes are chosen: the cheapest one at each place, given those before, by distance, bits and drift.

    Code k costs 0.5 * |e_k|^2 - <z, e_k> - half_weight * weight * logit_k - charge * flatness * <drift that arrived, colours e_k>, where
    weight and flatness are those of the place; and `carried` of the drift that arrived and of colours (z - e_k) arrives to the right and
    below. Costs are float64, computed in one order of operations whatever the processor.

    Attributes:
        codebook: the vectors e_k, float32 [K, D].
        half_weight: half of lambda, for a sixteenth of a bit.
        colours: what vectors add to the mean colour, float32 [3, D]; None where drift costs nothing.
        charge: what drift is charged.
        carried: share of the drift that is carried on to each side.
    """

    codebook: NDArray[np.float32]
    half_weight: float
    colours: NDArray[np.float32] | None = None
    charge: float = 0.0
    carried: float = 0.0

    def for_kernels(self, codebook_size: int, shapes: Sequence[tuple[int, int]], places: Sequence[NDArray[np.float32]]) -> ChoiceOfKernels:
        """Returns the choice for tiles of these shapes as kernels take it.

        Args:
            codebook_size: K.
            shapes: (h, w) of each tile.
            places: for each tile [h, w, D + 2], what its places are to be like: vector z, weight and flatness.

        Raises:
            ValueError: These do not fit together.
        """
        size, dim = self.codebook.shape
        if size != codebook_size or dim < 1:
            raise ValueError(f"a codebook of shape {[size, dim]}, expected {codebook_size} vectors")
        if self.colours is not None and self.colours.shape != (_COLOURS, dim):
            raise ValueError(f"colours of shape {list(self.colours.shape)}, expected {[_COLOURS, dim]}")
        if [of_tile.shape for of_tile in places] != [(*shape, dim + 2) for shape in shapes]:
            raise ValueError(f"places of {[of_tile.shape for of_tile in places]}, expected {dim + 2} numbers for tiles of {list(shapes)}")
        wanted = np.concatenate([of_tile.ravel() for of_tile in places])
        arrays = [None if array is None else np.ascontiguousarray(array, np.float32) for array in (self.codebook, wanted, self.colours)]
        return ChoiceOfKernels(dim, arrays, self.half_weight, self.charge, self.carried)
