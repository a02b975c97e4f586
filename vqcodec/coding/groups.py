"""Codes of parts of a picture: tile groups are decoded as they are needed, each without the others (FORMAT.md, section 4)."""

from collections import OrderedDict
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Final, Protocol

import numpy as np
from numpy.typing import NDArray

from vqcodec.coding.any_prior import decode_streams
from vqcodec.coding.maps import CodedMap, MapCoding, decode_map, index_crc, place_streams
from vqcodec.coding.tiles import TilePlace, tile_side
from vqcodec.errors import ChecksumMismatchError, DesyncError, lack_of_memory_told
from vqcodec.format.container import GROUP_PX, GROUP_TILES, CoderKind, MapEntry, Part, crc16, map_name, map_scale, map_size
from vqcodec.nn.configs import PATCH_TOP

KEPT_GROUPS: Final = 1024
"""Most groups of maps whose codes are kept, which are about 27 MiB."""


@dataclass(frozen=True)
class GroupGrid:
    """The tile groups of a picture of width x height pixels, numbered row by row."""

    width: int
    height: int

    @property
    def shape(self) -> tuple[int, int]:
        """Numbers of rows and columns of groups."""
        return -(-self.height // GROUP_PX), -(-self.width // GROUP_PX)

    def numbers_of(self, part: Part) -> list[int]:
        """Returns the numbers of the groups that show some of a part of the picture."""
        rows, columns = (range(place.start // GROUP_PX, -(-place.stop // GROUP_PX)) for place in part)
        return [row * self.shape[1] + column for row in rows for column in columns]

    def place(self, group: int, number: int) -> TilePlace:
        """Returns the rows and columns of a group in map `number`, in codes."""
        side = GROUP_TILES * tile_side(number)
        height, width = map_size(self.width, self.height, number)
        top, left = (side * place for place in divmod(group, self.shape[1]))
        return slice(top, min(top + side, height)), slice(left, min(left + side, width))


class MapSource(Protocol):
    """A map of a file, of which parts are read."""

    @property
    def entry(self) -> MapEntry:
        """Its entry in the header."""

    def payload(self) -> bytes:
        """Returns its payload, checked by its CRC."""

    def streams(self, groups: Sequence[int]) -> list[bytes]:
        """Returns the streams of some of its tile groups, where a prior codes it."""

    def index_crc(self, group: int) -> int | None:
        """Returns the CRC-16 of the codes of a group, or None where the file does not tell it."""


@dataclass(frozen=True)
class WholeMap:
    """A `MapSource` that was read as a whole.

    Attributes:
        coding: the means to code this map.
        coded: the map.
        size: its height and width in codes.
        sums: CRC-16 of the stream and of the codes of each group, where the file tells them.
    """

    coding: MapCoding
    coded: CodedMap
    size: tuple[int, int]
    sums: Sequence[tuple[int, int]] = ()

    @property
    def entry(self) -> MapEntry:
        """Its entry in the header."""
        return self.coded.entry

    @cached_property
    def _places(self) -> list[slice]:
        return place_streams(self.coding, self.coded.payload, len(self.coded.payload), self.size)

    def payload(self) -> bytes:
        """Returns its payload."""
        return self.coded.payload

    def streams(self, groups: Sequence[int]) -> list[bytes]:
        """Returns the streams of some of its tile groups.

        Raises:
            ChecksumMismatchError: One is damaged.
            DesyncError: The payload does not hold its streams.
        """
        streams = [self.coded.payload[self._places[group]] for group in groups]
        if self.sums:
            for group, stream in zip(groups, streams, strict=True):
                check_stream(self.coding.number, group, stream, self.sums[group][0])
        return streams

    def index_crc(self, group: int) -> int | None:
        """Returns the CRC-16 of the codes of a group, or None where the file does not tell it."""
        return self.sums[group][1] if self.sums else None


def check_stream(number: int, group: int, stream: bytes, expected: int) -> None:
    """Checks the stream of a tile group of map `number` by its CRC-16.

    Raises:
        ChecksumMismatchError: It is damaged.
    """
    if crc16(stream) != expected:
        raise ChecksumMismatchError(f"tile group {group} of map {map_name(number)} is damaged (its CRC differs)")


def check_codes(number: int, group: int, indices: NDArray[np.int64], expected: int) -> None:
    """Checks the codes [h, w] of a tile group of map `number` by their CRC-16.

    Raises:
        DesyncError: They are others than were written.
    """
    if index_crc(indices) != expected:
        raise DesyncError(f"map {map_name(number)}: tile group {group} decodes to other codes than were written (its CRC differs)")


def check_groups(source: WholeMap, grid: GroupGrid, indices: NDArray[np.int64]) -> None:
    """Checks all tile groups of a map that was decoded as a whole, where the file tells checksums of them.

    Raises:
        ChecksumMismatchError: The stream of one is damaged.
        DesyncError: The codes of one are others than were written.
    """
    number = source.coding.number
    source.streams(range(len(source.sums)))
    for group, (_, expected) in enumerate(source.sums):
        check_codes(number, group, indices[grid.place(group, number)], expected)


class GroupDecoder:
    """A decoder of the codes of parts of a picture, which keeps the groups that were decoded last.

    Args:
        codings: the means to code its maps, top first.
        maps: its maps, top first.
        grid: its tile groups.
    """

    def __init__(self, codings: Sequence[MapCoding], maps: Sequence[MapSource], grid: GroupGrid) -> None:
        self.codings, self.maps, self.grid = codings, maps, grid
        self._groups: OrderedDict[tuple[int, int], NDArray[np.uint16]] = OrderedDict()
        self._whole: dict[int, NDArray[np.uint16]] = {}

    @lack_of_memory_told()
    def codes(self, part: Part, num_maps: int) -> list[NDArray[np.int64]]:
        """Decodes the codes of a part whose edges are multiples of 8 pixels.

        Args:
            part: rows and columns in pixels.
            num_maps: number of maps to decode.

        Returns:
            int64 [h, w] each, top first.

        Raises:
            FormatError: A map does not decode to the codes that were written.
        """
        groups = self.grid.numbers_of(part)
        maps = []
        for number in range(num_maps):
            self._decode(number, groups)
            maps.append(self._joined(number, part, groups))
        while len(self._groups) > KEPT_GROUPS:
            self._groups.popitem(last=False)
        return maps

    def _decode(self, number: int, groups: Sequence[int]) -> None:
        """Decodes the groups of a map that are not known; the same groups of the maps before must be."""
        source, coding = self.maps[number], self.codings[number]
        if source.entry.coder is not CoderKind.PRIOR or coding.prior is None:
            if number not in self._whole:
                size = map_size(self.grid.width, self.grid.height, number)
                (decoded,) = decode_map(coding, [CodedMap(source.entry, source.payload())], [size], [[]])
                if decoded.error is not None:
                    raise decoded.error
                self._whole[number] = decoded.indices.astype(np.uint16)
            return
        missing = [group for group in groups if (number, group) not in self._groups]
        if not missing:
            return
        places = [self.grid.place(group, number) for group in missing]
        sizes = [(rows.stop - rows.start, columns.stop - columns.start) for rows, columns in places]
        earlier = [[self._known(level, group).astype(np.int64) for level in range(number)] for group in missing]
        streams, prior = [[stream] for stream in source.streams(missing)], coding.prior.sharpened(source.entry.sharpness)
        for group, decoded in zip(missing, decode_streams(prior, streams, sizes, earlier), strict=True):
            if decoded.error is not None:
                raise decoded.error
            expected = source.index_crc(group)
            if expected is not None:
                check_codes(number, group, decoded.indices, expected)
            self._groups[number, group] = decoded.indices.astype(np.uint16)

    def _known(self, number: int, group: int) -> NDArray[np.uint16]:
        """Returns the codes of a group that was decoded."""
        if number in self._whole:
            return self._whole[number][self.grid.place(group, number)]
        self._groups.move_to_end((number, group))
        return self._groups[number, group]

    def _joined(self, number: int, part: Part, groups: Sequence[int]) -> NDArray[np.int64]:
        """Returns the codes of a part of a map whose groups are known."""
        rows, columns = (slice(*(map_scale(number) * edge // PATCH_TOP for edge in (place.start, place.stop))) for place in part)
        if number in self._whole:
            return self._whole[number][rows, columns].astype(np.int64)
        codes = np.empty((rows.stop - rows.start, columns.stop - columns.start), np.int64)
        for group in groups:
            own_rows, own_columns = self.grid.place(group, number)
            top, bottom = max(rows.start, own_rows.start), min(rows.stop, own_rows.stop)
            left, right = max(columns.start, own_columns.start), min(columns.stop, own_columns.stop)
            known = self._known(number, group)[
                top - own_rows.start : bottom - own_rows.start, left - own_columns.start : right - own_columns.start
            ]
            codes[top - rows.start : bottom - rows.start, left - columns.start : right - columns.start] = known
        return codes
