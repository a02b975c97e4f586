r"""The hierarchical VQ-VAE-2 autoencoder with residual refinement maps.

                                    top: z_e -> indices_top [h/8, w/8]
                                   /                 |
    x [N,3,H,W] -> encoder blocks +              TopDecoder -> condition
                                   \                 |
                                    bottom: z_e -> indices_bottom, indices_refine_1, ... [h/4, w/4]

    condition + sum of the bottom code vectors -> BottomDecoder -> x_hat [N,3,H,W]

Source: Razavi, van den Oord, Vinyals 2019, "Generating Diverse High-Fidelity Images with VQ-VAE-2", section 3.1. Four things go beyond the
paper. The bottom level is a residual quantiser, so that every prefix of the maps decodes. Codes are short vectors. The decoded top map is
both the bottom encoder's condition and the decoder's input. And linear paths run beside the convolutions from 8x8 and 4x4 patches of
pixels to z_e and from the code vectors back: `init_from_images` sets these to principal components while the convolutions start at zero, so
that an untrained network is already a linear transform codec, which training then improves.
"""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Final

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from vqcodec.nn.autoencoder.decoders import STORED_PREFIXES, Decoder, decoder_inputs, renamed
from vqcodec.nn.autoencoder.map_counts import MapCounts
from vqcodec.nn.autoencoder.principal_components import set_principal_components
from vqcodec.nn.autoencoder.quantizer import (
    TRAINING_ONLY_BUFFERS,
    ChooseMap,
    VectorQuantizer,
    choose_nearest,
    straight_through,
)
from vqcodec.nn.autoencoder.residual import residual_blocks, zeroed
from vqcodec.nn.autoencoder.residual_quantizer import ResidualQuantizer
from vqcodec.nn.configs import PATCH_BOTTOM, PATCH_TOP, VQVAEConfig

_STORED_PREFIXES: Final = {stored: f"decoder.{name}" for stored, name in STORED_PREFIXES.items()}
"""Prefixes of the decoder's tensors in weights files, and those of the same tensors in the state dict of a `VQVAE`."""


@dataclass(frozen=True)
class VQVAEOutput:
    """The result of a training pass.

    Attributes:
        x_hat: [N, 3, H, W], one reconstruction an image, from the first `num_maps` maps asked for.
        indices: [N, h, w] int64 a map, all maps of every image, top first.
        residuals: [N, D, h, w] a map, what each quantiser was given: z_e less the vectors of the maps before, with the gradient of z_e.
        commitment_loss: scalar, mean over the maps of ||z_e - sg(z_q)||^2 per dimension.
        codebook_loss: scalar, mean over the maps of ||sg(z_e) - z_q||^2 per dimension; zero for EMA codebooks.
        perplexity: a scalar a map.
    """

    x_hat: Tensor
    indices: tuple[Tensor, ...]
    residuals: tuple[Tensor, ...]
    commitment_loss: Tensor
    codebook_loss: Tensor
    perplexity: tuple[Tensor, ...]


Paint = Callable[[Tensor, Tensor, Tensor], Tensor]
"""Function that paints x_hat [N, 3, H, W], given the condition [N, C, H/4, W/4] and the code vectors z_q_top and z_q_bottom of a batch."""


class TopEncoder(nn.Module):
    """The last part of the encoder of the top map: hidden states at 1/4 and pixels to z_e at 1/8."""

    def __init__(self, config: VQVAEConfig) -> None:
        super().__init__()
        self.down = nn.Conv2d(config.channels * 4, config.channels_top, 1)
        self.blocks = residual_blocks(config.blocks_top, config.channels_top)
        self.extra_blocks = residual_blocks(config.extra_blocks_top_encoder, config.channels_top, config.extra_block)
        self.to_code = zeroed(nn.Conv2d(config.channels_top, config.embedding_dim, 1))
        self.skip = nn.Conv2d(3 * PATCH_TOP**2, config.embedding_dim, 1)

    def forward(self, x: Tensor, hidden: Tensor) -> Tensor:
        """Maps pixels [N, 3, H, W] and hidden states [N, C, H/4, W/4] to z_e [N, D, H/8, W/8]."""
        top = self.extra_blocks(self.blocks(self.down(F.pixel_unshuffle(hidden, 2))))
        z_e: Tensor = self.to_code(F.silu(top)) + self.skip(F.pixel_unshuffle(x, PATCH_TOP))
        return z_e.float()


