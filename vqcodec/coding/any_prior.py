"""Index maps to streams under a prior and back, whatever kind the prior is of: by the compiled kernels alone, or in torch."""

from collections.abc import Sequence
from typing import TYPE_CHECKING

from vqcodec.coding.native import decode_natively, encode_natively
from vqcodec.coding.streams import DecodedMap, Maps
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
