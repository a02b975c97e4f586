r"""The hierarchical VQ-VAE-2 autoencoder with residual refinement maps.

                                    top: z_e -> indices_top [h/8, w/8]
                                   /                 |
    x [N,3,H,W] -> EncoderBottom -+              TopDecoder -> condition
                                   \                 |
                                    bottom: z_e -> indices_bottom, indices_refine_1, ... [h/4, w/4]

    condition + sum of the bottom code vectors -> Decoder -> x_hat [N,3,H,W]

Source: Razavi, van den Oord, Vinyals 2019, "Generating Diverse High-Fidelity Images with VQ-VAE-2", section 3.1. Beyond the paper: the
bottom level is a residual quantiser, so that every prefix of the maps decodes; codes are short vectors; the top's decoding serves both as
the bottom encoder's condition and as the decoder's input; and linear paths run beside the convolutions from 8x8 and 4x4 patches of pixels
to z_e and from the code vectors back. `init_from_images` sets these to principal components while the convolutions start at zero, so that
an untrained network is already a linear transform codec, which training then improves.
"""

from collections.abc import Callable
from dataclasses import dataclass

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from vqcodec.checks import AT_LEAST_1, SHARE, check_fields
from vqcodec.nn.autoencoder.principal_components import set_principal_components
from vqcodec.nn.autoencoder.quantizer import TRAINING_ONLY_BUFFERS, Choose, CodebookUpdate, ResidualQuantizer, after, straight_through

PATCH_BOTTOM = 4
PATCH_TOP = 8
Paint = Callable[[Tensor, Tensor, Tensor], Tensor]
"""As `Painter.forward`."""


@dataclass(frozen=True, kw_only=True)
class VQVAEConfig:
    """The shape of a `VQVAE`.

    Attributes:
        channels: hidden channels at 1/4 of the image's size.
        channels_top: hidden channels at 1/8.
        blocks_encoder: residual blocks of the encoder at 1/4, before the top.
        blocks_top: residual blocks at 1/8, in the encoder and in the decoder each.
        blocks_bottom: residual blocks at 1/4 between the condition and the bottom's z_e.
        blocks_decoder: residual blocks of the decoder at 1/4.
        blocks_preview: how many of these paint from the top map alone; 0 for all of them.
        embedding_dim: length of a code's vector.
        codebook_size: codes of each map.
        num_refinements: maps after the bottom map.
        codebook_update: how codebooks learn, "ema" or "loss".
        ema_decay: gamma of EMA codebooks.
    """

    channels: int = 128
    channels_top: int = 192
    blocks_encoder: int = 3
    blocks_top: int = 3
    blocks_bottom: int = 2
    blocks_decoder: int = 7
    blocks_preview: int = 0
    embedding_dim: int = 24
    codebook_size: int = 512
    num_refinements: int = 2
    codebook_update: CodebookUpdate = "ema"
    ema_decay: float = 0.99

    def __post_init__(self) -> None:
        sizes = dict.fromkeys(("channels", "channels_top", "embedding_dim"), AT_LEAST_1)
        check_fields(self, sizes | {"codebook_size": (2, 1 << 16), "num_refinements": (0, 14), "ema_decay": SHARE})
        if self.blocks_preview > self.blocks_decoder:
            raise ValueError(f"blocks_preview must be in 0..{self.blocks_decoder}, not {self.blocks_preview}")

    @property
    def num_maps(self) -> int:
        """Maps of an image: top, bottom and the refinements."""
        return 2 + self.num_refinements

    @property
    def encoder_margin_px(self) -> int:
        """How far a pixel reaches: codes further away than this do not depend on it. A multiple of 8."""
        return _margin_px(1 + self.blocks_encoder + 2 * self.blocks_top + 2 * (1 + self.blocks_top) + self.blocks_bottom)

    @property
    def decoder_margin_px(self) -> int:
        """How far a code reaches: pixels further away than this do not depend on it. A multiple of 8."""
        return _margin_px(1 + self.blocks_decoder + 2 * (1 + self.blocks_top))


