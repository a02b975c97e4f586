"""Checks what picture files hold of a picture, and that what they cannot hold is refused or said."""

import struct
from contextlib import nullcontext
from io import BytesIO

import numpy as np
import pytest
from PIL import Image

from tests.conftest import make_picture
from tests.unit.images.profiles import DISPLAY_P3
from tests.unit.images.test_exif import MAKER_NOTE, directory, laid_out, make_exif
from vqcodec.errors import ImageError
from vqcodec.images.colour import Colours, profile_of
from vqcodec.images.exif import EXIF_PREFIX
from vqcodec.images.picture import Picture, picture_from_pil, picture_to_pil, read_picture
from vqcodec.images.writing import Compression, check_can_hold, picture_file, write_picture

RGB = make_picture(20, 12)
EXIF = make_exif(orientation=1).removeprefix(EXIF_PREFIX)
XMP = b'<x:xmpmeta xmlns:x="adobe:ns:meta/"><rdf:Description xmp:Label="\xc3\xa4"/></x:xmpmeta>'
PROFILE = profile_of(DISPLAY_P3, is_grey=False)
WHOLE = Picture(RGB, None, PROFILE, EXIF, XMP)


@pytest.mark.parametrize(
    ("suffix", "message"), [(".xyz", "cannot write a picture as"), ("", "to a name without a suffix"), (".jpg", "transparency")]
)
def test_pictures_that_cannot_be_written(suffix: str, message: str) -> None:
    picture = Picture(RGB, RGB[:, :, 0])
    with pytest.raises(ImageError, match=message):
        write_picture(picture, suffix)


@pytest.mark.parametrize(("suffix", "side"), [(".webp", 16383), (".jpg", 65500), (".AVIF", 32768)])
def test_sides_that_a_format_cannot_hold(suffix: str, side: int) -> None:
    check_can_hold(suffix, side, 1, has_colours=True, has_alpha=False)
    with pytest.raises(ImageError, match=f"cannot hold 1x{side + 1} pixels, sides of {side} at most"):
        check_can_hold(suffix, 1, side + 1, has_colours=True, has_alpha=False)


@pytest.mark.parametrize("suffix", [".webp", ".jpg"])
def test_the_longest_sides_can_be_written(suffix: str) -> None:
    side = 16383 if suffix == ".webp" else 65500
    data = write_picture(Picture(np.zeros((side, 1), np.uint8)), suffix)
    assert Image.open(BytesIO(data)).size == (1, side)


def test_what_a_format_cannot_hold_is_not_dropped_in_silence() -> None:
    pixels = np.zeros((4, 4, 3), np.uint8)
    with pytest.raises(ImageError, match="transparency"):
        write_picture(Picture(pixels, np.zeros((4, 4), np.uint8)), ".bmp")
    with pytest.raises(ImageError, match="colour profile"):
        write_picture(Picture(pixels, None, b"profile"), ".ppm")
    with pytest.raises(ImageError, match="colours"):
        write_picture(Picture(pixels), ".PGM")
    assert write_picture(Picture(pixels[:, :, 0]), ".pgm").startswith(b"P5")


@pytest.mark.parametrize("has_alpha", [False, True])
@pytest.mark.parametrize("suffix", [".png", ".jpg", ".webp", ".avif", ".tif"])
def test_profiles_of_grey_are_written_with_grey_pixels_or_refused(suffix: str, has_alpha: bool) -> None:
    profile = profile_of(Colours(transfer=1.0), is_grey=True)
    picture = Picture(RGB[:, :, 0], RGB[:, :, 1] if has_alpha else None, profile)
    if suffix in (".webp", ".avif") or (has_alpha and suffix == ".jpg"):
        with pytest.raises(
            ImageError, match="transparency" if suffix == ".jpg" else f"a {suffix} file cannot hold .*, which is one of grey"
        ):
            write_picture(picture, suffix)
    else:
        again = read_picture(BytesIO(write_picture(picture, suffix)))
        assert again.icc_profile == profile and again.pixels.ndim == 2 and again.colour_note == ""


