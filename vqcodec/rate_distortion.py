"""Rate-distortion optimised codes: not the nearest, but those that minimise ||z_e - e_k||^2 + lambda * bits(k | what precedes).

The decoder knows nothing of it. Bits are those of the coder that will store the map: of the prior, in the order in which it codes, given
the codes already chosen; or the static ones. Any choice gives a valid file, so floating-point numbers may decide here.

Source: entropy-constrained vector quantisation, Chou, Lookabaugh, Gray 1989, section II; the choice code by code in coding order is that of
the rate-distortion optimised quantisation of video encoders.
"""

from collections.abc import Sequence
from dataclasses import dataclass, field

import numpy as np
import torch
from torch import Tensor

from vqcodec.container import CoderKind
from vqcodec.index_coding import MapCoding
from vqcodec.nn.pixelsnail import PixelSnail
from vqcodec.nn.quantizer import VectorQuantizer
from vqcodec.octaves import LOGIT_BITS
from vqcodec.prior_coding import Places, walk_maps
from vqcodec.registry import MAX_RATE_WEIGHT
from vqcodec.tiling import tile_places


@dataclass(frozen=True)
class RateDistortionChoice:
    """Chooses the codes of a map, as `ResidualQuantizer.encode` asks for them.

    Attributes:
        codings: of the maps, top first.
        rate_weight: lambda, squared distance in units of the code vectors that a bit is worth; 0 takes the nearest codes.
        coder: that will store the maps; None for the prior's where there is one, else static.
        streams: of the maps chosen last, by number: what `encode_indices` takes, for each picture. The walk that chooses has coded them.
    """

    codings: Sequence[MapCoding]
    rate_weight: float
    coder: CoderKind | None = None
    streams: dict[int, list[list[bytes]]] = field(default_factory=dict)

    def __post_init__(self) -> None:
        if not 0 <= self.rate_weight <= MAX_RATE_WEIGHT:
            raise ValueError(f"rate_weight must be in 0..{MAX_RATE_WEIGHT:g}, not {self.rate_weight}")

    def __call__(self, quantizer: VectorQuantizer, residual: Tensor, earlier: list[Tensor]) -> Tensor:
        """Indices [N, h, w] for what is left to quantise [N, D, h, w], given the maps before, [N, ., .] each."""
        coding = self.codings[len(earlier)]
        if self.rate_weight == 0 or self.coder is CoderKind.RAW:
            return quantizer.nearest(residual)
        if coding.prior is None or self.coder is CoderKind.STATIC:
            bits = -np.log2(coding.static_freqs / coding.static_freqs.sum())
            return quantizer.nearest(residual, self.rate_weight * residual.new_tensor(bits))
        return self._by_prior(coding.prior, quantizer, residual, earlier)

    def _by_prior(self, prior: PixelSnail, quantizer: VectorQuantizer, residual: Tensor, earlier: list[Tensor]) -> Tensor:
        n, _, height, width = residual.shape
        places = tile_places(height, width, len(earlier))
        corners = [(number, rows.start, columns.start) for number in range(n) for rows, columns in places]
        picture, top, left = torch.tensor(corners, device=residual.device).t()
        codebook = quantizer.codebook.double()
        half_square = 0.5 * codebook.square().sum(dim=1)
        half_weight = 0.5 * self.rate_weight / (1 << LOGIT_BITS)

        def choose(places: Places, logits: Tensor) -> Tensor:
            tile, row, column = places
            z = residual[picture[tile], :, top[tile] + row, left[tile] + column].double()
            # Probabilities of one place share their denominator, so logits decide as bits would; in float64 no tie depends on the batch.
            return (half_square - z @ codebook.t() - half_weight * logits.double()).argmin(dim=1)

        before = [[level[picture_number].cpu().numpy() for level in earlier] for picture_number in range(n)]
        with torch.autocast(residual.device.type, enabled=False):
            self.streams[len(earlier)] = []
            chosen = walk_maps(prior, [(height, width)] * n, before, choose, streams=self.streams[len(earlier)])
        return torch.from_numpy(np.stack(chosen)).to(residual.device)
