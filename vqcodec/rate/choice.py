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
from vqcodec.coding.native import choose_natively
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
from vqcodec.nn.prior.choice import Choice
from vqcodec.nn.prior.compiled import native_prior_of
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
"""Share of the drift of mean colours at a place that is carried on, half of it to each of the places to the right and below.

A code that is not the nearest changes the mean colour of its patch a little. Where many in a row do so in the same way, as in a sky, the
colour of a whole area changes, which the distance of no single code tells. So drift is carried on along the walk, and a code is charged
2 * weight * <the drift that arrived, its own>: it pays for more of the same and earns by a change back. A code's own drift alone costs
nothing. Tiles start without drift.
"""

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


class _ChoiceInTorch:
    """A `ChooseStep` by a `Choice`, in torch.

    Costs are float64, so that no tie depends on the batch. The kernels compute the same in another order of operations, and so a choice
    between two codes could differ only if their costs did by less than one part in 2^45 or so.

    Args:
        rule: how codes are chosen.
        places: [N, h, w, D + 2] of each picture, vector, weight and flatness.
        number: number of the map.
    """

    def __init__(self, rule: Choice, places: Tensor, number: int) -> None:
        self.codebook = torch.from_numpy(rule.codebook).to(places.device).double()
        self.half_square, self.transposed = 0.5 * self.codebook.square().sum(dim=1), self.codebook.t().contiguous()
        self.half_weight, self.charge, self.carried = rule.half_weight, rule.charge, rule.carried
        self.colours = None if rule.colours is None else torch.from_numpy(rule.colours).to(self.codebook)
        table = _by_tile(places, number)
        self.row = table.shape[2]
        self.table = table.flatten(0, 2)
        self.drift = self.codebook.new_zeros(len(self.table), 0 if self.colours is None else len(self.colours))

    def __call__(self, places: Places, logits: Tensor) -> Tensor:
        at = (places[0] * self.row + places[1] + 1) * self.row + places[2] + 1
        of_places = self.table.index_select(0, at).double()
        z, weights, flat = of_places[:, :-2], of_places[:, -2:-1], of_places[:, -1:]
        # Probabilities of one place share their denominator, so logits decide as bits would.
        half_costs = torch.addmm(self.half_square, z, self.transposed, alpha=-1).sub_(logits.double() * (self.half_weight * weights))
        if self.colours is None:
            return half_costs.argmin(dim=1)
        arrived = self.drift.index_select(0, at - 1) + self.drift.index_select(0, at - self.row)
        codes = half_costs.sub_((arrived * flat * self.charge) @ self.colours @ self.transposed).argmin(dim=1)
        own = (z - self.codebook.index_select(0, codes)) @ self.colours.t()
        self.drift.index_copy_(0, at, self.carried * (arrived + own))
        return codes


def _by_tile(places: Tensor, number: int) -> Tensor:
    """Returns the places [N, h, w, ...] of map `number` tile by tile, [tiles, side + 1, side + 1, ...].

    The first row and column of a tile are empty, so that each place has others to its left and above it.
    """
    n, height, width, numbers = places.shape
    side, of_tiles = min(tile_side(number), max(height, width)), tile_places(height, width, number)
    table = places.new_zeros(n, len(of_tiles), side + 1, side + 1, numbers)
    for tile, (rows, columns) in enumerate(of_tiles):
        table[:, tile, 1 : rows.stop - rows.start + 1, 1 : columns.stop - columns.start + 1] = places[:, rows, columns]
    return table.flatten(0, 1)


def _scale_of(colours: NDArray[np.float32]) -> float:
    """Returns the mean square of what vectors add to the colours, summed up."""
    return float(np.square(colours, dtype=np.float64).mean(axis=0).sum())


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

    Raises:
        ValueError: rate_weight is out of range.
    """

    codings: Sequence[MapCoding]
    rate_weight: float
    coder: CoderKind | None = None
    weights: Tensor | None = None
    free: Tensor | None = None
    with_streams: bool = False

    def __post_init__(self) -> None:
        if not 0 <= self.rate_weight <= MAX_RATE_WEIGHT:
            raise ValueError(f"rate_weight must be in 0..{MAX_RATE_WEIGHT:g}, not {self.rate_weight}")

    def within(self, rows: slice, columns: slice) -> ChooseMap:
        """Returns the choice for a part of the images, whose rows and columns are given in places of the top map."""
        weights, free = (None if of_places is None else of_places[:, rows, columns] for of_places in (self.weights, self.free))
        return replace(self, weights=weights, free=free)

    def __call__(self, quantizer: VectorQuantizer, residual: Tensor, earlier: list[Tensor]) -> ChosenMap:
        """Chooses the codes [N, h, w] of what is left to quantise [N, D, h, w], given the indices of the maps before."""
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
        """Chooses the codes of a map in the order in which `prior` codes them: by the kernels where they take it, else in torch."""
        before = [[indices[number].cpu().numpy() for indices in earlier] for number in range(len(residual))]
        rule = Choice(quantizer.codebook.float().cpu().numpy(), 0.5 * rate_weight / (1 << LOGIT_BITS))
        if colours is not None and self.weights is not None:
            charge = min(DRIFT_FACTORS[len(earlier)] * rate_weight, _MAX_DRIFT_WEIGHT)
            rule = replace(rule, colours=colours, charge=charge / _scale_of(colours), carried=0.5 * _CARRIED)
        places = self._by_place(residual, len(earlier))
        native = native_prior_of(prior)
        if native is not None:
            walked = choose_natively(native, rule, [*places.numpy()], before, with_streams=self.with_streams)
        else:
            choose = _ChoiceInTorch(rule, places, len(earlier))
            with torch.autocast(residual.device.type, enabled=False):
                walked = walk_map(prior, [(places.shape[1], places.shape[2])] * len(places), before, choose, with_streams=self.with_streams)
        indices = torch.from_numpy(np.stack([of_picture.indices for of_picture in walked])).to(residual.device)
        return ChosenMap(indices, [of_picture.streams for of_picture in walked] if self.with_streams else None)

    def _by_place(self, residual: Tensor, number: int) -> Tensor:
        """Returns what the choice of map `number` needs to know of each place: vector, `place_weights` and `flatness`, [N, h, w, D + 2].

        Args:
            residual: float32 [N, D, h, w], what is left to quantise.
            number: number of the map.
        """
        n, _, height, width = residual.shape
        scale = map_scale(number)
        weights = self.weights
        if weights is None:
            weights = torch.ones(n, -(-height // scale), -(-width // scale), device="cpu")
        if self.free is not None:
            weights = torch.where(self.free, MAX_RATE_WEIGHT, weights)
        of_places = torch.stack([weights, flatness(weights.double()).float()], dim=-1).to(residual.device)
        of_places = of_places.repeat_interleave(scale, dim=1).repeat_interleave(scale, dim=2)[:, :height, :width]
        return torch.cat([residual.permute(0, 2, 3, 1), of_places], dim=-1)
