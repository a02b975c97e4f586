"""Index maps to streams under a prior and back, whatever kind the prior is of: by the compiled kernels alone, or in torch."""

from collections.abc import Sequence
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from vqcodec.coding.native import decode_natively, draw_natively, encode_natively, find_frequencies
from vqcodec.coding.streams import DecodedMap, Maps, WalkedMap
from vqcodec.nn.prior.drawing import Draw
from vqcodec.nn.prior.native import NativePrior
from vqcodec.nn.progress import OnProgress, no_progress

if TYPE_CHECKING:
    from vqcodec.nn.prior.pixelsnail import PixelSnail


def decode_streams(
    prior: "PixelSnail | NativePrior",
    streams: Sequence[Sequence[bytes]],
    sizes: Sequence[tuple[int, int]],
    earlier: Sequence[Maps],
    *,
    on_progress: OnProgress = no_progress,
) -> list[DecodedMap]:
    """Decodes the map of several pictures that a prior, of whatever kind, is for; the arguments are those of `decode_natively`."""
    if isinstance(prior, NativePrior):
        return decode_natively(prior, streams, sizes, earlier, on_progress=on_progress)
    from vqcodec.coding.prior import decode_by_prior

    return decode_by_prior(prior, streams, sizes, earlier, on_progress=on_progress)


def encode_streams(prior: "PixelSnail | NativePrior", maps: Maps, earlier: Sequence[Maps]) -> Sequence[Sequence[bytes]]:
    """Codes the map of several pictures that a prior, of whatever kind, is for; the arguments are those of `encode_natively`."""
    if isinstance(prior, NativePrior):
        return encode_natively(prior, maps, earlier)
    from vqcodec.coding.prior import code_by_prior

    return code_by_prior(prior, maps, earlier)


def draw_codes(prior: "PixelSnail | NativePrior", draw: Draw, sizes: Sequence[tuple[int, int]], earlier: Sequence[Maps]) -> list[WalkedMap]:
    """Draws the codes of the map of several pictures that a prior, of whatever kind, is for; the arguments are those of `draw_natively`."""
    if isinstance(prior, NativePrior):
        return draw_natively(prior, draw, sizes, earlier)
    from vqcodec.coding.prior import draw_by_prior

    return draw_by_prior(prior, draw, sizes, earlier)


def frequencies_of_codes(prior: "PixelSnail | NativePrior", indices: NDArray[np.int64], earlier: Maps) -> NDArray[np.uint32]:
    """Returns the frequency that a prior, of whatever kind, gives each code; the arguments are those of `find_frequencies`."""
    if isinstance(prior, NativePrior):
        return find_frequencies(prior, indices, earlier)
    from vqcodec.coding.prior import frequencies_by_prior

    return frequencies_by_prior(prior, indices, earlier)
