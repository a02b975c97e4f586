"""Codes chosen by distance and rate while the autoencoder learns, so that it learns for what `encode` will choose.

Source: entropy-constrained vector quantisation, Chou, Lookabaugh, Gray 1989, section II, here with priors of the code maps as the entropy
coder.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from vqcodec.nn.fixed_point import Arithmetic
from vqcodec.nn.pixelsnail import PixelSnail
from vqcodec.nn.quantizer import VectorQuantizer


@dataclass(frozen=True)
class ParallelRateDistortionChoice:
    """`rate_distortion.RateDistortionChoice` in one pass: each code is weighed against the nearest codes around it, not the chosen ones.

    Attributes:
        priors: of the maps, top first.
        rate_weights: lambda of each image, [N], in units of squared distance a bit.
    """

    priors: Sequence[PixelSnail]
    rate_weights: Tensor

    @torch.no_grad()
    def __call__(self, quantizer: VectorQuantizer, residual: Tensor, earlier: list[Tensor]) -> Tensor:
        """Indices [N, h, w] for what is left to quantise [N, D, h, w], given the maps before."""
        nearest = quantizer.nearest(residual)
        # Probabilities of one place share their denominator, so logits decide as bits would.
        logits = self.priors[len(earlier)](nearest, earlier, Arithmetic.REAL, side_by_side=len(nearest))
        return quantizer.nearest(residual, -self.rate_weights[:, None, None, None] * logits)
