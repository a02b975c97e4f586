"""Checks that picture files whose samples Pillow would give wrong are refused."""

import struct
from collections.abc import Sequence
from io import BytesIO
from pathlib import Path

import imagecodecs
import numpy as np
import pytest
import tifffile
from PIL import Image, ImageFile

from tests.unit.images.pngs import chunk, png
from tests.unit.images.profiles import DISPLAY_P3
from vqcodec.errors import ImageError
from vqcodec.images.colour import ADOBE_RGB, profile_of
from vqcodec.images.picture import picture_from_any, read_picture

P3, ADOBE = profile_of(DISPLAY_P3, is_grey=False), profile_of(ADOBE_RGB, is_grey=False)


def test_samples_whose_range_is_not_known_are_refused(tmp_path: Path) -> None:
    wide = Image.fromarray(np.full((4, 4), 100, np.int32))
    wide.save(tmp_path / "wide.tif")
    inverted = Image.fromarray(np.full((4, 4), 100, np.uint16))
    inverted.save(tmp_path / "inverted.tif", tiffinfo={262: 0})
    signed = Image.fromarray(np.full((4, 4), 100, np.uint8))
    signed.save(tmp_path / "signed.tif", tiffinfo={339: 2})
    with pytest.raises(ImageError, match="signed"):
        read_picture(tmp_path / "signed.tif")
    bilevel = BytesIO()
    Image.new("1", (4, 4)).save(bilevel, "PNG", transparency=0)
    for source, message in [
        (tmp_path / "wide.tif", "32 bits"),
        (tmp_path / "inverted.tif", "0 is white"),
        (BytesIO(bilevel.getvalue()), "1 bit"),
    ]:
        with pytest.raises(ImageError, match=message):
            read_picture(source, name="x")


@pytest.mark.parametrize(
    ("depth", "colour_type", "samples", "transparent"),
    [(2, 0, b"\x40", b"\0\1"), (4, 0, b"\x10", b"\0\1"), (16, 2, bytes(12), bytes(6)), (16, 4, bytes(8), b"")],
)
def test_pngs_whose_transparency_pillow_mistakes_are_refused(depth: int, colour_type: int, samples: bytes, transparent: bytes) -> None:
    with pytest.raises(ImageError, match="convert it to 8 bits"):
        read_picture(BytesIO(png(depth, colour_type, samples, transparent)), name="x")
    if transparent:
        assert read_picture(BytesIO(png(depth, colour_type, samples)), name="x").alpha is None


def test_gamma_of_png_is_kept_or_refused() -> None:
    def gamma(value: int) -> bytes:
        return chunk(b"gAMA", struct.pack(">I", value))

    for before, has_profile in [(gamma(45455), False), (chunk(b"sRGB", b"\0") + gamma(100000), False), (gamma(100000), True)]:
        picture = read_picture(BytesIO(png(8, 0, b"\1\2", before=before)))
        assert picture.pixels.tolist() == [[1, 2]] and (picture.icc_profile is not None) == has_profile
    with pytest.raises(ImageError, match="PNG of gamma 0, expected 0.45455"):
        read_picture(BytesIO(png(8, 0, b"\1\2", before=gamma(0))))


