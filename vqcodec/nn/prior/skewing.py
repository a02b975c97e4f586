"""Skewed maps, whose rows are shifted so that each step of the wavefront order is a column."""

from torch import Tensor
from torch.nn import functional as F


def skew(x: Tensor, slope: int) -> Tensor:
    """Shifts row r of x [N, H, W, C] right by slope * r, with zeros around: [N, H, W + slope * (H - 1), C]."""
    n, height, width, channels = x.shape
    length = width + slope * (height - 1)
    padded = F.pad(x, (0, 0, 0, length + slope - width))
    return padded.reshape(n, -1, channels)[:, : height * length].reshape(n, height, length, channels)


def unskew(x: Tensor, slope: int, width: int) -> Tensor:
    """Undoes `skew`: returns [N, H, width, C] of x [N, H, L, C]."""
    n, height, length, channels = x.shape
    padded = F.pad(x.reshape(n, height * length, channels), (0, 0, 0, slope * height))
    return padded.reshape(n, height, length + slope, channels)[:, :, :width]
