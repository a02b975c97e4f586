"""Width, height and animation of a JPEG XL by its header, ISO/IEC 18181-1, annex D, in boxes as in 18181-2."""

import struct
from dataclasses import dataclass
from typing import BinaryIO, Final

from vqcodec.errors import ImageError

JXL_STREAM: Final = b"\xff\x0a"
"""First bytes of a codestream."""
JXL_BOX: Final = b"\x00\x00\x00\x0cJXL \r\n\x87\n"
"""First bytes of a file of boxes."""
_HEADER_BYTES: Final = 64
_MAX_BOXES: Final = 1000
_RATIOS: Final = ((1, 1), (12, 10), (4, 3), (3, 2), (16, 9), (5, 4), (2, 1))
"""Width over height by the number that stands for it, from 1 on."""
_SIDES: Final = ((9, 1), (13, 1), (18, 1), (30, 1))
"""Bits and offset of a side, by selector."""
_PREVIEW_SIDES: Final = ((6, 1), (8, 65), (10, 321), (12, 1345))
_PREVIEW_EIGHTHS: Final = ((0, 16), (0, 32), (5, 1), (9, 33))


@dataclass(frozen=True)
class JpegXlHeader:
    """The header of a JPEG XL.

    Attributes:
        width, height: size in pixels as stored, before its orientation is applied.
        is_animated: whether it is an animation.
    """

    width: int
    height: int
    is_animated: bool


class _Bits:
    """Reads bits, the lowest of a byte first."""

    def __init__(self, data: bytes) -> None:
        self._rest, self._left = int.from_bytes(data, "little"), 8 * len(data)

    def take(self, count: int) -> int:
        if count > self._left:
            raise ImageError("JPEG XL ends within its header")
        value = self._rest & ((1 << count) - 1)
        self._rest, self._left = self._rest >> count, self._left - count
        return value

    def choice(self, kinds: tuple[tuple[int, int], ...]) -> int:
        """Returns a number of one of four kinds of bits and offset."""
        bits, offset = kinds[self.take(2)]
        return self.take(bits) + offset


def read_jpeg_xl_header(file: BinaryIO) -> JpegXlHeader:
    """Reads the header of a file that is open at its first byte.

    Raises:
        ImageError: It is cut or malformed.
    """
    bits = _Bits(_codestream(file))
    height, width = _read_size(bits)
    if bits.take(1) or not bits.take(1):  # all by default, or none of the fields that follow
        return JpegXlHeader(width, height, is_animated=False)
    bits.take(3)  # orientation
    if bits.take(1):  # size as it is meant to be shown
        _read_size(bits)
    if bits.take(1):
        _read_preview(bits)
    return JpegXlHeader(width, height, is_animated=bool(bits.take(1)))


def _codestream(file: BinaryIO) -> bytes:
    """Returns the first bytes of the codestream, after its signature."""
    start = file.read(len(JXL_BOX))
    if start.startswith(JXL_STREAM):
        return start[len(JXL_STREAM) :] + file.read(_HEADER_BYTES)
    for _ in range(_MAX_BOXES):
        head = file.read(8)
        if len(head) < 8:
            break
        length, kind = struct.unpack(">I4s", head)
        passed = 8
        if length == 1:
            (length,) = struct.unpack(">Q", file.read(8).ljust(8, b"\0"))
            passed = 16
        if kind in (b"jxlc", b"jxlp"):
            data = file.read(4 + len(JXL_STREAM) + _HEADER_BYTES)[4 if kind == b"jxlp" else 0 :]
            if data.startswith(JXL_STREAM):
                return data[len(JXL_STREAM) :]
            break
        if length < passed:
            break
        file.seek(length - passed, 1)
    raise ImageError("JPEG XL without a codestream")


def _read_size(bits: _Bits) -> tuple[int, int]:
    """Reads a size; returns height and width."""
    in_eighths = bits.take(1)
    height = 8 * (bits.take(5) + 1) if in_eighths else bits.choice(_SIDES)
    if ratio := bits.take(3):
        above, below = _RATIOS[ratio - 1]
        return height, height * above // below
    return height, 8 * (bits.take(5) + 1) if in_eighths else bits.choice(_SIDES)


def _read_preview(bits: _Bits) -> None:
    sides = _PREVIEW_EIGHTHS if bits.take(1) else _PREVIEW_SIDES
    bits.choice(sides)
    if not bits.take(3):
        bits.choice(sides)
