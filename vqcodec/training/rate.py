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
from vqcodec.nn.autoencoder.quantizer import VectorQuantizer
from vqcodec.nn.prior.pixelsnail import PixelSnail
from vqcodec.rate.choice import map_factor
from vqcodec.training.losses import soft_bits
from vqcodec.training.prior import logits_of_crops


@dataclass(frozen=True)
class ParallelRateDistortionChoice:
    """A `ChooseMap` in torch that chooses as `rate.choice.RateDistortionChoice`, but in a few parallel passes and with one lambda an image.

    The first pass weighs each code given the codes around it that their running order-0 costs would choose, the next given those of the
    pass before. As many passes as a map has steps would choose as `encode` does, but for sharpened priors and its look at the next map.

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

    def weights_of(self, number: int) -> Tensor:
        """Returns lambda of each image, [N], for map `number`: with the factor of the map, and within its limit."""
        return (self.rate_weights * map_factor(number)).clamp_max(math.inf if number else self.top_max_rate_weight)

    @torch.no_grad()
    def __call__(self, quantizer: VectorQuantizer, residual: Tensor, earlier: list[Tensor]) -> Tensor:
        """Chooses the codes [N, h, w] of what is left to quantise [N, D, h, w], given the indices of the maps before."""
        chosen = quantizer.nearest(residual)
        images = self.counts.having[len(earlier)].numbers
        if len(images):
            weights = self.weights_of(len(earlier))[images]
            residual = residual[images]
            codes = quantizer.cheapest(residual, quantizer.running_bits[None, None, None], weights)
            prior, before = self.priors[len(earlier)], [indices[images] for indices in earlier]
            for _ in range(self.passes):
                # Probabilities of one place share their denominator, so logits decide as bits would.
                logits = logits_of_crops(prior, codes, before)
                codes = quantizer.cheapest(residual, logits, -weights)
            chosen[images] = codes
        return chosen

    @torch.no_grad()
    def logits(self, maps: Sequence[Tensor]) -> list[Tensor]:
        """Returns, for each map that an image has, the priors' logits [n, h, w, K] of these images in octaves, given all codes."""
        logits = []
        for number, prior in enumerate(self.priors):
            images = self.counts.having[number].numbers
            if len(images):
                *earlier, indices = (of_map[images] for of_map in maps[: number + 1])
                with torch.autocast(indices.device.type, dtype=torch.bfloat16):
                    logits.append(logits_of_crops(prior, indices, earlier))
        return logits

    def soft_cost(self, residuals: Sequence[Tensor], codebooks: Sequence[Tensor], logits: Sequence[Tensor], temperature: float) -> Tensor:
        """Returns lambda times bits a code, with a gradient into the encoder: the part of what the choice minimises that is not distance.

        Args:
            residuals: what each map quantises, [N, D, h, w].
            codebooks: vectors of the codes of each map, [K, D].
            logits: those of `logits`.
            temperature: that of `soft_bits`.

        Returns:
            Scalar, mean over the maps of the means over the images that have them, in units of squared distance; of each mean the share
            of this process.
        """
        costs = []
        for number, of_images in enumerate(logits):
            images = self.counts.having[number].numbers
            bits = soft_bits(residuals[number][images], codebooks[number], of_images, temperature)
            costs.append(self.counts.having[number].share * (self.weights_of(number)[images] * bits).mean())
        return torch.stack(costs).sum() / len(residuals)
