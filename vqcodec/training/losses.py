"""Terms of the loss of an autoencoder beside the error of its pixels: colours of areas, and bits that the encoder feels."""

import math
from typing import Final

import torch
from torch import Tensor
from torch.nn import functional as F

_AREAS_PX: Final = (8, 16, 32)
"""Sides in pixels of the areas whose mean colours `low_frequency_error` compares."""


def low_frequency_error(x: Tensor, x_hat: Tensor) -> Tensor:
    """Returns the mean absolute error of the mean colours of areas of 8x8, 16x16 and 32x32 pixels, averaged over the sizes.

    It stands against colours that drift over flat areas and along the edges of tiles, which squared errors hardly count: an offset of two
    levels adds a tenth to the squared error at 32 dB. Source: the multi-scale L1 loss on low frequencies of Tatwawadi et al. 2026, "What
    Matters in Practical Learned Image Compression"; the sizes are this project's.

    Args:
        x: [N, 3, H, W] in [-1, 1], the photos. Sizes that exceed a side are left out; H and W are at least 8.
        x_hat: [N, 3, H, W], what was painted of them.

    Returns:
        [N], on the [-1, 1] scale.
    """
    error = x_hat - x
    sides = [side for side in _AREAS_PX if side <= min(error.shape[2:])]
    return torch.stack([F.avg_pool2d(error, side).abs().mean(dim=(1, 2, 3)) for side in sides]).mean(dim=0)


def soft_bits(residual: Tensor, codebook: Tensor, logits: Tensor, temperature: float) -> Tensor:
    """Returns bits a code with a gradient into what is quantised: those of soft codes under a prior that was told the hard ones.

    A place has each code k in the share softmax(-distance_k / tau), and pays each share by the prior's bits for that code. Codebook and
    prior get no gradient. All of it is computed in float32. Source: RDVQ, "Differentiable Vector Quantization for Rate-Distortion
    Optimization of Generative Image Compression" (arXiv 2604.10546), whose soft codes are in the rate term alone as well. Codebooks there
    have vectors of length 1 or so; here the vectors of maps differ in length, so tau is `temperature` times their mean squared length.

    Args:
        residual: [N, D, h, w], what is quantised, with the gradient of z_e.
        codebook: [K, D], vectors of the codes.
        logits: [N, h, w, K], logarithms to base 2 of what the prior gives each code, up to a constant a place.
        temperature: share of the mean squared length of the vectors that tau is, such as 0.01 to 0.1.

    Returns:
        [N], mean over the places of each image.
    """
    with torch.autocast(residual.device.type, enabled=False):
        vectors, codes = residual.permute(0, 2, 3, 1).float(), codebook.detach().float()
        lengths = codes.square().sum(dim=1)
        closeness = 2 * vectors @ codes.t() - lengths  # -distance, up to the squared length of the vector, which all codes share
        shares = (closeness / (temperature * lengths.mean())).softmax(dim=-1)
        costs = (logits.detach().float() * math.log(2)).log_softmax(dim=-1) / -math.log(2)
        return (shares * costs).sum(dim=-1).mean(dim=(1, 2))
