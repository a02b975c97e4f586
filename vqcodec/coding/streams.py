"""Tile groups of maps, and the payloads that hold their streams (FORMAT.md, section 4). Imports no torch."""

from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from itertools import accumulate, pairwise
from typing import Final, Self

import numpy as np
from numpy.typing import NDArray

from vqcodec.coding.tiles import cut_maps, join_tiles, tile_groups
from vqcodec.errors import DesyncError, TruncatedError
from vqcodec.format.container import map_name
from vqcodec.format.integers import ByteReader, varint_bytes
from vqcodec.nn.progress import OnProgress

Maps = Sequence[NDArray[np.int64]]
"""Maps [h, w] of one picture, top first."""

MAX_LENGTH_BYTES: Final = 4
"""Most bytes of the length of a stream."""

WALKED_TILES: Final = 32
"""Most tiles that are walked together."""


@dataclass(frozen=True)
class TileGroup:
    """The tiles that share a stream.

    Attributes:
        shapes: (h, w) of each tile in codes.
        earlier: the same tiles of the maps before.
        stream: the stream, if it is known.
        picture: number of the picture that the tiles are of.
    """

    shapes: list[tuple[int, int]]
    earlier: list[list[NDArray[np.int64]]]
    stream: bytes = b""
    picture: int = 0


@dataclass(frozen=True)
class DecodedMap:
    """One map of one picture, decoded, or the reason why it cannot be.

    Attributes:
        indices: int64 [h, w]; zeros where there is an error.
        error: None where all is well.
    """

    indices: NDArray[np.int64]
    error: DesyncError | None = None

    @classmethod
    def failed(cls, size: tuple[int, int], error: DesyncError) -> Self:
        """Returns the result for a map of size (h, w) that does not decode."""
        return cls(np.broadcast_to(np.int64(0), size), error)


@dataclass(frozen=True)
class DecodedBatch:
    """Tile groups that were decoded together.

    Attributes:
        tiles: the codes int64 [h, w] of all tiles.
        errors: for each group why its stream does not decode to the codes that were coded, or None.
    """

    tiles: Sequence[NDArray[np.int64]]
    errors: Sequence[DesyncError | None]


@dataclass(frozen=True)
class WalkedMap:
    """One map of one picture, whose codes a walk chose.

    Attributes:
        indices: int64 [h, w].
        streams: the stream of each tile group; empty where they were not asked for.
    """

    indices: NDArray[np.int64]
    streams: Sequence[bytes] = ()


DecodeBatch = Callable[[list[TileGroup]], DecodedBatch]


def groups_of_map(size: tuple[int, int], earlier: Maps, streams: Sequence[bytes] | None = None, picture: int = 0) -> list[TileGroup]:
    """Returns the groups of the map of size (h, w) that follows the maps `earlier`."""
    places = tile_groups(*size, len(earlier))
    before = iter(cut_maps(earlier, sum(len(group) for group in places)))
    groups = []
    for number, group in enumerate(places):
        shapes = [(rows.stop - rows.start, columns.stop - columns.start) for rows, columns in group]
        groups.append(TileGroup(shapes, [next(before) for _ in group], streams[number] if streams else b"", picture))
    return groups


def first_tiles(groups: Sequence[TileGroup]) -> NDArray[np.int64]:
    """Returns the number of each group's first tile, and last that of all tiles."""
    return np.cumsum([0, *(len(group.shapes) for group in groups)])


def batches_of_groups(groups: Iterable[TileGroup], most: int | None = None) -> Iterator[list[TileGroup]]:
    """Yields the groups in batches of up to `most` tiles, by default `WALKED_TILES`; groups are taken as they are needed."""
    most = WALKED_TILES if most is None else most
    batch: list[TileGroup] = []
    for group in groups:
        if batch and sum(len(other.shapes) for other in batch) + len(group.shapes) > most:
            yield batch
            batch = []
        batch.append(group)
    if batch:
        yield batch


def decode_in_batches(
    number: int,
    streams: Sequence[Sequence[bytes]],
    sizes: Sequence[tuple[int, int]],
    earlier: Sequence[Maps],
    decode_batch: DecodeBatch,
    most: int | None = None,
    *,
    on_progress: OnProgress,
) -> list[DecodedMap]:
    """Decodes map `number` of several pictures; the first bad stream of a picture ends its decoding.

    Args:
        number: number of the map.
        streams: the streams of each picture's tile groups.
        sizes: (h, w) in codes of this map of each picture.
        earlier: the maps before it of each picture.
        decode_batch: function that decodes a batch of groups.
        most: most tiles of a batch, by default `WALKED_TILES`.
        on_progress: function that is told how far the work is.
    """
    errors: dict[int, DesyncError] = {}
    tiles: list[list[NDArray[np.int64]]] = [[] for _ in streams]
    num_decoded, num_groups = 0, sum(map(len, streams))

    def waiting() -> Iterator[TileGroup]:
        for picture, (of_picture, size, maps) in enumerate(zip(streams, sizes, earlier, strict=True)):
            for group in groups_of_map(size, maps, of_picture, picture):
                if picture in errors:
                    break
                yield group

    for batch in batches_of_groups(waiting(), most):
        decoded = decode_batch(batch)
        remaining = iter(decoded.tiles)
        for group, error in zip(batch, decoded.errors, strict=True):
            tiles[group.picture] += [next(remaining) for _ in group.shapes]
            if error is not None:
                errors.setdefault(group.picture, DesyncError(f"map {map_name(number)}: {error}"))
        num_decoded += len(batch)
        on_progress(num_decoded / num_groups)
    return [
        DecodedMap.failed(size, errors[picture]) if picture in errors else DecodedMap(join_tiles(tiles[picture], *size, number))
        for picture, size in enumerate(sizes)
    ]


def payload_of_streams(streams: Sequence[bytes]) -> bytes:
    """Returns a map's payload: the lengths of all streams but the last, and the streams."""
    return b"".join(varint_bytes(len(stream)) for stream in streams[:-1]) + b"".join(streams)


def stream_places(head: bytes, count: int, num_bytes: int) -> list[slice]:
    """Returns the places of the streams in a payload of `num_bytes` bytes that `payload_of_streams` joined.

    Args:
        head: beginning of the payload, at least its lengths, of which none takes more than `MAX_LENGTH_BYTES`.
        count: number of streams.
        num_bytes: length of the payload.

    Raises:
        FormatError: The payload is too short.
    """
    reader = ByteReader(head, name="payload")
    lengths = [reader.varint(MAX_LENGTH_BYTES) for _ in range(count - 1)]
    ends = list(accumulate(lengths, initial=reader.position))
    if ends[-1] > num_bytes:
        raise TruncatedError(f"payload ends after {num_bytes} bytes, expected at least {ends[-1]}")
    return [slice(*place) for place in pairwise([*ends, num_bytes])]
