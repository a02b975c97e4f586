"""Pillow's colour modes, brought to 8-bit grey or RGB and an alpha plane."""

from typing import Final

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from vqcodec.errors import ImageError
from vqcodec.images.colour_management import cmyk_to_srgb
from vqcodec.images.strips import array_of

_STRIP_PX: Final = 512
"""Rows of pixels that are made grey at a time."""

SIXTEEN_BIT_MODES: Final = ("I;16", "I;16B", "I;16L", "I;16N", "I")
"""Modes of grey values of 16 bits, some of them in 32."""


def read_samples(image: Image.Image, profile: bytes | None) -> tuple[NDArray[np.uint8], NDArray[np.uint8] | None]:
    """Returns the pixels of a Pillow image, uint8 [H, W] or [H, W, 3], and its alpha plane, uint8 [H, W], or None.

    Palettes become RGB, and 16-bit grey is rounded.

    Args:
        image: image of a mode that `check_samples` lets pass.
        profile: colour profile, by which CMYK is converted.

    Raises:
        ImageError: CMYK without a profile, or grey values beyond 16 bits.
    """
    if image.mode in SIXTEEN_BIT_MODES:
        return _sixteen_bit_samples(image)
    if image.mode == "CMYK":
        image = cmyk_to_srgb(image, profile)
    if image.mode == "1":
        image = image.convert("L")
    elif image.mode in ("P", "PA", "RGBa", "RGBX", "La") or "transparency" in image.info:
        image = image.convert(_mode_without_loss(image))
    elif image.mode == "YCbCr":
        image = image.convert("RGB")
    array = array_of(image)
    if image.mode == "LA":
        return array[:, :, 0], array[:, :, 1]
    if image.mode == "RGBA":
        return array[:, :, :3], array[:, :, 3]
    return array, None


def grey_of(rgb: NDArray[np.uint8]) -> NDArray[np.uint8]:
    """Returns the rounded means of colours, uint8 [H, W] of [H, W, 3]."""
    grey = np.empty(rgb.shape[:2], np.uint8)
    for start in range(0, len(rgb), _STRIP_PX):
        strip = slice(start, start + _STRIP_PX)
        grey[strip] = (rgb[strip].sum(axis=2, dtype=np.uint16) * 2 + 3) // 6
    return grey


def _mode_without_loss(image: Image.Image) -> str:
    is_grey = image.mode in ("L", "La")
    names = {(True, True): "LA", (True, False): "L", (False, True): "RGBA", (False, False): "RGB"}
    return names[is_grey, image.has_transparency_data]


def _sixteen_bit_samples(image: Image.Image) -> tuple[NDArray[np.uint8], NDArray[np.uint8] | None]:
    values = np.asarray(image)
    transparent = image.info.get("transparency")
    alpha = None if transparent is None else np.where(values == transparent, 0, 255).astype(np.uint8)
    return _reduce_to_8_bit(values), alpha


def _reduce_to_8_bit(values: NDArray[np.integer]) -> NDArray[np.uint8]:
    wide = values.astype(np.int64)
    if wide.min() < 0 or wide.max() > 0xFFFF:
        raise ImageError(f"grey values of {wide.min()}..{wide.max()}, expected 0..65535")
    return ((wide * 255 + 32767) // 65535).astype(np.uint8)
