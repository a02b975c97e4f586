"""Checks what the header of a JPEG XL says, by files that libjxl wrote and by bits put together by hand."""

from io import BytesIO

import imagecodecs
import numpy as np
import pytest

from vqcodec.errors import ImageError
from vqcodec.images.jpeg_xl import JXL_BOX, JpegXlHeader, read_jpeg_xl_header
from vqcodec.images.picture import read_picture


@pytest.mark.parametrize("size", [(1, 1), (8, 8), (256, 256), (20, 12), (16, 12), (300, 200), (513, 7), (7, 513), (9000, 2), (20, 10)])
def test_sizes_of_files_of_libjxl(size: tuple[int, int]) -> None:
    width, height = size
    for options in ({}, {"usecontainer": True}):
        data = imagecodecs.jpegxl_encode(np.zeros((height, width, 3), np.uint8), lossless=True, **options)
        assert read_jpeg_xl_header(BytesIO(data)) == JpegXlHeader(width, height, is_animated=False)


def test_animations_of_libjxl_are_refused() -> None:
    data = imagecodecs.jpegxl_encode(np.zeros((3, 12, 20, 3), np.uint8), lossless=True)
    assert read_jpeg_xl_header(BytesIO(data)) == JpegXlHeader(20, 12, is_animated=True)
    with pytest.raises(ImageError, match="animated JPEG XL, expected a still picture"):
        read_picture(BytesIO(data))


def codestream(*fields: tuple[int, int]) -> bytes:
    """Returns a codestream of (value, bits) fields."""
    bits = place = 0
    for value, count in fields:
        bits |= value << place
        place += count
    return b"\xff\x0a" + bits.to_bytes(place // 8 + 8, "little")


def test_a_large_picture_is_refused_before_the_plugin_sees_it() -> None:
    side = codestream((0, 1), (3, 2), (20000 - 1, 30), (1, 3))
    assert read_jpeg_xl_header(BytesIO(side)).width == 20000
    with pytest.raises(ImageError, match="picture of 20000x20000 pixels, expected sides up to"):
        read_picture(BytesIO(side))


def test_previews_and_shown_sizes_stand_before_the_animation() -> None:
    size, shown = [(1, 1), (1, 5), (1, 3)], [(1, 1), (4, 5), (0, 3), (2, 5)]
    preview = [(1, 1), (2, 2), (3, 5), (0, 3), (0, 2)]
    fields = [*size, (0, 1), (1, 1), (0, 3), (1, 1), *shown, (1, 1), *preview]
    assert read_jpeg_xl_header(BytesIO(codestream(*fields, (1, 1)))) == JpegXlHeader(16, 16, is_animated=True)
    assert read_jpeg_xl_header(BytesIO(codestream(*fields, (0, 1)))) == JpegXlHeader(16, 16, is_animated=False)


@pytest.mark.parametrize(
    "data", [b"\xff\x0a", JXL_BOX, JXL_BOX + b"\0\0\0\0ftyp", JXL_BOX + b"\0\0\0\x0cjxlcABCD", JXL_BOX + b"\0\0\0\1abcd" + bytes(8)]
)
def test_headers_that_are_cut_or_malformed(data: bytes) -> None:
    with pytest.raises(ImageError, match="JPEG XL (ends within its header|without a codestream)"):
        read_jpeg_xl_header(BytesIO(data))
