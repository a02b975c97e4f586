"""Codes of vectors by codebooks that are arrays, as encoding takes them. Imports no torch.

The quantisers that learn are in `vqcodec.nn.autoencoder.quantizer`.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final, Protocol

import numpy as np
from numpy.typing import NDArray

from vqcodec.format.octaves import PLAIN_SHARPNESS

_NEAREST_VECTORS: Final = 1 << 14
"""Vectors whose nearest codes are found at a time, so that distances [vectors, K] do not fill the memory."""


@dataclass(frozen=True)
class ChosenMap:
    """One map of a batch of images, chosen.

    Attributes:
        indices: int64 [N, h, w].
        streams: for each image the coded streams of the map, where the choice made them on its way; else None.
        sharpness: that of the prior that the codes were chosen by.
    """

    indices: NDArray[np.int64]
    streams: Sequence[Sequence[bytes]] | None = None
    sharpness: int = PLAIN_SHARPNESS


class ChooseMap(Protocol):
    """Function that chooses a map."""

    def __call__(
        self,
        codebook: NDArray[np.float32],
        residual: NDArray[np.float32],
        earlier: list[NDArray[np.int64]],
        next_codebook: NDArray[np.float32] | None = None,
        /,
    ) -> ChosenMap:
        """Chooses the codes [N, h, w] of a map.

        Args:
            codebook: its codebook [K, D].
            residual: what is left to quantise, [N, h, w, D].
            earlier: the indices of the maps before.
            next_codebook: codebook [K, D] of the map that will quantise what this one leaves; None where there is none.
        """


def choose_nearest(
    codebook: NDArray[np.float32],
    residual: NDArray[np.float32],
    earlier: list[NDArray[np.int64]],  # noqa: ARG001 (a ChooseMap)
    next_codebook: NDArray[np.float32] | None = None,  # noqa: ARG001
    /,
) -> ChosenMap:
    """Chooses the nearest codes, whatever they cost."""
    return ChosenMap(nearest(codebook, residual))


def nearest(codebook: NDArray[np.float32], z_e: NDArray[np.float32], costs: NDArray[np.float32] | None = None) -> NDArray[np.int64]:
    """Returns the indices int64 [N, h, w] of the codes nearest to z_e in squared distance.

    Args:
        codebook: float32 [K, D].
        z_e: float32 [N, h, w, D].
        costs: float32 [K], numbers to add to the squared distances.
    """
    offsets = 0.5 * np.square(codebook).sum(axis=1)
    if costs is not None:
        offsets = offsets + np.float32(0.5) * costs
    vectors, transposed = z_e.reshape(-1, z_e.shape[-1]), codebook.T
    indices = np.empty(len(vectors), np.int64)
    for start in range(0, len(vectors), _NEAREST_VECTORS):
        part = slice(start, start + _NEAREST_VECTORS)
        products = vectors[part] @ transposed
        np.subtract(offsets, products, out=products).argmin(axis=1, out=indices[part])
    return indices.reshape(z_e.shape[:-1])


def quantize(
    codebooks: NDArray[np.float32], z_e: NDArray[np.float32], choose: ChooseMap, earlier: Sequence[NDArray[np.int64]] = ()
) -> list[ChosenMap]:
    """Chooses the codes of z_e stage by stage, each of which quantises what those before it leave.

    Args:
        codebooks: float32 [stages, K, D].
        z_e: float32 [N, h, w, D].
        choose: function that chooses a map.
        earlier: indices of the maps before the first stage, which `choose` is told.
    """
    maps: list[ChosenMap] = []
    residual = z_e
    for number, codebook in enumerate(codebooks):
        if maps:
            residual = residual - codebooks[number - 1][maps[-1].indices]
        next_codebook = codebooks[number + 1] if number + 1 < len(codebooks) else None
        maps.append(choose(codebook, residual, [*earlier, *(chosen.indices for chosen in maps)], next_codebook))
    return maps
