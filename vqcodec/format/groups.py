"""Checksums of tile groups, by which a part of a file is checked without the rest (FORMAT.md, section 5)."""

import struct
from collections.abc import Sequence
from typing import Final

from vqcodec.errors import FormatError
from vqcodec.format.chunks import Chunk
from vqcodec.format.container import GROUP_PX, CoderKind, Header

SUMS_CHUNK: Final = b"gSUM"
MOST_UNSUMMED_GROUPS: Final = 16
"""Most tile groups of a picture that gets no checksums of them: its payloads are read as a whole soon enough."""
_LEAST_PAYLOAD: Final = 100
"""Least length of the payloads, in lengths of the checksums: these are to take under 1 % of a file."""

GroupSums = tuple[int, int]
"""CRC-16 of the stream of a tile group and of its codes, row by row, each as a little-endian u16."""


def num_groups(width: int, height: int) -> int:
    """Returns the number of tile groups of a picture of width x height pixels."""
    return -(-width // GROUP_PX) * -(-height // GROUP_PX)


def write_sums(sums: Sequence[Sequence[GroupSums]], payload_bytes: int) -> tuple[Chunk, ...]:
    """Returns the chunk of the checksums of all groups of all maps that a prior codes; none where they would take too many bytes."""
    body = b"".join(struct.pack("<HH", *of_group) for of_map in sums for of_group in of_map)
    if not sums or len(sums[0]) <= MOST_UNSUMMED_GROUPS or len(body) * _LEAST_PAYLOAD >= payload_bytes:
        return ()
    return (Chunk(SUMS_CHUNK, body),)


def read_sums(chunks: Sequence[Chunk], header: Header) -> dict[int, list[GroupSums]]:
    """Returns the checksums of the groups of each map, by its number; nothing where the file holds none.

    Raises:
        FormatError: They are not those of all groups of all maps that a prior codes.
    """
    body = next((chunk.body for chunk in chunks if chunk.kind == SUMS_CHUNK), None)
    if body is None:
        return {}
    numbers = [number for number, entry in enumerate(header.maps) if entry.coder is CoderKind.PRIOR]
    count = num_groups(header.width, header.height)
    if len(body) != 4 * count * len(numbers):
        raise FormatError(f"checksums of tile groups in {len(body)} bytes, expected {4 * count * len(numbers)}")
    pairs = list(struct.iter_unpack("<HH", body))
    return {number: pairs[place * count : (place + 1) * count] for place, number in enumerate(numbers)}
