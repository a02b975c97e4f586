"""Checks what becomes of the colours of every kind of picture file: kept, known as sRGB, converted, dropped with a note, or refused."""

import struct
import warnings
from io import BytesIO
from typing import Any

import numpy as np
import pytest
from PIL import Image

from tests.conftest import make_picture
from tests.unit.images.pngs import chunk, png
from tests.unit.images.profiles import DISPLAY_P3, LITTLECMS_LAB, LITTLECMS_SRGB, cmyk_profile
from tests.unit.images.test_colour_numbers import bmp_with, jp2_with
from vqcodec.errors import ImageError
from vqcodec.images.colour import ADOBE_RGB, Colours, convert_to_srgb, profile_of
from vqcodec.images.colour_management import cmyk_to_srgb
from vqcodec.images.picture import Picture, picture_from_any, picture_from_pil, read_picture

RGB = make_picture(20, 12)
P3_PROFILE = profile_of(DISPLAY_P3, is_grey=False)
GREY_PROFILE = profile_of(Colours(transfer=1.0), is_grey=True)


def saved(mode: str, file_format: str, **options: Any) -> bytes:
    out = BytesIO()
    Image.fromarray(RGB).convert(mode).save(out, file_format, **options)
    return out.getvalue()


def read(data: bytes, **options: Any) -> Picture:
    return read_picture(BytesIO(data), name="x", **options)


@pytest.mark.parametrize("file_format", ["PNG", "JPEG", "WEBP", "TIFF", "AVIF"])
def test_profiles_are_kept_and_that_of_srgb_is_not_stored(file_format: str) -> None:
    assert read(saved("RGB", file_format, icc_profile=P3_PROFILE)).icc_profile == P3_PROFILE
    picture = read(saved("RGB", file_format, icc_profile=LITTLECMS_SRGB))
    assert picture.icc_profile is None and picture.colour_note == ""


@pytest.mark.parametrize(
    ("mode", "profile", "note"),
    [
        ("RGB", cmyk_profile(), "a CMYK profile on RGB pixels"),
        ("RGB", LITTLECMS_LAB, "a Lab profile on RGB pixels"),
        ("RGB", GREY_PROFILE, "a grey profile on RGB pixels"),
        ("RGB", b"junk" * 50, "damaged: cannot open profile from string"),
        ("L", P3_PROFILE, "an RGB profile on grey pixels"),
    ],
)
@pytest.mark.parametrize("file_format", ["PNG", "JPEG", "TIFF"])
def test_profiles_that_do_not_fit_are_dropped_with_a_note(file_format: str, mode: str, profile: bytes, note: str) -> None:
    picture = read(saved(mode, file_format, icc_profile=profile))
    assert picture.icc_profile is None
    assert picture.colour_note == f"colour profile dropped, colours taken for sRGB: it is {note}"
    with pytest.warns(UserWarning, match=note):
        picture_from_any(BytesIO(saved(mode, file_format, icc_profile=profile)))


def test_profiles_that_pillow_cannot_read_are_dropped_with_a_note() -> None:
    jpeg = saved("RGB", "JPEG", icc_profile=(P3_PROFILE or b"") + bytes(70_000))
    start = jpeg.index(b"ICC_PROFILE\0\2") - 4
    without_second_part = jpeg[:start] + jpeg[start + 2 + int.from_bytes(jpeg[start + 2 : start + 4], "big") :]
    for data in (png(8, 2, bytes(6), before=chunk(b"iCCP", b"P3\0\0not inflatable")), without_second_part):
        picture = read(data)
        assert picture.icc_profile is None and picture.colour_note == "colour profile dropped, colours taken for sRGB: it is damaged"


def test_what_follows_the_end_of_a_profile_is_cut_off() -> None:
    assert P3_PROFILE is not None
    assert read(saved("RGB", "TIFF", icc_profile=P3_PROFILE + b"padding")).icc_profile == P3_PROFILE


def test_profiles_that_pillow_does_not_find_are_treated_alike() -> None:
    assert P3_PROFILE is not None
    for make in (lambda profile: bmp_with(b"MBED", profile=profile), lambda profile: jp2_with(b"\2\0\0" + profile)):
        assert read(make(P3_PROFILE)).icc_profile == P3_PROFILE
        assert read(make(LITTLECMS_SRGB)).icc_profile is None
        assert "it is a CMYK profile on RGB pixels" in read(make(cmyk_profile())).colour_note


def test_colours_in_numbers_become_a_profile() -> None:
    def cicp(*numbers: int) -> bytes:
        return png(8, 2, bytes(6), before=chunk(b"cICP", bytes(numbers)))

    assert read(cicp(12, 13, 0, 1)).icc_profile == P3_PROFILE
    assert read(cicp(1, 13, 0, 1)).icc_profile is None
    linear = chunk(b"gAMA", struct.pack(">I", 100000))
    assert read(png(8, 0, b"\1\2", before=linear)).icc_profile == GREY_PROFILE
    points = chunk(b"cHRM", struct.pack(">8I", *[30000] * 8))
    picture = read(png(8, 2, bytes(6), before=points))
    assert picture.icc_profile is None
    assert picture.colour_note == "colour numbers dropped, colours taken for sRGB: they describe primaries that span no colours"


