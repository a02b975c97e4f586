"""Checks that colours which a file states without an ICC profile are read, one kind of file after another."""

import struct
from io import BytesIO
from typing import Any

import numpy as np
import pillow_heif
import pytest
from PIL import Image

from tests.conftest import make_picture
from tests.unit.images.pngs import chunk, png
from tests.unit.images.profiles import DISPLAY_P3, LITTLECMS_SRGB
from vqcodec.errors import ImageError
from vqcodec.images.colour import ADOBE_RGB, D65, PROPHOTO, SRGB_PRIMARIES, Colours, profile_of
from vqcodec.images.colour_numbers import described_colours

RGB = make_picture(20, 12)
ADOBE_CHRM = (31270, 32900, 64000, 33000, 21000, 71000, 15000, 6000)


def saved(file_format: str, **options: Any) -> bytes:
    out = BytesIO()
    Image.fromarray(RGB).save(out, file_format, **options)
    return out.getvalue()


def described(data: bytes) -> Colours | bytes | None:
    """Returns what a file states, and checks that it can still be read afterwards."""
    image = Image.open(BytesIO(data))
    found = described_colours(image)
    image.load()
    return found


def rgb_png(*before: bytes) -> bytes:
    return png(8, 2, bytes(6), before=b"".join(before))


def cicp(*values: int) -> bytes:
    return chunk(b"cICP", bytes(values))


def gamma(value: int) -> bytes:
    return chunk(b"gAMA", struct.pack(">I", value))


def chrm(*values: int) -> bytes:
    return chunk(b"cHRM", struct.pack(">8I", *values))


@pytest.mark.parametrize(
    ("numbers", "expected"),
    [
        ((1, 13, 0, 1), Colours()),
        ((1, 1, 0, 1), Colours()),
        ((12, 13, 0, 1), DISPLAY_P3),
        ((9, 16, 0, 1), Colours(((0.708, 0.292), (0.170, 0.797), (0.131, 0.046)), D65, "pq")),
        ((1, 18, 0, 1), Colours(transfer="hlg")),
        ((1, 8, 0, 1), Colours(transfer=1.0)),
    ],
)
def test_cicp_of_png(numbers: tuple[int, ...], expected: Colours) -> None:
    assert described(rgb_png(cicp(*numbers))) == expected


def test_cicp_goes_before_a_profile_and_all_else() -> None:
    data = saved("PNG", icc_profile=LITTLECMS_SRGB)
    assert described(data) is None
    assert described(data[:33] + cicp(12, 13, 0, 1) + data[33:]) == DISPLAY_P3
    assert described(rgb_png(cicp(12, 13, 0, 1), chrm(*ADOBE_CHRM), chunk(b"sRGB", b"\0"))) == DISPLAY_P3


@pytest.mark.parametrize(
    ("numbers", "message"),
    [
        ((77, 13, 0, 1), "colours of the numbers 77/13, expected primaries among 1, 2"),
        ((1, 99, 0, 1), "colours of the numbers 1/99"),
        ((1, 13, 0, 0), "matrix 0 and range 0"),
        ((1, 13, 6, 1), "matrix 6 and range 1"),
    ],
)
def test_numbers_that_are_not_known_are_refused(numbers: tuple[int, ...], message: str) -> None:
    with pytest.raises(ImageError, match=message):
        described(rgb_png(cicp(*numbers)))


def test_primaries_and_gamma_of_png() -> None:
    assert described(rgb_png()) is None
    assert described(rgb_png(gamma(45455))) == Colours()
    assert described(rgb_png(chunk(b"sRGB", b"\0"), gamma(100000), chrm(*ADOBE_CHRM))) == Colours()
    assert described(rgb_png(gamma(100000))) == Colours(transfer=1.0)
    assert described(rgb_png(chrm(*ADOBE_CHRM))) == Colours(ADOBE_RGB.primaries, D65, "srgb")
    with_gamma = described(rgb_png(gamma(45455), chrm(*ADOBE_CHRM)))
    assert isinstance(with_gamma, Colours) and with_gamma.transfer == pytest.approx(2.2, abs=0.001)
    with pytest.raises(ImageError, match="PNG of gamma 0, expected 0.45455"):
        described(rgb_png(gamma(0)))