@pytest.mark.parametrize(("depth", "planar"), [(16, 2), (16, 1), (8, 2)])
@pytest.mark.parametrize("channels", [3, 4])
def test_planes_of_16_bits_are_refused(depth: int, planar: int, channels: int) -> None:
    values = (np.arange(4 * 5 * channels).reshape(channels, 4, 5) * 3 + 20).astype(np.uint8 if depth == 8 else np.uint16)
    if depth == 16:
        values *= 257
    stored = values if planar == 2 else np.moveaxis(values, 0, 2)
    out = BytesIO()
    extra = [] if channels == 3 else ["unassalpha"]
    tifffile.imwrite(out, stored, photometric="rgb", planarconfig="separate" if planar == 2 else "contig", extrasamples=extra)
    if (depth, planar) == (16, 2):
        with pytest.raises(ImageError, match="TIFF of 16 bits a sample with separate planes, expected samples side by side"):
            read_picture(BytesIO(out.getvalue()))
    else:
        picture = read_picture(BytesIO(out.getvalue()))
        assert np.array_equal(picture.pixels, np.moveaxis(values[:3] // (257 if depth == 16 else 1), 0, 2))


@pytest.mark.parametrize(("channels", "bits"), [(3, 16), (3, 10), (4, 12), (1, 4), (1, 9)])
def test_jpeg_2000_of_other_depths_is_refused(channels: int, bits: int) -> None:
    shape = (8, 8) if channels == 1 else (8, 8, channels)
    white = np.full(shape, (1 << bits) - 1, np.uint8 if bits <= 8 else np.uint16)
    for codec in ("jp2", "j2k"):
        data = imagecodecs.jpeg2k_encode(white, codecformat=codec, bitspersample=bits, level=0, reversible=True)
        with pytest.raises(ImageError, match=f"JPEG 2000 of {bits} bits a sample, expected 8, or grey of 10 to 16"):
            read_picture(BytesIO(data))


@pytest.mark.parametrize(("shape", "bits"), [((8, 8, 3), 8), ((8, 8, 4), 8), ((8, 8), 8), ((8, 8), 10), ((8, 8), 12), ((8, 8), 16)])
def test_white_of_jpeg_2000_is_white(shape: tuple[int, ...], bits: int) -> None:
    white = np.full(shape, (1 << bits) - 1, np.uint8 if bits <= 8 else np.uint16)
    data = imagecodecs.jpeg2k_encode(white, codecformat="jp2", bitspersample=bits, level=0, reversible=True)
    assert (read_picture(BytesIO(data)).pixels == 255).all()


def tga(depth: int, attributes: int, pixels: bytes, alpha_kind: int | None = None) -> bytes:
    """Returns a TGA of 2x1 pixels, with an extension where the kind of alpha is given."""
    data = struct.pack("<BBBHHBHHHHBB", 0, 0, 2, 0, 0, 0, 0, 0, 2, 1, depth, 0x20 | attributes) + pixels
    if alpha_kind is None:
        return data
    extension = struct.pack("<H", 495) + bytes(492) + bytes([alpha_kind])
    return data + extension + struct.pack("<II18s", len(data), 0, b"TRUEVISION-XFILE.\0")


@pytest.mark.parametrize(
    ("attributes", "kind", "is_opaque"),
    [(0, None, True), (8, None, False), (8, 0, True), (8, 1, True), (8, 2, True), (8, 3, False), (0, 3, True)],
)
def test_alpha_of_tga_counts_where_the_file_says_so(attributes: int, kind: int | None, is_opaque: bool) -> None:
    picture = read_picture(BytesIO(tga(32, attributes, bytes([30, 20, 10, 7, 60, 50, 40, 0]), kind)))
    assert picture.pixels[0, 0].tolist() == [10, 20, 30]
    assert picture.alpha is None if is_opaque else picture.alpha is not None and picture.alpha.tolist() == [[7, 0]]
    if is_opaque:
        assert picture.pixels[0, 1].tolist() == [40, 50, 60]


def test_tga_multiplied_by_alpha_is_refused() -> None:
    with pytest.raises(ImageError, match="TGA whose colours are multiplied by alpha"):
        read_picture(BytesIO(tga(32, 8, bytes(8), 4)))


def tiff_of(*subfiles: int, profiles: Sequence[bytes | None] = (), photometric: str = "rgb") -> bytes:
    """Returns a TIFF of one page a subfile type; page n holds the level n, and may have a profile."""
    out, channels = BytesIO(), 4 if photometric == "separated" else 3
    with tifffile.TiffWriter(out) as writer:
        for number, subfile in enumerate(subfiles):
            own, pixels = dict(enumerate(profiles)).get(number), np.full((4, 6 + number, channels), number, np.uint8)
            writer.write(pixels, photometric=photometric, subfiletype=subfile, iccprofile=own)
    return out.getvalue()


@pytest.mark.parametrize(("subfiles", "shown"), [((0, 1), 0), ((1, 0), 1), ((1, 1, 0), 2), ((0,), 0)])
def test_smaller_copies_in_a_tiff_are_passed_over(subfiles: tuple[int, ...], shown: int) -> None:
    picture = read_picture(BytesIO(tiff_of(*subfiles)))
    assert picture.pixels.shape == (4, 6 + shown, 3) and (picture.pixels == shown).all()


@pytest.mark.parametrize(
    ("subfiles", "profiles", "expected"),
    [
        ((0, 1), (None, P3), None),
        ((0, 1), (ADOBE, P3), ADOBE),
        ((1, 0), (P3, None), None),
        ((0, 0), (None, P3), None),
        ((0, 0), (ADOBE, P3), ADOBE),
        ((0,), (P3,), P3),
    ],
)
def test_the_profile_of_a_tiff_is_that_of_its_picture(
    subfiles: tuple[int, ...], profiles: tuple[bytes | None, ...], expected: bytes | None
) -> None:
    image = Image.open(BytesIO(tiff_of(*subfiles, profiles=profiles)))
    for _ in range(2):
        assert picture_from_any(image, first_frame=True).icc_profile == expected


def test_cmyk_does_not_take_the_profile_of_another_page_of_a_tiff() -> None:
    with pytest.raises(ImageError, match="CMYK without a colour profile"):
        read_picture(BytesIO(tiff_of(0, 1, profiles=(None, P3), photometric="separated")))


@pytest.mark.parametrize(("subfiles", "count"), [((0, 0), 2), ((0, 1, 2), 2), ((1, 1), 2)])
def test_several_pictures_in_a_tiff_are_refused(subfiles: tuple[int, ...], count: int) -> None:
    image = Image.open(BytesIO(tiff_of(*subfiles)))
    with pytest.raises(ImageError, match=f"^{count} frames, expected a still picture"):
        picture_from_any(image)
    assert image.tell() == 0  # type: ignore[no-untyped-call]


def test_too_large_a_picture_and_unknown_modes_are_refused_before_pixels_are_decoded(monkeypatch: pytest.MonkeyPatch) -> None:
    def load(self: Image.Image) -> None:
        raise AssertionError("pixels are decoded")

    monkeypatch.setattr(ImageFile.ImageFile, "load", load)
    header = chunk(b"IHDR", struct.pack(">IIBBBBB", 13000, 13000, 16, 6, 0, 0, 0))
    data = b"\x89PNG\r\n\x1a\n" + header + chunk(b"IDAT", b"") + chunk(b"IEND", b"")
    with pytest.raises(ImageError, match="picture of 13000x13000 pixels, expected sides up to 1048576 and 134217728 pixels at most"):
        read_picture(BytesIO(data))
    out = BytesIO()
    Image.new("LAB", (4, 4)).save(out, "TIFF")
    with pytest.raises(ImageError, match="colour mode LAB, expected grey"):
        read_picture(BytesIO(out.getvalue()))


def test_a_limit_of_the_callers_holds_before_pixels_are_decoded(monkeypatch: pytest.MonkeyPatch) -> None:
    out = BytesIO()
    Image.new("RGB", (20, 12)).save(out, "PNG")
    data, small, image = out.getvalue(), np.zeros((12, 20), np.uint8), Image.open(BytesIO(out.getvalue()))
    assert picture_from_any(BytesIO(data), max_pixels=240).pixels.shape == (12, 20, 3)
    monkeypatch.setattr(ImageFile.ImageFile, "load", lambda _: pytest.fail("pixels are decoded"))
    for source in (BytesIO(data), image, small):
        with pytest.raises(ImageError, match="picture of 20x12 pixels, expected sides up to 1048576 and 239 pixels at most"):
            picture_from_any(source, max_pixels=239)
    with pytest.raises(ValueError, match="max_pixels must be at least 1"):
        picture_from_any(small, max_pixels=0)


def test_very_large_pictures_are_told() -> None:
    large = np.broadcast_to(np.zeros((1, 1), np.uint8), (9000, 10000))
    with pytest.warns(UserWarning, match="10000x9000 pixels take much time and memory; --max-pixels"):
        picture_from_any(large)
    assert picture_from_any(large, max_pixels=1 << 27).pixels is large


def animation(file_format: str) -> bytes:
    """Returns an animation of three flat frames, the first of which is green."""
    frames = [Image.new("RGB", (20, 12), colour) for colour in ("lime", "red", "blue")]
    out = BytesIO()
    frames[0].save(out, file_format, save_all=True, append_images=frames[1:], **({"lossless": True} if file_format == "WEBP" else {}))
    return out.getvalue()


@pytest.mark.parametrize("file_format", ["GIF", "PNG", "WEBP", "TIFF"])
def test_the_first_frame_is_taken_where_that_is_asked_for(file_format: str) -> None:
    data = animation(file_format)
    with pytest.raises(ImageError, match="3 frames, expected a still picture; --first-frame"):
        read_picture(BytesIO(data))
    for source in (BytesIO(data), Image.open(BytesIO(data))):
        assert (picture_from_any(source, first_frame=True).pixels == (0, 255, 0)).all()
    with Image.open(BytesIO(data)) as image:
        image.seek(1)
        assert (picture_from_any(image, first_frame=True).pixels == (0, 255, 0)).all() and image.tell() == 1
        image.load()
        assert (picture_from_any(image, first_frame=True).pixels == (0, 255, 0)).all()
    with pytest.raises(TypeError, match="first_frame must be True or False, not 1"):
        read_picture(BytesIO(data), first_frame=1)  # type: ignore[arg-type]


def test_a_jpeg_with_more_pictures_counts_as_its_first() -> None:
    data = animation("MPO")
    with Image.open(BytesIO(data)) as image:
        image.seek(1)
        for picture in (read_picture(BytesIO(data)), picture_from_any(image, first_frame=True)):
            assert np.abs(picture.pixels.astype(int) - (0, 255, 0)).max() < 9


@pytest.mark.parametrize("scale", [1, 256, 257])
@pytest.mark.parametrize("compression", [None, "zlib"])
def test_colour_maps_of_8_bits_in_a_tiff(scale: int, compression: str | None) -> None:
    rng = np.random.default_rng(0)
    indices, colours = rng.integers(256, size=(6, 7), dtype=np.uint8), rng.integers(256, size=(3, 256), dtype=np.uint16)
    out = BytesIO()
    tifffile.imwrite(out, indices, photometric="palette", colormap=colours * np.uint16(scale), compression=compression)
    image = Image.open(BytesIO(out.getvalue()))
    before = image.getpalette()
    assert np.array_equal(picture_from_any(image).pixels, np.moveaxis(colours[:, indices], 0, 2))
    assert image.getpalette() == before
