"""Index maps to streams under a prior and back, by the compiled kernels, without torch; the same as by `vqcodec.coding.prior`."""

from collections.abc import Callable, Sequence

import numpy as np
from numpy.typing import NDArray

from vqcodec.coding.streams import DecodedBatch, DecodedMap, Maps, TileGroup, WalkedMap, batches_of_groups, decode_in_batches, groups_of_map
from vqcodec.coding.tiles import coding_order, cut_tiles, join_tiles, tile_places
from vqcodec.errors import DesyncError
from vqcodec.nn.prior.choice import Choice
from vqcodec.nn.prior.drawing import Draw
from vqcodec.nn.prior.native import NativePrior, Tiles
from vqcodec.nn.progress import OnProgress, no_progress
from vqcodec.nn.threads import num_own_threads


def decode_natively(
    prior: NativePrior,
    streams: Sequence[Sequence[bytes]],
    sizes: Sequence[tuple[int, int]],
    earlier: Sequence[Maps],
    *,
    on_progress: OnProgress = no_progress,
) -> list[DecodedMap]:
    """Decodes the map of several pictures that `prior` is for.

    Args:
        prior: the prior of the map.
        streams: the streams of each picture's tile groups.
        sizes: (h, w) in codes of this map of each picture.
        earlier: the maps before it of each picture.
        on_progress: function that is told how far the work is.
    """

    def decode(batch: list[TileGroup]) -> DecodedBatch:
        # A stream that is none counts as empty, so that those beside it are decoded.
        bad = [group.stream.endswith(b"\0") for group in batch]
        codes, left = prior.decode(
            _tiles_of(batch), [b"" if is_bad else group.stream for group, is_bad in zip(batch, bad, strict=True)], threads=num_own_threads()
        )
        return DecodedBatch(codes, [_error_of(is_bad, is_left) for is_bad, is_left in zip(bad, left, strict=True)])

    number = prior.config.earlier_maps
    return decode_in_batches(number, streams, sizes, earlier, decode, on_progress=on_progress)


def encode_natively(prior: NativePrior, maps: Maps, earlier: Sequence[Maps]) -> list[list[bytes]]:
    """Codes the map of several pictures that `prior` is for.

    Args:
        prior: the prior of the map.
        maps: this map [h, w] of each picture.
        earlier: the maps before it of each picture.

    Returns:
        For each picture the streams of its tile groups.
    """
    number = prior.config.earlier_maps
    groups = [
        group
        for picture, (indices, before) in enumerate(zip(maps, earlier, strict=True))
        for group in groups_of_map((indices.shape[0], indices.shape[1]), before, picture=picture)
    ]
    tiles = iter([tile for indices in maps for tile in cut_tiles(indices, number)])
    streams: list[list[bytes]] = [[] for _ in maps]
    for batch in batches_of_groups(groups):
        codes = [next(tiles) for group in batch for _ in group.shapes]
        for group, stream in zip(batch, prior.encode(_tiles_of(batch), codes, threads=num_own_threads()), strict=True):
            streams[group.picture].append(stream)
    return streams


def choose_natively(
    prior: NativePrior,
    choice: Choice,
    places: Sequence[NDArray[np.float32]],
    earlier: Sequence[Maps],
    *,
    with_streams: bool = False,
) -> list[WalkedMap]:
    """Chooses the codes of the map of several pictures that `prior` is for.

    Args:
        prior: the prior of the map.
        choice: how codes are chosen.
        places: for each picture [h, w, D + 1], what its places are to be like (`NativePrior.choose`).
        earlier: the maps before it of each picture.
        with_streams: whether the codes are entropy-coded, too.
    """
    number = prior.config.earlier_maps
    sizes = [(of_picture.shape[0], of_picture.shape[1]) for of_picture in places]
    wanted = (of_picture[place] for of_picture, size in zip(places, sizes, strict=True) for place in tile_places(*size, number))

    def walk(tiles: Tiles) -> tuple[list[NDArray[np.int64]], list[bytes]]:
        return prior.choose(tiles, choice, [next(wanted) for _ in tiles.shapes], threads=num_own_threads(), with_streams=with_streams)

    return _walked(number, sizes, earlier, walk)


def draw_natively(prior: NativePrior, draw: Draw, sizes: Sequence[tuple[int, int]], earlier: Sequence[Maps]) -> list[WalkedMap]:
    """Draws the codes of the map of several pictures that `prior` is for.

    Args:
        prior: the prior of the map.
        draw: function that draws codes.
        sizes: (h, w) in codes of this map of each picture.
        earlier: the maps before it of each picture.
    """
    return _walked(prior.config.earlier_maps, sizes, earlier, lambda tiles: (prior.draw(tiles, draw, threads=num_own_threads()), []))


def find_frequencies(prior: NativePrior, indices: NDArray[np.int64], earlier: Maps) -> NDArray[np.uint32]:
    """Returns the frequency that a prior gives each code of the map `indices` [h, w], [h, w], given the maps before it."""
    number = prior.config.earlier_maps
    size = indices.shape[0], indices.shape[1]
    tiles, slope = iter(cut_tiles(indices, number)), prior.config.slope

    def walk(of_batch: Tiles) -> tuple[list[NDArray[np.int64]], list[bytes]]:
        codes = [next(tiles) for _ in of_batch.shapes]
        # Each tile as a group of its own: their shares follow each other.
        alone = Tiles(of_batch.shapes, [1] * len(codes), of_batch.earlier)
        shares, start = prior.shares(alone, codes, threads=num_own_threads())[:, 0], 0
        freqs = [np.empty(shape, np.int64) for shape in of_batch.shapes]
        for of_tile in freqs:
            of_tile[coding_order(*of_tile.shape, slope)] = shares[start : start + of_tile.size]
            start += of_tile.size
        return freqs, []

    (walked,) = _walked(number, [size], [earlier], walk)
    return walked.indices.astype(np.uint32)


def _walked(
    number: int,
    sizes: Sequence[tuple[int, int]],
    earlier: Sequence[Maps],
    walk: Callable[[Tiles], tuple[list[NDArray[np.int64]], list[bytes]]],
) -> list[WalkedMap]:
    """Walks through map `number` of several pictures, batch by batch.

    `walk` returns what there is of each tile, codes or what they take, and the streams of groups, or none.
    """
    groups = [
        group
        for picture, (size, before) in enumerate(zip(sizes, earlier, strict=True))
        for group in groups_of_map(size, before, picture=picture)
    ]
    tiles: list[list[NDArray[np.int64]]] = [[] for _ in sizes]
    streams: list[list[bytes]] = [[] for _ in sizes]
    for batch in batches_of_groups(groups):
        chosen, coded = walk(_tiles_of(batch))
        remaining = iter(chosen)
        for n, group in enumerate(batch):
            tiles[group.picture] += [next(remaining) for _ in group.shapes]
            streams[group.picture] += coded[n : n + 1]
    return [WalkedMap(join_tiles(tiles[picture], *size, number), streams[picture]) for picture, size in enumerate(sizes)]


def _tiles_of(groups: Sequence[TileGroup]) -> Tiles:
    return Tiles(
        [shape for group in groups for shape in group.shapes],
        [len(group.shapes) for group in groups],
        [tiles for group in groups for tiles in group.earlier],
    )


def _error_of(is_bad: bool, is_left: bool) -> DesyncError | None:
    if is_bad:
        return DesyncError("a prior's stream ends with a zero byte, expected another")
    return DesyncError("a prior's stream holds more than its codes") if is_left else None
