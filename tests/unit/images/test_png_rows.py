"""Checks that a PNG whose pixels end early or are damaged is refused, and that all whole ones are read."""

import struct
import zlib
from io import BytesIO
from itertools import pairwise

import numpy as np
import pytest
from PIL import Image

from tests.conftest import make_picture
from tests.unit.images.pngs import chunk
from vqcodec.errors import ImageError
from vqcodec.images.picture import picture_from_any, read_picture

RGB = make_picture(24, 16)


def png_of_rows(rows: int, *parts: int, end: bytes = b"") -> bytes:
    """Returns a PNG of 24x16 pixels whose compressed data hold so many rows, cut into chunks at some places."""
    data = zlib.compress(b"".join(b"\0" + RGB[row].tobytes() for row in range(rows)))
    places = [0, *parts, len(data)]
    chunks = b"".join(chunk(b"IDAT", data[start:stop]) for start, stop in pairwise(places))
    header = chunk(b"IHDR", struct.pack(">IIBBBBB", 24, 16, 8, 2, 0, 0, 0))
    return b"\x89PNG\r\n\x1a\n" + header + chunk(b"tEXt", b"a\0b") + chunks + end + chunk(b"IEND", b"")


@pytest.mark.parametrize("rows", [0, 2, 15])
def test_rows_that_are_missing(rows: int) -> None:
    for data in (png_of_rows(rows), png_of_rows(rows, 3, 5), png_of_rows(rows)[:-12]):
        with pytest.raises(ImageError, match=f"PNG whose pixels end after {rows * 73} of 1168 bytes"):
            read_picture(BytesIO(data))
    with pytest.raises(ImageError, match="PNG whose pixels end after"):
        picture_from_any(Image.open(BytesIO(png_of_rows(rows))))


@pytest.mark.parametrize("parts", [(), (300, 600)])
def test_damaged_pixels(parts: tuple[int, ...]) -> None:
    """Damage in the last chunk, its CRC too: Pillow reads some of such files, with wrong pixels."""
    data = png_of_rows(16, *parts)
    for place in range(len(data) - 200, len(data) - 12):
        damaged = data[:place] + bytes([data[place] ^ 1]) + data[place + 1 :]
        with pytest.raises(ImageError, match=r"x: PNG whose pixels are damaged: CRC [0-9a-f]{8} of a chunk IDAT, expected [0-9a-f]{8}$"):
            read_picture(BytesIO(damaged), name="x")


def test_whole_pngs_are_read() -> None:
    for data in (png_of_rows(16), png_of_rows(16, 1, 2, 700), png_of_rows(16, end=chunk(b"tEXt", b"c\0d")), png_of_rows(16) + b"more"):
        assert np.array_equal(read_picture(BytesIO(data)).pixels, RGB)


@pytest.mark.parametrize("mode", ["1", "L", "LA", "P", "RGB", "RGBA", "I;16"])
@pytest.mark.parametrize("size", [(1, 1), (3, 2), (5, 9), (24, 16)])
def test_rows_of_every_mode(mode: str, size: tuple[int, int]) -> None:
    out = BytesIO()
    Image.new(mode, size).save(out, "PNG")
    assert read_picture(BytesIO(out.getvalue())).pixels.shape[:2] == size[::-1]


@pytest.mark.parametrize("size", [(1, 1), (8, 8), (5, 3)])
def test_interlaced_pictures(size: tuple[int, int]) -> None:
    """Adam7 of 8-bit grey: each pass has its rows of bytes and filters."""
    width, height = size
    passes = [(0, 0, 8, 8), (4, 0, 8, 8), (0, 4, 4, 8), (2, 0, 4, 4), (0, 2, 2, 4), (1, 0, 2, 2), (0, 1, 1, 2)]
    lengths = [[len(range(x, width, dx))] * len(range(y, height, dy)) for x, y, dx, dy in passes]
    raw = b"".join(bytes(1 + length) for rows in lengths for length in rows if length)
    header = chunk(b"IHDR", struct.pack(">IIBBBBB", width, height, 8, 0, 0, 0, 1))
    for data, is_whole in ((raw, True), (raw[:-1], False)):
        file = b"\x89PNG\r\n\x1a\n" + header + chunk(b"IDAT", zlib.compress(data)) + chunk(b"IEND", b"")
        if is_whole:
            assert read_picture(BytesIO(file)).pixels.shape == (height, width)
        else:
            with pytest.raises(ImageError, match=f"end after {len(raw) - 1} of {len(raw)} bytes"):
                read_picture(BytesIO(file))
