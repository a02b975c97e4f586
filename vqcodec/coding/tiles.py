"""Cuts index maps into tiles, and pictures into batches: what goes through a network at a time.

The priors see a picture as tiles of 256x256 pixels, smaller at its right and lower edge. Up to 2x2 of them are a group, which has a stream
of its own in the file (FORMAT.md, section 4).
"""

from collections.abc import Iterator, Sequence

import numpy as np
from numpy.typing import NDArray

from vqcodec.checks import checked_at_least
from vqcodec.format.container import GROUP_TILES, TOP_TILE_CODES, map_scale

TilePlace = tuple[slice, slice]
"""Rows and columns of a tile in its map."""


def tile_side(number: int) -> int:
    """Returns the side of a tile of map `number` in codes."""
    return TOP_TILE_CODES * map_scale(number)


def tile_groups(height: int, width: int, number: int) -> list[list[TilePlace]]:
    """Returns the places of the tiles of a map of height x width codes, group by group.

    Groups go row by row, and so do the tiles within their group.
    """
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
    """Returns the places of `tile_groups` in one list."""
    return [place for group in tile_groups(height, width, number) for place in group]


def cut_tiles(indices: NDArray[np.int64], number: int) -> list[NDArray[np.int64]]:
    """Returns the tiles of map `number` [h, w] as views, in the order of `tile_places`."""
    return [indices[place] for place in tile_places(indices.shape[0], indices.shape[1], number)]


def cut_maps(maps: Sequence[NDArray[np.int64]], num_tiles: int) -> list[list[NDArray[np.int64]]]:
    """Returns for each of a picture's `num_tiles` tiles that tile of every map, top first, as views."""
    cut = [cut_tiles(indices, number) for number, indices in enumerate(maps)]
    return [[tiles[number] for tiles in cut] for number in range(num_tiles)]


def join_tiles(tiles: Sequence[NDArray[np.int64]], height: int, width: int, number: int) -> NDArray[np.int64]:
    """Returns the map [height, width] that `cut_tiles` cut."""
    indices = np.empty((height, width), np.int64)
    for place, tile in zip(tile_places(height, width, number), tiles, strict=True):
        indices[place] = tile
    return indices


def stack_tiles(tiles: list[NDArray[np.int64]], height: int, width: int) -> NDArray[np.int64]:
    """Returns tiles of up to height x width codes in one array [N, height, width], with zeros beyond them."""
    stacked = np.zeros((len(tiles), height, width), np.int64)
    for target, tile in zip(stacked, tiles, strict=True):
        target[: tile.shape[0], : tile.shape[1]] = tile
    return stacked


def batches_by_size(keys: Sequence[tuple[object, ...]], batch_size: int, most_pixels: int) -> Iterator[list[int]]:
    """Yields the numbers of items that go through a network together: items with equal keys, within the limits of a batch.

    Args:
        keys: the key of each item; its last two parts are width and height in pixels.
        batch_size: most items in a batch.
        most_pixels: most pixels of the items in a batch, unless one alone has more.

    Raises:
        TypeError, ValueError: batch_size is no whole number, or below 1.
    """
    batch_size = checked_at_least("batch_size", batch_size, 1)
    groups: dict[tuple[object, ...], list[int]] = {}
    for number, key in enumerate(keys):
        groups.setdefault(key, []).append(number)
    for key, numbers in groups.items():
        width, height = key[-2:]
        assert isinstance(width, int) and isinstance(height, int)
        limit = min(batch_size, max(1, most_pixels // (width * height)))
        for start in range(0, len(numbers), limit):
            yield numbers[start : start + limit]


def coding_order(height: int, width: int, slope: int) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """Returns rows and columns of a tile's codes, ordered by step, and by row within a step."""
    rows, columns = np.divmod(np.arange(height * width), width)
    order = np.lexsort((rows, columns + slope * rows))
    return rows[order], columns[order]


def codes_of_steps(shapes: Sequence[tuple[int, int]], slope: int) -> NDArray[np.int64]:
    """Returns how many codes each tile [h, w] has in each step of a walk through all of them, int64 [steps, N]."""
    heights, widths = np.array(shapes, np.int64).T
    steps = np.arange(widths.max() + slope * (heights.max() - 1))[:, None]
    first = np.maximum(0, -(-(steps - widths + 1) // slope))
    last = np.minimum(heights - 1, steps // slope)
    counts: NDArray[np.int64] = np.maximum(0, last - first + 1)
    return counts