class BottomEncoder(nn.Module):
    """The last part of the encoder of the bottom map and its refinements, which sees what the top map leaves of the pixels."""

    def __init__(self, config: VQVAEConfig) -> None:
        super().__init__()
        self.merge = nn.Conv2d(config.channels * 2, config.channels, 1)
        self.blocks = residual_blocks(config.blocks_bottom, config.channels)
        self.to_code = zeroed(nn.Conv2d(config.channels, config.embedding_dim, 1))
        self.skip = nn.Conv2d(3 * PATCH_BOTTOM**2, config.embedding_dim, 1)

    def forward(self, x_residual: Tensor, hidden: Tensor, condition: Tensor) -> Tensor:
        """Computes z_e of the bottom level.

        Args:
            x_residual: [N, 3, H, W], pixels less those of the top's linear path.
            hidden: [N, C, H/4, W/4], from `VQVAE.hidden`.
            condition: [N, C, H/4, W/4], from `TopDecoder`.

        Returns:
            z_e [N, D, H/4, W/4].
        """
        bottom = self.blocks(self.merge(torch.cat([hidden, condition], dim=1)))
        z_e: Tensor = self.to_code(F.silu(bottom)) + self.skip(F.pixel_unshuffle(x_residual, PATCH_BOTTOM))
        return z_e.float()


