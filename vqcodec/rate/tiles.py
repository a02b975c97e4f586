"""The choice of exact pixels in large pictures, tile by tile, so that its memory does not grow with the picture. AVIF is not among it."""

from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from vqcodec.format.container import Part
from vqcodec.format.layers import NO_LAYERS, Layers, Patch
from vqcodec.images.layers import decode_layers
from vqcodec.nn.progress import OnProgress, no_progress
from vqcodec.rate.layers import LEAST_GAIN, LayerChoice, Version, free_places, hidden_places
from vqcodec.rate.options import DEFAULT_LAYERS

_TILE_ROWS, _TILE_COLUMNS = 1024, 2048
"""Sides of a tile in pixels, those of the strips of blocks that the networks see."""


@dataclass(frozen=True)
class TiledLayers:
    """Exact patches of a large picture.

    Attributes:
        patches: the patches, none larger than a tile.
        hidden: uint8 [H, W / 8], a bit a pixel (`numpy.packbits`): those that are exact, and in tiles of such ones also those of alpha 0.
        free: bool [H / 8, W / 8], places of the top map whose codes do not matter.
        covers: whether everything visible is exact.
        error: squared error of codes alone, as `LayerChoice` weighs it.
        error_left: about that which is left.
    """

    patches: tuple[Patch, ...]
    hidden: NDArray[np.uint8]
    free: NDArray[np.bool_]
    covers: bool
    error: float
    error_left: float

    def pay(self, num_bytes: int, codes_bytes: int, weight: float) -> bool:
        """Tells whether a file of `num_bytes` with these layers is clearly better than one of `codes_bytes` of codes alone."""
        return self.error_left + weight * num_bytes < (1 - LEAST_GAIN) * (self.error + weight * codes_bytes)


@dataclass(frozen=True)
class _Tile:
    """The choice for one tile by `LayerChoice`, with estimates in place of files: codes take their share of bytes where they matter.

    Attributes:
        rgb: uint8 [H, W, 3], the tile.
        visible: bool [H, W], its pixels that count.
        weight: that of `LayerChoice`.
        codes: what codes alone make of it.
    """

    rgb: NDArray[np.uint8]
    visible: NDArray[np.bool_]
    weight: float
    codes: Version

    def choice(self) -> LayerChoice:
        """Returns the choice."""
        return LayerChoice(self.rgb, self.visible, self.weight, DEFAULT_LAYERS, None, self._encode, self._cover, avif=False)

    def _encode(self, rgb: NDArray[np.uint8], free: NDArray[np.bool_], layers: Layers) -> Version:  # noqa: ARG002 (no codes are made)
        num_bytes = round((1 - float(free.mean())) * len(self.codes.data)) + _patch_bytes(layers)
        return replace(self.codes, data=bytes(num_bytes), layers=layers)

    def _cover(self, layers: Layers) -> Version:
        return Version(bytes(_patch_bytes(layers)), [], layers, self.rgb)


def choose_in_tiles(
    rgb: NDArray[np.uint8],
    alpha: NDArray[np.uint8] | None,
    paint: Callable[[Part], NDArray[np.uint8]],
    codes_bytes: int,
    weight: float,
    on_progress: OnProgress = no_progress,
) -> TiledLayers | None:
    """Chooses the exact pixels of a large picture.

    Args:
        rgb: uint8 [H, W, 3], the picture.
        alpha: uint8 [H, W], its alpha plane, or None.
        paint: function that returns what codes alone paint of rows and columns, uint8 [h, w, 3].
        codes_bytes: bytes of the file of codes alone.
        weight: squared error, summed over R, G and B, that a byte is worth.
        on_progress: function that is told how far the work is.

    Returns:
        The layers; None where no pixel is better exact.
    """
    height, width = rgb.shape[:2]
    patches: list[Patch] = []
    hidden, places = np.zeros((height, -(-width // 8)), np.uint8), np.zeros((-(-height // 8), -(-width // 8)), bool)
    error = error_left = 0.0
    num_open = 0
    for rows, columns in _tiles(height, width):
        own = rgb[rows, columns]
        visible = np.ones(own.shape[:2], bool) if alpha is None else alpha[rows, columns] > 0
        share = own.size / rgb.size
        codes = Version(bytes(round(share * codes_bytes)), [], NO_LAYERS, paint((rows, columns)))
        choice = _Tile(own, visible, weight, codes).choice()
        best = choice.best(codes)
        on_progress((rows.start * width + columns.stop * own.shape[0]) / (height * width))
        error += choice.error(codes)
        error_left += choice.error(best)
        if not best.layers.patches:
            num_open += int(visible.any())
            continue
        mask = np.zeros(own.shape[:2], bool)
        pixels = decode_layers(best.layers, own.shape[1], own.shape[0])
        for patch, (_, exact) in zip(best.layers.patches, pixels.patches, strict=True):
            mask[patch.top : patch.top + exact.shape[0], patch.left : patch.left + exact.shape[1]] |= exact
            patches.append(replace(patch, left=patch.left + columns.start, top=patch.top + rows.start))
        num_open += int((visible & ~mask).any())
        bits = np.packbits(mask | ~visible, axis=1)
        hidden[rows, columns.start // 8 : columns.start // 8 + bits.shape[1]] = bits
        of_tile = hidden_places(mask)
        places[rows.start // 8 : rows.start // 8 + of_tile.shape[0], columns.start // 8 : columns.start // 8 + of_tile.shape[1]] = of_tile
    if not patches:
        return None
    return TiledLayers(tuple(patches), hidden, free_places(places), not num_open, error, error_left)


def _tiles(height: int, width: int) -> Iterator[Part]:
    for top in range(0, height, _TILE_ROWS):
        for left in range(0, width, _TILE_COLUMNS):
            yield slice(top, min(top + _TILE_ROWS, height)), slice(left, min(left + _TILE_COLUMNS, width))


def _patch_bytes(layers: Layers) -> int:
    return sum(len(patch.bitstream) for patch in layers.patches)
