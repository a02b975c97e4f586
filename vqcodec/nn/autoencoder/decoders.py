"""Decoders: code vectors to pixels.

    z_q_top [N,D,h/8,w/8] -> TopDecoder -> condition [N,C,h/4,w/4] -+
                                                                    +-> BottomDecoder -> x_hat [N,3,H,W]
    z_q_bottom [N,D,h/4,w/4], sum of the bottom code vectors -------+

Every model has one decoder inside its autoencoder, and may have a perceptual decoder beside it, of like shape and perhaps deeper.
"""

from collections.abc import Mapping, Sequence
from typing import Final

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from vqcodec.nn.autoencoder.map_counts import MapCounts
from vqcodec.nn.autoencoder.residual import residual_blocks, zeroed
from vqcodec.nn.configs import PATCH_BOTTOM, PATCH_TOP, VQVAEConfig

STORED_PREFIXES: Final = {"top_decoder.": "top.", "decoder.": "bottom."}
"""Prefixes of a decoder's tensors in weights files, and those of the same tensors in the state dict of a `Decoder`."""


def renamed(state: Mapping[str, Tensor], prefixes: Mapping[str, str]) -> dict[str, Tensor]:
    """Returns a state dict with the prefixes of its keys replaced; keys with none of them stay as they are."""

    def new_name(key: str) -> str:
        found = next((prefix for prefix in prefixes if key.startswith(prefix)), None)
        return key if found is None else prefixes[found] + key.removeprefix(found)

    return {new_name(key): value for key, value in state.items()}


class TopDecoder(nn.Module):
    """The first part of a decoder: code vectors of the top map to the condition of everything at 1/4."""

    def __init__(self, config: VQVAEConfig) -> None:
        super().__init__()
        self.from_code = nn.Conv2d(config.embedding_dim, config.channels_top, 3, padding=1)
        self.blocks = residual_blocks(config.blocks_top, config.channels_top)
        self.extra_blocks = residual_blocks(config.extra_blocks_top_decoder, config.channels_top, config.extra_block)
        self.up = nn.Conv2d(config.channels_top, config.channels * 4, 1)

    def forward(self, z_q_top: Tensor) -> Tensor:
        """Maps code vectors [N, D, H/8, W/8] to the condition [N, C, H/4, W/4]."""
        return F.pixel_shuffle(self.up(F.silu(self.extra_blocks(self.blocks(self.from_code(z_q_top))))), 2)


class BottomDecoder(nn.Module):
    """The second part of a decoder: the condition and the sum of the bottom code vectors to pixels.

    A learned bias tells the network how many maps were summed, so that it knows how coarse its input is.
    """

    def __init__(self, config: VQVAEConfig) -> None:
        super().__init__()
        self.from_code = nn.Conv2d(config.embedding_dim, config.channels, 3, padding=1)
        self.prefix_bias = nn.Embedding(config.num_maps, config.channels)
        self.blocks = residual_blocks(config.blocks_decoder, config.channels)
        self.extra_blocks = residual_blocks(config.extra_blocks_decoder, config.channels, config.extra_block)
        self.blocks_preview = config.blocks_preview
        self.to_pixels = zeroed(nn.Conv2d(config.channels, 3 * PATCH_BOTTOM**2, 3, padding=1))
        self.skip_top = nn.Conv2d(config.embedding_dim, 3 * PATCH_TOP**2, 1)
        self.skip_bottom = nn.Conv2d(config.embedding_dim, 3 * PATCH_BOTTOM**2, 1, bias=False)
        nn.init.zeros_(self.prefix_bias.weight)

    def linear_top(self, z_q_top: Tensor) -> Tensor:
        """Returns the pixels [N, 3, H, W] that the top's linear path alone gives."""
        with torch.autocast(z_q_top.device.type, enabled=False):
            return F.pixel_shuffle(self.skip_top(z_q_top.float()), PATCH_TOP)

    def forward(self, condition: Tensor, z_q_top: Tensor, z_q_bottom: Tensor, counts: MapCounts) -> Tensor:
        """Maps condition [N, C, H/4, W/4], code vectors and the numbers of maps used to x_hat [N, 3, H, W].

        Args:
            condition: [N, C, H/4, W/4], from `TopDecoder`.
            z_q_top: [N, D, H/8, W/8], code vectors of the top map.
            z_q_bottom: [N, D, H/4, W/4], sum of the code vectors of the maps after it; zeros where there are none.
            counts: number of maps that each image is painted from.
        """
        prefix = self.prefix_bias(counts.tensor - 1)[:, :, None, None].to(condition.dtype)
        if all(number == 1 for number in counts.numbers):  # the bottom's vectors are zeros: one is as good as all
            hidden = self.blocks[: self.blocks_preview](condition + self.from_code(z_q_bottom[:, :, :1, :1]) + prefix)
            return F.pixel_shuffle(self.to_pixels(F.silu(hidden)), PATCH_BOTTOM) + self.linear_top(z_q_top)
        early = self.blocks[: self.blocks_preview](condition + self.from_code(z_q_bottom) + prefix)
        hidden = self.extra_blocks(self.blocks[self.blocks_preview :](early))
        if 1 in counts.numbers:
            hidden = torch.where((counts.tensor == 1)[:, None, None, None], early, hidden)
        with torch.autocast(hidden.device.type, enabled=False):  # half precision of the linear paths would show in the pixels
            linear = self.skip_bottom(z_q_bottom.float())
        fine = F.pixel_shuffle(self.to_pixels(F.silu(hidden)) + linear, PATCH_BOTTOM)
        return fine + self.linear_top(z_q_top)


