"""Checks that picture files whose samples Pillow would give wrong are refused."""

import struct
from io import BytesIO
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from tests.unit.images.pngs import chunk, png
from vqcodec.errors import ImageError
from vqcodec.images.picture import (
    read_picture,
)


def test_samples_whose_range_is_not_known_are_refused(tmp_path: Path) -> None:
    wide = Image.fromarray(np.full((4, 4), 100, np.int32))
    wide.save(tmp_path / "wide.tif")
    inverted = Image.fromarray(np.full((4, 4), 100, np.uint16))
    inverted.save(tmp_path / "inverted.tif", tiffinfo={262: 0})
    signed = Image.fromarray(np.full((4, 4), 100, np.uint8))
    signed.save(tmp_path / "signed.tif", tiffinfo={339: 2})
    with pytest.raises(ImageError, match="signed"):
        read_picture(tmp_path / "signed.tif")
    bilevel = BytesIO()
    Image.new("1", (4, 4)).save(bilevel, "PNG", transparency=0)
    for source, message in [
        (tmp_path / "wide.tif", "32 bits"),
        (tmp_path / "inverted.tif", "0 is white"),
        (BytesIO(bilevel.getvalue()), "1 bit"),
    ]:
        with pytest.raises(ImageError, match=message):
            read_picture(source, name="x")


@pytest.mark.parametrize(
    ("depth", "colour_type", "samples", "transparent"),
    [(2, 0, b"\x40", b"\0\1"), (4, 0, b"\x10", b"\0\1"), (16, 2, bytes(12), bytes(6)), (16, 4, bytes(8), b"")],
)
def test_pngs_whose_transparency_pillow_mistakes_are_refused(depth: int, colour_type: int, samples: bytes, transparent: bytes) -> None:
    with pytest.raises(ImageError, match="convert it to 8 bits"):
        read_picture(BytesIO(png(depth, colour_type, samples, transparent)), name="x")
    if transparent:
        assert read_picture(BytesIO(png(depth, colour_type, samples)), name="x").alpha is None


def test_samples_far_from_those_of_srgb_are_refused() -> None:
    def gamma(value: int) -> bytes:
        return chunk(b"gAMA", struct.pack(">I", value))

    assert read_picture(BytesIO(png(8, 0, b"\1\2", before=gamma(45455)))).pixels.tolist() == [[1, 2]]
    assert read_picture(BytesIO(png(8, 0, b"\1\2", before=chunk(b"sRGB", b"\0") + gamma(100000)))).pixels.tolist() == [[1, 2]]
    with pytest.raises(ImageError, match="PNG of gamma 1, expected 0.45455"):
        read_picture(BytesIO(png(8, 0, b"\1\2", before=gamma(100000))))
