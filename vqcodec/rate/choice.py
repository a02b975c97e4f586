"""Rate-distortion optimised codes: not the nearest, but those that minimise ||z_e - e_k||^2 + lambda * bits(k | what precedes).

The decoder knows nothing of it. Bits are those of the coder that will store the map: of the prior, in the order in which it codes, given
the codes already chosen; or the static ones. Any choice gives a valid file, so floating-point numbers may decide here.

Sources: entropy-constrained vector quantisation, Chou, Lookabaugh, Gray 1989, section II; the choice code by code, in coding order, is that
of the rate-distortion optimised quantisation of video encoders, and a lambda that grows with the variance around is that of their
adaptive quantisation (x264's `aq-mode 1`, of about this strength): errors show least where there is most detail.
"""

from collections.abc import Sequence
from dataclasses import dataclass, field
from functools import cached_property
from typing import Final

import numpy as np
import torch
from torch import Tensor
from torch.nn import functional as F

from vqcodec.coding.maps import MapCoding
from vqcodec.coding.prior import Places, walk_maps
from vqcodec.coding.tiles import tile_places
from vqcodec.format.container import CoderKind
from vqcodec.format.octaves import LOGIT_BITS
from vqcodec.models.config import MAX_RATE_WEIGHT, ModelConfig
from vqcodec.nn.autoencoder.quantizer import VectorQuantizer
from vqcodec.nn.autoencoder.vqvae import PATCH_TOP
from vqcodec.nn.prior.pixelsnail import PixelSnail

MAP_FACTORS: Final = (0.8, 0.5, 1.2, 2.0)
"""Of lambda for each map, the last for all further ones: what an early map leaves out, later ones pay for. Tuned on held-out photos."""
_EXPONENT: Final = 1 / 3
_MIDDLING_VARIANCE: Final = 200.0
"""Of 8-bit grey values, where lambda counts once."""
_LEAST_VARIANCE: Final = 16.0
"""Added everywhere: what is flatter looks no flatter."""
_STRIP_PX: Final = 512


def map_factor(number: int) -> float:
    """What lambda is multiplied by for map `number`."""
    return MAP_FACTORS[min(number, len(MAP_FACTORS) - 1)]


def max_single_rate_weight(config: ModelConfig) -> float:
    """Where files of one map are smallest: any larger lambda gives the same."""
    return config.top_max_rate_weight / map_factor(0)


def place_weights(pixels: Tensor) -> Tensor:
    """What lambda is multiplied by at the places of the top map, float32 [N, H / 8, W / 8], for uint8 images [N, 3, H, W] on the CPU.

    The variance of grey in 8x8 pixels, averaged over a place and its 8 neighbours, relative to a middling one; of this the cube root.
    """
    strips = [_sums_of_places(pixels[:, :, start : start + _STRIP_PX]) for start in range(0, pixels.shape[2], _STRIP_PX)]
    sums, squares = (torch.cat(parts, dim=1) for parts in zip(*strips, strict=True))
    spread = PATCH_TOP**2 * squares - sums.square()  # 3^2 * 8^4 variances: sums of integers, exact in float64 too
    around = F.avg_pool2d(F.pad(spread.double()[:, None], (1, 1, 1, 1), mode="replicate"), 3, stride=1)[:, 0]
    variance = around / (3**2 * PATCH_TOP**4)
    weights = ((variance + _LEAST_VARIANCE) / (_MIDDLING_VARIANCE + _LEAST_VARIANCE)) ** _EXPONENT
    return weights.float()  # the last bit of a root depends on the batch


