"""The rate-distortion choice of codes: not the nearest, but those that minimise ||z_e - e_k||^2 + lambda * bits(k | the codes before).

The decoder knows nothing of it. Bits are those of the coder that will store the map: of the prior, in the order in which it codes, given
the codes already chosen; or the static ones. Any choice gives a valid file, so floating-point numbers may decide here.

Sources: entropy-constrained vector quantisation, Chou, Lookabaugh, Gray 1989, section II; the choice code by code, in coding order, is that
of the rate-distortion optimised quantisation of video encoders, and a lambda that grows with the variance around is that of their
adaptive quantisation (x264's `aq-mode 1`, of about this strength): errors show least where there is most detail. That errors of mean
colour are carried on to the codes beside and below is error diffusion, Floyd & Steinberg 1976, "An adaptive algorithm for spatial
greyscale", here as a charge in the choice instead of a change of what is quantised.
"""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Final

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor
from torch.nn import functional as F

from vqcodec.coding.maps import MapCoding
from vqcodec.coding.prior import walk_map
from vqcodec.coding.tiles import tile_places, tile_side
from vqcodec.coding.walk import Places
from vqcodec.format.container import CoderKind, map_scale
from vqcodec.format.octaves import LOGIT_BITS
from vqcodec.models.config import ModelConfig
from vqcodec.models.dial import MAX_RATE_WEIGHT
from vqcodec.nn.autoencoder.blocks import Pixels
from vqcodec.nn.autoencoder.quantizer import ChooseMap, ChosenMap, VectorQuantizer
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

DRIFT_FACTORS: Final = (0.75, 0.3)
"""What the drift of colours is charged in the top map and in the one after it, as a share of lambda; tuned on held-out photos."""

_MAX_DRIFT_WEIGHT: Final = 0.55
"""Largest charge for the drift of colours: beyond it, bytes are spent on colours faster than PSNR gains."""

_CARRIED: Final = 0.8
"""Share of the drift at a place that is carried on, half of it to each of the places to the right and below."""

_STRIP_PX: Final = 512
"""Rows of pixels that variances are computed of at a time."""


def map_factor(number: int) -> float:
    """Returns the factor of lambda for map `number`."""
    return MAP_FACTORS[min(number, len(MAP_FACTORS) - 1)]


def max_single_rate_weight(config: ModelConfig) -> float:
    """Returns the lambda at which files of one map are smallest: any larger one gives the same."""
    return config.top_max_rate_weight / map_factor(0)


def place_weights(pixels: Pixels) -> Tensor:
    """Returns the factors of lambda at the places of the top map, float32 [N, H / 8, W / 8].

    A factor is the cube root of the variance of grey in 8x8 pixels, averaged over a place and its 8 neighbours, relative to a middling one.

    Args:
        pixels: uint8 [N, 3, H, W] on the CPU, H and W multiples of 8.
    """
    _, _, height, width = pixels.shape
    strips = [
        _sums_of_places(pixels[:, :, slice(start, min(start + _STRIP_PX, height)), slice(0, width)])
        for start in range(0, height, _STRIP_PX)
    ]
    sums, squares = (torch.cat(parts, dim=1) for parts in zip(*strips, strict=True))
    spread = PATCH_TOP**2 * squares - sums.square()  # 3^2 * 8^4 variances: sums of integers, exact in float64 too
    around = F.avg_pool2d(F.pad(spread.double()[:, None], (1, 1, 1, 1), mode="replicate"), 3, stride=1)[:, 0]
    variance = around / (3**2 * PATCH_TOP**4)
    weights = ((variance + _LEAST_VARIANCE) / (_MIDDLING_VARIANCE + _LEAST_VARIANCE)) ** _EXPONENT
    return weights.float()  # the last bit of a root depends on the batch


def flatness(weights: Tensor) -> Tensor:
    """Returns how flat places are, by their `place_weights`: 1 without any variance around, 1/2 where it is `_LEAST_VARIANCE`."""
    return _LEAST_VARIANCE / (_MIDDLING_VARIANCE + _LEAST_VARIANCE) * weights ** (-1 / _EXPONENT)