@pytest.mark.parametrize(("suffix", "can_hold"), [(".png", True), (".bmp", False), (".jp2", False), (".ppm", False), (".pgm", False)])
def test_whether_a_profile_can_be_held_is_known_before_there_are_pixels(suffix: str, can_hold: bool) -> None:
    check_can_hold(suffix, 20, 12, has_colours=suffix != ".pgm", has_alpha=False)
    with nullcontext() if can_hold else pytest.raises(ImageError, match="colour profile"):
        check_can_hold(suffix, 20, 12, has_colours=suffix != ".pgm", has_alpha=False, has_profile=True)


@pytest.mark.parametrize("suffix", [".png", ".jpg", ".webp", ".avif", ".tif"])
def test_metadata_are_written(suffix: str) -> None:
    file = picture_file(WHOLE, suffix)
    assert file.notes == (
        ("part of EXIF dropped: the .tif file cannot hold it",) if suffix == ".tif" else ()
    )  # a comment where none belongs
    image = Image.open(BytesIO(file.data))
    assert image.info["icc_profile"] == PROFILE
    exif = image.getexif()
    assert exif[0x010F] == "Made by hand" and exif.get(0x0112, 1) == 1
    assert exif.get_ifd(0x8769)[0x927C] == MAKER_NOTE and exif.get_ifd(0x8825)[1] == "N"
    assert image.info["xmp"] == XMP
    if suffix == ".tif":
        assert 0xA005 not in exif.get_ifd(0x8769)  # Pillow would write a pointer to nowhere
    else:
        assert exif.get_ifd(0xA005) == {1: "R98"}
    again = read_picture(BytesIO(file.data), name="x")
    assert again.icc_profile == PROFILE and again.xmp == XMP and again.exif is not None and again.notes == ()


def test_exif_in_a_tiff_that_is_not_all_of_it_is_told() -> None:
    exif = Image.Exif()
    exif[0x010F], exif[0x4746], exif[0x0213] = "Made by hand", 4, 1
    exif[0x011A], exif[0x011B], exif[0x0128] = 300.0, 300.0, 2
    file = picture_file(Picture(RGB, None, None, exif.tobytes().removeprefix(EXIF_PREFIX)), ".tif")
    written = Image.open(BytesIO(file.data)).getexif()
    assert (written[0x010F], written[0x4746], written[0x011A], written[0x0128]) == ("Made by hand", 4, 300, 2) and file.notes == ()
    exif[0xEA1C] = b"padding"
    assert picture_file(Picture(RGB, None, None, exif.tobytes().removeprefix(EXIF_PREFIX)), ".tif").notes == ()
    exif[0xC4A5] = b"print matching"
    file = picture_file(Picture(RGB, None, None, exif.tobytes().removeprefix(EXIF_PREFIX)), ".tif")
    assert file.notes == ("part of EXIF dropped: the .tif file cannot hold it",)
    assert Image.open(BytesIO(file.data)).getexif()[0x010F] == "Made by hand"


@pytest.mark.parametrize(
    "entries",
    [
        ((0x011A, 2, 3, 0x3237), (0x011B, 5, 1, 300)),  # in letters
        ((0x011A, 10, 1, 300), (0x011B, 5, 1, 308)),  # below 0
        ((0x011A, 5, 1, 308), (0x011B, 5, 1, 308), (0x0128, 7, 1, 2)),  # in a unit of no kind
        ((0x011A, 5, 1, 316), (0x011B, 5, 1, 308)),  # by 0
        ((0x011A, 5, 1, 308),),
    ],
)
def test_a_resolution_that_is_none_does_not_cost_the_exif_of_a_tiff(entries: tuple[tuple[int, int, int, int], ...]) -> None:
    numbers = struct.pack("<6i", -72, 1, 72, 1, 72, 0)
    exif = laid_out({8: directory((0x010F, 2, 4, int.from_bytes(b"abc")), *entries), 300: numbers})
    file = picture_file(Picture(RGB, None, None, exif), ".tif")
    written = Image.open(BytesIO(file.data)).getexif()
    assert file.notes == () and written[0x010F] == "cba" and 0x011A not in written


