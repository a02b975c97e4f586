"""What each code of a map costs in bits, by the coder that stores it (FORMAT.md, section 4)."""

from collections.abc import Sequence
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from vqcodec.coding.coders import raw_bits
from vqcodec.coding.frequencies import PRECISION_BITS, shares_from_logits
from vqcodec.coding.maps import MapCoding
from vqcodec.coding.native import find_frequencies
from vqcodec.coding.prior import walk_map
from vqcodec.coding.streams import Maps
from vqcodec.coding.tiles import cut_tiles, tile_places
from vqcodec.coding.walk import Places, stacked
from vqcodec.format.container import CoderKind
from vqcodec.nn.prior.compiled import native_prior_of
from vqcodec.nn.prior.pixelsnail import PixelSnail


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
    number = prior.config.earlier_maps
    codes = stacked([cut_tiles(indices, number)], prior)[0]
    by_tile = np.zeros(codes.shape, np.float32)

    def choose(places: Places, logits: Tensor) -> Tensor:
        chosen = codes[places]
        shares = torch.from_numpy(shares_from_logits(logits.cpu().numpy()))
        freqs = shares.gather(1, chosen.cpu()[:, None])[:, 0].numpy() + 1
        by_tile[tuple(place.cpu().numpy() for place in places)] = _bits(freqs)
        return chosen

    height, width = indices.shape
    walk_map(prior, [(height, width)], [earlier], choose)
    bits = np.empty((height, width), np.float32)
    for (rows, columns), tile in zip(tile_places(height, width, number), by_tile, strict=True):
        bits[rows, columns] = tile[: rows.stop - rows.start, : columns.stop - columns.start]
    return bits


def _bits(freqs: NDArray[Any]) -> NDArray[np.float32]:
    """Returns the bits of symbols of these frequencies."""
    return np.asarray(PRECISION_BITS - np.log2(freqs), np.float32)