def _sums_of_places(pixels: Tensor) -> tuple[Tensor, Tensor]:
    """Returns the sums of R + G + B over the 8x8 pixels of each place, and of its squares, int64 [N, h, w]."""
    n, _, height, width = pixels.shape
    grey = pixels.sum(dim=1, dtype=torch.int32).reshape(n, height // PATCH_TOP, PATCH_TOP, width // PATCH_TOP, PATCH_TOP)
    return grey.sum(dim=(2, 4)), grey.square().sum(dim=(2, 4))


class _Drift:
    """The drift of mean colours, carried from code to code along the walk.

    A code that is not the nearest changes the mean colour of its patch a little. Where many in a row do so in the same way, as in a sky,
    the colour of a whole area changes, which the distance of no single code tells. So `_CARRIED` of the drift at a place is carried on to
    those to the right and below, and there a code is charged 2 * weight * <the drift that arrived, its own>: it pays for more of the same
    and earns by a change back. A code's own drift alone costs nothing. Tiles start without drift.

    Args:
        colours: float64 [3, D], what vectors add to the mean colour.
        codebook: float64 [K, D].
        places: number of places of all tiles.
        row: number of places from one to the one below it.
    """

    def __init__(self, colours: Tensor, codebook: Tensor, places: int, row: int) -> None:
        self.row, self.share = row, 0.5 * _CARRIED
        self.carried = codebook.new_zeros(places, len(colours))
        self.of_vectors = self.share * colours.t()
        self.of_codes = codebook @ self.of_vectors
        self.half_charges = (codebook @ colours.t() / -colours.square().mean(dim=0).sum()).t().contiguous()

    def arrived(self, places: Tensor) -> Tensor:
        """Returns the drift that arrived at places [P] from the left and from above, [P, 3]."""
        return self.carried.index_select(0, places - 1).add_(self.carried.index_select(0, places - self.row))

    def carry_on(self, places: Tensor, arrived: Tensor, z: Tensor, codes: Tensor) -> None:
        """Carries on the drift from places [P] where codes [P] were chosen for z [P, D]."""
        drift = torch.addmm(arrived, z, self.of_vectors, beta=self.share).sub_(self.of_codes.index_select(0, codes))
        self.carried.index_copy_(0, places, drift)


@dataclass(frozen=True)
class RateDistortionChoice:
    """A `ChooseMap` that weighs distance against bits.

    Attributes:
        codings: means to code the maps, top first, with priors in torch; where one codes a map of known `colours`, their drift is charged.
        rate_weight: lambda, the squared distance in units of the code vectors that a bit is worth; it is multiplied by the factor of the
            map and, where a prior codes it, by that of the place, and limited by the map's coding. 0 takes the nearest codes.
        coder: coder that will store the maps; None for the prior's where there is one, else static.
        weights: `place_weights` of the images, float32 [N, H / 8, W / 8]; None for the same lambda everywhere, and for no charge of the
            drift of colours.
        free: bool [N, H / 8, W / 8] on the CPU, places of the top map whose codes do not matter; None where all matter.
        with_streams: whether maps that a prior codes are entropy-coded on the way, for a file.
        told: number of the map whose errors of colour are told; None for no map.

    Raises:
        ValueError: rate_weight is out of range.
    """

    codings: Sequence[MapCoding]
    rate_weight: float
    coder: CoderKind | None = None
    weights: Tensor | None = None
    free: Tensor | None = None
    with_streams: bool = False
    told: int | None = None

    def __post_init__(self) -> None:
        if not 0 <= self.rate_weight <= MAX_RATE_WEIGHT:
            raise ValueError(f"rate_weight must be in 0..{MAX_RATE_WEIGHT:g}, not {self.rate_weight}")

    def within(self, rows: slice, columns: slice) -> ChooseMap:
        """Returns the choice for a part of the images, whose rows and columns are given in places of the top map."""
        weights, free = (None if of_places is None else of_places[:, rows, columns] for of_places in (self.weights, self.free))
        return replace(self, weights=weights, free=free)

    def __call__(self, quantizer: VectorQuantizer, residual: Tensor, earlier: list[Tensor]) -> ChosenMap:
        """Chooses the codes [N, h, w] of what is left to quantise [N, D, h, w], given the indices of the maps before."""
        chosen = self._choose(quantizer, residual, earlier)
        if len(earlier) != self.told or (colours := self.codings[min(len(earlier), 1)].colours) is None:
            return chosen
        left = residual.permute(0, 2, 3, 1) - F.embedding(chosen.indices, quantizer.codebook)
        return replace(chosen, colour_errors=left.float() @ torch.from_numpy(colours).to(left.device).t())

    def _choose(self, quantizer: VectorQuantizer, residual: Tensor, earlier: list[Tensor]) -> ChosenMap:
        coding = self.codings[len(earlier)]
        rate_weight = min(self.rate_weight * map_factor(len(earlier)), coding.max_rate_weight)
        if self.rate_weight == 0 or self.coder is CoderKind.RAW:
            return ChosenMap(quantizer.nearest(residual))
        if not isinstance(coding.prior, PixelSnail) or self.coder is CoderKind.STATIC:
            bits = -np.log2(coding.static_freqs / coding.static_freqs.sum())
            return ChosenMap(quantizer.nearest(residual, rate_weight * residual.new_tensor(bits)))
        return self._by_prior(coding.prior, coding.colours, rate_weight, quantizer, residual, earlier)

    def _by_prior(
        self,
        prior: PixelSnail,
        colours: NDArray[np.float32] | None,
        rate_weight: float,
        quantizer: VectorQuantizer,
        residual: Tensor,
        earlier: list[Tensor],
    ) -> ChosenMap:
        n, dim, height, width = residual.shape
        table = self._by_tile(residual, len(earlier))
        row = table.shape[2]
        table = table.flatten(0, 2)
        codebook = quantizer.codebook.double()
        half_square, transposed = 0.5 * codebook.square().sum(dim=1), codebook.t().contiguous()
        half_weight = 0.5 * rate_weight / (1 << LOGIT_BITS)
        charge = 0.0 if colours is None or self.weights is None else min(DRIFT_FACTORS[len(earlier)] * rate_weight, _MAX_DRIFT_WEIGHT)
        drift = None
        if colours is not None and charge:
            drift = _Drift(torch.from_numpy(colours).to(codebook), codebook, len(table), row)

        def choose(places: Places, logits: Tensor) -> Tensor:
            at = (places[0] * row + places[1] + 1) * row + places[2] + 1
            of_places = table.index_select(0, at).double()
            z, weights, flat = of_places[:, :dim], of_places[:, dim : dim + 1], of_places[:, dim + 1 :]
            # Probabilities of one place share their denominator, so logits decide as bits would; in float64 no tie depends on the batch.
            half_costs = torch.addmm(half_square, z, transposed, alpha=-1).sub_(logits.double() * (half_weight * weights))
            if drift is None:
                return half_costs.argmin(dim=1)
            arrived = drift.arrived(at)
            codes = half_costs.addmm_(arrived * flat, drift.half_charges, alpha=charge).argmin(dim=1)
            drift.carry_on(at, arrived, z, codes)
            return codes

        before = [[indices[number].cpu().numpy() for indices in earlier] for number in range(n)]
        with torch.autocast(residual.device.type, enabled=False):
            walked = walk_map(prior, [(height, width)] * n, before, choose, with_streams=self.with_streams)
        indices = torch.from_numpy(np.stack([of_picture.indices for of_picture in walked])).to(residual.device)
        return ChosenMap(indices, [of_picture.streams for of_picture in walked] if self.with_streams else None)

    def _by_tile(self, residual: Tensor, number: int) -> Tensor:
        """Returns what the choice of map `number` needs to know of each place.

        Args:
            residual: float32 [N, D, h, w], what is left to quantise.
            number: number of the map.

        Returns:
            float32 [tiles, side + 1, side + 1, D + 2]: vector, `place_weights` and `flatness`. The first row and column of a tile are
            empty, so that each place has others to its left and above it.
        """
        n, dim, height, width = residual.shape
        scale, side = map_scale(number), min(tile_side(number), max(height, width))
        places = tile_places(height, width, number)
        weights = self.weights
        if weights is None:
            weights = torch.ones(n, -(-height // scale), -(-width // scale), device="cpu")
        if self.free is not None:
            weights = torch.where(self.free, MAX_RATE_WEIGHT, weights)
        of_places = torch.stack([weights, flatness(weights.double()).float()], dim=-1).to(residual.device)
        of_places = of_places.repeat_interleave(scale, dim=1).repeat_interleave(scale, dim=2)
        table = residual.new_zeros(n, len(places), side + 1, side + 1, dim + 2)
        for tile, (rows, columns) in enumerate(places):
            inside = table[:, tile, 1 : rows.stop - rows.start + 1, 1 : columns.stop - columns.start + 1]
            inside[..., :dim] = residual[:, :, rows, columns].permute(0, 2, 3, 1)
            inside[..., dim:] = of_places[:, rows, columns]
        return table.flatten(0, 1)
