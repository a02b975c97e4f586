"""Checks what Pillow saves as .vq files: modes, colours, metadata, options."""

from pathlib import Path

import numpy as np
import pytest
from PIL import Image, TiffImagePlugin

import vqcodec
from tests.unit.images.pngs import chunk, png
from tests.unit.images.profiles import DISPLAY_P3
from tests.unit.test_pillow import EXIF, HEIGHT, WIDTH, opened, picture, saved
from vqcodec.images.colour import profile_of


@pytest.mark.parametrize(
    ("mode", "stored"),
    [("RGB", "RGB"), ("L", "L"), ("1", "L"), ("P", "RGB"), ("LA", "LA"), ("RGBA", "RGBA"), ("I;16", "L"), ("YCbCr", "RGB")],
)
def test_modes_are_saved(mode: str, stored: str, small_model: str) -> None:
    image = picture("L").convert("I;16") if mode == "I;16" else picture(mode.replace("A", ""))
    if mode in ("LA", "RGBA"):
        image.putalpha(Image.linear_gradient("L").resize(image.size))
    data = saved(image)
    assert opened(data).mode == stored and data == vqcodec.encode(image, model=small_model, num_maps=2, layers=False)


def test_alpha_of_a_palette_is_saved(small_model: str) -> None:
    image = picture("L").point(lambda level: level // 128).convert("P")
    image.putpalette(bytes([200, 100, 50, 255, 10, 20, 30, 99]), "RGBA")
    data = saved(image)
    alpha = np.asarray(image.convert("RGBA"))[:, :, 3]
    assert opened(data).mode == "RGBA" and np.array_equal(np.asarray(opened(data))[:, :, 3], alpha)


@pytest.mark.parametrize("mode", ["CMYK", "F", "LAB", "I"])
def test_modes_without_defined_colours_are_refused(mode: str, small_model: str, tmp_path: Path) -> None:
    image = Image.new("I", (9, 9), 1 << 20) if mode == "I" else Image.new(mode, (9, 9))
    with pytest.raises(OSError, match=f"^cannot write mode {mode} as VQ: [^\n]+$"):
        image.save(tmp_path / "new.vq", model=small_model)
    assert not list(tmp_path.iterdir())


def test_only_the_profile_is_stored_unasked(small_model: str) -> None:
    image, profile = picture(), profile_of(DISPLAY_P3, is_grey=False)
    image.info |= {"exif": EXIF.tobytes(), "xmp": b"<xmp/>", "comment": b"?", "icc_profile": profile}
    assert opened(saved(image)).info == {"icc_profile": profile}
    assert [opened(saved(image, icc_profile=none)).info for none in (None, b"", "")] == [{}] * 3
    for wrong in ("sRGB", 3, bytearray(b"profile")):
        with pytest.raises(TypeError, match=f"icc_profile must be bytes, not {type(wrong).__name__}"):
            saved(image, icc_profile=wrong)
    for exif in (EXIF, EXIF.tobytes(), EXIF.tobytes()[6:]):
        stored = opened(saved(image, exif=exif, xmp=b"<x/>"))
        assert stored.size == (HEIGHT, WIDTH) and stored.getexif()[0x0112] == 1 and stored.getexif()[0x010F] == "maker"
        assert stored.info["xmp"] == b"<x/>"
    assert image.info["exif"] == EXIF.tobytes()


@pytest.mark.parametrize("kind", ["numbers of a PNG", "EXIF of a JPEG"])
def test_colours_that_a_file_states_are_stored(kind: str, tmp_path: Path, small_model: str) -> None:
    path, exif = tmp_path / "photo", Image.Exif()
    if kind == "numbers of a PNG":
        path.write_bytes(png(8, 2, bytes(6), before=chunk(b"cICP", bytes([12, 13, 0, 1]))))
    else:
        exif[0x8769] = {0xA001: 2}
        picture().save(path, "JPEG", exif=exif)
    with Image.open(path) as image:
        data = saved(image)
        assert opened(saved(image, icc_profile=None)).info == {}
    expected = opened(vqcodec.encode(path, model=small_model, layers=False))
    assert opened(data).info["icc_profile"] == expected.info["icc_profile"] and "exif" not in opened(data).info


@pytest.mark.parametrize("order", [(0, 1), (1, 0)])
def test_every_page_of_a_tiff_has_its_own_colours(order: tuple[int, int], tmp_path: Path, small_model: str) -> None:
    primaries = (0.68, 0.32, 0.265, 0.69, 0.15, 0.06)
    pages = [picture(), picture().rotate(180)]
    with TiffImagePlugin.AppendingTiffWriter(str(tmp_path / "pages.tif")) as file:
        for page, tags in zip(pages, ({319: primaries}, {}), strict=True):
            page.save(file, "TIFF", tiffinfo=tags)
            file.newFrame()
    with Image.open(tmp_path / "pages.tif") as image:
        for number in order:
            image.seek(number)
            assert ("icc_profile" in opened(saved(image)).info) == (number == 0)


@pytest.mark.parametrize("kind", ["HDR", "white is 0"])
def test_samples_that_would_come_out_wrong_are_refused(kind: str, tmp_path: Path, small_model: str) -> None:
    path = tmp_path / "photo"
    if kind == "HDR":
        path.write_bytes(png(8, 2, bytes(6), before=chunk(b"cICP", bytes([9, 16, 0, 1]))))
    else:
        Image.fromarray(np.full((4, 4), 100, np.uint16)).save(path, "TIFF", tiffinfo={262: 0})
    if kind == "HDR":
        with Image.open(path) as image:
            assert opened(saved(image, tone_map=True)).info == opened(saved(image, icc_profile=None)).info == {}
    with (
        Image.open(path) as image,
        pytest.raises(OSError, match=f"^cannot write mode [^\n]*{'HDR picture' if kind == 'HDR' else '0 is white'}"),
    ):
        saved(image)


def test_options_of_encode_are_those_of_save(small_model: str, tmp_path: Path) -> None:
    image = picture()
    for options in ({"max_bytes": 900}, {"quality": 5, "tune": "psnr"}, {"exact": "all"}):
        image.save(tmp_path / "new.vq", model="photo-v5", optimize=True, **options)
        assert (tmp_path / "new.vq").read_bytes() == vqcodec.encode(image, **options)
    for options, kind in (
        ({"quality": 0}, ValueError),
        ({"quality": "good"}, TypeError),
        ({"max_bytes": 10}, OSError),
        ({"exact": "all", "quality": 9}, ValueError),
    ):
        with pytest.raises(kind):
            image.save(tmp_path / "none.vq", **options)
    assert not (tmp_path / "none.vq").exists()
