"""Rate and distortion of 8-bit images."""

import math
from typing import Final

import numpy as np
from numpy.typing import NDArray

MS_SSIM_MIN_SIDE_PX: Final = 161
MS_SSIM_MAX_PIXELS: Final = 1 << 25
"""It takes some 200 bytes a pixel."""
_STRIP_ROWS: Final = 256


def bits_per_pixel(num_bytes: int, width: int, height: int) -> float:
    """8 * num_bytes / (width * height), of the image before padding."""
    return 8 * num_bytes / (width * height)


def mse(a: NDArray[np.uint8], b: NDArray[np.uint8]) -> float:
    """Mean squared error of two uint8 arrays of one shape, over all samples, on the 0..255 scale.

    Raises:
        ValueError: shapes differ.
    """
    if a.shape != b.shape:
        raise ValueError(f"images differ in shape: {list(a.shape)} and {list(b.shape)}")
    strips = (slice(start, start + _STRIP_ROWS) for start in range(0, len(a), _STRIP_ROWS))
    total = sum(int(np.square(a[rows].astype(np.int32) - b[rows]).sum(dtype=np.int64)) for rows in strips)
    return total / a.size


def psnr_db(a: NDArray[np.uint8], b: NDArray[np.uint8]) -> float:
    """10 log10(255^2 / mse) in dB; infinite for equal images.

    Raises:
        ValueError: shapes differ.
    """
    error = mse(a, b)
    return math.inf if error == 0 else 10 * math.log10(255**2 / error)


def ms_ssim(a: NDArray[np.uint8], b: NDArray[np.uint8]) -> float | None:
    """MS-SSIM of uint8 [H, W, 3] images (Wang, Simoncelli, Bovik 2003: five scales, 11x11 Gaussian window), mean over the channels.

    None where a side is shorter than `MS_SSIM_MIN_SIDE_PX`, so that the coarsest of the five scales would not hold the window, and for
    pictures of more than `MS_SSIM_MAX_PIXELS`, so that memory stays bounded.

    Raises:
        ValueError: shapes differ.
    """
    if a.shape != b.shape:
        raise ValueError(f"images differ in shape: {list(a.shape)} and {list(b.shape)}")
    height, width = a.shape[:2]
    if min(height, width) < MS_SSIM_MIN_SIDE_PX or height * width > MS_SSIM_MAX_PIXELS:
        return None
    import torch
    from pytorch_msssim import ms_ssim as torch_ms_ssim

    tensors = [torch.from_numpy(image.copy()).permute(2, 0, 1)[None].float() for image in (a, b)]
    return float(torch_ms_ssim(*tensors, data_range=255))