class Decoder(nn.Module):
    """A decoder: code vectors to pixels."""

    def __init__(self, config: VQVAEConfig) -> None:
        super().__init__()
        self.config = config
        self.top = TopDecoder(config)
        self.bottom = BottomDecoder(config)

    def forward(self, z_q_top: Tensor, z_q_bottom: Tensor, counts: MapCounts) -> Tensor:
        """Paints x_hat [N, 3, H, W], not clamped; the arguments are those of `BottomDecoder.forward`."""
        x_hat: Tensor = self.bottom(self.top(z_q_top), z_q_top, z_q_bottom, counts)
        return x_hat

    @property
    def products_per_pixel(self) -> float:
        """Number of products of weights and values that painting takes of all maps, a pixel."""
        products = 0.0
        for name, module in self.named_modules():
            if isinstance(module, nn.Conv2d):
                is_top = name.startswith("top.") or name == "bottom.skip_top"
                products += module.weight.numel() / (PATCH_TOP if is_top else PATCH_BOTTOM) ** 2
        return products

    def stored_state(self) -> dict[str, Tensor]:
        """Returns the state dict under the names that weights files use."""
        return renamed(self.state_dict(), {name: stored for stored, name in STORED_PREFIXES.items()})

    def load_stored_state(self, state: dict[str, Tensor]) -> None:
        """Loads what `stored_state` gave.

        Raises:
            RuntimeError: A tensor is missing, unknown, or of another shape.
        """
        self.load_state_dict(renamed(state, STORED_PREFIXES), strict=True)


class BlendedDecoder(nn.Module):
    """A mixture of two decoders: both paint, and their pixels are mixed, since mixed weights may paint worse than either."""

    def __init__(self, faithful: Decoder, perceptual: Decoder, realism: float) -> None:
        super().__init__()
        self.config = perceptual.config
        self.faithful, self.perceptual, self.realism = faithful, perceptual, realism

    def forward(self, z_q_top: Tensor, z_q_bottom: Tensor, counts: MapCounts) -> Tensor:
        """Paints as `Decoder.forward` does."""
        faithful = self.faithful(z_q_top, z_q_bottom, counts).float()
        mixed: Tensor = faithful.lerp(self.perceptual(z_q_top, z_q_bottom, counts).float(), self.realism)
        return mixed


def decoder_inputs(codebooks: Tensor | Sequence[Tensor], indices: Sequence[Tensor]) -> tuple[Tensor, Tensor, MapCounts]:
    """Returns the arguments of `Decoder.forward` for the first maps of images.

    Args:
        codebooks: vectors [K, D] of the codes of each map.
        indices: int64 [N, h, w] a map, top first, at least one.
    """
    vectors = [F.embedding(of_map, codebook).permute(0, 3, 1, 2) for of_map, codebook in zip(indices, codebooks, strict=False)]
    z_q_top, *others = vectors
    n, dim, height, width = z_q_top.shape
    z_q_bottom = torch.stack(others).sum(dim=0) if others else z_q_top.new_zeros(n, dim, 2 * height, 2 * width)
    return z_q_top, z_q_bottom, MapCounts.uniform(len(indices), n, z_q_top.device)
