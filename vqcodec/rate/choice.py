"""The rate-distortion choice of codes: not the nearest, but those that minimise ||z_e - e_k||^2 + lambda * bits(k | the codes before).

The decoder knows nothing of it. Bits are those of the coder that will store the map: of the prior, in the order in which it codes, given
the codes already chosen; or the static ones. Any choice gives a valid file, so floating-point numbers may decide here.

Sources: entropy-constrained vector quantisation, Chou, Lookabaugh, Gray 1989, section II; the choice code by code, in coding order, is that
of the rate-distortion optimised quantisation of video encoders, and a lambda that grows with the variance around is that of their
adaptive quantisation (x264's `aq-mode 1`, of about this strength): errors show least where there is most detail. That several codes of a
stage are tried with those of the next is the M-search of residual quantisers, LeBlanc, Bhattacharya, Mahmoud, Cuperman 1993, "Efficient
search and design procedures for robust multi-stage VQ of LPC parameters for 4 kb/s speech coding"; here one of them is kept at once.
"""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Final

import numpy as np
from numpy.typing import NDArray

from vqcodec.coding.maps import MapCoding
from vqcodec.coding.native import choose_natively
from vqcodec.format.container import CoderKind, map_scale
from vqcodec.format.octaves import LOGIT_BITS, PLAIN_SHARPNESS
from vqcodec.models.config import ModelConfig
from vqcodec.models.dial import MAX_RATE_WEIGHT
from vqcodec.nn.autoencoder.blocks import Pixels
from vqcodec.nn.autoencoder.codebooks import ChooseMap, ChosenMap, nearest
from vqcodec.nn.configs import PATCH_TOP
from vqcodec.nn.prior.choice import Choice, NextMap
from vqcodec.nn.prior.native import NativePrior

if TYPE_CHECKING:
    from vqcodec.nn.prior.pixelsnail import PixelSnail

MAP_FACTORS: Final = (0.8, 0.5, 1.1, 1.6)
"""Factors of lambda for each map, the last for all further ones, tuned on held-out photos: later maps pay for what early ones lack."""

_EXPONENT: Final = 1 / 3
"""Power of the relative variance by which lambda grows."""

_MIDDLING_VARIANCE: Final = 200.0
"""Variance of 8-bit grey values at which lambda is used unchanged."""

_LEAST_VARIANCE: Final = 16.0
"""Variance that is added everywhere, so that nothing looks flatter than this."""

NEXT_SHARE: Final = 0.8
"""What the least costs of the next map count where a map's codes are chosen; tuned on held-out photos.

A refinement cannot take everything back that the code before it left. So codes are better that leave what the next codebook has, for few
bits. Bits of the next map are guessed by its static frequencies.
"""

_SHARPENED_FROM, _SHARPENED_BY = 0.4, 2.0
"""Lambda from which on the priors of maps after the top are sharpened, and the sixteenths for each unit above; tuned on held-out photos.

Priors learn from codes that were chosen at many lambdas, and are not told which. The larger lambda is, the more often the codes are chosen
that they expect, and the more they are too unsure. A sharper prior makes the cheap codes cheaper still, so that lambda can be less for as
many bytes.
"""

_MAX_SHARPNESS: Final = 40

_STRIP_PX: Final = 512
"""Rows of pixels that variances are computed of at a time."""


def map_factor(number: int) -> float:
    """Returns the factor of lambda for map `number`."""
    return MAP_FACTORS[min(number, len(MAP_FACTORS) - 1)]


def sharpness(number: int, rate_weight: float) -> int:
    """Returns the sharpness of the prior of map `number` where its codes are chosen at this lambda."""
    sharpened = PLAIN_SHARPNESS + _SHARPENED_BY * max(rate_weight - _SHARPENED_FROM, 0.0)
    return PLAIN_SHARPNESS if number == 0 else round(min(sharpened, _MAX_SHARPNESS))


