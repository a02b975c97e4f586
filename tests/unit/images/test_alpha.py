"""Checks that alpha planes come back, and that colours under alpha 0 neither cost much nor touch visible ones."""

from io import BytesIO

import numpy as np
import pytest
from PIL import Image

from tests.conftest import make_picture
from tests.unit.images.pngs import chunk, png
from vqcodec.errors import FormatError, LimitExceededError
from vqcodec.images.alpha import decode_alpha, encode_alpha, settle_alpha
from vqcodec.images.fill import fill_smoothly
from vqcodec.images.picture import picture_from_any

RGB = make_picture(20, 12)


def test_alpha_plane() -> None:
    alpha = RGB[:, :, 1]
    data = encode_alpha(alpha)
    assert np.array_equal(decode_alpha(data, width=20, height=12), alpha)
    assert data[0] == 0x2F
    with pytest.raises(FormatError, match="alpha plane of 20x12 pixels and 1 frames, expected 12x20 and one"):
        decode_alpha(data, width=12, height=20)
    with pytest.raises(FormatError, match="alpha plane that cannot be decoded"):
        decode_alpha(data[:50], width=20, height=12)
    with pytest.raises(FormatError, match="alpha plane is L;2 2x1, expected L 2x1"):
        decode_alpha(png(2, 0, b"\x50"), width=2, height=1)


def test_an_alpha_plane_that_is_too_wide_for_webp_is_a_png() -> None:
    alpha = np.arange(16384, dtype=np.uint32).astype(np.uint8)[None]
    data = encode_alpha(alpha)
    assert data[:4] == b"\x89PNG"
    assert np.array_equal(decode_alpha(data, width=16384, height=1), alpha)


def test_pillows_limit_on_pixels_gives_no_warning_and_is_told(recwarn: pytest.WarningsRecorder, monkeypatch: pytest.MonkeyPatch) -> None:
    """Above it Pillow warns of alpha planes, and above twice the limit it refuses WebP bitstreams."""
    monkeypatch.setattr(Image, "MAX_IMAGE_PIXELS", 200)
    alpha, png_file = RGB[:, :, 1], BytesIO()
    Image.fromarray(alpha).save(png_file, "PNG")
    data = encode_alpha(alpha)
    for one in (data, png_file.getvalue()):
        assert np.array_equal(decode_alpha(one, width=20, height=12), alpha)
    assert not recwarn.list
    monkeypatch.setattr(Image, "MAX_IMAGE_PIXELS", 10)
    assert np.array_equal(decode_alpha(png_file.getvalue(), width=20, height=12), alpha)
    with pytest.raises(LimitExceededError, match=r"an alpha plane of 20x12 pixels, expected 2 \* 10 at most, by Image.MAX_IMAGE_PIXELS"):
        decode_alpha(data, width=20, height=12)


def test_what_is_no_plane_is_told_by_its_bytes() -> None:
    for data, begins in [(b"junk", "6a 75 6e 6b"), (b"", "nothing")]:
        with pytest.raises(FormatError, match=f"^alpha plane is no PNG and no WebP bitstream but begins with {begins}, expected L 20x12$"):
            decode_alpha(data, width=20, height=12)


@pytest.mark.parametrize("damaged", [chunk(b"iCCP", b"x"), chunk(b"gAMA", b"x")])
def test_damage_behind_the_pixels(damaged: bytes) -> None:
    with pytest.raises(FormatError, match="alpha plane cannot be read"):
        decode_alpha(png(8, 0, b"\1\2", after=damaged), width=2, height=1)


def test_an_opaque_plane_is_left_out() -> None:
    opaque = np.full((12, 20), 255, np.uint8)
    assert settle_alpha(RGB, opaque) == (RGB, None)
    assert picture_from_any(np.dstack([RGB, opaque])).alpha is None
    assert picture_from_any(Image.fromarray(RGB).convert("RGBA")).alpha is None
    opaque[0, 0] = 254
    assert picture_from_any(np.dstack([RGB, opaque])).alpha is not None


@pytest.mark.parametrize("channels", [1, 3])
def test_hidden_colours_are_filled_smoothly(channels: int) -> None:
    y, x = np.mgrid[0:61, 0:80]
    ramp = np.repeat((x + y)[:, :, None], channels, axis=2).astype(np.uint8)
    alpha = np.where((x - 40) ** 2 + (y - 30) ** 2 < 400, 255, 0).astype(np.uint8)
    alpha[30, 40] = 1
    stained = np.where((alpha == 0)[:, :, None], 255, ramp).astype(np.uint8)
    if channels == 1:
        ramp, stained = ramp[:, :, 0], stained[:, :, 0]
    filled = fill_smoothly(stained, alpha > 0)
    assert filled.shape == ramp.shape and filled.dtype == np.uint8
    assert np.array_equal(filled[alpha > 0], ramp[alpha > 0])
    levels = filled.reshape(61, 80, -1).astype(int)
    assert np.abs(np.diff(levels, axis=0)).max() <= 12 and np.abs(np.diff(levels, axis=1)).max() <= 12
    assert ramp[alpha > 0].min() <= filled.min() and filled.max() <= ramp[alpha > 0].max()


def test_one_visible_pixel_fills_a_large_picture() -> None:
    pixels, alpha = np.zeros((2000, 1500, 3), np.uint8), np.zeros((2000, 1500), np.uint8)
    pixels[1234, 567], alpha[1234, 567] = (200, 100, 50), 255
    assert (fill_smoothly(pixels, alpha > 0) == [200, 100, 50]).all()


def test_where_all_is_hidden_the_picture_is_flat() -> None:
    assert (fill_smoothly(RGB, np.zeros((12, 20), bool)) == 128).all()


def test_hidden_colours_do_not_come_through_reading() -> None:
    alpha = np.full((12, 20), 255, np.uint8)
    alpha[:, 10:] = 0
    loud = np.dstack([np.where((alpha == 0)[:, :, None], [255, 0, 255], RGB), alpha]).astype(np.uint8)
    for image in (loud, Image.fromarray(loud)):
        picture = picture_from_any(image)
        assert picture.alpha is not None and np.array_equal(picture.alpha, alpha)
        assert np.array_equal(picture.pixels[:, :10], RGB[:, :10])
        assert not (picture.pixels[:, 10:] == [255, 0, 255]).all(axis=2).any()
