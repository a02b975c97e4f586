"""What each code of a map costs in bits, by the coder that stores it (FORMAT.md, section 4)."""

from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from vqcodec.coding.any_prior import frequencies_of_codes
from vqcodec.coding.coders import raw_bits
from vqcodec.coding.frequencies import PRECISION_BITS
from vqcodec.coding.maps import MapCoding
from vqcodec.format.container import CoderKind
from vqcodec.format.octaves import PLAIN_SHARPNESS


def code_bits(
    coding: MapCoding,
    coder: CoderKind,
    indices: NDArray[np.int64],
    earlier: Sequence[NDArray[np.int64]],
    sharpness: int = PLAIN_SHARPNESS,
) -> NDArray[np.float32]:
    """Returns the bits that an ideal coder of this kind spends on each code, float32 [h, w].

    Their sum is the length of the payload, but for what the streams of tile groups take to begin and end.

    Args:
        coding: the means to code this map.
        coder: the coder that stores the map.
        indices: the map, int64 [h, w].
        earlier: the maps before it.
        sharpness: that of the prior.
    """
    if coder is CoderKind.PRIOR and coding.prior is not None:
        return _bits(frequencies_of_codes(coding.prior.sharpened(sharpness), indices, earlier))
    if coder is CoderKind.STATIC:
        return _bits(coding.static_freqs)[indices]
    return np.full(indices.shape, raw_bits(len(coding.static_freqs)), np.float32)


def _bits(freqs: NDArray[Any]) -> NDArray[np.float32]:
    """Returns the bits of symbols of these frequencies."""
    return np.asarray(PRECISION_BITS - np.log2(freqs), np.float32)
