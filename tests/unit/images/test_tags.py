"""Checks which EXIF and XMP are read from every kind of file, and that no damage in them costs the picture."""

import random
import re
import struct
import warnings
from io import BytesIO
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image, PngImagePlugin

from tests.conftest import make_picture
from tests.unit.images.pngs import chunk, png
from tests.unit.images.test_exif import MAKER_NOTE, directory, make_exif, with_thumbnail
from vqcodec.format.container import MAX_EXIF_BYTES
from vqcodec.images.colour import ADOBE_RGB, profile_of
from vqcodec.images.exif import EXIF_PREFIX, Exif
from vqcodec.images.picture import Picture, picture_from_any, read_picture
from vqcodec.images.tags import read_tags
from vqcodec.images.writing import picture_file

RGB = make_picture(20, 12)
XMP = b"""<x:xmpmeta xmlns:x="adobe:ns:meta/">
<rdf:Description tiff:Orientation="6" exif:GPSLatitude="48,8.2N" xmp:Rating="5"/></x:xmpmeta>"""


def saved(file_format: str, **options: Any) -> bytes:
    out = BytesIO()
    if file_format == "PNG" and "xmp" in options:
        options["pnginfo"] = PngImagePlugin.PngInfo()
        options["pnginfo"].add_itxt("XML:com.adobe.xmp", options.pop("xmp").decode())
    if file_format == "TIFF" and "xmp" in options:
        options["tiffinfo"] = {700: options.pop("xmp")}
    Image.fromarray(RGB).save(out, file_format, **options)
    return out.getvalue()


def read(data: bytes, **options: Any) -> Picture:
    return read_picture(BytesIO(data), name="x", **options)


def loaded(data: bytes | None) -> Image.Exif:
    exif = Image.Exif()
    exif.load(data)
    return exif


@pytest.mark.parametrize("file_format", ["JPEG", "PNG", "WEBP", "AVIF", "TIFF"])
def test_exif_is_kept_and_its_orientation_applied(file_format: str) -> None:
    picture = read(saved(file_format, exif=make_exif(orientation=6)))
    assert picture.pixels.shape == (20, 12, 3) and picture.notes == ()
    exif = loaded(picture.exif)
    assert exif[0x010F] == "Made by hand" and exif.get(0x0112, 1) == 1
    assert exif.get_ifd(0x8769)[0x927C] == MAKER_NOTE and exif.get_ifd(0x8825)[1] == "N"


@pytest.mark.parametrize("file_format", ["JPEG", "PNG", "WEBP", "AVIF", "TIFF"])
def test_xmp_is_kept_and_its_orientation_applied_and_reset(file_format: str) -> None:
    picture = read(saved(file_format, xmp=XMP))
    assert picture.pixels.shape == (20, 12, 3)
    assert picture.xmp == XMP.replace(*((b'tiff:Orientation="6"', b"") if file_format == "TIFF" else (b'"6"', b'"1"')))
    assert picture.exif is None and picture.notes == ()


def test_pictures_without_metadata_have_none() -> None:
    for file_format in ("JPEG", "PNG", "WEBP", "AVIF", "TIFF", "BMP", "GIF", "PPM", "TGA", "JPEG2000"):
        picture = read(saved(file_format))
        assert (picture.exif, picture.xmp, picture.notes, picture.colour_note) == (None, None, (), "")


def test_exif_of_a_tiff_is_read_from_a_path(tmp_path: Path) -> None:
    """Pillow closes the file before it has read what EXIF says of Adobe RGB."""
    samples = [(tag, 3, 1, value) for tag, value in ((256, 2), (257, 1), (258, 8), (259, 1), (262, 1), (273, 8), (277, 1), (279, 2))]
    exif = 10 + len(directory(*samples, (0x8769, 4, 1, 0)))
    colours = directory((0xA001, 3, 1, 0xFFFF), (0xA005, 4, 1, exif + len(directory(*samples[:2]))))
    index = directory((1, 2, 4, int.from_bytes(b"R03", "little")))
    path = tmp_path / "photo.tif"
    path.write_bytes(b"II*\0\x0a\0\0\0\1\2" + directory(*samples, (0x8769, 4, 1, exif)) + colours + index)
    for picture in (read_picture(path), read(path.read_bytes())):
        assert picture.exif is not None and Exif(picture.exif).colour_space == "adobe" and picture.notes == ()
        assert picture.icc_profile == profile_of(ADOBE_RGB, is_grey=True)
    with Image.open(path) as image:
        image.load()
    with pytest.warns(UserWarning, match="EXIF says that the colours are not sRGB, but not what they are"):
        picture = picture_from_any(image)
    assert loaded(picture.exif).get_ifd(0x8769) == {0xA001: 1} and picture.notes == ()