@dataclass(frozen=True)
class VQVAEOutput:
    """What a training pass gives.

    Attributes:
        x_hat: [N, 3, H, W], one reconstruction an image, from the first `num_maps` maps asked for.
        commitment_loss: scalar, mean over the maps of ||z_e - sg(z_q)||^2 per dimension.
        codebook_loss: scalar, mean over the maps of ||sg(z_e) - z_q||^2 per dimension; zero for EMA codebooks.
        perplexity: a scalar a map.
    """

    x_hat: Tensor
    commitment_loss: Tensor
    codebook_loss: Tensor
    perplexity: tuple[Tensor, ...]


class ResidualBlock(nn.Module):
    """x + conv1x1(silu(conv3x3(silu(x)))), the last convolution starting at zero."""

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.conv_1 = nn.Conv2d(channels, channels, 3, padding=1)
        self.conv_2 = _zero(nn.Conv2d(channels, channels, 1))

    def forward(self, x: Tensor) -> Tensor:
        """[N, C, h, w] -> [N, C, h, w]; in place where no gradient is wanted, which saves memory and the time to get it."""
        in_place = not torch.is_grad_enabled()
        hidden: Tensor = self.conv_2(F.silu(self.conv_1(F.silu(x)), inplace=in_place))
        return hidden.add_(x) if in_place else x + hidden


