"""Checks what commands keep of colours and metadata, and what they say of the rest."""

import struct
import zlib
from io import BytesIO
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from tests.cli.conftest import run
from tests.conftest import make_picture
from tests.unit.images.pngs import chunk
from tests.unit.images.profiles import DISPLAY_P3, LITTLECMS_SRGB, cmyk_profile
from tests.unit.images.test_exif import make_exif
from vqcodec.images.colour import profile_of

PIXELS = make_picture(64, 48)
PROFILE = profile_of(DISPLAY_P3, is_grey=False)
XMP = b'<x:xmpmeta xmlns:x="adobe:ns:meta/"><rdf:Description exif:GPSLatitude="48,8.2N" xmp:Rating="5"/></x:xmpmeta>'


@pytest.fixture
def photo_file(tmp_path: Path) -> Path:
    """Returns the path of a photo with a profile, EXIF and XMP."""
    path = tmp_path / "photo.jpg"
    Image.fromarray(PIXELS).save(path, icc_profile=PROFILE, exif=make_exif(orientation=6), xmp=XMP)
    return path


def encode(path: Path, model: str, *options: Any) -> Any:
    result = run("encode", path, "-m", model, "-f", *options)
    assert result.exit_code == 0, result.stderr
    return result


@pytest.mark.parametrize("suffix", [".png", ".jpg", ".webp", ".avif", ".tif"])
def test_metadata_come_back(photo_file: Path, small_model: str, suffix: str) -> None:
    assert "dropped" not in encode(photo_file, small_model).stderr
    target = photo_file.with_name(f"back{suffix}")
    result = run("decode", photo_file.with_suffix(".vq"), "-o", target)
    assert result.exit_code == 0 and ("part of EXIF dropped" in result.stderr) == (suffix == ".tif")
    with Image.open(target) as image:
        assert image.size == (48, 64) and image.info["icc_profile"] == PROFILE and image.info["xmp"] == XMP
        assert image.getexif()[0x010F] == "Made by hand" and image.getexif().get(0x0112, 1) == 1


@pytest.mark.parametrize(
    ("options", "kept"),
    [
        (("--strip", "all"), ()),
        (("--strip", "exif"), ("xmp", "icc_profile")),
        (("--strip", "xmp", "--strip", "icc"), ("exif",)),
        (("--strip", "gps"), ("exif", "xmp", "icc_profile")),
    ],
)
def test_strip(photo_file: Path, small_model: str, options: tuple[str, ...], kept: tuple[str, ...]) -> None:
    encode(photo_file, small_model, *options)
    assert run("decode", photo_file.with_suffix(".vq")).exit_code == 0
    with Image.open(photo_file.with_suffix(".png")) as image:
        assert {"exif", "xmp", "icc_profile"} & image.info.keys() == set(kept)
        if "gps" in options:
            assert 0x8825 not in image.getexif() and b"GPS" not in image.info["xmp"] and b"Rating" in image.info["xmp"]


def test_metadata_that_the_output_cannot_hold_are_told(photo_file: Path, small_model: str) -> None:
    encode(photo_file, small_model, "--strip", "icc")
    data = photo_file.with_suffix(".vq")
    result = run("decode", data, "-o", photo_file.with_suffix(".bmp"))
    assert result.exit_code == 0
    assert f"vqcodec: {data}: EXIF dropped: the .bmp file cannot hold it; XMP dropped: the .bmp file cannot hold it\n" in result.stderr


def test_what_is_dropped_is_told_in_one_line(tmp_path: Path, small_model: str) -> None:
    path = tmp_path / "photo.jpg"
    Image.fromarray(PIXELS).save(path, icc_profile=cmyk_profile(), comment=b"by hand", exif=b"Exif\0\0junk")
    lines = [line for line in encode(path, small_model).stderr.splitlines() if line.startswith("vqcodec:")]
    assert len(lines) == 1 and lines[0].startswith(f"vqcodec: {path}: colour profile dropped, colours taken for sRGB: it is a CMYK profile")
    assert "comment dropped" in lines[0] and "EXIF dropped: it is damaged" in lines[0]


def test_a_profile_of_srgb_and_an_opaque_alpha_plane_cost_nothing(tmp_path: Path, small_model: str) -> None:
    image = Image.fromarray(PIXELS)
    image.save(tmp_path / "plain.png")
    image.save(tmp_path / "srgb.png", icc_profile=LITTLECMS_SRGB)
    image.convert("RGBA").save(tmp_path / "opaque.png")
    encode(tmp_path, small_model)
    plain, *others = ((tmp_path / f"{name}.vq").read_bytes() for name in ("plain", "srgb", "opaque"))
    assert others == [plain, plain]