def max_single_rate_weight(config: ModelConfig) -> float:
    """Returns the lambda at which files of one map are smallest: any larger one gives the same."""
    return config.top_max_rate_weight / map_factor(0)


def place_weights(pixels: Pixels) -> NDArray[np.float32]:
    """Returns the factors of lambda at the places of the top map, float32 [N, H / 8, W / 8].

    A factor is the cube root of the variance of grey in 8x8 pixels, averaged over a place and its 8 neighbours, relative to a middling one.

    Args:
        pixels: uint8 [N, H, W, 3], H and W multiples of 8.
    """
    _, height, width, _ = pixels.shape
    strips = [
        _sums_of_places(pixels[:, slice(start, min(start + _STRIP_PX, height)), slice(0, width)]) for start in range(0, height, _STRIP_PX)
    ]
    sums, squares = (np.concatenate(parts, axis=1) for parts in zip(*strips, strict=True))
    spread = PATCH_TOP**2 * squares - np.square(sums)  # 3^2 * 8^4 variances: sums of integers, exact in float64 too
    padded = np.pad(spread.astype(np.float64), ((0, 0), (1, 1), (1, 1)), mode="edge")
    of_rows = padded[:, :-2] + padded[:, 1:-1] + padded[:, 2:]
    variance = (of_rows[:, :, :-2] + of_rows[:, :, 1:-1] + of_rows[:, :, 2:]) / (9 * 3**2 * PATCH_TOP**4)
    weights = ((variance + _LEAST_VARIANCE) / (_MIDDLING_VARIANCE + _LEAST_VARIANCE)) ** _EXPONENT
    return np.asarray(weights, np.float32)  # the last bit of a root depends on the batch


def _sums_of_places(pixels: NDArray[np.uint8]) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """Returns the sums of R + G + B over the 8x8 pixels of each place, and of its squares, int64 [N, h, w]."""
    grey = np.add(pixels[..., 0], pixels[..., 1], dtype=np.int32)
    grey += pixels[..., 2]
    return _sums(grey), _sums(np.square(grey))