def whole_patches(length_px: int) -> int:
    """A width or height in pixels, rounded up to a multiple of 8."""
    return -(-length_px // PATCH_TOP) * PATCH_TOP


def _margin_px(reach: int) -> int:
    """Of a network that looks `reach` positions at 1/4 far."""
    return whole_patches(PATCH_BOTTOM * (reach + 1))


def _zero(conv: nn.Conv2d) -> nn.Conv2d:
    nn.init.zeros_(conv.weight)
    if conv.bias is not None:
        nn.init.zeros_(conv.bias)
    return conv


def _blocks(number: int, channels: int) -> nn.Sequential:
    return nn.Sequential(*(ResidualBlock(channels) for _ in range(number)))


class TopEncoder(nn.Module):
    """Hidden states at 1/4 and pixels -> z_e of the top map at 1/8."""

    def __init__(self, config: VQVAEConfig) -> None:
        super().__init__()
        self.down = nn.Conv2d(config.channels * 4, config.channels_top, 1)
        self.blocks = _blocks(config.blocks_top, config.channels_top)
        self.to_code = _zero(nn.Conv2d(config.channels_top, config.embedding_dim, 1))
        self.skip = nn.Conv2d(3 * PATCH_TOP**2, config.embedding_dim, 1)

    def forward(self, x: Tensor, hidden: Tensor) -> Tensor:
        """Pixels [N, 3, H, W] and hidden states [N, C, H/4, W/4] -> z_e [N, D, H/8, W/8]."""
        top = self.blocks(self.down(F.pixel_unshuffle(hidden, 2)))
        z_e: Tensor = self.to_code(F.silu(top)) + self.skip(F.pixel_unshuffle(x, PATCH_TOP))
        return z_e.float()


class TopDecoder(nn.Module):
    """Code vectors of the top map at 1/8 -> condition at 1/4."""

    def __init__(self, config: VQVAEConfig) -> None:
        super().__init__()
        self.from_code = nn.Conv2d(config.embedding_dim, config.channels_top, 3, padding=1)
        self.blocks = _blocks(config.blocks_top, config.channels_top)
        self.up = nn.Conv2d(config.channels_top, config.channels * 4, 1)

    def forward(self, z_q_top: Tensor) -> Tensor:
        """Code vectors [N, D, H/8, W/8] -> condition [N, C, H/4, W/4]."""
        return F.pixel_shuffle(self.up(F.silu(self.blocks(self.from_code(z_q_top)))), 2)


class BottomEncoder(nn.Module):
    """Hidden states, condition and what the top's linear path leaves of the pixels -> z_e of the bottom map and its refinements."""

    def __init__(self, config: VQVAEConfig) -> None:
        super().__init__()
        self.merge = nn.Conv2d(config.channels * 2, config.channels, 1)
        self.blocks = _blocks(config.blocks_bottom, config.channels)
        self.to_code = _zero(nn.Conv2d(config.channels, config.embedding_dim, 1))
        self.skip = nn.Conv2d(3 * PATCH_BOTTOM**2, config.embedding_dim, 1)

    def forward(self, x_residual: Tensor, hidden: Tensor, condition: Tensor) -> Tensor:
        """Pixels [N, 3, H, W] less the top's linear path, hidden states and condition [N, C, H/4, W/4] -> z_e [N, D, H/4, W/4]."""
        bottom = self.blocks(self.merge(torch.cat([hidden, condition], dim=1)))
        z_e: Tensor = self.to_code(F.silu(bottom)) + self.skip(F.pixel_unshuffle(x_residual, PATCH_BOTTOM))
        return z_e.float()


class Decoder(nn.Module):
    """Condition from the top and the sum of the bottom code vectors -> pixels.

    How many maps were summed is told to the network by a learned bias, so that it knows how coarse its input is.
    """

    def __init__(self, config: VQVAEConfig) -> None:
        super().__init__()
        self.from_code = nn.Conv2d(config.embedding_dim, config.channels, 3, padding=1)
        self.prefix_bias = nn.Embedding(config.num_maps, config.channels)
        self.blocks = _blocks(config.blocks_decoder, config.channels)
        self.blocks_preview = config.blocks_preview or config.blocks_decoder
        self.to_pixels = _zero(nn.Conv2d(config.channels, 3 * PATCH_BOTTOM**2, 3, padding=1))
        self.skip_top = nn.Conv2d(config.embedding_dim, 3 * PATCH_TOP**2, 1)
        self.skip_bottom = nn.Conv2d(config.embedding_dim, 3 * PATCH_BOTTOM**2, 1, bias=False)
        nn.init.zeros_(self.prefix_bias.weight)

    def linear_top(self, z_q_top: Tensor) -> Tensor:
        """Pixels [N, 3, H, W] of the top's linear path alone."""
        with torch.autocast(z_q_top.device.type, enabled=False):
            return F.pixel_shuffle(self.skip_top(z_q_top.float()), PATCH_TOP)

    def forward(self, condition: Tensor, z_q_top: Tensor, z_q_bottom: Tensor, num_maps: Tensor) -> Tensor:
        """Condition [N, C, H/4, W/4], code vectors [N, D, H/8, W/8] and [N, D, H/4, W/4], maps used [N] -> x_hat [N, 3, H, W]."""
        prefix = self.prefix_bias(num_maps - 1)[:, :, None, None].to(condition.dtype)
        is_preview = (num_maps == 1)[:, None, None, None]
        if is_preview.all():  # the bottom's vectors are zeros: one is as good as all
            hidden = self.blocks[: self.blocks_preview](condition + self.from_code(z_q_bottom[:, :, :1, :1]) + prefix)
            return F.pixel_shuffle(self.to_pixels(F.silu(hidden)), PATCH_BOTTOM) + self.linear_top(z_q_top)
        early = self.blocks[: self.blocks_preview](condition + self.from_code(z_q_bottom) + prefix)
        hidden = self.blocks[self.blocks_preview :](early)
        hidden = torch.where(is_preview, early, hidden) if is_preview.any() else hidden
        with torch.autocast(hidden.device.type, enabled=False):  # half precision of the linear paths would show in the pixels
            linear = self.skip_bottom(z_q_bottom.float())
        fine = F.pixel_shuffle(self.to_pixels(F.silu(hidden)) + linear, PATCH_BOTTOM)
        return fine + self.linear_top(z_q_top)


class Painter(nn.Module):
    """What paints a picture from code vectors: the last part of a `VQVAE`, or a network of like shape, perhaps deeper, in its place."""

    def __init__(self, config: VQVAEConfig) -> None:
        super().__init__()
        self.config = config
        self.top_decoder = TopDecoder(config)
        self.decoder = Decoder(config)

    def forward(self, z_q_top: Tensor, z_q_bottom: Tensor, num_maps: Tensor) -> Tensor:
        """Code vectors [N, D, H/8, W/8] and [N, D, H/4, W/4], maps used [N] -> x_hat [N, 3, H, W]."""
        x_hat: Tensor = self.decoder(self.top_decoder(z_q_top), z_q_top, z_q_bottom, num_maps)
        return x_hat


class VQVAE(nn.Module):
    """Image [N, 3, H, W] in [-1, 1], H and W multiples of 8 <-> index maps, top first."""

    def __init__(self, config: VQVAEConfig) -> None:
        super().__init__()
        self.config = config
        patch_channels = 3 * PATCH_BOTTOM**2
        self.stem = nn.Conv2d(patch_channels, config.channels, 3, padding=1)
        self.encoder_blocks = _blocks(config.blocks_encoder, config.channels)
        self.top_encoder = TopEncoder(config)
        self.top_decoder = TopDecoder(config)
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
        """The vectors of all codes of all maps, [maps, K, D]."""
        chains = (self.quantizer_top, self.quantizer_bottom)
        return torch.stack([chain.stage(number).codebook.detach() for chain in chains for number in range(len(chain.stages))])

    def hidden(self, x: Tensor) -> Tensor:
        """Hidden states [N, C, H/4, W/4] of x [N, 3, H, W], which both encoders start from.

        Raises:
            ValueError: H or W is not a multiple of 8.
        """
        if x.shape[2] % PATCH_TOP or x.shape[3] % PATCH_TOP:
            raise ValueError(f"height and width must be multiples of {PATCH_TOP}, not {x.shape[2]}x{x.shape[3]}")
        hidden: Tensor = self.encoder_blocks(self.stem(F.pixel_unshuffle(x, PATCH_BOTTOM)))
        return hidden

    def z_e_bottom(self, x: Tensor, hidden: Tensor, indices_top: Tensor) -> Tensor:
        """z_e [N, D, H/4, W/4] of the bottom map and its refinements: what the top map [N, H/8, W/8] leaves of x."""
        z_q_top = self.quantizer_top.decode([indices_top])
        z_e: Tensor = self.bottom_encoder(x - self.decoder.linear_top(z_q_top), hidden, self.top_decoder(z_q_top))
        return z_e

    def encode(self, x: Tensor, num_maps: int | None = None) -> list[Tensor]:
        """Indices of the first `num_maps` maps (all by default) of x [N, 3, H, W]: int64 [N, H/8, W/8], then [N, H/4, W/4] each.

        Raises:
            ValueError: H or W is not a multiple of 8, or num_maps is out of range.
        """
        num_maps = self.config.num_maps if num_maps is None else num_maps
        self._check_num_maps(num_maps)
        hidden = self.hidden(x)
        indices = self.quantizer_top.encode(self.top_encoder(x, hidden))
        if num_maps == 1:
            return indices
        return indices + self.quantizer_bottom.encode(self.z_e_bottom(x, hidden, indices[0]), num_maps - 1)

    def paint(self, z_q_top: Tensor, z_q_bottom: Tensor, num_maps: Tensor) -> Tensor:
        """As `Painter.forward`."""
        x_hat: Tensor = self.decoder(self.top_decoder(z_q_top), z_q_top, z_q_bottom, num_maps)
        return x_hat

    def decode(self, indices: list[Tensor], painter: Paint | None = None) -> Tensor:
        """x_hat [N, 3, H, W], not clamped, of the first len(indices) maps, by this network or by another painter.

        Raises:
            ValueError: no map, or more than the model has.
        """
        num_maps = len(indices)
        self._check_num_maps(num_maps)
        z_q_top = self.quantizer_top.decode(indices[:1])
        if num_maps > 1:
            z_q_bottom = self.quantizer_bottom.decode(indices[1:])
        else:
            n, dim, h, w = z_q_top.shape
            z_q_bottom = z_q_top.new_zeros(n, dim, 2 * h, 2 * w)
        prefix = torch.full((len(z_q_top),), num_maps, device=z_q_top.device)
        x_hat: Tensor = (painter or self.paint)(z_q_top, z_q_bottom, prefix)
        return x_hat

    def painter_state(self) -> dict[str, Tensor]:
        """The part of the state dict that a `Painter` has."""
        return {key: value for key, value in self.state_dict().items() if key.startswith(("top_decoder.", "decoder."))}

    def inference_state(self) -> dict[str, Tensor]:
        """The state dict without the running means that only training needs."""
        return {key: value for key, value in self.state_dict().items() if not key.endswith(TRAINING_ONLY_BUFFERS)}

    def load_inference_state(self, state: dict[str, Tensor]) -> None:
        """Loads what `inference_state` gave.

        Raises:
            RuntimeError: a tensor is missing, unknown, or of another shape.
        """
        kept = {key: value for key, value in self.state_dict().items() if key.endswith(TRAINING_ONLY_BUFFERS)}
        self.load_state_dict({**kept, **state}, strict=True)

    def _check_num_maps(self, num_maps: int) -> None:
        if not 1 <= num_maps <= self.config.num_maps:
            raise ValueError(f"number of maps must be in 1..{self.config.num_maps}, not {num_maps}")

    def forward(self, x: Tensor, num_maps: Tensor, *, choose: Choose | None = None) -> VQVAEOutput:
        """One training pass.

        Args:
            x: [N, 3, H, W] in [-1, 1].
            num_maps: [N] int64 in 1..config.num_maps; image n is decoded from its first num_maps[n] maps (stage dropout).
            choose: chooses the codes of a map, given those of the maps before; the nearest ones by default.
        """
        hidden = self.hidden(x)
        z_e_top = self.top_encoder(x, hidden)
        quantized_top = self.quantizer_top(z_e_top, choose=choose)
        z_q_top = straight_through(z_e_top, quantized_top[0].z_q)
        condition = self.top_decoder(z_q_top)
        z_e_bottom = self.bottom_encoder(x - self.decoder.linear_top(z_q_top), hidden, condition)
        chosen_after_top = None if choose is None else after([quantized_top[0].indices], choose)
        quantized_bottom = self.quantizer_bottom(z_e_bottom, choose=chosen_after_top, num_stages=None if choose is None else num_maps - 1)
        sums = torch.stack([torch.zeros_like(z_e_bottom)] + [result.z_q for result in quantized_bottom])
        chosen = sums[num_maps - 1, torch.arange(len(x), device=x.device)]
        z_q_bottom = straight_through(z_e_bottom, chosen) * (num_maps > 1)[:, None, None, None]
        x_hat = self.decoder(condition, z_q_top, z_q_bottom, num_maps).float()
        stages = [(z_e_top, result) for result in quantized_top] + [(z_e_bottom, result) for result in quantized_bottom]
        return VQVAEOutput(
            x_hat=x_hat,
            commitment_loss=torch.stack([result.commitment(z_e) for z_e, result in stages]).mean(),
            codebook_loss=torch.stack([result.codebook_loss for _, result in stages]).mean(),
            perplexity=tuple(result.perplexity for _, result in stages),
        )

    @torch.no_grad()
    def init_from_images(self, x: Tensor, generator: torch.Generator) -> None:
        """Makes the untrained network a linear transform codec, fitted to images.

        The linear paths become principal components, the top's of 8x8 patches, the bottom's of what the quantised top leaves in 4x4
        patches; each codebook is started by Lloyd's algorithm on what the earlier maps leave.

        Args:
            x: [N, 3, H, W] in [-1, 1].
            generator: on the CPU, draws the first centres of each codebook.
        """
        patches = F.pixel_unshuffle(x, PATCH_TOP)
        mean = set_principal_components(self.top_encoder.skip, self.decoder.skip_top, patches)
        assert self.decoder.skip_top.bias is not None
        self.decoder.skip_top.bias.copy_(mean)
        z_e_top = self.top_encoder.skip(patches)
        self.quantizer_top.init_from_data(z_e_top, generator)
        z_q_top = self.quantizer_top.decode(self.quantizer_top.encode(z_e_top))
        patches = F.pixel_unshuffle(x - self.decoder.linear_top(z_q_top), PATCH_BOTTOM)
        set_principal_components(self.bottom_encoder.skip, self.decoder.skip_bottom, patches)
        self.quantizer_bottom.init_from_data(self.bottom_encoder.skip(patches), generator)