def test_nclx_of_avif() -> None:
    data = saved("AVIF")
    place = data.index(b"nclx") + 4
    for numbers, expected in [
        ((1, 13), Colours()),
        ((2, 2), None),
        ((12, 13), DISPLAY_P3),
        ((12, 16), Colours(DISPLAY_P3.primaries, D65, "pq")),
    ]:
        assert described(data[:place] + struct.pack(">HH", *numbers) + data[place + 4 :]) == expected
    assert described(saved("AVIF", icc_profile=profile_of(DISPLAY_P3, is_grey=False))) is None


def test_nclx_counts_if_it_belongs_to_the_primary_item() -> None:
    data = bytearray(saved("AVIF"))
    place = data.index(b"nclx") + 4
    data[place : place + 4] = struct.pack(">HH", 12, 13)
    associated = data.index(b"ipma") + 4 + 4 + 4 + 2
    count = data[associated]
    data[associated + 1 : associated + 1 + count] = bytes([1]) * count
    image = Image.open(BytesIO(saved("AVIF")))
    image.fp = BytesIO(bytes(data))
    assert described_colours(image) is None
    data[associated + 1 : associated + 1 + count] = range(1, count + 1)
    image.fp = BytesIO(bytes(data))
    assert described_colours(image) == DISPLAY_P3


@pytest.mark.parametrize(("numbers", "expected"), [((1, 13), Colours()), ((12, 13), DISPLAY_P3), ((1, 18), Colours(transfer="hlg"))])
def test_nclx_of_heic(numbers: tuple[int, int], expected: Colours | None) -> None:
    out = BytesIO()
    primaries, transfer = numbers
    pillow_heif.from_pillow(Image.fromarray(RGB)).save(out, color_primaries=primaries, transfer_characteristics=transfer)
    image = pillow_heif.open_heif(BytesIO(out.getvalue())).to_pillow()
    assert described_colours(image) == expected
    image.info["icc_profile"] = b"profile"
    assert described_colours(image) is None


def jp2_with(colr: bytes) -> bytes:
    """Returns a JPEG 2000 file with another colour box."""
    data = saved("JPEG2000")
    header, box = data.index(b"jp2h") - 4, data.index(b"colr") - 4
    (size,) = struct.unpack_from(">I", data, box)
    (whole,) = struct.unpack_from(">I", data, header)
    new = struct.pack(">I", len(colr) + 8) + b"colr" + colr
    return data[:header] + struct.pack(">I", whole + len(new) - size) + data[header + 4 : box] + new + data[box + size :]


@pytest.mark.parametrize(
    ("colr", "expected"),
    [
        (struct.pack(">BBBI", 1, 0, 0, 16), Colours()),
        (struct.pack(">BBBI", 1, 0, 0, 12), None),
        (struct.pack(">BBBI", 1, 0, 0, 21), PROPHOTO),
        (b"\2\0\0" + LITTLECMS_SRGB, LITTLECMS_SRGB),
        (b"\3\0\0" + LITTLECMS_SRGB, LITTLECMS_SRGB),
        (struct.pack(">BBBHHHB", 5, 0, 0, 12, 13, 0, 128), DISPLAY_P3),
    ],
)
def test_colour_box_of_jpeg_2000(colr: bytes, expected: Colours | bytes | None) -> None:
    assert described_colours(Image.open(BytesIO(jp2_with(colr)))) == expected


def test_other_spaces_of_jpeg_2000_are_refused() -> None:
    with pytest.raises(ImageError, match="colour space 14 by method 1"):
        described_colours(Image.open(BytesIO(jp2_with(struct.pack(">BBBI", 1, 0, 0, 14)))))


def bmp_with(kind: bytes, endpoints: tuple[int, ...] = (0,) * 9, gammas: tuple[int, ...] = (0, 0, 0), profile: bytes = b"") -> bytes:
    """Returns a BMP with a header of version 5."""
    old = saved("BMP")
    pixels = old[54:]
    start = 124 + len(pixels)
    header = struct.pack("<I", 124) + old[18:54] + bytes(16) + kind[::-1] + struct.pack("<9I", *endpoints) + struct.pack("<3I", *gammas)
    header += struct.pack("<IIII", 4, start, len(profile), 0)
    whole = 14 + len(header) + len(pixels) + len(profile)
    return b"BM" + struct.pack("<IHHI", whole, 0, 0, 14 + len(header)) + header + pixels + profile


