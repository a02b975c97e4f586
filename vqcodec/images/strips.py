"""Large pictures between Pillow and arrays strip by strip, since Pillow's own ways need the whole picture once or twice more."""

import struct
import zlib
from collections.abc import Callable, Iterator
from io import BytesIO
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray
from PIL import Image

LARGE_PIXELS: Final = 1 << 24
"""Least pixels of pictures that go strip by strip."""

_STRIP_PIXELS: Final = 1 << 22
_SIGNATURE_BYTES: Final = 8


def array_of(image: Image.Image) -> NDArray[Any]:
    """Returns the samples of a Pillow image that is loaded, as `numpy.asarray` does, and read-only like these."""
    if image.width * image.height < LARGE_PIXELS:
        return np.asarray(image)
    rows = max(1, _STRIP_PIXELS // image.width)
    array: NDArray[Any] | None = None
    for start in range(0, image.height, rows):
        box = 0, start, image.width, min(start + rows, image.height)
        strip = np.asarray(image._new(image.im.crop(box)))  # whatever Image.MAX_IMAGE_PIXELS is, unlike `Image.crop`
        if array is None:
            array = np.empty((image.height, *strip.shape[1:]), strip.dtype)
        array[start : start + rows] = strip
    assert array is not None
    array.flags.writeable = False
    return array


def write_large_png(size: tuple[int, int], strip: Callable[[int, int], Image.Image], **options: Any) -> bytes:
    """Returns a PNG file.

    Pillow filters the rows of each strip, and the filtered rows of all strips become one zlib stream (PNG specification, section 10).

    Args:
        size: width and height of the picture.
        strip: function that returns some rows of it, given the first and the one after the last.
        options: arguments of Pillow's writer, for the metadata.
    """
    width, height = size
    rows = max(1, _STRIP_PIXELS // width)
    first, *others = (slice(start, min(start + rows, height)) for start in range(0, height, rows))
    chunks = list(_chunks(_png(strip(first.start, first.stop), **options)))
    kinds = [kind for kind, _ in chunks]
    start, end = kinds.index(b"IDAT"), len(kinds) - kinds[::-1].index(b"IDAT")
    compressor = zlib.compressobj(strategy=zlib.Z_FILTERED)
    parts = [compressor.compress(_filtered(chunks))]
    for part in others:
        # The row above comes along, since a row's filter may look at it.
        filtered = memoryview(_filtered(_chunks(_png(strip(part.start - 1, part.stop)))))
        parts.append(compressor.compress(filtered[len(filtered) // (part.stop - part.start + 1) :]))
    parts.append(compressor.flush())
    header = struct.pack(">II", width, height) + chunks[0][1][8:]
    return b"".join(
        [
            b"\x89PNG\r\n\x1a\n",
            _chunk(b"IHDR", header),
            *(_chunk(*chunk) for chunk in chunks[1:start]),
            *(_chunk(b"IDAT", data) for data in parts if data),
            *(_chunk(*chunk) for chunk in chunks[end:]),
        ]
    )


def _png(image: Image.Image, **options: Any) -> bytes:
    out = BytesIO()
    image.save(out, "PNG", compress_level=1, **options)
    return out.getvalue()


def _chunks(data: bytes) -> Iterator[tuple[bytes, bytes]]:
    """Yields type and data of each chunk of a PNG file."""
    position = _SIGNATURE_BYTES
    while position < len(data):
        length, kind = struct.unpack_from(">I4s", data, position)
        yield kind, data[position + 8 : position + 8 + length]
        position += 12 + length


def _filtered(chunks: "Iterator[tuple[bytes, bytes]] | list[tuple[bytes, bytes]]") -> bytes:
    return zlib.decompress(b"".join(data for kind, data in chunks if kind == b"IDAT"))


def _chunk(kind: bytes, data: bytes) -> bytes:
    return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(data, zlib.crc32(kind)))