def test_exif_that_imagemagick_writes_into_png_is_read() -> None:
    raw = make_exif(orientation=6)
    info = PngImagePlugin.PngInfo()
    info.add_text("Raw profile type exif", f"\nexif\n{len(raw):8d}\n{raw.hex()}\n")
    picture = read(saved("PNG", pnginfo=info))
    assert picture.pixels.shape == (20, 12, 3) and loaded(picture.exif)[0x010F] == "Made by hand"


def test_odd_exif_gives_no_warning() -> None:
    exif = bytearray(make_exif(orientation=1).removeprefix(EXIF_PREFIX))
    exif[14:18] = b"\xff\xff\xff\x0f"  # the length of the first value
    image = Image.fromarray(RGB)
    image.info["exif"] = EXIF_PREFIX + bytes(exif)
    with warnings.catch_warnings(record=True) as told:
        warnings.simplefilter("always")
        picture = picture_from_any(image)
        for suffix in (".png", ".jpg", ".tif", ".avif"):
            assert picture_file(picture, suffix).data
    assert picture.exif == bytes(exif) and not told


def test_what_is_dropped_is_said() -> None:
    info = PngImagePlugin.PngInfo()
    info.add_text("Title", "By hand")
    assert read(saved("PNG", pnginfo=info)).notes == ("text of the PNG dropped",)
    other = PngImagePlugin.PngInfo()
    other.add_text("Raw profile type iptc", "\niptc\n       4\n38425049\n")
    assert read(saved("PNG", pnginfo=other)).notes == ("text of the PNG dropped",)
    assert read(saved("JPEG", comment=b"by hand")).notes == ("comment dropped",)
    assert read(saved("JPEG2000", comment=b"by hand")).notes == ("comment dropped",)
    assert read(saved("JPEG2000")).notes == read(saved("TIFF")).notes == ()
    for tag, value, notes in ((33723, b"\x1c\2", 1), (34377, b"8BIM\4\4\0\0", 1), (34377, b"8BIM\4\x25\0\0", 0)):
        assert read(saved("TIFF", tiffinfo={tag: value})).notes == ("IPTC dropped",) * notes
    assert read(saved("JPEG", exif=EXIF_PREFIX + with_thumbnail(make_exif(), b"\xff\xd8thumbnail"))).notes == ("thumbnail in EXIF dropped",)
    assert read(saved("JPEG", xmp=XMP.replace(b"xmp:Rating", b"xmpNote:HasExtendedXMP"))).notes == ("extended XMP dropped",)
    image = Image.fromarray(RGB)
    image.info["exif"] = make_exif() + bytes(MAX_EXIF_BYTES)
    assert read_tags(image).notes == [f"EXIF dropped: {len(make_exif()) - 6 + MAX_EXIF_BYTES} bytes, expected {MAX_EXIF_BYTES} at most"]


@pytest.mark.parametrize("junk", [b"", b"junk", b"II*\0\xff\xff\xff\xff", b"MM\0*\0\0\0\x08\xff\xff", b"MM\0*\0\0\0\4" + bytes(8)])
def test_damaged_exif_of_png_does_not_cost_the_picture(junk: bytes) -> None:
    data = png(8, 2, bytes(6), before=chunk(b"eXIf", junk))
    picture = read(data)
    assert picture.pixels.shape == (1, 2, 3) and picture.exif is None
    assert picture.notes[0].startswith("EXIF dropped: it is damaged")
    assert np.array_equal(picture_from_any(Image.open(BytesIO(data))).pixels, picture.pixels)


def test_exif_that_is_cut_behind_the_orientation_does_not_cost_the_picture() -> None:
    exif = b"II*\0" + struct.pack("<IHHHIH", 8, 1, 0x0112, 3, 1, 6)
    picture = read(png(8, 2, bytes(6), before=chunk(b"eXIf", exif)))
    assert picture.pixels.shape == (1, 2, 3) and picture.exif == exif


