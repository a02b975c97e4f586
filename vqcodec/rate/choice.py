"""The rate-distortion choice of codes: not the nearest, but those that minimise ||z_e - e_k||^2 + lambda * bits(k | the codes before).

The decoder knows nothing of it. Bits are those of the coder that will store the map: of the prior, in the order in which it codes, given
the codes already chosen; or the static ones. Any choice gives a valid file, so floating-point numbers may decide here.

Sources: entropy-constrained vector quantisation, Chou, Lookabaugh, Gray 1989, section II; the choice code by code, in coding order, is that
of the rate-distortion optimised quantisation of video encoders, and a lambda that grows with the variance around is that of their
adaptive quantisation (x264's `aq-mode 1`, of about this strength): errors show least where there is most detail.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Final

import numpy as np
import torch
from torch import Tensor
from torch.nn import functional as F

from vqcodec.coding.maps import MapCoding
from vqcodec.coding.prior import walk_map
from vqcodec.coding.tiles import tile_places
from vqcodec.coding.walk import Places
from vqcodec.format.container import CoderKind, map_scale
from vqcodec.format.octaves import LOGIT_BITS
from vqcodec.models.config import ModelConfig
from vqcodec.models.dial import MAX_RATE_WEIGHT
from vqcodec.nn.autoencoder.quantizer import ChosenMap, VectorQuantizer
from vqcodec.nn.configs import PATCH_TOP
from vqcodec.nn.prior.pixelsnail import PixelSnail

MAP_FACTORS: Final = (0.8, 0.5, 1.2, 2.0)
"""Factors of lambda for each map, the last for all further ones, tuned on held-out photos: later maps pay for what early ones lack."""

_EXPONENT: Final = 1 / 3
"""Power of the relative variance by which lambda grows."""

_MIDDLING_VARIANCE: Final = 200.0
"""Variance of 8-bit grey values at which lambda is used unchanged."""

_LEAST_VARIANCE: Final = 16.0
"""Variance that is added everywhere, so that nothing looks flatter than this."""

_STRIP_PX: Final = 512
"""Rows of pixels that variances are computed of at a time."""


def map_factor(number: int) -> float:
    """Returns the factor of lambda for map `number`."""
    return MAP_FACTORS[min(number, len(MAP_FACTORS) - 1)]


def max_single_rate_weight(config: ModelConfig) -> float:
    """Returns the lambda at which files of one map are smallest: any larger one gives the same."""
    return config.top_max_rate_weight / map_factor(0)


def place_weights(pixels: Tensor) -> Tensor:
    """Returns the factors of lambda at the places of the top map, float32 [N, H / 8, W / 8].

    A factor is the cube root of the variance of grey in 8x8 pixels, averaged over a place and its 8 neighbours, relative to a middling one.

    Args:
        pixels: uint8 [N, 3, H, W] on the CPU, H and W multiples of 8.
    """
    strips = [_sums_of_places(pixels[:, :, start : start + _STRIP_PX]) for start in range(0, pixels.shape[2], _STRIP_PX)]
    sums, squares = (torch.cat(parts, dim=1) for parts in zip(*strips, strict=True))
    spread = PATCH_TOP**2 * squares - sums.square()  # 3^2 * 8^4 variances: sums of integers, exact in float64 too
    around = F.avg_pool2d(F.pad(spread.double()[:, None], (1, 1, 1, 1), mode="replicate"), 3, stride=1)[:, 0]
    variance = around / (3**2 * PATCH_TOP**4)
    weights = ((variance + _LEAST_VARIANCE) / (_MIDDLING_VARIANCE + _LEAST_VARIANCE)) ** _EXPONENT
    return weights.float()  # the last bit of a root depends on the batch


def _sums_of_places(pixels: Tensor) -> tuple[Tensor, Tensor]:
    """Returns the sums of R + G + B over the 8x8 pixels of each place, and of its squares, int64 [N, h, w]."""
    n, _, height, width = pixels.shape
    grey = pixels.sum(dim=1, dtype=torch.int32).reshape(n, height // PATCH_TOP, PATCH_TOP, width // PATCH_TOP, PATCH_TOP)
    return grey.sum(dim=(2, 4)), grey.square().sum(dim=(2, 4))


@dataclass(frozen=True)
class RateDistortionChoice:
    """A `ChooseMap` that weighs distance against bits.

    Attributes:
        codings: means to code the maps, top first.
        rate_weight: lambda, the squared distance in units of the code vectors that a bit is worth; it is multiplied by the factor of the
            map and, where a prior codes it, by that of the place, and limited by the map's coding. 0 takes the nearest codes.
        coder: coder that will store the maps; None for the prior's where there is one, else static.
        pixels: uint8 [N, 3, H, W] on the CPU, the images, whose `place_weights` count; None for the same lambda everywhere.
        free: bool [N, H / 8, W / 8] on the CPU, places of the top map whose codes do not matter; None where all matter.
        with_streams: whether maps that a prior codes are entropy-coded on the way, for a file.

    Raises:
        ValueError: rate_weight is out of range.
    """

    codings: Sequence[MapCoding]
    rate_weight: float
    coder: CoderKind | None = None
    pixels: Tensor | None = None
    free: Tensor | None = None
    with_streams: bool = False

    def __post_init__(self) -> None:
        if not 0 <= self.rate_weight <= MAX_RATE_WEIGHT:
            raise ValueError(f"rate_weight must be in 0..{MAX_RATE_WEIGHT:g}, not {self.rate_weight}")

    @cached_property
    def _place_weights(self) -> Tensor | None:
        return None if self.pixels is None else place_weights(self.pixels)

    def __call__(self, quantizer: VectorQuantizer, residual: Tensor, earlier: list[Tensor]) -> ChosenMap:
        """Chooses the codes [N, h, w] of what is left to quantise [N, D, h, w], given the indices of the maps before."""
        coding = self.codings[len(earlier)]
        rate_weight = min(self.rate_weight * map_factor(len(earlier)), coding.max_rate_weight)
        if self.rate_weight == 0 or self.coder is CoderKind.RAW:
            return ChosenMap(quantizer.nearest(residual))
        if coding.prior is None or self.coder is CoderKind.STATIC:
            bits = -np.log2(coding.static_freqs / coding.static_freqs.sum())
            return ChosenMap(quantizer.nearest(residual, rate_weight * residual.new_tensor(bits)))
        return self._by_prior(coding.prior, rate_weight, quantizer, residual, earlier)

    def _by_prior(
        self, prior: PixelSnail, rate_weight: float, quantizer: VectorQuantizer, residual: Tensor, earlier: list[Tensor]
    ) -> ChosenMap:
        n, _, height, width = residual.shape
        places = tile_places(height, width, len(earlier))
        corners = [(number, rows.start, columns.start) for number in range(n) for rows, columns in places]
        picture, top, left = torch.tensor(corners, device=residual.device).t()
        codebook = quantizer.codebook.double()
        half_square = 0.5 * codebook.square().sum(dim=1)
        half_weight, scale = 0.5 * rate_weight / (1 << LOGIT_BITS), map_scale(len(earlier))
        place_factors = self._place_weights
        if place_factors is None:
            place_factors = torch.ones(n, -(-height // scale), -(-width // scale))
        if self.free is not None:
            place_factors = torch.where(self.free, MAX_RATE_WEIGHT, place_factors)
        weights = place_factors.double().to(residual.device)

        def choose(places: Places, logits: Tensor) -> Tensor:
            tile, row, column = places
            number, r, c = picture[tile], top[tile] + row, left[tile] + column
            z = residual[number, :, r, c].double()
            half_weights = half_weight * weights[number, r // scale, c // scale, None]
            # Probabilities of one place share their denominator, so logits decide as bits would; in float64 no tie depends on the batch.
            return (half_square - z @ codebook.t() - half_weights * logits.double()).argmin(dim=1)

        before = [[indices[number].cpu().numpy() for indices in earlier] for number in range(n)]
        with torch.autocast(residual.device.type, enabled=False):
            walked = walk_map(prior, [(height, width)] * n, before, choose, with_streams=self.with_streams)
        indices = torch.from_numpy(np.stack([of_picture.indices for of_picture in walked])).to(residual.device)
        return ChosenMap(indices, [of_picture.streams for of_picture in walked] if self.with_streams else None)