def test_hidden_colours_cost_what_a_smooth_background_costs(tmp_path: Path, small_model: str) -> None:
    y, x = np.mgrid[0:96, 0:96]
    alpha = np.where((x - 48) ** 2 + (y - 48) ** 2 < 900, 255, 0).astype(np.uint8)
    pixels = make_picture(96, 96)
    random = np.random.default_rng(0).integers(0, 256, (96, 96, 3))
    for name, hidden in [("magenta", [255, 0, 255]), ("black", [0, 0, 0]), ("noise", random)]:
        loud = np.where(alpha[:, :, None] == 0, hidden, pixels).astype(np.uint8)
        Image.fromarray(np.dstack([loud, alpha])).save(tmp_path / f"{name}.png")
    encode(tmp_path, small_model)
    magenta, black, noise = ((tmp_path / f"{name}.vq").read_bytes() for name in ("magenta", "black", "noise"))
    assert magenta == black == noise


def test_hdr(tmp_path: Path, small_model: str) -> None:
    out = BytesIO()
    Image.fromarray(PIXELS).save(out, "PNG")
    data = out.getvalue()
    path = tmp_path / "hdr.png"
    path.write_bytes(data[:33] + chunk(b"cICP", bytes([9, 16, 0, 1])) + data[33:])
    result = run("encode", path, "-m", small_model)
    assert result.exit_code == 1
    message = f"vqcodec: {path}: HDR picture (PQ), expected SDR; encode --tone-map, or tone_map=True in Python, converts it"
    assert result.stderr.splitlines() == [message]
    encode(path, small_model, "--tone-map")


def test_a_format_that_holds_no_profile_is_refused_before_anything_is_painted(
    photo_file: Path, small_model: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    encode(photo_file, small_model)
    monkeypatch.setattr("vqcodec.cli.conversions.paint", lambda *_, **__: pytest.fail("painted"))
    result = run("decode", photo_file.with_suffix(".vq"), "-o", photo_file.with_suffix(".bmp"))
    assert result.exit_code == 1 and "a .bmp file cannot hold the picture's colour profile" in result.stderr


def test_metadata_of_a_cut_file_are_told_to_be_lost(photo_file: Path, small_model: str) -> None:
    encode(photo_file, small_model)
    data = photo_file.with_suffix(".vq")
    data.write_bytes(data.read_bytes()[:-20])
    result = run("decode", data, "--allow-truncated")
    assert result.exit_code == 0 and "its transparency, colour profile, EXIF and XMP are lost" in result.stderr


def test_a_cut_file_whose_transparency_is_lost_becomes_a_jpeg(tmp_path: Path, small_model: str) -> None:
    Image.fromarray(np.dstack([PIXELS, PIXELS[:, :, 0]])).save(tmp_path / "photo.png")
    encode(tmp_path / "photo.png", small_model)
    data = tmp_path / "photo.vq"
    assert run("decode", data, "-o", tmp_path / "photo.jpg").exit_code == 1
    data.write_bytes(data.read_bytes()[:-20])
    result = run("decode", data, "--allow-truncated", "-o", tmp_path / "photo.jpg")
    assert result.exit_code == 0, result.stderr
    with Image.open(tmp_path / "photo.jpg") as picture:
        assert picture.mode == "RGB"


def test_damaged_alpha_plane_is_told_without_addresses(tmp_path: Path, small_model: str) -> None:
    image = Image.fromarray(np.dstack([PIXELS, PIXELS[:, :, 0]]))
    image.save(tmp_path / "photo.png")
    encode(tmp_path / "photo.png", small_model)
    data = bytearray((tmp_path / "photo.vq").read_bytes())
    start, end = data.index(b"ALPH"), len(data) - 4
    place = data.index(b"\x2f", start)
    data[place : place + 4] = b"junk"
    data[end:] = struct.pack("<I", zlib.crc32(bytes(data[start:end])))
    (tmp_path / "photo.vq").write_bytes(bytes(data))
    result = run("decode", tmp_path / "photo.vq", "-o", tmp_path / "back.png")
    assert result.exit_code == 1
    assert "alpha plane is no PNG and no WebP bitstream but begins with 6a 75 6e 6b" in result.stderr
    assert "expected L 64x48" in result.stderr and "0x" not in result.stderr