@pytest.mark.parametrize("suffix", [".bmp", ".ppm", ".jp2"])
def test_metadata_that_a_format_cannot_hold_are_told(suffix: str) -> None:
    file = picture_file(Picture(RGB, None, None, EXIF, XMP), suffix)
    assert file.notes == (f"EXIF dropped: the {suffix} file cannot hold it", f"XMP dropped: the {suffix} file cannot hold it")
    assert np.array_equal(read_picture(BytesIO(file.data), name="x").pixels, RGB)
    assert picture_file(Picture(RGB), suffix).notes == ()


def test_metadata_that_are_too_long_for_jpeg_are_told_and_the_others_written() -> None:
    for exif, xmp, note in [(EXIF, XMP + bytes(70000), "XMP"), (EXIF + bytes(70000), XMP, "EXIF")]:
        file = picture_file(Picture(RGB, None, None, exif, xmp), ".jpg")
        assert file.notes == (f"{note} dropped: the .jpg file cannot hold it",)
        image = Image.open(BytesIO(file.data))
        assert ("xmp" in image.info) == (note == "EXIF") and ("exif" in image.info) == (note == "XMP")


def test_exif_that_pillow_cannot_write_does_not_cost_the_picture() -> None:
    broken = EXIF[:8] + b"\x01\0" + b"\x69\x87\x04\0\x01\0\0\0\xf0\xff\xff\xff" + bytes(4)
    for suffix in (".png", ".jpg", ".webp", ".avif", ".tif"):
        assert Image.open(BytesIO(picture_file(Picture(RGB, None, None, broken, XMP), suffix).data)).size == (20, 12)


def test_pillow_images_have_the_metadata() -> None:
    image = picture_to_pil(WHOLE)
    assert image.getexif()[0x010F] == "Made by hand" and image.info["xmp"] == XMP
    again = picture_from_pil(image)
    assert (again.exif, again.xmp, again.icc_profile) == (EXIF, XMP, PROFILE)


@pytest.mark.parametrize("suffix", [".jpg", ".webp", ".avif"])
def test_quality_of_formats_with_loss(suffix: str) -> None:
    picture = Picture(make_picture(64, 48))
    files = [picture_file(picture, suffix, Compression(quality)).data for quality in (10, 50, 100, None)]
    assert len(files[0]) < len(files[1]) < len(files[2])
    errors = [np.abs(read_picture(BytesIO(data)).pixels.astype(int) - picture.pixels).mean() for data in files]
    assert errors[0] > errors[1] > errors[2]
    assert (errors[3] == 0) == (suffix == ".webp")


def test_compressions_that_a_format_has_not() -> None:
    picture = Picture(RGB)
    with pytest.raises(ImageError, match="a .png file has no quality, expected .jpg, .webp or .avif"):
        picture_file(picture, ".png", Compression(90))
    for suffix in (".jpg", ".avif"):
        with pytest.raises(ImageError, match=f"a {suffix} file is not written without loss, expected for example .png"):
            picture_file(picture, suffix, Compression(lossless=True))
    for suffix in (".webp", ".png"):
        assert np.array_equal(read_picture(BytesIO(picture_file(picture, suffix, Compression(lossless=True)).data)).pixels, RGB)


def test_drawings_are_as_small_as_at_the_usual_level_of_png() -> None:
    """And photos need not be: noise takes as many bytes at any level."""
    drawing = np.zeros((96, 96, 3), np.uint8)
    drawing[::7, :, 0] = np.arange(96)
    drawing[:, ::5, 1] = 7 * np.arange(96)[:, None]
    sizes = {}
    for level in (4, 6):
        out = BytesIO()
        Image.fromarray(drawing).save(out, "PNG", compress_level=level)
        sizes[level] = len(out.getvalue())
    assert len(write_picture(Picture(drawing), ".png")) == sizes[6] != sizes[4]
