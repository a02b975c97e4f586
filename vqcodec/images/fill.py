"""Smooth filling of pixels that cannot be seen: under alpha 0, or under exact ones."""

import numpy as np
from numpy.typing import NDArray
from PIL import Image


def fill_smoothly(pixels: NDArray[np.uint8], known: NDArray[np.bool_]) -> NDArray[np.uint8]:
    """Fills unknown pixels smoothly from those around them, so that they cost little and do not stain the edges of known ones.

    A pyramid of means of known pixels is made, and every pixel mixes the means of all levels by the share of known pixels in them, the
    finer ones first (pull-push, Gortler et al. 1996, section 3.4). Known pixels stay as they are. Where nothing is known, everything is
    grey.

    Args:
        pixels: uint8 [H, W] or [H, W, 3].
        known: bool [H, W].
    """
    if not known.any():
        return np.full_like(pixels, 128)
    planes = pixels[:, :, None] if pixels.ndim == 2 else pixels
    shares = known.astype(np.float32)
    filled = np.empty_like(planes)
    for channel in range(planes.shape[2]):
        smooth = _pull_push(planes[:, :, channel].astype(np.float32) * shares, shares)
        filled[:, :, channel] = np.where(known, planes[:, :, channel], np.clip(np.rint(smooth), 0, 255).astype(np.uint8))
    return filled[:, :, 0] if pixels.ndim == 2 else filled


def repeat_hidden(pixels: NDArray[np.uint8], known: NDArray[np.bool_]) -> NDArray[np.uint8]:
    """Gives unknown pixels the colour of the last known one to their left, so that a lossless coder says them in hardly any bits.

    Args:
        pixels: uint8 [H, W, 3].
        known: bool [H, W].
    """
    if known.all():
        return pixels
    last = np.maximum.accumulate(np.where(known, np.arange(known.shape[1]), -1), axis=1)
    return np.where(last[:, :, None] < 0, 0, np.take_along_axis(pixels, np.maximum(last, 0)[:, :, None], axis=1)).astype(np.uint8)


def _pull_push(weighted: NDArray[np.float32], weights: NDArray[np.float32]) -> NDArray[np.float32]:
    """Returns values without gaps, float32 [H, W], from values times weights and weights of 0 to 1."""
    height, width = weights.shape
    means: NDArray[np.float32] = np.zeros_like(weighted)
    np.divide(weighted, weights, out=means, where=weights > 0)
    if max(height, width) == 1:
        return means
    coarse = _pull_push(_halved(weighted), _halved(weights))
    doubled = Image.fromarray(coarse).resize((2 * coarse.shape[1], 2 * coarse.shape[0]), Image.Resampling.BILINEAR)
    behind = np.asarray(doubled, np.float32)[:height, :width]
    filled: NDArray[np.float32] = behind + weights * (means - behind)
    return filled


def _halved(plane: NDArray[np.float32]) -> NDArray[np.float32]:
    """Returns the means of 2x2 values, with zeros beyond the edges."""
    height, width = plane.shape
    padded = np.pad(plane, ((0, height % 2), (0, width % 2)))
    rows = padded[0::2] + padded[1::2]
    halved: NDArray[np.float32] = rows[:, 0::2] + rows[:, 1::2]
    halved *= 0.25
    return halved
