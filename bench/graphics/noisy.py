"""Smooth pictures with the noise of a sensor: saturated grounds, gradients, a saturated half beside a photo."""

from functools import partial
from typing import Final

import numpy as np
from PIL import Image, ImageOps

from bench.graphics.canvas import Colour, Drawing, blended, ramps
from bench.photos import photo

_SIDE: Final = 256
_GREEN: Final = (10, 220, 10)
_VIOLET: Final = (140, 20, 230)
_MAGENTA: Final = (228, 14, 220)
_YELLOW: Final = (240, 228, 20)
_BROWN: Final = (120, 90, 60)


def _with_noise(picture: Image.Image, levels: int) -> Image.Image:
    """Returns a picture with noise added to each sample, uniform from -levels to levels."""
    pixels = np.asarray(picture).astype(np.int16)
    noise = np.random.default_rng(0).integers(-levels, levels + 1, pixels.shape)
    return Image.fromarray((pixels + noise).clip(0, 255).astype(np.uint8))


def _ground(colour: Colour, levels: int, side: int = _SIDE) -> Image.Image:
    return _with_noise(Image.new("RGB", (side, side), colour), levels)


def _slope(first: Colour, last: Colour, levels: int) -> Image.Image:
    """A gradient from the upper left to the lower right."""
    right, down = ramps((_SIDE, _SIDE))
    return _with_noise(blended(first, last, (right + down) / 2), levels)


def _halo(first: Colour, last: Colour, levels: int) -> Image.Image:
    """A gradient from a place in the picture outwards."""
    right, down = ramps((_SIDE, _SIDE))
    return _with_noise(blended(first, last, np.clip(1.4 * np.hypot(right - 0.5, down - 0.4), 0, 1)), levels)


def _half(colour: Colour, levels: int, name: str) -> Image.Image:
    """A photo whose right half is one colour with noise."""
    picture = ImageOps.fit(photo(name), (384, 384), Image.Resampling.LANCZOS)
    picture.paste(_ground(colour, levels, 384), (192, 0))
    return picture


NOISY: Final[dict[str, Drawing]] = {
    "noisy_green": partial(_ground, _GREEN, 3),
    "noisy_green_large": partial(_ground, _GREEN, 3, 512),
    "noisy_violet": partial(_ground, _VIOLET, 6),
    "noisy_violet_faint": partial(_ground, _VIOLET, 1),
    "noisy_magenta": partial(_ground, _MAGENTA, 3),
    "noisy_yellow": partial(_ground, _YELLOW, 1),
    "noisy_brown": partial(_ground, _BROWN, 3),
    "noisy_slope_deep": partial(_slope, (8, 12, 90), (150, 20, 235), 3),
    "noisy_slope_dusk": partial(_slope, (250, 120, 10), (120, 10, 160), 1),
    "noisy_halo_lime": partial(_halo, (20, 230, 30), (230, 235, 20), 3),
    "noisy_halo_pink": partial(_halo, (240, 20, 200), (250, 150, 30), 1),
    "noisy_half_green": partial(_half, _GREEN, 3, "chelsea"),
    "noisy_half_violet": partial(_half, _VIOLET, 6, "coffee"),
}
"""The drawings of this module by name."""