def _sums_of_places(pixels: Tensor) -> tuple[Tensor, Tensor]:
    """Sums of R + G + B over the 8x8 pixels of each place, and of its squares, int64 [N, h, w]."""
    n, _, height, width = pixels.shape
    grey = pixels.sum(dim=1, dtype=torch.int32).reshape(n, height // PATCH_TOP, PATCH_TOP, width // PATCH_TOP, PATCH_TOP)
    return grey.sum(dim=(2, 4)), grey.square().sum(dim=(2, 4))


@dataclass(frozen=True)
class RateDistortionChoice:
    """Chooses the codes of a map, as `ResidualQuantizer.encode` asks for them.

    Attributes:
        codings: of the maps, top first.
        rate_weight: lambda, squared distance in units of the code vectors that a bit is worth, before the factor of the map, the limit
            of its coding and, where a prior codes it, the factor of the place; 0 takes the nearest codes.
        coder: that will store the maps; None for the prior's where there is one, else static.
        pixels: uint8 [N, 3, H, W] on the CPU, the images, whose `place_weights` count; None for the same lambda everywhere.
        streams: of the maps chosen last, by number: what `encode_indices` takes, for each picture. The walk that chooses has coded them.
    """

    codings: Sequence[MapCoding]
    rate_weight: float
    coder: CoderKind | None = None
    pixels: Tensor | None = None
    streams: dict[int, list[list[bytes]]] = field(default_factory=dict)

    def __post_init__(self) -> None:
        if not 0 <= self.rate_weight <= MAX_RATE_WEIGHT:
            raise ValueError(f"rate_weight must be in 0..{MAX_RATE_WEIGHT:g}, not {self.rate_weight}")

    @cached_property
    def _places(self) -> Tensor | None:
        return None if self.pixels is None else place_weights(self.pixels)

    def __call__(self, quantizer: VectorQuantizer, residual: Tensor, earlier: list[Tensor]) -> Tensor:
        """Indices [N, h, w] for what is left to quantise [N, D, h, w], given the maps before, [N, ., .] each."""
        coding = self.codings[len(earlier)]
        rate_weight = min(self.rate_weight * map_factor(len(earlier)), coding.max_rate_weight)
        if self.rate_weight == 0 or self.coder is CoderKind.RAW:
            return quantizer.nearest(residual)
        if coding.prior is None or self.coder is CoderKind.STATIC:
            bits = -np.log2(coding.static_freqs / coding.static_freqs.sum())
            return quantizer.nearest(residual, rate_weight * residual.new_tensor(bits))
        return self._by_prior(coding.prior, rate_weight, quantizer, residual, earlier)

    def _by_prior(
        self, prior: PixelSnail, rate_weight: float, quantizer: VectorQuantizer, residual: Tensor, earlier: list[Tensor]
    ) -> Tensor:
        n, _, height, width = residual.shape
        places = tile_places(height, width, len(earlier))
        corners = [(number, rows.start, columns.start) for number in range(n) for rows, columns in places]
        picture, top, left = torch.tensor(corners, device=residual.device).t()
        codebook = quantizer.codebook.double()
        half_square = 0.5 * codebook.square().sum(dim=1)
        half_weight, scale = 0.5 * rate_weight / (1 << LOGIT_BITS), 2 if earlier else 1
        place_factors = torch.ones(n, -(-height // scale), -(-width // scale)) if self._places is None else self._places
        weights = place_factors.double().to(residual.device)

        def choose(places: Places, logits: Tensor) -> Tensor:
            tile, row, column = places
            number, r, c = picture[tile], top[tile] + row, left[tile] + column
            z = residual[number, :, r, c].double()
            half_weights = half_weight * weights[number, r // scale, c // scale, None]
            # Probabilities of one place share their denominator, so logits decide as bits would; in float64 no tie depends on the batch.
            return (half_square - z @ codebook.t() - half_weights * logits.double()).argmin(dim=1)

        before = [[level[picture_number].cpu().numpy() for level in earlier] for picture_number in range(n)]
        with torch.autocast(residual.device.type, enabled=False):
            self.streams[len(earlier)] = []
            chosen = walk_maps(prior, [(height, width)] * n, before, choose, streams=self.streams[len(earlier)])
        return torch.from_numpy(np.stack(chosen)).to(residual.device)
