"""The shapes of the networks, as model folders and recipes state them. Imports no torch."""

import math
import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import ClassVar, Final, Literal

from vqcodec.checks import AT_LEAST_1, SHARE, Range, check_fields

PATCH_TOP: Final = 8
"""Side in pixels of the patch that one code of the top map stands for."""

PATCH_BOTTOM: Final = 4
"""Side in pixels of the patch that one code of every other map stands for."""

FIRST_ROWS: Final = 2
"""Rows above and below a code that the first convolution of a prior sees."""

FIRST_COLUMNS: Final = 3
"""Columns before a code that the first convolution of a prior sees."""

AFTER_SWISH: Final = re.compile(r"(\w+\.)+\d+\.conv_[12]|\w+_encoder\.to_code|top_decoder\.up|decoder\.to_pixels")
"""Names of the convolutions of an autoencoder whose inputs a swish gave."""

CodebookUpdate = Literal["ema", "loss"]
BlockKind = Literal["full", "depthwise"]


def whole_patches(length_px: int) -> int:
    """Returns a width or height in pixels, rounded up to a multiple of 8."""
    return -(-length_px // PATCH_TOP) * PATCH_TOP


def _margin_px(reach_top: int, reach_bottom: int) -> int:
    """Returns how many pixels a network sees on each side of a place that starts and ends at multiples of 8.

    It looks `reach_bottom` positions at 1/4 far, and from there, or before, `reach_top` positions at 1/8.
    """
    return PATCH_TOP * reach_top + whole_patches(PATCH_BOTTOM * reach_bottom)


@dataclass(frozen=True, kw_only=True)
class VQVAEConfig:
    """The shape of a `VQVAE`.

    Attributes:
        channels: number of hidden channels at 1/4 of the image's size.
        channels_top: number of hidden channels at 1/8 of the image's size.
        blocks_encoder: number of residual blocks of the encoder at 1/4, before the top.
        blocks_top: number of residual blocks at 1/8, in the encoder and in the decoder each.
        blocks_bottom: number of residual blocks at 1/4 between the condition and the bottom's z_e.
        blocks_decoder: number of residual blocks of the decoder at 1/4, at least 1.
        blocks_preview: number of these blocks that paint from the top map alone, in 1..blocks_decoder.
        embedding_dim: length of a code's vector.
        codebook_size: number of codes of each map.
        num_refinements: number of maps after the bottom map.
        codebook_update: how codebooks learn, "ema" or "loss".
        ema_decay: gamma of EMA codebooks, in [0, 1).
        extra_blocks_top_encoder: number of residual blocks that the encoder has at 1/8 beyond blocks_top.
        extra_blocks_top_decoder: number of residual blocks that the decoder has at 1/8 beyond blocks_top.
        extra_blocks_decoder: number of residual blocks that the decoder has at 1/4 beyond blocks_decoder; the top alone is painted without.
        extra_block: kind of all these extra blocks, which start as the identity (`ResidualBlock`, `DepthwiseBlock`).

    Raises:
        ValueError: A value is out of its range.
    """

    RANGES: ClassVar[Mapping[str, Range]] = {
        **dict.fromkeys(("channels", "channels_top", "embedding_dim", "blocks_decoder", "blocks_preview"), AT_LEAST_1),
        "codebook_size": (2, 1 << 16),
        "num_refinements": (0, 14),
        "ema_decay": SHARE,
    }

    channels: int = 128
    channels_top: int = 192
    blocks_encoder: int = 3
    blocks_top: int = 3
    blocks_bottom: int = 2
    blocks_decoder: int = 7
    blocks_preview: int = 1
    embedding_dim: int = 24
    codebook_size: int = 512
    num_refinements: int = 2
    codebook_update: CodebookUpdate = "ema"
    ema_decay: float = 0.99
    extra_blocks_top_encoder: int = 0
    extra_blocks_top_decoder: int = 0
    extra_blocks_decoder: int = 0
    extra_block: BlockKind = "full"

    def __post_init__(self) -> None:
        check_fields(self, self.RANGES)
        if self.blocks_preview > self.blocks_decoder:
            raise ValueError(f"blocks_preview must be in 1..{self.blocks_decoder}, not {self.blocks_preview}")
        if self.ema_decay == 1:
            raise ValueError("ema_decay must be below 1, by which codebooks would stay as they are")

    @property
    def num_maps(self) -> int:
        """Number of maps of an image: top, bottom and the refinements."""
        return 2 + self.num_refinements

    @property
    def num_decoder_blocks(self) -> int:
        """Number of residual blocks of the decoder."""
        return self.blocks_top + self.extra_blocks_top_decoder + self.blocks_decoder + self.extra_blocks_decoder

    @property
    def num_blocks(self) -> int:
        """Number of residual blocks of the whole network."""
        blocks_top = self.blocks_top + self.extra_blocks_top_encoder
        return self.blocks_encoder + blocks_top + self.blocks_bottom + self.num_decoder_blocks

    @property
    def encoder_margin_px(self) -> int:
        """Distance in pixels beyond which a code depends on no pixel and on no code of the map before, a multiple of 8.

        A code of the top map may still depend on pixels through the codes around it, and one of a later map through those of the top map.
        """
        of_top = _margin_px(self.blocks_top + self.extra_blocks_top_encoder, 1 + self.blocks_encoder)
        of_condition = _margin_px(1 + self.blocks_top + self.extra_blocks_top_decoder, self.blocks_bottom)
        return max(of_top, of_condition, _margin_px(0, 1 + self.blocks_encoder + self.blocks_bottom))

    @property
    def decoder_margin_px(self) -> int:
        """Distance in pixels beyond which a pixel does not depend on a code, a multiple of 8."""
        blocks = self.blocks_decoder + self.extra_blocks_decoder
        of_condition = _margin_px(1 + self.blocks_top + self.extra_blocks_top_decoder, 1 + blocks)
        return max(of_condition, _margin_px(0, 2 + blocks))


@dataclass(frozen=True, kw_only=True)
class PriorConfig:
    """The shape of a `PixelSnail`.

    Attributes:
        codebook_size: number of codes of this map and of those before it.
        slope: slope of the wavefront in columns a row, 1 or 2.
        channels: width of the stream.
        blocks: number of gated residual blocks.
        columns: number of kernel columns of the blocks' convolutions, which have 3 rows.
        embedding_dim: length of the vector that stands for a code.
        heads: number of attention heads after half of the blocks; 0 for no attention.
        head_dim: length of keys, queries and values.
        earlier_maps: number of maps before this one that it is conditioned on; the first of them is half as large.
        condition_channels: width of the condition stack.
        condition_blocks: number of residual blocks at the top's size, and at this map's size.

    Raises:
        ValueError: A value is out of its range, or attention is asked for another map than the top.
    """

    RANGES: ClassVar[Mapping[str, Range]] = {
        **dict.fromkeys(("blocks", "columns", "embedding_dim", "head_dim"), AT_LEAST_1),
        **dict.fromkeys(("channels", "condition_channels"), (2, math.inf)),
        "codebook_size": (2, 1 << 16),
        "slope": (1, 2),
    }

    codebook_size: int = 512
    slope: int = 1
    channels: int = 128
    blocks: int = 5
    columns: int = 2
    embedding_dim: int = 48
    heads: int = 0
    head_dim: int = 32
    earlier_maps: int = 0
    condition_channels: int = 64
    condition_blocks: tuple[int, int] = (2, 0)

    def __post_init__(self) -> None:
        check_fields(self, self.RANGES)
        if self.heads * self.head_dim == 1:
            raise ValueError("heads * head_dim must not be 1, since products need at least two inputs")
        if self.heads and self.earlier_maps:
            raise ValueError("heads must be 0 where there are earlier_maps: attention is for the top map alone")

    @property
    def attention_before(self) -> int:
        """Number of the block that attention stands before."""
        return self.blocks // 2

    @property
    def num_blocks(self) -> int:
        """Number of blocks of the network, where each of the maps before counts as one."""
        return self.blocks + (self.earlier_maps + sum(self.condition_blocks) if self.earlier_maps else 0)

    @property
    def gap(self) -> int:
        """Number of empty columns between tiles side by side, so that no kernel reaches from one into another."""
        return FIRST_COLUMNS + self.slope * FIRST_ROWS


@dataclass(frozen=True, kw_only=True)
class DiscriminatorConfig:
    """The shape of a `PatchDiscriminator`.

    Attributes:
        channels: number of channels of the first layer; each of the next two has twice as many as the one before.

    Raises:
        ValueError: A value is out of its range.
    """

    RANGES: ClassVar[Mapping[str, Range]] = {"channels": AT_LEAST_1}

    channels: int = 48

    def __post_init__(self) -> None:
        check_fields(self, self.RANGES)
