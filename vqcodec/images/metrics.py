"""Measures of the distortion of 8-bit images."""

import math
from typing import Final

import numpy as np
import torch
from numpy.typing import NDArray
from pytorch_msssim import ms_ssim as torch_ms_ssim

MS_SSIM_MIN_SIDE_PX: Final = 161
"""Shortest side of an image whose MS-SSIM is defined: the coarsest of the five scales must hold the window of 11 pixels."""
MS_SSIM_MAX_PIXELS: Final = 1 << 25
"""Largest number of pixels of an image whose MS-SSIM is measured, which takes some 200 bytes a pixel."""
_STRIP_ROWS: Final = 256
"""Rows of an image whose errors are summed at a time."""


def mse(a: NDArray[np.uint8], b: NDArray[np.uint8]) -> float:
    """Returns the mean squared error of two uint8 arrays of one shape over all samples, on the scale of 0..255.

    Raises:
        ValueError: The shapes differ.
    """
    _check_shapes(a, b)
    strips = (slice(start, start + _STRIP_ROWS) for start in range(0, len(a), _STRIP_ROWS))
    total = sum(int(np.square(a[rows].astype(np.int32) - b[rows]).sum(dtype=np.int64)) for rows in strips)
    return total / a.size


def psnr_db(a: NDArray[np.uint8], b: NDArray[np.uint8]) -> float:
    """Returns 10 log10(255^2 / mse) in dB, which is infinite for equal images.

    Raises:
        ValueError: The shapes differ.
    """
    error = mse(a, b)
    return math.inf if error == 0 else 10 * math.log10(255**2 / error)


def ms_ssim(a: NDArray[np.uint8], b: NDArray[np.uint8]) -> float | None:
    """Returns the MS-SSIM of two images, uint8 [H, W, 3], as the mean over the channels.

    It is None for an image with a side shorter than `MS_SSIM_MIN_SIDE_PX`, or with more than `MS_SSIM_MAX_PIXELS` pixels. Source: Wang,
    Simoncelli, Bovik 2003, "Multi-scale structural similarity for image quality assessment"; five scales, Gaussian window of 11x11 pixels.

    Raises:
        ValueError: The shapes differ.
    """
    _check_shapes(a, b)
    height, width = a.shape[:2]
    if min(height, width) < MS_SSIM_MIN_SIDE_PX or height * width > MS_SSIM_MAX_PIXELS:
        return None
    tensors = [torch.from_numpy(image.copy()).permute(2, 0, 1)[None].float() for image in (a, b)]
    return float(torch_ms_ssim(*tensors, data_range=255))


def _check_shapes(a: NDArray[np.uint8], b: NDArray[np.uint8]) -> None:
    if a.shape != b.shape:
        raise ValueError(f"images differ in shape: {list(a.shape)} and {list(b.shape)}")
