"""Whether a PNG holds all of its rows, undamaged: Pillow takes one whose compressed data end early for whole (PNG, sections 7 and 8).

Neither does Pillow check the CRCs of the chunks that hold them.
"""

import struct
import zlib
from collections.abc import Iterator
from typing import IO, Final

from vqcodec.errors import ImageError

_SIGNATURE: Final = b"\x89PNG\r\n\x1a\n"
_CHANNELS: Final = {0: 1, 2: 3, 3: 1, 4: 2, 6: 4}
"""Samples a pixel by colour type."""
_PASSES: Final = ((0, 0, 8, 8), (4, 0, 8, 8), (0, 4, 4, 8), (2, 0, 4, 4), (0, 2, 2, 4), (1, 0, 2, 2), (0, 1, 1, 2))
"""First column and row, and steps of columns and rows, of the passes of interlaced pictures."""
_PART_BYTES: Final = 1 << 20


def check_png_rows(file: IO[bytes]) -> None:
    """Checks the CRCs of the compressed data of a PNG, and that they hold as many bytes as its rows need. The place in the file stays.

    Raises:
        ImageError: A CRC differs, or they hold fewer.
    """
    place = file.tell()
    try:
        file.seek(0)
        _check(file)
    finally:
        file.seek(place)


def _check(file: IO[bytes]) -> None:
    if file.read(8) != _SIGNATURE:
        return
    header = file.read(25)
    if len(header) < 25 or header[4:8] != b"IHDR":
        return
    width, height, depth, colour_type, _, _, interlaced = struct.unpack(">IIBBBBB", header[8:21])
    expected = _raw_bytes(width, height, depth * _CHANNELS.get(colour_type, 0), is_interlaced=bool(interlaced))
    inflater, found, is_intact = zlib.decompressobj(), 0, True
    for part in _compressed(file):
        try:
            while part and is_intact and not inflater.eof and found < expected:
                found += len(inflater.decompress(part, _PART_BYTES))
                part = inflater.unconsumed_tail  # noqa: PLW2901 (what is left of it)
        except zlib.error:
            is_intact = False  # Pillow tells it, if the CRCs do not
    if inflater.eof and found < expected:
        raise ImageError(f"PNG whose pixels end after {found} of {expected} bytes (cut or incomplete)")


def _raw_bytes(width: int, height: int, bits: int, *, is_interlaced: bool) -> int:
    """Returns the bytes of all rows, each with one byte for its filter; `bits` are those of a pixel."""
    passes = _PASSES if is_interlaced else ((0, 0, 1, 1),)
    total = 0
    for column, row, columns, rows in passes:
        across, down = -(-max(width - column, 0) // columns), -(-max(height - row, 0) // rows)
        total += down * (1 + -(-across * bits // 8)) if across else 0
    return total


def _compressed(file: IO[bytes]) -> Iterator[bytes]:
    """Yields the bodies of the chunks IDAT, in parts, from the chunk after the header on.

    Raises:
        ImageError: The CRC of one of them differs, after its body was yielded.
    """
    while len(head := file.read(8)) == 8:
        length, kind = struct.unpack(">I4s", head)
        if kind == b"IEND":
            return
        if kind != b"IDAT":
            file.seek(length + 4, 1)
            continue
        crc = zlib.crc32(kind)
        while length:
            part = file.read(min(length, _PART_BYTES))
            if not part:
                return
            length -= len(part)
            crc = zlib.crc32(part, crc)
            yield part
        stored = file.read(4)
        if len(stored) == 4 and stored != crc.to_bytes(4):
            raise ImageError(f"PNG whose pixels are damaged: CRC {crc:08x} of a chunk IDAT, expected {stored.hex()}")
