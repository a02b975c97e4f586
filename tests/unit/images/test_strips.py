"""Checks that pictures that go strip by strip are those that go as a whole."""

from io import BytesIO

import numpy as np
import pytest
from PIL import Image, PngImagePlugin

from tests.conftest import make_picture
from vqcodec.images import strips, writing
from vqcodec.images.picture import Picture, read_picture
from vqcodec.images.writing import write_picture


@pytest.fixture(autouse=True)
def few_pixels(monkeypatch: pytest.MonkeyPatch) -> None:
    """Strips of 1,000 pixels, of all pictures."""
    monkeypatch.setattr(strips, "_STRIP_PIXELS", 1000)
    for module in (strips, writing):
        monkeypatch.setattr(module, "LARGE_PIXELS", 1)


RGB = make_picture(90, 71)
ALPHA = (np.arange(71 * 90) % 251).astype(np.uint8).reshape(71, 90)
PICTURES = [Picture(RGB), Picture(RGB[:, :, 0]), Picture(RGB, ALPHA), Picture(RGB[:, :, 0], ALPHA), Picture(RGB[:1]), Picture(RGB[:, :1])]


@pytest.mark.parametrize("picture", PICTURES, ids=["rgb", "grey", "rgba", "grey-alpha", "row", "column"])
def test_a_png_in_strips_holds_the_picture_and_its_metadata(picture: Picture, monkeypatch: pytest.MonkeyPatch) -> None:
    told = Picture(picture.pixels, picture.alpha, b"no real profile", b"II*\0\x08\0\0\0\0\0\0\0\0\0", b"<x/>")
    data = write_picture(told, ".png")
    monkeypatch.setattr(writing, "LARGE_PIXELS", 1 << 30)
    whole = write_picture(told, ".png")
    with Image.open(BytesIO(data)) as image, Image.open(BytesIO(whole)) as expected:
        assert image.tobytes() == expected.tobytes() and image.mode == expected.mode
        assert image.info == expected.info and {"icc_profile", "exif", "xmp"} <= image.info.keys()
        assert isinstance(image, PngImagePlugin.PngImageFile) and isinstance(expected, PngImagePlugin.PngImageFile)
        assert image.text == expected.text
    assert len(data) < 1.1 * len(whole) + 100


def test_pillows_limit_on_pixels_does_not_concern_strips(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(Image, "MAX_IMAGE_PIXELS", 10)
    assert np.array_equal(strips.array_of(Image.fromarray(RGB)), RGB)


@pytest.mark.parametrize("mode", ["RGB", "L", "RGBA", "LA", "I;16"])
def test_arrays_are_read_strip_by_strip(mode: str) -> None:
    image = Image.fromarray(ALPHA.astype(np.uint16) * 257) if mode == "I;16" else Image.fromarray(RGB).convert(mode)
    array = strips.array_of(image)
    assert np.array_equal(array, np.asarray(image)) and array.dtype == np.asarray(image).dtype and not array.flags.writeable
    out = BytesIO()
    image.save(out, "PNG")
    assert read_picture(BytesIO(out.getvalue())).pixels.shape[:2] == (71, 90)
