"""Checks that pictures of every colour mode that users have are encoded sensibly, or refused in one line."""

from io import BytesIO
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from tests.conftest import make_picture
from tests.unit.images.pngs import chunk, png
from tests.unit.images.profiles import DISPLAY_P3
from vqcodec.errors import ImageError
from vqcodec.format.container import MAX_ICC_BYTES
from vqcodec.images.alpha import decode_alpha
from vqcodec.images.colour import profile_of
from vqcodec.images.picture import Picture, picture_from_any, picture_from_pil, picture_to_pil, read_picture
from vqcodec.images.webp import decode_webp, encode_webp
from vqcodec.images.writing import write_picture

RGB = make_picture(20, 12)
P3_PROFILE = profile_of(DISPLAY_P3, is_grey=False)


def rgb_image() -> Image.Image:
    return Image.fromarray(RGB)


@pytest.mark.parametrize("mode", ["L", "LA", "RGB", "RGBA"])
def test_native_modes_come_through_unchanged(mode: str) -> None:
    image = rgb_image().convert(mode)
    if "A" in mode:
        image.putalpha(Image.fromarray(RGB[:, :, 0]))
    back = picture_to_pil(picture_from_pil(image))
    assert back.mode == mode
    assert back.tobytes() == image.tobytes()


def test_palette_becomes_rgb_with_the_same_colours() -> None:
    image = rgb_image().quantize(16)
    picture = picture_from_pil(image)
    assert picture.alpha is None
    assert np.array_equal(picture.pixels, np.asarray(image.convert("RGB")))


def test_palette_with_transparency_keeps_it() -> None:
    image = rgb_image().quantize(16)
    out = BytesIO()
    image.save(out, "PNG", transparency=3)
    reopened = Image.open(BytesIO(out.getvalue()))
    picture = picture_from_pil(reopened)
    assert picture.alpha is not None
    assert np.array_equal(picture.alpha == 0, np.asarray(image) == 3)


