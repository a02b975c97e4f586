"""Which size an AVIF file has by what its AV1 stream says, so that it is known before anything is decoded (FORMAT.md, section 5).

Decoders allocate what the stream says, and scale its picture where the boxes around it say another size. What they make of a stream that
has no frame, several, or unknown units depends on their version, so that such streams are refused here.
"""

import struct
from collections.abc import Iterator
from typing import Final

from vqcodec.errors import FormatError

_FILE_BOXES: Final = {b"ftyp", b"meta", b"mdat", b"free"}
_CODED: Final = b"av01"
_MAX_STREAMS: Final = 2
"""Number of AV1 streams that a still picture has at most, those of colours and alpha."""
_SEQUENCE_HEADER: Final = 1
"""Type of the units of an AV1 stream that state its size (AV1 specification, section 5.5)."""
_FRAMES: Final = {3, 6}
"""Types of the units that a frame begins with: its header, or all of it (section 5.9)."""
_UNITS: Final = {_SEQUENCE_HEADER, *_FRAMES, 2, 4, 5, 15}
"""Types of all units of a stream: those, the beginning of a picture, parts of a frame, metadata and padding. Decoders pass over others."""


def check_avif_size(data: bytes, width: int, height: int) -> None:
    """Checks that all AV1 streams of an AVIF file are of a size.

    Args:
        data: the file.
        width: width of the size in pixels.
        height: height of the size in pixels.

    Raises:
        FormatError: They are not, or the file is not one of still pictures of one frame without tiles.
    """
    try:
        streams = _streams(data)
        sizes = [size for stream in streams for size in _sizes(stream)]
    except (FormatError, IndexError, struct.error) as error:
        raise FormatError("an AVIF layer that is damaged or not of the simplest structure, expected one of a coded picture") from error
    if not sizes:
        raise FormatError(f"an AVIF layer without a coded picture, expected one of {width}x{height} pixels")
    for size in sizes:
        if size != (width, height):
            raise FormatError(f"an AVIF layer of {size[0]}x{size[1]} pixels, expected {width}x{height}")


def _boxes(data: bytes) -> Iterator[tuple[bytes, bytes]]:
    """Yields type and body of each box that data consists of (ISO/IEC 14496-12, section 4.2)."""
    position = 0
    while position < len(data):
        length, kind = struct.unpack_from(">I4s", data, position)
        start = 8
        if length == 1:
            (length,) = struct.unpack_from(">Q", data, position + 8)
            start = 16
        elif length == 0:
            length = len(data) - position
        if not start <= length <= len(data) - position:
            raise FormatError("a box of a wrong length")
        yield kind, data[position + start : position + length]
        position += length


def _streams(data: bytes) -> list[bytes]:
    """Returns the AV1 streams of a file."""
    of_file = list(_boxes(data))
    metas = [body for kind, body in of_file if kind == b"meta"]
    if len(metas) != 1 or not {kind for kind, _ in of_file} <= _FILE_BOXES:
        raise FormatError("not the boxes of a still picture")
    inner = list(_boxes(metas[0][4:]))
    boxes = dict(inner)
    if len(boxes) != len(inner):
        raise FormatError("a box occurs twice")
    kinds = _item_kinds(boxes.get(b"iinf", b""))
    if not {kind for _, kind in kinds} <= {_CODED, b"Exif", b"mime"}:
        raise FormatError("not one coded picture")
    coded = {number for number, kind in kinds if kind == _CODED}
    sources = {0: data, 1: boxes.get(b"idat", b"")}
    places = [place for number, *place in _places(boxes.get(b"iloc", b"")) if number in coded]
    if len(places) > _MAX_STREAMS:
        raise FormatError("more streams than colours and alpha")
    streams = []
    for method, offset, length in places:
        if method not in sources or not 0 < length <= len(sources[method]) - offset:
            raise FormatError("an item lies outside of the file")
        streams.append(sources[method][offset : offset + length])
    return streams