@pytest.mark.parametrize(("transfer", "name"), [(16, "PQ"), (18, "HLG")])
def test_hdr_is_refused_unless_it_is_to_be_tone_mapped(transfer: int, name: str) -> None:
    data = png(8, 2, bytes([0, 0, 0, 255, 255, 255]), before=chunk(b"cICP", bytes([9, transfer, 0, 1])))
    with pytest.raises(ImageError, match=rf"^x: HDR picture \({name}\), expected SDR; encode --tone-map"):
        read(data)
    picture = read(data, tone_map=True)
    assert picture.icc_profile is None and picture.colour_note == ""
    assert picture.pixels.tolist() == [[[0, 0, 0], [255, 255, 255]]]


def test_profiles_of_hdr_are_treated_alike() -> None:
    assert P3_PROFILE is not None
    (count,) = struct.unpack_from(">I", P3_PROFILE, 128)
    for transfer in (16, 13):
        body = b"cicp" + bytes(4) + bytes([9, transfer, 0, 1])
        first = 132 + 12 * count
        entries = b"".join(
            name + struct.pack(">II", start + 12, size)
            for name, start, size in (struct.unpack_from(">4sII", P3_PROFILE, 132 + 12 * number) for number in range(count))
        )
        end = len(P3_PROFILE) + 12
        profile = struct.pack(">I", end + 12) + P3_PROFILE[4:128] + struct.pack(">I", count + 1) + entries
        profile += b"cicp" + struct.pack(">II", end, 12) + P3_PROFILE[first:] + body
        data = saved("RGB", "JPEG", icc_profile=profile)
        if transfer == 13:
            assert read(data).icc_profile == profile
        else:
            with pytest.raises(ImageError, match="HDR picture \\(PQ\\)"):
                read(data)
            assert read(data, tone_map=True).icc_profile is None


def exif_of(colour_space: int, index: str) -> bytes:
    exif = Image.Exif()
    exif[0x8769] = {0xA001: colour_space, 0xA005: {1: index}}
    return exif.tobytes()


@pytest.mark.parametrize("file_format", ["PNG", "JPEG", "WEBP"])
def test_adobe_rgb_by_exif_alone(file_format: str) -> None:
    adobe = profile_of(ADOBE_RGB, is_grey=False)
    assert read(saved("RGB", file_format, exif=exif_of(0xFFFF, "R03"))).icc_profile == adobe
    assert read(saved("RGB", file_format, exif=exif_of(1, "R98"))).icc_profile is None
    assert read(saved("RGB", file_format, exif=exif_of(0xFFFF, "R03"), icc_profile=P3_PROFILE)).icc_profile == P3_PROFILE
    assert read(saved("RGB", "TIFF", exif=exif_of(2, "R03"))).icc_profile == adobe
    picture = read(saved("RGB", file_format, exif=exif_of(0xFFFF, "R98")))
    assert picture.icc_profile is None and "EXIF says that the colours are not sRGB" in picture.colour_note


def test_what_else_a_file_states_goes_before_exif() -> None:
    assert read(saved("RGB", "AVIF", exif=exif_of(0xFFFF, "R03"))).icc_profile is None
    data = saved("RGB", "PNG", exif=exif_of(0xFFFF, "R98"))
    picture = read(data[:33] + chunk(b"sRGB", b"\0") + data[33:])
    assert picture.icc_profile is None and picture.colour_note == ""


def test_exif_of_srgb_pixels_does_not_say_adobe_rgb() -> None:
    data = saved("RGB", "PNG", exif=exif_of(0xFFFF, "R03"), icc_profile=LITTLECMS_SRGB)
    picture = read(data)
    assert picture.icc_profile is None and picture.exif is not None
    assert read(saved("RGB", "PNG", exif=picture.exif)).icc_profile is None
    stripped = read(saved("RGB", "PNG", exif=exif_of(0xFFFF, "R03")), strip=["icc"])
    assert stripped.icc_profile is None and stripped.exif is not None
    assert read(saved("RGB", "PNG", exif=stripped.exif)).icc_profile is None


def test_without_its_profile_a_picture_is_converted() -> None:
    assert P3_PROFILE is not None
    picture = read(saved("RGB", "PNG", icc_profile=P3_PROFILE), strip=["icc"])
    assert picture.icc_profile is None
    assert np.array_equal(picture.pixels, convert_to_srgb(RGB, P3_PROFILE)) and not np.array_equal(picture.pixels, RGB)


def test_cmyk_is_converted_by_its_own_profile() -> None:
    image = Image.new("CMYK", (2, 1))
    image.putpixel((1, 0), (0, 0, 0, 255))
    assert np.asarray(cmyk_to_srgb(image, cmyk_profile())).tolist() == [[[255, 255, 255], [0, 0, 0]]]
    image.info["icc_profile"] = cmyk_profile()
    picture = picture_from_pil(image)
    assert picture.pixels.tolist() == [[[255, 255, 255], [0, 0, 0]]] and picture.icc_profile is None
    with pytest.raises(ImageError, match="CMYK with an unusable colour profile"):
        cmyk_to_srgb(image, LITTLECMS_SRGB)


def test_srgb_pictures_give_no_warning() -> None:
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        picture_from_any(BytesIO(saved("RGB", "PNG", icc_profile=LITTLECMS_SRGB)))
        picture_from_any(BytesIO(saved("RGB", "JPEG", exif=exif_of(1, "R98"), comment=b"made by hand")))