@pytest.mark.parametrize("file_format", ["JPEG", "WEBP", "AVIF", "PNG"])
def test_no_damage_in_exif_costs_the_picture(file_format: str) -> None:
    exif = make_exif(orientation=1)
    data = saved(file_format, exif=exif)
    mark = re.search(rb"II\*\0", data)
    assert mark is not None
    rng = random.Random(0)
    for attempt in range(60):
        damaged = bytearray(data)
        place = mark.start() if attempt == 0 else mark.start() + rng.randrange(60)
        damaged[place] ^= rng.randrange(1, 256)
        if file_format == "PNG":
            start = data.index(b"eXIf")
            end = start + 4 + int.from_bytes(data[start - 4 : start], "big")
            damaged[start - 4 : end + 4] = chunk(b"eXIf", bytes(damaged[start + 4 : end]))
        picture = read(bytes(damaged))
        assert picture.pixels.size == RGB.size
        if attempt == 0:
            assert picture.exif is None and picture.notes[0].startswith("EXIF dropped: it is damaged")


@pytest.mark.parametrize("place", [0, 8, 10])
def test_a_position_that_is_said_to_lie_elsewhere_takes_the_exif_with_it(place: int) -> None:
    data = png(8, 2, bytes(6), before=chunk(b"eXIf", b"II*\0\x08\0\0\0" + directory((0x0131, 2, 2, 65), (0x8825, 4, 1, place))))
    assert read(data).exif is not None
    picture = read(data, strip=["gps"])
    assert picture.exif is None and picture.notes[0].startswith("EXIF dropped: it is damaged: ") and picture.pixels.shape == (1, 2, 3)


@pytest.mark.filterwarnings("ignore:EXIF says that the colours are not sRGB")
def test_no_damage_in_exif_costs_a_picture_that_is_read_without_position() -> None:
    exif = with_thumbnail(make_exif(colour_space=0xFFFF, index="R03"), b"thumbnail")
    image = Image.fromarray(RGB)
    for place in range(len(exif)):
        for value in (0, 8, 255):
            image.info["exif"] = EXIF_PREFIX + exif[:place] + bytes([value]) + exif[place + 1 :]
            picture = picture_from_any(image, strip=["gps"])
            assert picture.pixels.size == RGB.size


@pytest.mark.parametrize(
    ("strip", "has_exif", "has_xmp", "has_position"),
    [
        (["all"], False, False, False),
        (["exif"], False, True, False),
        (["xmp"], True, False, True),
        (["gps"], True, True, False),
        (["exif", "xmp"], False, False, False),
        ([], True, True, True),
    ],
)
def test_strip(strip: list[Any], has_exif: bool, has_xmp: bool, has_position: bool) -> None:
    picture = read(saved("JPEG", exif=make_exif(), xmp=XMP), strip=strip)
    assert (picture.exif is not None) == has_exif and (picture.xmp is not None) == has_xmp
    if picture.exif is not None:
        assert (0x8825 in loaded(picture.exif)) == has_position
    if picture.xmp is not None and "exif" not in strip:
        assert (b"GPSLatitude" in picture.xmp) == has_position


def test_a_position_that_cannot_be_taken_out_takes_the_xmp_with_it() -> None:
    picture = read(saved("JPEG", xmp=XMP.replace(b"exif:", b"other:")), strip=["gps"])
    assert picture.xmp is None and picture.notes == ("XMP dropped: it holds a position that cannot be taken out",)


@pytest.mark.parametrize("strip", ["exif", ["exif", "iptc"], iter(["exif"])])
def test_what_cannot_be_stripped_is_refused(strip: Any) -> None:
    for image in (RGB, Image.fromarray(RGB), BytesIO(saved("PNG"))):
        with pytest.raises(ValueError, match="strip must be a list of some of all, exif, xmp, icc, gps, not"):
            picture_from_any(image, strip=strip)


def test_stored_exif_is_valid() -> None:
    picture = read(saved("TIFF", exif=make_exif(orientation=3)))
    assert picture.exif is not None and Exif(picture.exif).orientation == 1
    assert {256, 273, 279} & loaded(picture.exif).keys() == set()
