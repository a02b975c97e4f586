"""How much goes through a network at a time: batches of pictures, and index maps as tiles.

The priors see a picture as tiles of 256x256 pixels, smaller at its right and lower edge. Up to 2x2 of them are a group, which has a stream
of its own in the file (FORMAT.md, section 4).
"""

from collections.abc import Iterator, Sequence
from typing import Final

import numpy as np
from numpy.typing import NDArray

from vqcodec.checks import check_number
from vqcodec.format.container import TOP_TILE_CODES, map_scale

TilePlace = tuple[slice, slice]
"""Rows and columns of a tile in its map."""

GROUP_TILES: Final = 2
"""Along each side of a group."""

MAX_BATCH_PIXELS: Final = 1 << 22
"""Of pictures in one batch, unless one alone is larger."""


def tile_side(number: int) -> int:
    """Side of a tile of map `number` in codes."""
    return TOP_TILE_CODES * map_scale(number)


def tile_groups(height: int, width: int, number: int) -> list[list[TilePlace]]:
    """Where the tiles of a map of height x width codes are, group by group: both go row by row, tiles within their group."""
    side = tile_side(number)
    group = GROUP_TILES * side
    return [
        [
            (slice(tile_top, min(tile_top + side, height)), slice(tile_left, min(tile_left + side, width)))
            for tile_top in range(top, min(top + group, height), side)
            for tile_left in range(left, min(left + group, width), side)
        ]
        for top in range(0, height, group)
        for left in range(0, width, group)
    ]


def tile_places(height: int, width: int, number: int) -> list[TilePlace]:
    """`tile_groups` in one list."""
    return [place for group in tile_groups(height, width, number) for place in group]


def cut_tiles(level: NDArray[np.int64], number: int) -> list[NDArray[np.int64]]:
    """The tiles of a map [h, w], in the order of `tile_places`; views."""
    return [level[place] for place in tile_places(level.shape[0], level.shape[1], number)]


def cut_maps(maps: Sequence[NDArray[np.int64]], num_tiles: int) -> list[list[NDArray[np.int64]]]:
    """For each of a picture's `num_tiles` tiles, that tile of every map, top first; views."""
    levels = [cut_tiles(level, number) for number, level in enumerate(maps)]
    return [[level[tile] for level in levels] for tile in range(num_tiles)]


def join_tiles(tiles: Sequence[NDArray[np.int64]], height: int, width: int, number: int) -> NDArray[np.int64]:
    """The map [height, width] that `cut_tiles` cut."""
    level = np.empty((height, width), np.int64)
    for place, tile in zip(tile_places(height, width, number), tiles, strict=True):
        level[place] = tile
    return level


def stack_tiles(tiles: list[NDArray[np.int64]], height: int, width: int) -> NDArray[np.int64]:
    """Tiles of up to height x width codes in one array [N, height, width], zeros beyond them."""
    stacked = np.zeros((len(tiles), height, width), np.int64)
    for target, tile in zip(stacked, tiles, strict=True):
        target[: tile.shape[0], : tile.shape[1]] = tile
    return stacked


def check_batch_size(batch_size: int) -> None:
    """Raises TypeError for what is no whole number, ValueError for a batch of nothing."""
    check_number("batch_size", batch_size, is_whole=True)
    if batch_size < 1:
        raise ValueError(f"batch_size must be at least 1, not {batch_size}")


def batches_by_size(keys: Sequence[tuple[object, ...]], batch_size: int) -> Iterator[list[int]]:
    """Numbers of items with equal keys, whose last part is a size in pixels, at most `batch_size` and `MAX_BATCH_PIXELS` together.

    Raises:
        ValueError: batch_size below 1.
    """
    check_batch_size(batch_size)
    groups: dict[tuple[object, ...], list[int]] = {}
    for number, key in enumerate(keys):
        groups.setdefault(key, []).append(number)
    for key, numbers in groups.items():
        width, height = key[-2:]
        assert isinstance(width, int) and isinstance(height, int)
        limit = min(batch_size, max(1, MAX_BATCH_PIXELS // (width * height)))
        for start in range(0, len(numbers), limit):
            yield numbers[start : start + limit]
