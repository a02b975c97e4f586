"""The choice of codes by distance and rate in training, so that the autoencoder learns for the codes that `encode` will choose.

Source: entropy-constrained vector quantisation, Chou, Lookabaugh, Gray 1989, section II, here with priors of the code maps as the entropy
coder.
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from vqcodec.models.config import TOP_MAX_RATE_WEIGHT
from vqcodec.nn.autoencoder.map_counts import MapCounts
from vqcodec.nn.autoencoder.quantizer import ChosenMap, VectorQuantizer
from vqcodec.nn.prior.fixed_point import Arithmetic
from vqcodec.nn.prior.pixelsnail import PixelSnail
from vqcodec.rate.choice import map_factor


@dataclass(frozen=True)
class ParallelRateDistortionChoice:
    """A `ChooseMap` that chooses as `rate.choice.RateDistortionChoice` does, but in a few parallel passes and with one lambda an image.

    The first pass weighs each code given the codes around it that their running order-0 costs would choose, the next given those of the
    pass before. As many passes as a map has steps would choose as `encode` does, but for its charge for the drift of colours.

    Attributes:
        priors: priors of the maps, top first.
        rate_weights: lambda of each image, [N], in units of squared distance a bit, before the factor of the map.
        counts: number of maps of each image that count; in the maps after them an image gets the nearest codes.
        passes: number of passes, at least 1.
        top_max_rate_weight: limit of lambda for the top map, after the factor of that map.
    """

    priors: Sequence[PixelSnail]
    rate_weights: Tensor
    counts: MapCounts
    passes: int = 1
    top_max_rate_weight: float = TOP_MAX_RATE_WEIGHT

    @torch.no_grad()
    def __call__(self, quantizer: VectorQuantizer, residual: Tensor, earlier: list[Tensor]) -> ChosenMap:
        """Chooses the codes [N, h, w] of what is left to quantise [N, D, h, w], given the indices of the maps before."""
        chosen = quantizer.nearest(residual)
        images = self.counts.having[len(earlier)].numbers
        if len(images):
            limit = math.inf if earlier else self.top_max_rate_weight
            weights = (self.rate_weights * map_factor(len(earlier))).clamp_max(limit)[images]
            residual = residual[images]
            codes = quantizer.cheapest(residual, quantizer.running_bits[None, None, None], weights)
            prior, before = self.priors[len(earlier)], [indices[images] for indices in earlier]
            for _ in range(self.passes):
                # Probabilities of one place share their denominator, so logits decide as bits would.
                logits = prior(codes, before, Arithmetic.REAL, side_by_side=len(images))
                codes = quantizer.cheapest(residual, logits, -weights)
            chosen[images] = codes
        return ChosenMap(chosen)
