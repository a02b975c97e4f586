"""Parts of an open .vq file, which are read as they are asked for."""

from collections.abc import Sequence
from functools import cached_property
from os import SEEK_END
from typing import BinaryIO

from vqcodec.coding.groups import check_stream
from vqcodec.coding.maps import MapCoding, place_streams
from vqcodec.coding.streams import MAX_LENGTH_BYTES
from vqcodec.errors import ChecksumMismatchError, TruncatedError
from vqcodec.format.container import MapEntry, crc16, map_name
from vqcodec.format.groups import GroupSums


class FileBytes:
    """A file of which parts are read.

    Args:
        file: file that is open for reading bytes and can seek.

    Attributes:
        length: its bytes.
    """

    def __init__(self, file: BinaryIO) -> None:
        self.file = file
        file.seek(0, SEEK_END)
        self.length = file.tell()

    def read(self, start: int, count: int) -> bytes:
        """Reads `count` bytes from `start` on.

        Raises:
            TruncatedError: The file ends before.
        """
        self.file.seek(start)
        pieces, left = [], count
        while left > 0 and (piece := self.file.read(left)):
            if not isinstance(piece, bytes):
                raise TypeError(f"file must be open for reading bytes, but its read gives {type(piece).__name__}")
            pieces.append(piece)
            left -= len(piece)
        if left > 0:
            raise TruncatedError(f"file ends after {start + count - left} of {start + count} bytes (cut or incomplete)")
        return b"".join(pieces)


class StoredMap:
    """A `MapSource` of which no more is read than is asked for, if the file tells checksums of its groups.

    Args:
        data: the file.
        start: where the map's payload begins in it.
        coding: how the map is coded.
        entry: the map's entry in the header.
        size: height and width of the map in codes.
        sums: checksums of its tile groups; none where the file does not tell them.
    """

    def __init__(
        self, data: FileBytes, start: int, coding: MapCoding, entry: MapEntry, size: tuple[int, int], sums: Sequence[GroupSums]
    ) -> None:
        self.data, self.start, self.coding, self.entry, self.size, self.sums = data, start, coding, entry, size, sums
        self._payload: bytes | None = None

    @cached_property
    def _places(self) -> list[slice]:
        most = MAX_LENGTH_BYTES * len(self.sums)
        head = self.data.read(self.start, min(most, self.entry.num_bytes)) if self.sums else self.payload()
        return place_streams(self.coding, head, self.entry.num_bytes, self.size)

    def payload(self) -> bytes:
        """Returns its payload.

        Raises:
            ChecksumMismatchError: It is damaged.
        """
        if self._payload is None:
            payload = self.data.read(self.start, self.entry.num_bytes)
            if crc16(payload) != self.entry.payload_crc:
                raise ChecksumMismatchError(f"payload of map {map_name(self.coding.number)} is damaged (its CRC differs)")
            self._payload = payload
        return self._payload

    def streams(self, groups: Sequence[int]) -> list[bytes]:
        """Returns the streams of some of its tile groups.

        Raises:
            ChecksumMismatchError: One is damaged.
        """
        if not self.sums:
            return [self.payload()[self._places[group]] for group in groups]
        streams = []
        for group in groups:
            place = self._places[group]
            streams.append(self.data.read(self.start + place.start, place.stop - place.start))
            check_stream(self.coding.number, group, streams[-1], self.sums[group][0])
        return streams

    def index_crc(self, group: int) -> int | None:
        """Returns the CRC-16 of the codes of a group, or None where the file does not tell it."""
        return self.sums[group][1] if self.sums else None