class VQVAE(nn.Module):
    """The autoencoder: images [N, 3, H, W] in [-1, 1], H and W multiples of 8, to index maps, top first, and back."""

    def __init__(self, config: VQVAEConfig) -> None:
        super().__init__()
        self.config = config
        patch_channels = 3 * PATCH_BOTTOM**2
        self.stem = nn.Conv2d(patch_channels, config.channels, 3, padding=1)
        self.encoder_blocks = residual_blocks(config.blocks_encoder, config.channels)
        self.top_encoder = TopEncoder(config)
        self.bottom_encoder = BottomEncoder(config)
        self.decoder = Decoder(config)

        def quantizer(num_stages: int) -> ResidualQuantizer:
            return ResidualQuantizer(
                num_stages,
                config.codebook_size,
                config.embedding_dim,
                codebook_update=config.codebook_update,
                ema_decay=config.ema_decay,
            )

        self.quantizer_top = quantizer(1)
        self.quantizer_bottom = quantizer(1 + config.num_refinements)

    @property
    def codebooks(self) -> Tensor:
        """Vectors of all codes of all maps, [maps, K, D]."""
        return torch.stack([quantizer.codebook.detach() for quantizer in self._quantizers()])

    def _quantizers(self) -> list[VectorQuantizer]:
        """Returns the quantiser of each map."""
        chains = (self.quantizer_top, self.quantizer_bottom)
        return [chain.stage(number) for chain in chains for number in range(len(chain.stages))]

    def hidden(self, x: Tensor) -> Tensor:
        """Returns the hidden states [N, C, H/4, W/4] of x [N, 3, H, W], which both encoders start from.

        Raises:
            ValueError: H or W is not a multiple of 8.
        """
        if x.shape[2] % PATCH_TOP or x.shape[3] % PATCH_TOP:
            raise ValueError(f"height and width must be multiples of {PATCH_TOP}, not {x.shape[2]}x{x.shape[3]}")
        hidden: Tensor = self.encoder_blocks(self.stem(F.pixel_unshuffle(x, PATCH_BOTTOM)))
        return hidden

    def z_e_bottom(self, x: Tensor, hidden: Tensor, indices_top: Tensor) -> Tensor:
        """Returns z_e [N, D, H/4, W/4] of the bottom map and its refinements: of what the top map [N, H/8, W/8] leaves of x."""
        z_q_top = self.quantizer_top.lookup([indices_top])
        z_e: Tensor = self.bottom_encoder(x - self.decoder.bottom.linear_top(z_q_top), hidden, self.decoder.top(z_q_top))
        return z_e

    def encode(self, x: Tensor, num_maps: int | None = None) -> list[Tensor]:
        """Returns the indices of the first `num_maps` maps (all by default) of x [N, 3, H, W], the nearest codes.

        Returns:
            int64 [N, H/8, W/8], then [N, H/4, W/4] each.

        Raises:
            ValueError: H or W is not a multiple of 8, or num_maps is out of range.
        """
        num_maps = self.config.num_maps if num_maps is None else num_maps
        self._check_num_maps(num_maps)
        hidden = self.hidden(x)
        maps = self.quantizer_top.quantize(self.top_encoder(x, hidden))
        if num_maps > 1:
            maps += self.quantizer_bottom.quantize(self.z_e_bottom(x, hidden, maps[0]), num_maps - 1)
        return maps

    def lookup(self, indices: list[Tensor]) -> tuple[Tensor, Tensor, MapCounts]:
        """Returns the arguments of `Decoder.forward` for the first len(indices) maps, [N, h, w] each.

        Raises:
            ValueError: There is no map, or there are more than the model has.
        """
        self._check_num_maps(len(indices))
        return decoder_inputs([quantizer.codebook for quantizer in self._quantizers()], indices)

    def decode(self, indices: list[Tensor]) -> Tensor:
        """Paints x_hat [N, 3, H, W], not clamped, of the first len(indices) maps, by the network's own decoder.

        Raises:
            ValueError: There is no map, or there are more than the model has.
        """
        x_hat: Tensor = self.decoder(*self.lookup(indices))
        return x_hat

    def stored_state(self) -> dict[str, Tensor]:
        """Returns the state dict under the names that weights files use, without the running means that only training needs."""
        state = renamed(self.state_dict(), {name: stored for stored, name in _STORED_PREFIXES.items()})
        return {key: value for key, value in state.items() if not key.endswith(TRAINING_ONLY_BUFFERS)}

    def load_stored_state(self, state: dict[str, Tensor]) -> None:
        """Loads what `stored_state` gave.

        Raises:
            RuntimeError: A tensor is missing, unknown, or of another shape.
        """
        kept = {key: value for key, value in self.state_dict().items() if key.endswith(TRAINING_ONLY_BUFFERS)}
        self.load_state_dict({**kept, **renamed(state, _STORED_PREFIXES)}, strict=True)
        for module in self.modules():
            if isinstance(module, VectorQuantizer):
                module.restart_means(torch.ones_like(module.ema_count))

    def _check_num_maps(self, num_maps: int) -> None:
        if not 1 <= num_maps <= self.config.num_maps:
            raise ValueError(f"number of maps must be in 1..{self.config.num_maps}, not {num_maps}")

    def forward(self, x: Tensor, counts: MapCounts, *, choose: ChooseMap | None = None, paint: Paint | None = None) -> VQVAEOutput:
        """Makes one training pass.

        Args:
            x: [N, 3, H, W] in [-1, 1].
            counts: number of maps that each image is decoded from (stage dropout), of `config.num_maps` maps.
            choose: function that chooses a map by what its codes cost; later maps then do not learn from an image that is decoded without
                them. By default all maps take the nearest codes and learn from all images.
            paint: function that paints the images; by default the network's own decoder does.
        """
        choose_map, learning = (choose_nearest, None) if choose is None else (choose, counts)
        hidden = self.hidden(x)
        z_e_top = self.top_encoder(x, hidden)
        (quantized_top,) = self.quantizer_top(z_e_top, choose=choose_map)
        z_q_top = straight_through(z_e_top, quantized_top.z_q)
        condition = self.decoder.top(z_q_top)
        z_e_bottom = self.bottom_encoder(x - self.decoder.bottom.linear_top(z_q_top), hidden, condition)
        quantized_bottom = self.quantizer_bottom(z_e_bottom, choose=choose_map, earlier=[quantized_top.indices], counts=learning)
        sums = torch.stack([torch.zeros_like(z_e_bottom)] + [result.z_q for result in quantized_bottom])
        chosen = sums[counts.tensor - 1, torch.arange(len(x), device=x.device)]
        z_q_bottom = straight_through(z_e_bottom, chosen) * (counts.tensor > 1)[:, None, None, None]
        if paint is None:
            x_hat = self.decoder.bottom(condition, z_q_top, z_q_bottom, counts).float()
        else:
            x_hat = paint(condition, z_q_top, z_q_bottom)
        stages = [(z_e_top, quantized_top)] + [(z_e_bottom, result) for result in quantized_bottom]
        shares = [counts.having[0].share] * len(stages) if learning is None else [images.share for images in counts.having]
        return VQVAEOutput(
            x_hat=x_hat,
            indices=tuple(result.indices for _, result in stages),
            residuals=(z_e_top, *(z_e_bottom - before.detach() for before in sums[: len(quantized_bottom)])),
            commitment_loss=torch.stack(
                [share * result.commitment(z_e) for share, (z_e, result) in zip(shares, stages, strict=True)]
            ).mean(),
            codebook_loss=torch.stack([share * result.codebook_loss for share, (_, result) in zip(shares, stages, strict=True)]).mean(),
            perplexity=tuple(result.perplexity for _, result in stages),
        )

    @torch.no_grad()
    def init_from_images(self, x: Tensor, generator: torch.Generator, on_codebook: Callable[[int], None] = lambda _: None) -> None:
        """Makes the untrained network a linear transform codec, fitted to images.

        The linear paths become principal components, the top's of 8x8 patches, the bottom's of what the quantised top leaves in 4x4
        patches; each codebook is started by Lloyd's algorithm on what the earlier maps leave.

        Args:
            x: [N, 3, H, W] in [-1, 1].
            generator: on the CPU, draws the first centres of each codebook.
            on_codebook: function that is called with the number of each map before its codebook is started.

        Raises:
            ValueError: There are fewer patches than codes.
        """
        bottom = self.decoder.bottom
        patches = F.pixel_unshuffle(x, PATCH_TOP)
        mean = set_principal_components(self.top_encoder.skip, bottom.skip_top, patches)
        assert bottom.skip_top.bias is not None
        bottom.skip_top.bias.copy_(mean)
        z_e_top = self.top_encoder.skip(patches)
        self.quantizer_top.init_from_data(z_e_top, generator, on_codebook)
        z_q_top = self.quantizer_top.lookup(self.quantizer_top.quantize(z_e_top))
        patches = F.pixel_unshuffle(x - bottom.linear_top(z_q_top), PATCH_BOTTOM)
        set_principal_components(self.bottom_encoder.skip, bottom.skip_bottom, patches)
        self.quantizer_bottom.init_from_data(self.bottom_encoder.skip(patches), generator, lambda number: on_codebook(1 + number))
