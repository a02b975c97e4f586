"""How the codes of maps are chosen on the way through them (`vqcodec.rate.choice`), and the same as compiled kernels take it."""

import ctypes
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

CANDIDATES: Final = 4
"""Cheapest codes of a place that are looked at beside the next map (`CHOSEN_TOGETHER` in `choice.h`)."""


class ChoiceOfKernels(ctypes.Structure):
    """A choice and what places are to be like, as kernels take them (`struct choice` in `choice.h`)."""

    _fields_ = (
        ("dim", ctypes.c_int64),
        *((name, ctypes.c_void_p) for name in ("codebook", "places", "next_codebook", "next_logits")),
        *((name, ctypes.c_double) for name in ("half_weight", "next_half_weight", "ahead")),
    )

    def __init__(self, dim: int, arrays: Sequence[NDArray[Any] | None], *numbers: float) -> None:
        super().__init__(dim, *(None if array is None else array.ctypes.data for array in arrays), *numbers)
        self.kept = arrays  # as long as there are addresses of them


@dataclass(frozen=True)
class NextMap:
    """What a choice knows of the next map, which quantises what it leaves.

    Attributes:
        codebook: the vectors e_r of the next map, float32 [K, D].
        logits: int32 [K], logits of its codes, the same everywhere, in sixteenths of an octave.
        half_weight: half of the next map's lambda, for a sixteenth of a bit.
        share: what the next map's costs count, 1 for as much as those of the map itself.
    """

    codebook: NDArray[np.float32]
    logits: NDArray[np.int32]
    half_weight: float
    share: float


@dataclass(frozen=True)
class Choice:
    """How codes are chosen: the cheapest one at each place, given those before, by distance and bits.

    Code k costs 0.5 * |e_k|^2 - <z, e_k> - half_weight * weight * logit_k, where weight is that of the place. Costs are float64, computed
    in one order of operations whatever the processor.

    Where the next map is known, the `CANDIDATES` cheapest codes cost beside that, times its share, the least that a code r of the next map
    costs there: 0.5 * |e_r|^2 - <z - e_k, e_r> - next half_weight * weight * logit_r.

    Attributes:
        codebook: the vectors e_k, float32 [K, D].
        half_weight: half of lambda, for a sixteenth of a bit.
        next_map: the next map, or None where none quantises what is left.
    """

    codebook: NDArray[np.float32]
    half_weight: float
    next_map: NextMap | None = None

    def for_kernels(self, codebook_size: int, shapes: Sequence[tuple[int, int]], places: Sequence[NDArray[np.float32]]) -> ChoiceOfKernels:
        """Returns the choice for tiles of these shapes as kernels take it.

        Args:
            codebook_size: K.
            shapes: (h, w) of each tile.
            places: for each tile [h, w, D + 1], what its places are to be like: vector z and weight.

        Raises:
            ValueError: These do not fit together.
        """
        size, dim = self.codebook.shape
        if size != codebook_size or dim < 1:
            raise ValueError(f"a codebook of shape {[size, dim]}, expected {codebook_size} vectors")
        if [of_tile.shape for of_tile in places] != [(*shape, dim + 1) for shape in shapes]:
            raise ValueError(f"places of {[of_tile.shape for of_tile in places]}, expected {dim + 1} numbers for tiles of {list(shapes)}")
        following = self.next_map
        if following is not None and (following.codebook.shape != (size, dim) or following.logits.shape != (size,)):
            shapes_of_next = [list(following.codebook.shape), list(following.logits.shape)]
            raise ValueError(f"codebook and logits of the next map of shapes {shapes_of_next}, expected {[[size, dim], [size]]}")
        wanted = np.concatenate([of_tile.ravel() for of_tile in places])
        arrays = [np.ascontiguousarray(array, np.float32) for array in (self.codebook, wanted)]
        if following is None:
            return ChoiceOfKernels(dim, [*arrays, None, None], self.half_weight, 0.0, 0.0)
        of_next = np.ascontiguousarray(following.codebook, np.float32), np.ascontiguousarray(following.logits, np.int32)
        return ChoiceOfKernels(dim, [*arrays, *of_next], self.half_weight, following.half_weight, following.share)