def _sums(values: NDArray[np.int32]) -> NDArray[np.int64]:
    """Returns the sums of squares of 8x8 values [N, H, W], int64 [N, H / 8, W / 8]."""
    n, height, width = values.shape
    of_rows = values.reshape(n, height // PATCH_TOP, PATCH_TOP, width).sum(axis=2, dtype=np.int64)
    return np.asarray(of_rows.reshape(n, height // PATCH_TOP, width // PATCH_TOP, PATCH_TOP).sum(axis=3))


def _half_weight(rate_weight: float) -> float:
    """Returns half of a lambda, for the units of logits."""
    return 0.5 * rate_weight / (1 << LOGIT_BITS)


@dataclass(frozen=True)
class RateDistortionChoice:
    """A `ChooseMap` that weighs distance against bits.

    Attributes:
        codings: means to code the maps, top first.
        rate_weight: lambda, the squared distance in units of the code vectors that a bit is worth; it is multiplied by the factor of the
            map and, where a prior codes it, by that of the place, and limited by the map's coding. 0 takes the nearest codes.
        coder: coder that will store the maps; None for the prior's where there is one, else static.
        weights: `place_weights` of the images, float32 [N, H / 8, W / 8]; None for the same lambda everywhere.
        free: bool [N, H / 8, W / 8], places of the top map whose codes do not matter; None where all matter.
        with_streams: whether maps that a prior codes are entropy-coded on the way, for a file.

    Raises:
        ValueError: rate_weight is out of range.
    """

    codings: Sequence[MapCoding]
    rate_weight: float
    coder: CoderKind | None = None
    weights: NDArray[np.float32] | None = None
    free: NDArray[np.bool_] | None = None
    with_streams: bool = False

    def __post_init__(self) -> None:
        if not 0 <= self.rate_weight <= MAX_RATE_WEIGHT:
            raise ValueError(f"rate_weight must be in 0..{MAX_RATE_WEIGHT:g}, not {self.rate_weight}")

    def within(self, rows: slice, columns: slice) -> ChooseMap:
        """Returns the choice for a part of the images, whose rows and columns are given in places of the top map."""
        weights = None if self.weights is None else self.weights[:, rows, columns]
        return replace(self, weights=weights, free=None if self.free is None else self.free[:, rows, columns])

    def __call__(
        self,
        codebook: NDArray[np.float32],
        residual: NDArray[np.float32],
        earlier: list[NDArray[np.int64]],
        next_codebook: NDArray[np.float32] | None = None,
        /,
    ) -> ChosenMap:
        """Chooses the codes of a map; the arguments are those of `ChooseMap`."""
        coding = self.codings[len(earlier)]
        rate_weight = self._rate_weight(len(earlier))
        if self.rate_weight == 0 or self.coder is CoderKind.RAW:
            return ChosenMap(nearest(codebook, residual))
        if coding.prior is None or self.coder is CoderKind.STATIC:
            bits = -np.log2(coding.static_freqs / coding.static_freqs.sum())
            return ChosenMap(nearest(codebook, residual, (rate_weight * bits).astype(np.float32)))
        prior = coding.prior.sharpened(sharpness(len(earlier), rate_weight))
        next_map = None if next_codebook is None else self._next_map(len(earlier) + 1, next_codebook)
        rule = Choice(codebook, _half_weight(rate_weight), next_map=next_map)
        return self._by_prior(prior, rule, residual, earlier)

    def _rate_weight(self, number: int) -> float:
        """Returns lambda for map `number`, before the factors of places."""
        return min(self.rate_weight * map_factor(number), self.codings[number].max_rate_weight)

    def _next_map(self, number: int, codebook: NDArray[np.float32]) -> NextMap:
        """Returns what the choice of the map before map `number` knows of this one."""
        freqs = self.codings[number].static_freqs
        logits = np.rint(np.log2(freqs / freqs.sum()) * (1 << LOGIT_BITS)).astype(np.int32)
        return NextMap(codebook, logits, _half_weight(self._rate_weight(number)), NEXT_SHARE)

    def _by_prior(
        self, prior: "PixelSnail | NativePrior", rule: Choice, residual: NDArray[np.float32], earlier: list[NDArray[np.int64]]
    ) -> ChosenMap:
        """Chooses the codes of a map in the order in which `prior` codes them."""
        before = [[indices[number] for indices in earlier] for number in range(len(residual))]
        places = self._by_place(residual, len(earlier))
        if isinstance(prior, NativePrior):
            walked = choose_natively(prior, rule, [*places], before, with_streams=self.with_streams)
        else:
            from vqcodec.rate.torch_choice import choose_by_torch_prior

            walked = choose_by_torch_prior(prior, rule, places, before, with_streams=self.with_streams)
        indices = np.stack([of_picture.indices for of_picture in walked])
        return ChosenMap(indices, [of_picture.streams for of_picture in walked] if self.with_streams else None, prior.sharpness)

    def _by_place(self, residual: NDArray[np.float32], number: int) -> NDArray[np.float32]:
        """Returns what the choice of map `number` needs to know of each place: vector and `place_weights`, [N, h, w, D + 1].

        Args:
            residual: float32 [N, h, w, D], what is left to quantise.
            number: number of the map.
        """
        n, height, width, dim = residual.shape
        scale = map_scale(number)
        weights = self.weights
        if weights is None:
            weights = np.ones((n, -(-height // scale), -(-width // scale)), np.float32)
        if self.free is not None:
            weights = np.where(self.free, np.float32(MAX_RATE_WEIGHT), weights)
        places = np.empty((n, height, width, dim + 1), np.float32)
        places[..., :dim] = residual
        places[..., dim] = weights.repeat(scale, axis=1).repeat(scale, axis=2)[:, :height, :width]
        return places