def _item_kinds(body: bytes) -> list[tuple[int, bytes]]:
    """Returns number and type of each item by the box `iinf` (ISO/IEC 14496-12, section 8.11.6)."""
    kinds = []
    for kind, entry in _boxes(body[6 if body[0] == 0 else 8 :]):
        if kind != b"infe" or entry[0] not in (2, 3):
            raise FormatError("an item without a type")
        number, _, item = struct.unpack_from(">HH4s" if entry[0] == 2 else ">IH4s", entry, 4)
        kinds.append((number, item))
    return kinds


def _places(body: bytes) -> list[tuple[int, int, int, int]]:
    """Returns number, method, offset and length of each item by the box `iloc` (ISO/IEC 14496-12, section 8.11.3)."""
    version = body[0]
    reader = _BitReader(body[4:])
    offset_bits, length_bits, base_bits, index_bits = (8 * reader.take(4) for _ in range(4))
    number_bits = 32 if version == 2 else 16
    places = []
    for _ in range(reader.take(number_bits)):
        number = reader.take(number_bits)
        method = reader.take(16) & 15 if version else 0
        reader.take(16)
        base = reader.take(base_bits)
        if reader.take(16) != 1:
            raise FormatError("an item in several pieces")
        reader.take(index_bits if version else 0)
        places.append((number, method, base + reader.take(offset_bits), reader.take(length_bits)))
    return places


def _sizes(stream: bytes) -> Iterator[tuple[int, int]]:
    """Yields width and height of each sequence header of an AV1 stream, of which there must be one at least, and of one frame."""
    position, kinds = 0, []
    while position < len(stream):
        first = stream[position]
        position += 2 if first & 4 else 1
        length = len(stream) - position
        if first & 2:
            length, position = _leb128(stream, position)
        if length > len(stream) - position:
            raise FormatError("a unit that is cut")
        kinds.append(first >> 3 & 15)
        if kinds[-1] not in _UNITS:
            raise FormatError("a unit that is none of a still picture")
        if kinds[-1] == _SEQUENCE_HEADER:
            yield _size(_BitReader(stream[position : position + length]))
        position += length
    if _SEQUENCE_HEADER not in kinds or sum(kind in _FRAMES for kind in kinds) != 1:
        raise FormatError("not a sequence header and one frame")


def _leb128(stream: bytes, position: int) -> tuple[int, int]:
    """Returns a number in base 128, and where it ends."""
    value = 0
    for number in range(8):
        value |= (stream[position + number] & 0x7F) << 7 * number
        if stream[position + number] < 0x80:
            return value, position + number + 1
    raise FormatError("a number of more than 8 bytes")


def _size(bits: "_BitReader") -> tuple[int, int]:
    """Returns width and height of a sequence header (AV1 specification, section 5.5.1)."""
    bits.take(4)
    is_reduced = bits.take(1)
    if is_reduced:
        bits.take(5)
    else:
        if bits.take(1):
            raise FormatError("times, which a still picture does not need")
        has_delays = bits.take(1)
        for _ in range(bits.take(5) + 1):
            bits.take(12)
            if bits.take(5) > 7:
                bits.take(1)
            if has_delays and bits.take(1):
                bits.take(4)
    lengths = bits.take(4) + 1, bits.take(4) + 1
    width, height = (bits.take(length) + 1 for length in lengths)
    if not is_reduced and any(length > max(1, (side - 1).bit_length()) for length, side in zip(lengths, (width, height), strict=True)):
        raise FormatError("a size in more bits than it needs, with which a frame may state a larger one")
    return width, height


class _BitReader:
    """A position in bits, the highest of each byte first, that moves on as they are read.

    Args:
        data: the bytes.
    """

    def __init__(self, data: bytes) -> None:
        self._data = data
        self._position = 0

    def take(self, count: int) -> int:
        """Reads an integer of `count` bits.

        Raises:
            FormatError: The bytes end too early.
        """
        end = self._position + count
        if end > 8 * len(self._data):
            raise FormatError("the bits end too early")
        first, last = self._position // 8, -(-end // 8)
        value = int.from_bytes(self._data[first:last], "big") >> (8 * last - end) & (1 << count) - 1
        self._position = end
        return value