def fixed(*values: float) -> tuple[int, ...]:
    return tuple(round(value * (1 << 30)) for value in values)


ADOBE_POINTS = fixed(0.64, 0.33, 0.03, 0.21, 0.71, 0.08, 0.15, 0.06, 0.79)
SRGB_ENDPOINTS = fixed(0.64, 0.33, 0.03, 0.30, 0.60, 0.10, 0.15, 0.06, 0.79)
GAMMA_2_2 = (round(2.2 * 65536),) * 3


def test_colours_of_bmp() -> None:
    assert described(saved("BMP")) is None
    assert described(bmp_with(b"sRGB")) == Colours() and described(bmp_with(b"Win ")) is None
    assert described(bmp_with(b"MBED", profile=LITTLECMS_SRGB)) == LITTLECMS_SRGB
    assert described(bmp_with(bytes(4))) is None
    found = described(bmp_with(bytes(4), SRGB_ENDPOINTS, GAMMA_2_2))
    assert isinstance(found, Colours) and profile_of(found, is_grey=False) is None
    found = described(bmp_with(bytes(4), ADOBE_POINTS, GAMMA_2_2))
    assert isinstance(found, Colours) and found.white == D65 and found.transfer == pytest.approx(2.2, abs=1e-4)
    assert np.abs(np.subtract(found.primaries, ADOBE_RGB.primaries)).max() < 1e-6
    with pytest.raises(ImageError, match="BMP with a colour profile in another file"):
        described(bmp_with(b"LINK", profile=b"C:\\x.icc"))
    with pytest.raises(ImageError, match="BMP of the gammas 1, 2, 3, expected three equal ones"):
        described(bmp_with(bytes(4), ADOBE_POINTS, (1 << 16, 2 << 16, 3 << 16)))


def test_end_points_of_bmp_may_be_xyz() -> None:
    xyz = (0.5767, 0.2973, 0.0270, 0.1856, 0.6274, 0.0707, 0.1882, 0.0753, 0.9913)
    found = described(bmp_with(bytes(4), fixed(*xyz), GAMMA_2_2))
    assert isinstance(found, Colours) and np.abs(np.subtract(found.primaries, ADOBE_RGB.primaries)).max() < 1e-3
    assert found.white == pytest.approx(D65, abs=1e-3)


def test_primaries_of_tiff() -> None:
    def tiff(**tags: Any) -> bytes:
        return saved("TIFF", tiffinfo={int(name[1:]): value for name, value in tags.items()})

    srgb = tuple(value for point in SRGB_PRIMARIES for value in point)
    adobe = tuple(value for point in ADOBE_RGB.primaries for value in point)
    assert described(tiff()) is None and described(tiff(t318=D65, t319=srgb)) == Colours()
    found = described(tiff(t318=D65, t319=adobe))
    assert isinstance(found, Colours) and found.transfer == 2.2
    assert np.abs(np.subtract(found.primaries, ADOBE_RGB.primaries)).max() < 1e-6


def test_transfer_function_of_tiff() -> None:
    def tiff(gamma: float, curves: int) -> bytes:
        curve = tuple(round(65535 * (level / 255) ** gamma) for level in range(256))
        return saved("TIFF", tiffinfo={301: curve * curves})

    for curves in (1, 3):
        assert described(tiff(2.2, curves)) is None
        with pytest.raises(ImageError, match="transfer function takes a half to 0.502, expected 0.216, that of sRGB"):
            described(tiff(1.0, curves))


def test_profile_of_gif() -> None:
    data = saved("GIF")
    assert described(data) is None
    place = 13 + 3 * 2 ** ((data[10] & 7) + 1)
    blocks = b"".join(bytes([len(part)]) + part for part in (LITTLECMS_SRGB[at : at + 255] for at in range(0, len(LITTLECMS_SRGB), 255)))
    assert described(data[:place] + b"\x21\xff\x0bICCRGBG1012" + blocks + b"\0" + data[place:]) == LITTLECMS_SRGB


def test_a_header_that_ends_early_describes_nothing() -> None:
    image = Image.open(BytesIO(saved("AVIF")))
    image.fp = BytesIO(saved("AVIF")[:60])
    assert described_colours(image) is None
