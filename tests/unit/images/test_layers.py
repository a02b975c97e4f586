"""Checks that exact pixels come back bit for bit, that layers stand where they must, and that damaged ones are told."""

from dataclasses import replace
from io import BytesIO
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray
from PIL import Image

from tests.conftest import make_picture
from vqcodec.errors import FormatError
from vqcodec.format.layers import NO_LAYERS, Layers, Patch
from vqcodec.images.layers import avif_within, can_encode_avif, decode_avif, decode_layers, decode_patch, exact_patches, quick_avif

RGB = make_picture(45, 30)
EVERYTHING = np.ones((30, 45), bool)


def mask_of(*boxes: tuple[slice, slice], shape: tuple[int, int] = (30, 45)) -> NDArray[np.bool_]:
    mask = np.zeros(shape, bool)
    for box in boxes:
        mask[box] = True
    return mask


def bitstream(pixels: NDArray[np.uint8], **options: Any) -> bytes:
    """Returns the bitstream of a WebP file, lossless unless options say otherwise."""
    out = BytesIO()
    Image.fromarray(pixels).save(out, "WEBP", **{"lossless": True, "exact": True} | options)
    data = out.getvalue()
    return data[20 : 20 + int.from_bytes(data[16:20], "little")]


def pasted(layers: Layers, painted: NDArray[np.uint8]) -> NDArray[np.uint8]:
    height, width = painted.shape[:2]
    return decode_layers(layers, width, height).paste(painted)


@pytest.mark.parametrize(
    "mask",
    [
        EVERYTHING,
        mask_of((slice(3, 9), slice(10, 40))),
        mask_of((slice(3, 9), slice(10, 40)), (slice(20, 21), slice(0, 3))),
        mask_of((slice(29, 30), slice(44, 45))),
        mask_of((slice(0, 1), slice(0, 1))),
        np.random.default_rng(0).random((30, 45)) < 0.5,
        np.eye(30, 45, dtype=bool),
    ],
    ids=["whole", "rectangle", "two", "last", "first", "noise", "diagonal"],
)
def test_pixels_of_a_mask_come_back(mask: NDArray[np.bool_]) -> None:
    patches = exact_patches(RGB, mask)
    layers = Layers(patches)
    assert layers.num_exact == mask.sum()
    painted = 255 - RGB
    before = painted.copy()
    assert np.array_equal(pasted(layers, painted), np.where(mask[:, :, None], RGB, painted))
    assert np.array_equal(painted, before)
    (patch,) = patches
    rows, columns = np.nonzero(mask)
    assert (patch.left, patch.top) == (columns.min(), rows.min())
    assert patch.size == (columns.max() + 1 - columns.min(), rows.max() + 1 - rows.min())


def test_no_pixels_are_no_patches() -> None:
    assert exact_patches(RGB, ~EVERYTHING) == ()
    assert pasted(NO_LAYERS, RGB) is RGB


