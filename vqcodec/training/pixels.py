"""Crops as the networks take them, and the errors of what these paint."""

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from vqcodec.nn.transfer import upload


def to_tensor(images: NDArray[np.uint8] | Tensor, device: torch.device) -> Tensor:
    """Converts uint8 [N, H, W, 3], an array or a tensor on the device, to float32 [N, 3, H, W] in [-1, 1], channels last, on a device."""
    pixels = images if isinstance(images, Tensor) else upload(np.array(images), device)
    x = pixels.permute(0, 3, 1, 2)
    return x.float().div_(127.5).sub_(1.0).contiguous(memory_format=torch.channels_last)


def to_8_bits(x_hat: Tensor) -> Tensor:
    """Rounds painted pixels [N, 3, H, W] to the values in [-1, 1] that 8 bits a sample can hold."""
    return x_hat.clamp(-1, 1).add(1).mul(127.5).round() / 127.5 - 1


def squared_error(x: Tensor, x_hat: Tensor) -> Tensor:
    """Returns the mean squared error of each image, [N], on the [-1, 1] scale squared."""
    return (x - x_hat).square().mean(dim=(1, 2, 3))


def psnr_of_error(error: Tensor) -> Tensor:
    """Returns the PSNR in dB of mean squared errors on the [-1, 1] scale squared."""
    return -10 * torch.log10(error / 4)
