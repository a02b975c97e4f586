"""Chains of quantisers, each of which quantises what those before it leave."""

from collections.abc import Callable, Sequence
from dataclasses import replace

import torch
from torch import Tensor, nn

from vqcodec.nn.autoencoder.map_counts import MapCounts
from vqcodec.nn.autoencoder.quantizer import ChooseMap, Quantized, VectorQuantizer, choose_nearest
from vqcodec.nn.configs import CodebookUpdate


class ResidualQuantizer(nn.Module):
    """A chain of quantisers over one grid: stage s quantises what stages 0..s-1 leave.

    Args:
        num_stages: number of quantisers, at least 1.
        codebook_size: number of codes of each.
        embedding_dim: length of a code's vector.
        codebook_update: how codebooks learn (`VectorQuantizer`).
        ema_decay: gamma of the running means (`VectorQuantizer`).

    Raises:
        ValueError: num_stages is below 1.
    """

    def __init__(
        self,
        num_stages: int,
        codebook_size: int,
        embedding_dim: int,
        *,
        codebook_update: CodebookUpdate = "ema",
        ema_decay: float = 0.99,
    ) -> None:
        super().__init__()
        if num_stages < 1:
            raise ValueError(f"num_stages must be at least 1, not {num_stages}")
        self.stages = nn.ModuleList(
            VectorQuantizer(codebook_size, embedding_dim, codebook_update=codebook_update, ema_decay=ema_decay) for _ in range(num_stages)
        )

    def stage(self, number: int) -> VectorQuantizer:
        """Returns the quantiser of one stage."""
        stage = self.stages[number]
        assert isinstance(stage, VectorQuantizer)
        return stage

    def forward(
        self, z_e: Tensor, *, choose: ChooseMap = choose_nearest, earlier: Sequence[Tensor] = (), counts: MapCounts | None = None
    ) -> list[Quantized]:
        """Quantises z_e stage by stage.

        Args:
            z_e: [N, D, h, w].
            choose: function that chooses a map; by default it takes the nearest codes.
            earlier: indices of the maps before the first stage, which `choose` is told.
            counts: number of maps of each image, those before the first stage included; a stage learns from the images that have its map.
                By default it learns from all. Codes chosen to be cheap leave other residuals than codes do which further ones follow.

        Returns:
            One result a stage; `z_q` of result s is the *sum* over stages 0..s, the best picture of z_e so far.
        """
        results: list[Quantized] = []
        total = torch.zeros_like(z_e, dtype=torch.float32)
        for number in range(len(self.stages)):
            quantizer, residual = self.stage(number), z_e - total.detach()
            chosen = choose(quantizer, residual.detach(), [*earlier, *(result.indices for result in results)])
            result = quantizer(residual, chosen, None if counts is None else counts.having[len(earlier) + number])
            total = total + result.z_q
            results.append(replace(result, z_q=total))
        return results

    def init_from_data(self, z_e: Tensor, generator: torch.Generator, on_stage: Callable[[int], None] = lambda _: None) -> None:
        """Starts every codebook by `VectorQuantizer.init_from_data`, each on what the earlier stages leave of z_e [N, D, h, w].

        `on_stage` is called with the number of each before it is started.
        """
        residual = z_e.float()
        for number in range(len(self.stages)):
            quantizer = self.stage(number)
            on_stage(number)
            quantizer.init_from_data(residual, generator)
            residual = residual - quantizer.lookup(quantizer.nearest(residual))

    def quantize(self, z_e: Tensor, num_stages: int | None = None) -> list[Tensor]:
        """Returns the indices [N, h, w] of z_e [N, D, h, w], the nearest codes of the first `num_stages` stages, all by default."""
        maps: list[Tensor] = []
        residual = z_e.float()
        for number in range(len(self.stages) if num_stages is None else num_stages):
            quantizer = self.stage(number)
            maps.append(quantizer.nearest(residual))
            residual = residual - quantizer.lookup(maps[-1])
        return maps

    def lookup(self, indices: list[Tensor]) -> Tensor:
        """Returns the sum [N, D, h, w] of the code vectors of the first len(indices) stages."""
        return torch.stack([self.stage(number).lookup(stage) for number, stage in enumerate(indices)]).sum(dim=0)
