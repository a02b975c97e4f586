"""What each code of a map costs in bits, by the coder that stores it (FORMAT.md, section 4)."""

from collections.abc import Sequence
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from vqcodec.coding.coders import raw_bits
from vqcodec.coding.frequencies import PRECISION_BITS
from vqcodec.coding.maps import MapCoding
from vqcodec.coding.native import find_frequencies
from vqcodec.coding.prior import walk_map
from vqcodec.coding.streams import Maps
from vqcodec.coding.tensor_frequencies import ends_of, slots_of
from vqcodec.coding.tiles import cut_tiles, join_tiles
from vqcodec.coding.walk import Choice, Choosing, stacked
from vqcodec.format.container import CoderKind
from vqcodec.nn.prior.compiled import native_prior_of
from vqcodec.nn.prior.pixelsnail import PixelSnail
from vqcodec.nn.prior.plan import Places


def code_bits(coding: MapCoding, coder: CoderKind, indices: NDArray[np.int64], earlier: Sequence[NDArray[np.int64]]) -> NDArray[np.float32]:
    """Returns the bits that an ideal coder of this kind spends on each code, float32 [h, w].

    Their sum is the length of the payload, but for what the streams of tile groups take to begin and end.

    Args:
        coding: the means to code this map; with the prior in torch, where the coder is PRIOR.
        coder: the coder that stores the map.
        indices: the map, int64 [h, w].
        earlier: the maps before it.
    """
    if coder is CoderKind.PRIOR and isinstance(coding.prior, PixelSnail):
        return _bits_by_prior(coding.prior, indices, earlier)
    if coder is CoderKind.STATIC:
        return _bits(coding.static_freqs)[indices]
    return np.full(indices.shape, raw_bits(len(coding.static_freqs)), np.float32)


def _bits_by_prior(prior: PixelSnail, indices: NDArray[np.int64], earlier: Maps) -> NDArray[np.float32]:
    native = native_prior_of(prior)
    if native is not None:
        return _bits(find_frequencies(native, indices, earlier))
    tiles = cut_tiles(indices, prior.config.earlier_maps)
    (codes,) = stacked([tiles], prior)
    freqs = torch.zeros_like(codes)

    def make(codes: Tensor, freqs: Tensor) -> Choice:
        def choose(places: Places, logits: Tensor) -> Tensor:
            chosen = codes[places]
            freqs[places] = slots_of(ends_of(logits), chosen)[1]
            return chosen

        return choose, tuple

    size = indices.shape[0], indices.shape[1]
    walk_map(prior, [size], [earlier], Choosing(make, of_tiles=[codes, freqs]))
    cropped = [own[: tile.shape[0], : tile.shape[1]] for own, tile in zip(freqs.cpu().numpy(), tiles, strict=True)]
    return _bits(join_tiles(cropped, *size, prior.config.earlier_maps))


def _bits(freqs: NDArray[Any]) -> NDArray[np.float32]:
    """Returns the bits of symbols of these frequencies."""
    return np.asarray(PRECISION_BITS - np.log2(freqs), np.float32)
