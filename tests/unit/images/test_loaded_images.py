"""Checks that a Pillow image is the same picture whether it was loaded before or not, although Pillow then forgets what its file states."""

import struct
from io import BytesIO
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from tests.conftest import lock, make_picture
from tests.unit.images.pngs import chunk, png
from tests.unit.images.profiles import DISPLAY_P3
from tests.unit.images.test_samples import tga
from vqcodec.errors import ImageError
from vqcodec.images.colour import profile_of
from vqcodec.images.picture import Picture, picture_from_any

P3 = profile_of(DISPLAY_P3, is_grey=False)
OPAQUE_TGA = tga(32, 0, bytes([30, 20, 10, 0, 60, 50, 40, 0]))


def png_of(primaries: int, transfer: int) -> bytes:
    return png(8, 2, bytes(6), before=chunk(b"cICP", bytes([primaries, transfer, 0, 1])))


def avif_of(primaries: int, transfer: int) -> bytes:
    out = BytesIO()
    Image.fromarray(make_picture(20, 12)).save(out, "AVIF")
    data = out.getvalue()
    place = data.index(b"nclx") + 4
    return data[:place] + struct.pack(">HH", primaries, transfer) + data[place + 4 :]


def equal(first: Picture, second: Picture) -> bool:
    return all(np.array_equal(one, other) for one, other in zip(vars(first).values(), vars(second).values(), strict=True))


FILES = {
    "p3.png": png_of(12, 13),
    "p3.avif": avif_of(12, 13),
    "opaque.tga": OPAQUE_TGA,
    "alpha.tga": tga(32, 8, bytes([30, 20, 10, 7, 60, 50, 40, 0])),
}


@pytest.mark.parametrize("name", FILES)
def test_every_call_gives_the_same_picture(name: str, tmp_path: Path) -> None:
    path = tmp_path / name
    path.write_bytes(FILES[name])
    expected = picture_from_any(path)
    assert (expected.icc_profile == P3) == name.startswith("p3") and (expected.alpha is not None) == name.startswith("alpha")
    for source in (path, BytesIO(FILES[name])):
        image = Image.open(source)
        for _ in range(3):
            assert equal(picture_from_any(image), expected)
    loaded = Image.open(path)
    loaded.load()
    assert equal(picture_from_any(loaded), expected)
    path.unlink()
    assert equal(picture_from_any(loaded), expected)


def test_what_is_refused_is_refused_again(tmp_path: Path) -> None:
    hdr, grey = tmp_path / "hdr.png", tmp_path / "grey.png"
    hdr.write_bytes(png_of(9, 16))
    grey.write_bytes(png(16, 4, bytes(8)))
    for path, message in [(hdr, "HDR picture"), (grey, "PNG of 16-bit grey with alpha")]:
        with Image.open(path) as unloaded, Image.open(path) as loaded:
            loaded.load()
            for image in (unloaded, unloaded, loaded):
                with pytest.raises(ImageError, match=message):
                    picture_from_any(image)
    with Image.open(hdr) as image:
        for _ in range(2):
            assert equal(picture_from_any(image, tone_map=True), picture_from_any(hdr, tone_map=True))
        with pytest.raises(ImageError, match="HDR picture"):
            picture_from_any(image)


@pytest.mark.parametrize("other", [b"", b"no picture", png(8, 2, bytes(6), before=chunk(b"cICP", b"\1\15\0\1"))])
def test_another_file_of_that_name_does_not_count(other: bytes, tmp_path: Path) -> None:
    path = tmp_path / "photo.avif"
    path.write_bytes(avif_of(12, 13))
    image = Image.open(path)
    image.load()
    path.write_bytes(other)
    assert picture_from_any(image).icc_profile is None


def test_a_file_that_cannot_be_looked_at_any_more_does_not_count(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = tmp_path / "photo.png"
    path.write_bytes(png_of(12, 13))
    image = Image.open(path)
    image.load()
    lock(tmp_path, monkeypatch)
    assert picture_from_any(image).icc_profile is None


def test_colours_of_a_loaded_image_without_a_path_are_unknown() -> None:
    image = Image.open(BytesIO(png_of(12, 13)))
    image.load()
    assert picture_from_any(image).icc_profile is None


def test_a_profile_that_the_caller_has_set_counts(tmp_path: Path) -> None:
    path, own = tmp_path / "photo.png", profile_of(DISPLAY_P3, is_grey=False)
    path.write_bytes(png_of(9, 16))
    unasked, asked = Image.open(path), Image.open(path)
    unasked.load()
    picture_from_any(asked, tone_map=True)
    for image in (unasked, asked):
        image.info["icc_profile"] = own
        assert picture_from_any(image).icc_profile == own


@pytest.mark.parametrize("was_read", [False, True])
def test_alpha_that_the_caller_has_put_counts(was_read: bool, tmp_path: Path) -> None:
    path = tmp_path / "photo.tga"
    path.write_bytes(OPAQUE_TGA)
    image: Any = Image.open(path)
    if was_read:
        assert picture_from_any(image).alpha is None
    image.putalpha(99)
    alpha = picture_from_any(image).alpha
    assert alpha is not None and (alpha == 99).all()
