"""Files that are wrong inside of right checksums, so that what is wrong reaches the readers behind them."""

import zlib
from collections.abc import Sequence
from dataclasses import replace
from typing import Final

import numpy as np
from numpy.typing import NDArray

from vqcodec.coding.any_prior import decode_streams
from vqcodec.coding.coders import decode_raw, decode_static
from vqcodec.coding.maps import index_crc, place_streams
from vqcodec.errors import DesyncError, FormatError
from vqcodec.format.chunks import chunks_length
from vqcodec.format.container import FORMAT_VERSION, MAGIC, PLAIN_VERSION, CoderKind, Container, MapEntry, crc16, map_size, write_container
from vqcodec.format.integers import ByteReader
from vqcodec.models.model import Model

_LAYERS_FLAG, _METADATA_FLAG = 0x80, 0x40
MOST_PIXELS: Final = 1 << 16
"""Largest picture whose codes are decoded to learn their checksum."""


def mend(data: bytes) -> bytes:
    """Returns a file with the right magic, version and checksums of bytes, as far as it can be walked through (FORMAT.md, section 2)."""
    out = bytearray(data)
    out[:4] = MAGIC + bytes([PLAIN_VERSION if data[3:4] == bytes([PLAIN_VERSION]) else FORMAT_VERSION])
    reader = ByteReader(bytes(out), 4)
    entries = []
    try:
        layout = reader.byte()
        reader.varint()
        reader.take(4)
        reader.varint()
        reader.varint()
        for _ in range((layout & 15) + 1):
            length = reader.varint(max_bytes=5)
            entries.append((length >> 2, reader.position))
            reader.take(5 if length & 3 == 3 and out[3] == FORMAT_VERSION else 4)  # the last byte is a sharpness
        lengths = [reader.varint(max_bytes=5) if layout & flag else 0 for flag in (_LAYERS_FLAG, _METADATA_FLAG)]
    except FormatError:
        return bytes(out)
    end_of_fields = reader.position
    position = end_of_fields + 4
    _mend_chunks(out, position, position + lengths[0])
    position += lengths[0]
    for length, place in entries:
        out[place : place + 2] = crc16(bytes(out[position : position + length])).to_bytes(2, "little")
        position += length
    _mend_chunks(out, position, position + lengths[1])
    out[end_of_fields : end_of_fields + 4] = zlib.crc32(out[:end_of_fields]).to_bytes(4, "little")
    return bytes(out)


def _mend_chunks(out: bytearray, start: int, end: int) -> None:
    while start < end:
        reader = ByteReader(bytes(out[:end]), start)
        try:
            reader.take(4)
            reader.take(reader.varint(max_bytes=5))
        except FormatError:
            return
        place = reader.position
        if place + 4 > len(out):
            return
        out[place : place + 4] = zlib.crc32(out[start:place]).to_bytes(4, "little")
        start = place + 4


def mend_png(data: bytes) -> bytes:
    """Returns a PNG with the right checksums of its chunks."""
    out, position = bytearray(data), 8
    while position + 12 <= len(out):
        end = position + 8 + int.from_bytes(out[position : position + 4], "big")
        if end + 4 > len(out):
            break
        out[end : end + 4] = zlib.crc32(out[position + 4 : end]).to_bytes(4, "big")
        position = end + 4
    return bytes(out)


def assemble(container: Container) -> bytes:
    """Returns a file whose lengths and checksums of bytes are those of its parts.

    Raises:
        ValueError: A field cannot be written, since it is out of the format's range.
    """
    entries = zip(container.header.maps, container.payloads, strict=True)
    maps = tuple(replace(entry, num_bytes=len(payload), payload_crc=crc16(payload)) for entry, payload in entries)
    regions = {"layers_bytes": chunks_length(container.layers), "metadata_bytes": chunks_length(container.metadata)}
    return write_container(replace(container, header=replace(container.header, maps=maps, **regions)))


def with_index_crcs(container: Container, model: Model) -> Container:
    """Returns a container with the checksums of the codes that its payloads hold, up to the first map that does not decode."""
    header = container.header
    if header.width * header.height > MOST_PIXELS or len(header.maps) > len(model.codings):
        return container
    maps = list(header.maps)
    earlier: list[NDArray[np.int64]] = []
    for number, payload in enumerate(container.payloads):
        size = map_size(header.width, header.height, number)
        try:
            earlier.append(codes_of(payload, maps[number], size, earlier, model))
        except DesyncError:
            break
        maps[number] = replace(maps[number], index_crc=index_crc(earlier[-1]))
    return replace(container, header=replace(header, maps=tuple(maps)))


def codes_of(
    payload: bytes, entry: MapEntry, size: tuple[int, int], earlier: Sequence[NDArray[np.int64]], model: Model
) -> NDArray[np.int64]:
    """Returns the map of (h, w) codes that a payload holds, whatever its checksum; `earlier` are the maps before it.

    Raises:
        DesyncError: It holds none.
    """
    coding = model.codings[len(earlier)]
    if entry.coder is CoderKind.RAW:
        return decode_raw(payload, size[0] * size[1], len(coding.static_freqs)).reshape(size)
    if entry.coder is CoderKind.STATIC:
        return decode_static(payload, size[0] * size[1], coding.static_freqs).reshape(size)
    if coding.prior is None:
        raise DesyncError("no prior")
    streams = [payload[place] for place in place_streams(coding, payload, len(payload), size)]
    (decoded,) = decode_streams(coding.prior.sharpened(entry.sharpness), [streams], [size], [list(earlier)])
    if decoded.error is not None:
        raise decoded.error
    return decoded.indices