@pytest.mark.parametrize("is_put", [False, True])
def test_palette_of_colours_with_alpha_keeps_it(is_put: bool) -> None:
    if is_put:
        image = Image.fromarray(RGB[:, :, 0] // 128).convert("P")
        image.putpalette(bytes([200, 100, 50, 255, 10, 20, 30, 99]), "RGBA")
    else:
        rgba = rgb_image()
        rgba.putalpha(Image.fromarray(RGB[:, :, 0]))
        image = rgba.quantize(16)
    assert image.mode == "P" and "transparency" not in image.info
    expected = np.asarray(image.convert("RGBA"))
    picture = picture_from_pil(image)
    assert picture.alpha is not None and np.array_equal(picture.alpha, expected[:, :, 3])
    seen = picture.alpha > 0
    assert np.array_equal(picture.pixels[seen], expected[:, :, :3][seen])


def test_transparent_colour_of_a_grey_png_becomes_alpha() -> None:
    out = BytesIO()
    Image.fromarray(RGB[:, :, 0]).save(out, "PNG", transparency=int(RGB[0, 0, 0]))
    picture = read_picture(BytesIO(out.getvalue()), name="x")
    assert picture.pixels.ndim == 2 and picture.alpha is not None
    assert np.array_equal(picture.alpha == 0, RGB[:, :, 0] == RGB[0, 0, 0])


def test_bilevel_becomes_grey() -> None:
    image = rgb_image().convert("1")
    assert np.array_equal(picture_from_pil(image).pixels, np.asarray(image.convert("L")))


def test_sixteen_bit_grey_is_rounded() -> None:
    values = np.array([[0, 128, 129, 257, 32768, 65535]], dtype=np.uint16)
    assert picture_from_pil(Image.fromarray(values)).pixels.tolist() == [[0, 0, 1, 1, 128, 255]]


def test_wide_grey_out_of_range_is_refused() -> None:
    with pytest.raises(ImageError, match=r"-5\.\.70000"):
        picture_from_pil(Image.fromarray(np.array([[-5, 70000]], dtype=np.int32)))


@pytest.mark.parametrize("mode", ["F", "LAB", "HSV"])
def test_modes_without_defined_colours_are_refused(mode: str) -> None:
    with pytest.raises(ImageError, match=f"colour mode {mode}"):
        picture_from_pil(Image.new(mode, (3, 3)))


def test_cmyk_needs_a_profile() -> None:
    with pytest.raises(ImageError, match="CMYK without"):
        picture_from_pil(rgb_image().convert("CMYK"))
    broken = rgb_image().convert("CMYK")
    broken.info["icc_profile"] = b"no profile"
    with pytest.raises(ImageError, match="unusable colour profile"):
        picture_from_pil(broken)


def test_profile_is_kept() -> None:
    image = rgb_image()
    image.info["icc_profile"] = P3_PROFILE
    picture = picture_from_pil(image)
    assert picture.icc_profile == P3_PROFILE
    reopened = Image.open(BytesIO(write_picture(picture, ".png")))
    assert reopened.info["icc_profile"] == P3_PROFILE


@pytest.mark.parametrize("orientation", range(1, 9))
def test_exif_orientation_is_applied(orientation: int) -> None:
    image = rgb_image()
    exif = image.getexif()
    exif[0x0112] = orientation
    out = BytesIO()
    image.save(out, "PNG", exif=exif)
    turned = {
        1: RGB,
        2: RGB[:, ::-1],
        3: RGB[::-1, ::-1],
        4: RGB[::-1],
        5: RGB.transpose(1, 0, 2),
        6: np.rot90(RGB, -1),
        7: RGB[::-1, ::-1].transpose(1, 0, 2),
        8: np.rot90(RGB),
    }
    assert np.array_equal(read_picture(BytesIO(out.getvalue()), name="x").pixels, turned[orientation])


def test_too_large_a_profile_is_refused() -> None:
    with pytest.raises(ImageError, match="16777216 at most"):
        Picture(RGB, None, bytes(MAX_ICC_BYTES + 1))


def test_animation_is_refused() -> None:
    out = BytesIO()
    rgb_image().save(out, "GIF", save_all=True, append_images=[rgb_image().rotate(90)])
    with pytest.raises(ImageError, match="photo.gif: 2 frames"):
        read_picture(BytesIO(out.getvalue()), name="photo.gif")


def test_unreadable_files_say_so_in_one_line(tmp_path: Path) -> None:
    (tmp_path / "text.png").write_text("no picture")
    out = BytesIO()
    rgb_image().save(out, "PNG")
    (tmp_path / "cut.png").write_bytes(out.getvalue()[:-40])
    for name, message in [("absent.png", "no such file"), ("text.png", "not a picture"), ("cut.png", "cannot be read")]:
        with pytest.raises(ImageError, match=message) as caught:
            read_picture(tmp_path / name)
        assert "\n" not in str(caught.value) and name in str(caught.value)
    with (tmp_path / "written.png").open("wb") as file, pytest.raises(ImageError, match="written.png: .*it is not open for reading"):
        picture_from_any(file)


def test_too_large_a_picture_is_refused() -> None:
    with pytest.raises(ImageError, match="1048577x1 pixels"):
        picture_from_any(np.zeros((1, (1 << 20) + 1), np.uint8))
    with pytest.raises(ImageError, match="65536x4097 pixels"):
        picture_from_any(np.broadcast_to(np.zeros((1, 1), np.uint8), (4097, 65536)))


def test_transparent_value_of_16_bit_grey_becomes_alpha() -> None:
    values = np.arange(12, dtype=np.uint16).reshape(3, 4) * 5000
    out = BytesIO()
    Image.fromarray(values).save(out, "PNG", transparency=10000)
    picture = read_picture(BytesIO(out.getvalue()), name="x")
    assert picture.alpha is not None
    assert np.array_equal(picture.alpha == 0, values == 10000)


def check_damage(whole: bytes, count: int) -> None:
    """Checks that files which are cut and have other bytes are read or raise an `ImageError` of one line."""
    rng = np.random.default_rng(0)
    for _ in range(count):
        data = bytearray(whole[: rng.integers(1, len(whole) + 1)])
        for position in rng.integers(min(len(data), 300), size=3):
            data[position] = rng.integers(256)
        try:
            read_picture(BytesIO(bytes(data)), name="x")
        except ImageError as error:
            assert "\n" not in str(error)


@pytest.mark.parametrize("file_format", ["JPEG", "PNG", "GIF", "TIFF", "WEBP", "BMP", "PPM", "TGA", "AVIF", "JPEG2000"])
def test_damaged_pictures_raise_image_errors_alone(file_format: str) -> None:
    out = BytesIO()
    exif = Image.Exif()
    exif[274] = 6
    options = {"exif": exif} if file_format in ("JPEG", "PNG", "TIFF", "WEBP") else {}
    rgb_image().save(out, file_format, **options)
    check_damage(out.getvalue(), 60)


@pytest.mark.parametrize("damaged", [chunk(b"iCCP", b"x"), chunk(b"gAMA", b"x")])
def test_damage_behind_the_pixels(damaged: bytes) -> None:
    data = png(8, 0, b"\1\2", after=damaged)
    with pytest.raises(ImageError, match="cannot be read"):
        read_picture(BytesIO(data))
    with pytest.raises(ImageError, match="cannot be read"):
        picture_from_any(Image.open(BytesIO(data)))


def test_too_little_memory_is_not_told_as_damage(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    path, image, grey = tmp_path / "a.png", rgb_image(), BytesIO()
    image.save(path)
    image.convert("L").save(grey, "PNG")

    def refuse(*_: object) -> None:
        raise MemoryError

    monkeypatch.setattr(Image.Image, "load", refuse)
    for use in (
        lambda: read_picture(path),
        lambda: picture_from_any(image),
        lambda: write_picture(Picture(RGB), ".png"),
        lambda: decode_webp(encode_webp(RGB), (20, 12), "exact patch"),
        lambda: decode_alpha(grey.getvalue(), width=20, height=12),
    ):
        with pytest.raises(MemoryError):
            use()