@pytest.mark.parametrize("side", [16383, 16384, 16385, 40000])
@pytest.mark.parametrize("is_high", [False, True])
def test_long_sides_are_split(side: int, is_high: bool) -> None:
    """Encoders of WebP take sides of 16383 pixels at most."""
    rgb = np.arange(side * 2 * 3).astype(np.uint8).reshape(2, side, 3)
    mask = np.ones((2, side), bool)
    mask[0, 5] = mask[:, 16383:20000] = False
    if is_high:
        rgb, mask = rgb.swapaxes(0, 1), mask.T
    for own in (mask, np.ones_like(mask)):
        layers = Layers(exact_patches(rgb, own))
        assert len(layers.patches) == -(-side // 16383) - (own is mask and side in (16384, 16385))
        assert np.array_equal(pasted(layers, np.zeros_like(rgb)), np.where(own[:, :, None], rgb, 0))


def test_patches_of_large_pictures_are_small(monkeypatch: pytest.MonkeyPatch) -> None:
    """Those that a region does not show are not decoded again, and few are kept; the picture is changed in place where that is wanted."""
    monkeypatch.setattr("vqcodec.images.layers.MOST_AT_ONCE_PX", RGB.size // 3 - 1)
    monkeypatch.setattr("vqcodec.images.layers._PART_PX", 16)
    monkeypatch.setattr("vqcodec.images.layers._MOST_KEPT_PX", 3 * 256)
    layers = Layers(exact_patches(RGB, EVERYTHING))
    assert [patch.size for patch in layers.patches] == [(16, 16), (16, 16), (13, 16), (16, 14), (16, 14), (13, 14)]
    opened, painted = decode_layers(layers, 45, 30), np.zeros_like(RGB)
    assert opened.paste(painted, in_place=True) is painted and np.array_equal(painted, RGB)
    assert opened.cover(45, 30) and np.array_equal(opened.paste(np.zeros((3, 20, 3), np.uint8), 14, 10), RGB[14:17, 10:30])
    damaged = Layers((*layers.patches[:5], replace(layers.patches[5], num_exact=5)))
    with pytest.raises(FormatError, match="182 exact pixels"):
        decode_layers(damaged, 45, 30)
    lazy = decode_layers(damaged, 45, 30, check=False)
    assert np.array_equal(lazy.paste(np.zeros((9, 9, 3), np.uint8)), RGB[:9, :9])
    with pytest.raises(FormatError, match="182 exact pixels"):
        lazy.paste(np.zeros_like(RGB))


def test_hidden_pixels_of_a_patch_cost_little() -> None:
    noise = np.random.default_rng(0).integers(0, 256, (64, 64, 3), np.uint8)
    mask = mask_of((slice(0, 1), slice(0, 64)), (slice(63, 64), slice(0, 64)), shape=(64, 64))
    (patch,) = exact_patches(noise, mask)
    assert len(patch.bitstream) < 800


def test_the_longest_sides_of_the_format_are_read() -> None:
    """A bitstream of 16384 pixels is made of one of 16383, which is flat: its pixels take no bits."""
    data = bytearray(bitstream(np.full((1, 16383, 3), 7, np.uint8)))
    assert int.from_bytes(data[1:5], "little") & 0x3FFF == 16382
    data[1] += 1
    rgb, mask = decode_patch(Patch(0, 0, 16384, bytes(data)))
    assert rgb.shape == (1, 16384, 3) and (rgb == 7).all() and mask.all()


@pytest.mark.parametrize("found", [17, 19, 1])
def test_another_number_of_exact_pixels(found: int) -> None:
    patch = Patch(0, 0, 18, bitstream(RGB[:3, :6]))
    decode_patch(patch)
    with pytest.raises(FormatError, match=f"^an exact patch with 18 exact pixels, expected {found}$"):
        decode_patch(replace(patch, num_exact=found))


@pytest.mark.parametrize("alpha", [1, 128, 254])
def test_half_transparent_pixels(alpha: int) -> None:
    pixels = np.dstack([RGB[:3, :6], np.full((3, 6), 255, np.uint8)])
    pixels[1, 2, 3] = alpha
    for exact in (17, 18):
        with pytest.raises(FormatError, match="^an exact patch with half transparent pixels, expected opaque and transparent ones alone$"):
            decode_patch(Patch(0, 0, exact, bitstream(pixels)))


def test_damaged_bitstreams() -> None:
    whole = bitstream(RGB)
    lossy = bitstream(RGB, lossless=False)
    animated = BytesIO()
    Image.fromarray(RGB).save(animated, "WEBP", lossless=True, save_all=True, append_images=[Image.fromarray(255 - RGB)])
    for data in (whole[: len(whole) // 2], whole[:5], whole[:5] + bytes(range(100)), b"\x2f\x2c\x40\x07\xe0" + whole[5:]):
        with pytest.raises(FormatError, match="^an exact patch that cannot be decoded$"):
            decode_patch(Patch(0, 0, 45 * 30, data))
    for data in (lossy, animated.getvalue(), animated.getvalue()[20:]):
        with pytest.raises(FormatError, match=f"^an exact patch starts with {data[:1].hex()}, expected 2f$"):
            decode_patch(Patch(0, 0, 45 * 30, data))


def test_a_lossy_bitstream_that_starts_like_a_lossless_one() -> None:
    with pytest.raises(FormatError, match="^an exact patch that cannot be decoded$"):
        decode_patch(Patch(0, 0, 45 * 30, b"\x2f\x2c\x40\x07\x00" + bitstream(RGB, lossless=False)))


def test_patches_are_pasted_in_their_order() -> None:
    red, blue = np.full((4, 4, 3), (255, 0, 0), np.uint8), np.full((4, 4, 3), (0, 0, 255), np.uint8)
    patches = Patch(1, 2, 16, bitstream(red)), Patch(3, 4, 16, bitstream(blue))
    canvas = np.zeros((30, 45, 3), np.uint8)
    first, second = canvas.copy(), canvas.copy()
    first[2:6, 1:5], first[4:8, 3:7] = (255, 0, 0), (0, 0, 255)
    second[4:8, 3:7], second[2:6, 1:5] = (0, 0, 255), (255, 0, 0)
    assert np.array_equal(pasted(Layers(patches), canvas), first)
    assert np.array_equal(pasted(Layers(patches[::-1]), canvas), second)


def test_what_covers_a_picture() -> None:
    half = RGB[:, :20]
    left, right = (Patch(x, 0, 600, bitstream(np.ascontiguousarray(half))) for x in (0, 20))
    assert decode_layers(Layers((left, right)), 40, 30).cover(40, 30)
    assert not decode_layers(Layers((left, left)), 40, 30).cover(40, 30), "Patches that overlap leave pixels open."
    assert not decode_layers(Layers((left,)), 40, 30).cover(40, 30)
    assert not decode_layers(NO_LAYERS, 40, 30).cover(40, 30)
    avif = avif_within(RGB, 5000)
    assert decode_layers(Layers(avif=avif), 45, 30).cover(45, 30)


def test_avif_is_the_best_within_its_bytes() -> None:
    sizes, errors = [], []
    for limit in (600, 900, 1500, 4000):
        data = avif_within(RGB, limit)
        assert data is not None and len(data) <= limit
        picture = pasted(Layers(avif=data), np.zeros_like(RGB))
        sizes.append(len(data))
        errors.append(np.square(picture.astype(int) - RGB).mean())
    assert sizes == sorted(set(sizes)) and errors == sorted(set(errors), reverse=True) and errors[-1] < 5
    smallest = avif_within(RGB, 1)
    assert smallest is not None and 1 < len(smallest) <= sizes[0]


def test_a_quick_avif_file_is_a_picture() -> None:
    picture = decode_avif(quick_avif(RGB), 45, 30)
    assert picture.shape == RGB.shape and 1 < np.abs(picture.astype(int) - RGB).mean() < 12


def test_pictures_that_cannot_be_avif(monkeypatch: pytest.MonkeyPatch) -> None:
    assert can_encode_avif(16384, 1) and not can_encode_avif(16385, 1) and not can_encode_avif(1, 16385)
    data = avif_within(RGB, 1000)
    monkeypatch.setattr("vqcodec.images.layers.features.check", lambda name: name != "avif")
    assert not can_encode_avif(45, 30)
    with pytest.raises(FormatError, match="^the file has an AVIF layer, and this Pillow was built without AVIF$"):
        decode_layers(Layers(avif=data), 45, 30)


def test_avif_that_readers_refuse_is_not_written(monkeypatch: pytest.MonkeyPatch) -> None:
    """Pillow can be built with other encoders, whose files may be of another structure."""
    data = avif_within(RGB, 1000)
    assert data is not None

    def save(image: Image.Image, out: BytesIO, *_: object, **__: object) -> None:
        out.write(data + b"\0\0\0\x08moov")

    monkeypatch.setattr(Image.Image, "save", save)
    assert avif_within(RGB, 1000) is None


def test_patches_lie_above_avif() -> None:
    mask = mask_of((slice(3, 9), slice(10, 40)))
    avif = avif_within(RGB, 1000)
    picture = pasted(Layers(exact_patches(RGB, mask), avif), np.zeros_like(RGB))
    assert np.array_equal(picture[mask], RGB[mask])
    assert np.array_equal(picture[~mask], pasted(Layers(avif=avif), RGB)[~mask])


def avif_of(image: Image.Image, **options: Any) -> bytes:
    out = BytesIO()
    image.save(out, "AVIF", speed=10, **options)
    return out.getvalue()


@pytest.mark.parametrize("mode", ["L", "RGB", "RGBA", "LA"])
def test_avif_of_every_mode(mode: str) -> None:
    """Grey is taken for colours without any, and alpha does not count."""
    image = Image.fromarray(RGB).convert(mode)
    if "A" in mode:
        image.putalpha(100)
    picture = pasted(Layers(avif=avif_of(image, quality=100)), np.zeros_like(RGB))
    assert picture.shape == RGB.shape
    assert np.abs(picture.astype(int) - np.asarray(image.convert("RGB"))).mean() < 4


def test_avif_layers_that_are_refused() -> None:
    photo = Image.fromarray(RGB)
    webp, png = BytesIO(), BytesIO()
    photo.save(webp, "WEBP", lossless=True)
    photo.save(png, "PNG")
    whole = avif_of(photo)
    for data, message in [
        (avif_of(photo.crop((0, 0, 44, 30))), "an AVIF layer of 44x30 pixels and 1 frames, expected 45x30 and one"),
        (
            avif_of(photo, save_all=True, append_images=[Image.fromarray(255 - RGB)]),
            "an AVIF layer of 45x30 pixels and 2 frames, expected 45x30 and one",
        ),
        (webp.getvalue(), "an AVIF layer that cannot be decoded"),
        (png.getvalue(), "an AVIF layer that cannot be decoded"),
        (whole[:-100], "an AVIF layer that cannot be decoded"),
        (b"", "an AVIF layer that cannot be decoded"),
    ]:
        with pytest.raises(FormatError, match=f"^{message}$"):
            decode_layers(Layers(avif=data), 45, 30)


def test_large_layers_give_no_warning(recwarn: pytest.WarningsRecorder, monkeypatch: pytest.MonkeyPatch) -> None:
    """Pillow would warn from its own limit on, and refuses AVIF above twice of it where `Image.open` opens it."""
    layers = Layers(exact_patches(RGB, EVERYTHING), avif_within(RGB, 1000))
    monkeypatch.setattr(Image, "MAX_IMAGE_PIXELS", 1000)
    assert np.array_equal(pasted(layers, np.zeros_like(RGB)), RGB)
    monkeypatch.setattr(Image, "MAX_IMAGE_PIXELS", 10)
    assert pasted(Layers(avif=layers.avif), np.zeros_like(RGB)).any()
    assert not recwarn.list
