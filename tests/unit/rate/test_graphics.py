"""Checks which pictures may hold graphics, and which pixels are chosen to be exact."""

import numpy as np
import pytest
import skimage.data
from numpy.typing import NDArray
from PIL import Image, ImageDraw, ImageFont

from vqcodec.rate.graphics import choose_boxes, choose_exact, exact_bits, find_boxes, importance, ink_of, large_areas, may_be_graphics


def flat(colour: tuple[int, int, int], width: int = 64, height: int = 48) -> NDArray[np.uint8]:
    return np.full((height, width, 3), colour, np.uint8)


def text(size: tuple[int, int] = (160, 96)) -> NDArray[np.uint8]:
    """Returns black letters on white."""
    picture = Image.new("RGB", size, (255, 255, 255))
    draw = ImageDraw.Draw(picture)
    for y in range(4, size[1] - 12, 14):
        draw.text((4, y), "What is said exactly?", fill=(0, 0, 0), font=ImageFont.load_default_imagefont())
    return np.asarray(picture)


def checks(side: int) -> NDArray[np.uint8]:
    y, x = np.mgrid[0:64, 0:64]
    return np.repeat((((x // side + y // side) % 2) * 255)[:, :, None], 3, axis=2).astype(np.uint8)


def noise(width: int = 64, height: int = 48) -> NDArray[np.uint8]:
    return np.random.default_rng(0).integers(0, 256, (height, width, 3), np.uint8)


@pytest.mark.parametrize(
    "rgb",
    [
        text(),
        flat((0, 255, 0)),
        flat((120, 100, 90)),
        flat((255, 255, 255), 3, 300),
        checks(8),
        checks(3),
        checks(1),
        np.asarray(Image.fromarray(text()).resize((240, 144), Image.Resampling.BICUBIC)),
    ],
    ids=["text", "green", "brown", "thin", "checks-8", "checks-3", "checks-1", "soft text"],
)
def test_drawings_may_be_graphics(rgb: NDArray[np.uint8]) -> None:
    assert may_be_graphics(rgb)
    assert may_be_graphics(rgb[::-1].copy()) and may_be_graphics(np.ascontiguousarray(rgb.swapaxes(0, 1)))


@pytest.mark.parametrize("name", ["astronaut", "chelsea", "coffee"])
def test_photos_are_not(name: str) -> None:
    assert not may_be_graphics(getattr(skimage.data, name)())


def test_a_line_of_text_on_a_photo_is_found() -> None:
    picture = Image.fromarray(skimage.data.chelsea())
    ImageDraw.Draw(picture).rectangle([0, 260, 450, 300], fill=(255, 255, 255))
    ImageDraw.Draw(picture).text((8, 270), "A cat, and what it is called.", fill=(0, 0, 0), font=ImageFont.load_default_imagefont())
    assert may_be_graphics(np.asarray(picture))


@pytest.mark.parametrize("size", [(1, 1), (1, 9), (9, 1), (3, 5), (7, 300), (8, 8)])
def test_small_pictures(size: tuple[int, int]) -> None:
    """Nothing fails where there is no whole block."""
    rgb = noise(*size)
    may_be_graphics(rgb)
    bits = exact_bits(rgb)
    assert bits.shape == rgb.shape[:2] and (bits > 0).all()
    every = choose_exact(bits, np.full(bits.shape, 1e9, np.float32), ink_of(rgb), 1.0)
    assert every.shape == bits.shape and every.all()
    assert not choose_exact(bits, np.zeros_like(bits), ink_of(rgb), 1.0).any()


def test_bits_of_flat_areas_edges_and_noise() -> None:
    assert exact_bits(flat((1, 2, 3))).sum() < 300
    letters, loud = exact_bits(text()).mean(), exact_bits(noise()).mean()
    assert letters < 2 and loud > 15
    few = np.random.default_rng(0).choice(np.array([[255, 0, 0], [0, 0, 255]], np.uint8), (48, 64))
    assert exact_bits(few).mean() < 4, "Frequent colours cost less than new ones."


def test_text_is_exact_and_noise_is_not() -> None:
    """Errors of the codes are alike on both sides; what the pixels cost exactly decides."""
    rgb = np.hstack([text((160, 96)), noise(160, 96)])
    errors = np.full(rgb.shape[:2], 3 * 20.0**2, np.float32)
    chosen = choose_exact(exact_bits(rgb), errors, ink_of(rgb), weight=400.0)
    assert chosen[:, :160].mean() > 0.95 and not chosen[:, 160:].any()
    assert not choose_exact(exact_bits(rgb), errors, ink_of(rgb), weight=1e9).any()
    assert choose_exact(exact_bits(rgb), errors, ink_of(rgb), weight=1e-9).all()


def test_ink_alone_is_exact_on_a_noisy_ground() -> None:
    """A block of noise with a bar through it keeps its noise for the codes."""
    rgb = noise(64, 64)
    rgb[28:36] = (250, 10, 10)
    errors = np.full(rgb.shape[:2], 1000.0, np.float32)
    chosen = choose_exact(exact_bits(rgb), errors, ink_of(rgb), weight=200.0)
    assert chosen[28:36].all() and chosen.mean() < 0.2


def test_nothing_is_exact_where_codes_make_no_error() -> None:
    rgb = text()
    errors = np.zeros(rgb.shape[:2], np.float32)
    errors[40:48, 40:48] = 1e6
    chosen = choose_exact(exact_bits(rgb), errors, ink_of(rgb), weight=10.0)
    assert chosen[40:48, 40:48].all() and chosen.sum() == 64


def test_errors_in_text_count_more_than_in_photos() -> None:
    rgb = np.full((40, 40, 3), 255, np.uint8)
    rgb[16:24, 8:32] = 0
    rgb[:, 36:] = np.random.default_rng(0).integers(0, 255, (40, 4, 3))
    factors = importance(ink_of(rgb))
    assert (factors[:, :35] == factors[0, 0]).all() and factors[0, 0] > 1
    assert (factors[:, 38:] == 1).all()


def test_large_areas_are_whole_and_scattered_pixels_are_left_out() -> None:
    """A box of text with gaps in its mask, whose last rows share blocks with a photo, and pixels of the photo here and there."""
    rgb = np.concatenate([text((160, 100)), noise(160, 60)])
    box, scattered = np.zeros(rgb.shape[:2], bool), np.random.default_rng(1).random(rgb.shape[:2]) < 0.1
    box[:100] = True
    mask = (box & ~scattered) | (~box & scattered)
    areas = large_areas(mask, ink_of(rgb))
    assert areas[:96].all() and not areas[100:].any()
    assert 0.5 < areas[96:100].mean() < 1
    assert not large_areas(scattered, ink_of(rgb)).any() and not large_areas(np.zeros_like(box), ink_of(rgb)).any()
    assert large_areas(np.ones((5, 3), bool), ink_of(rgb[:5, :3])).shape == (5, 3)


def test_large_areas_reach_the_edges_of_pictures() -> None:
    """The last row and column of blocks have few pixels."""
    rgb = text((161, 99))
    assert large_areas(np.ones(rgb.shape[:2], bool), ink_of(rgb)).all()


@pytest.mark.parametrize(("left", "top"), [(21, 37), (0, 0), (79, 61)])
def test_boxes_are_found_to_the_pixel(left: int, top: int) -> None:
    rgb = noise(240, 160)
    rgb[top : top + 99, left : left + 161] = text((161, 99))
    rows, columns = slice(top, top + 99), slice(left, left + 161)
    assert find_boxes(rgb) == [(rows, columns)]
    assert not find_boxes(noise(240, 160)) and not find_boxes(noise(3, 5))


def test_boxes_that_touch_pixels_of_their_ground() -> None:
    """A photo beside a caption has the colour of its ground here and there."""
    rgb = np.concatenate([noise(160, 64), text((160, 40))])
    rgb[:64][np.random.default_rng(1).random((64, 160)) < 0.2] = 255
    assert find_boxes(rgb) == [(slice(64, 104), slice(0, 160))]


def test_boxes_are_exact_where_that_is_worth_its_bits() -> None:
    rgb = np.hstack([noise(16, 96), text((160, 96)), noise(16, 96), text((160, 96))])
    boxes, bits = find_boxes(rgb), exact_bits(rgb)
    assert len(boxes) == 2
    errors = np.zeros(bits.shape, np.float32)
    errors[:, 16:176] = bits[:, 16:176] * 10 + 1
    errors[:, 192:] = bits[:, 192:] * 10 - 0.001
    chosen = choose_boxes(boxes, bits, errors, 10.0)
    assert chosen[:, 16:176].all() and chosen.sum() == 160 * 96
