"""How much goes through a network at a time: batches of pictures, and index maps as tiles.

The priors see a picture as tiles of 256x256 pixels, smaller at its right and lower edge (FORMAT.md, section 4).
"""

from collections.abc import Sequence
from typing import Final

import numpy as np
from numpy.typing import NDArray

TOP_TILE_CODES: Final = 32
MAX_BATCH_PIXELS: Final = 1 << 22
"""Of pictures in one batch, unless one alone is larger."""


def tile_side(number: int) -> int:
    """Side of a tile of map `number` in codes."""
    return TOP_TILE_CODES if number == 0 else 2 * TOP_TILE_CODES


def tile_shapes(height: int, width: int, number: int) -> list[tuple[int, int]]:
    """(height, width) of each tile of a map of height x width codes, row by row."""
    side = tile_side(number)
    return [(min(side, height - top), min(side, width - left)) for top in range(0, height, side) for left in range(0, width, side)]


def tile_places(count: int, height: int, width: int, number: int) -> tuple[NDArray[np.int64], NDArray[np.int64], NDArray[np.int64]]:
    """Map, top and left of each tile of `count` maps of height x width codes, in the order of `tile_shapes`."""
    side = tile_side(number)
    places = np.mgrid[0:count, 0:height:side, 0:width:side].reshape(3, -1)
    return places[0], places[1], places[2]


def cut_tiles(level: NDArray[np.int64], number: int) -> list[NDArray[np.int64]]:
    """The tiles of a map [h, w], row by row; views."""
    side = tile_side(number)
    height, width = level.shape
    return [level[top : top + side, left : left + side] for top in range(0, height, side) for left in range(0, width, side)]


def cut_maps(maps: Sequence[NDArray[np.int64]], num_tiles: int) -> list[list[NDArray[np.int64]]]:
    """For each of a picture's `num_tiles` tiles, that tile of every map, top first; views."""
    levels = [cut_tiles(level, number) for number, level in enumerate(maps)]
    return [[level[tile] for level in levels] for tile in range(num_tiles)]


def join_tiles(tiles: list[NDArray[np.int64]], height: int, width: int, number: int) -> NDArray[np.int64]:
    """The map [height, width] that `cut_tiles` cut."""
    level = np.empty((height, width), np.int64)
    for target, tile in zip(cut_tiles(level, number), tiles, strict=True):
        target[...] = tile
    return level


def stack_tiles(tiles: list[NDArray[np.int64]], height: int, width: int) -> NDArray[np.int64]:
    """Tiles of up to height x width codes in one array [N, height, width], zeros beyond them."""
    stacked = np.zeros((len(tiles), height, width), np.int64)
    for target, tile in zip(stacked, tiles, strict=True):
        target[: tile.shape[0], : tile.shape[1]] = tile
    return stacked
