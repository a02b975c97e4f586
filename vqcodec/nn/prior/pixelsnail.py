r"""PixelSNAIL priors in wavefront order: the logits of every code of a map, given the codes of earlier steps and the maps before it.

    codes [N,h,w] -> embedding -> causal convolution (strictly earlier) -> stream -> gated block x n -> head -> logits [N,h,w,K]
                                                                             ^  |        ^
                                                 causal attention (top only) +--+        |
    maps before -> condition stack (sees all of them) -> condition [N,h,w,C] ------------+

Code (r, c) belongs to step t = c + slope * r and depends on codes of earlier steps alone. The convolutions work on *skewed* maps, where row
r is shifted right by slope * r: a step is then a column, and a causal kernel is one that looks left. Several tiles stand side by side in
one skewed map, kept apart by a gap.

Source: Chen, Mishra, Rohaninejad, Abbeel 2017, "PixelSNAIL: An Improved Autoregressive Generative Model", section 2; as priors of code maps
in Razavi et al. 2019, section 3.2. Beyond the papers: the order, and arithmetic that is exact (`vqcodec.nn.prior.fixed_point`).
"""

import math
from copy import copy

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from vqcodec.format.container import TOP_TILE_CODES
from vqcodec.format.octaves import LOGIT_BITS, PLAIN_SHARPNESS
from vqcodec.nn.configs import FIRST_COLUMNS, FIRST_ROWS, PriorConfig
from vqcodec.nn.prior.fixed_layers import FixedLinear, TapConv
from vqcodec.nn.prior.fixed_point import (
    SCORE_SCALE,
    Arithmetic,
    attention_scores,
    attention_weights,
    check_integers,
    fixed_weight,
    gate,
    in_units,
    rounded_shift,
    sum_to_activations,
    to_activations,
    to_logits,
    to_stream,
    weight_bits,
)
from vqcodec.nn.prior.number_formats import (
    ACTIVATION_BITS,
    EXACT_LIMIT,
    MAX_ACTIVATION,
    MAX_LOGIT,
    MAX_STREAM,
    MAX_WEIGHT,
    STREAM_BITS,
    WEIGHT_BITS_RANGE,
)
from vqcodec.nn.prior.skewing import skew, unskew


class GatedBlock(nn.Module):
    """PixelSNAIL's gated residual block with one causal convolution: stream + project(gate(conv(stream) + condition))."""

    def __init__(self, config: PriorConfig) -> None:
        super().__init__()
        channels = config.channels
        self.conv = TapConv(channels, 2 * channels, 1, (1 - config.columns, 0), to_activations=True, gates=True)
        self.project = FixedLinear(channels, channels)
        self.condition = FixedLinear(config.condition_channels, 2 * channels) if config.earlier_maps else None
        nn.init.zeros_(self.project.weight)

    def forward(self, x: Tensor, mask: Tensor, condition: Tensor | None, arithmetic: Arithmetic) -> Tensor:
        """Maps a stream [N, H, L, C], with its mask [N, H, L, 1] and condition (activations), to a stream [N, H, L, C]."""
        if self.condition is not None and condition is not None:
            condition = to_stream(self.condition(condition, arithmetic), arithmetic)
        hidden = self.conv(to_activations(x, arithmetic) * mask, arithmetic, condition)
        return to_stream(self.project(gate(hidden, arithmetic), arithmetic, x), arithmetic)


class CausalAttention(nn.Module):
    """Multi-head attention over all codes of earlier steps, added to the stream (PixelSNAIL, section 2.2).

    It knows where in the tile it is by learned vectors of rows and columns.
    """

    def __init__(self, config: PriorConfig) -> None:
        super().__init__()
        self.heads, self.head_dim = config.heads, config.head_dim
        width = config.heads * config.head_dim
        self.position = nn.Parameter(torch.zeros(2, TOP_TILE_CODES, config.channels))
        self.query_key_value = FixedLinear(config.channels, 3 * width, to_activations=True)
        self.project = FixedLinear(width, config.channels)
        nn.init.zeros_(self.project.weight)

    def positions(self, height: int, width: int, arithmetic: Arithmetic) -> Tensor:
        """Returns what is added to the stream before the first block, a row's vector and a column's: [h, w, C]."""
        exact = arithmetic is Arithmetic.EXACT
        rows, columns = in_units(self.position, STREAM_BITS, MAX_STREAM) if exact else to_stream(self.position, arithmetic)
        added: Tensor = rows[:height, None] + columns[None, :width]
        return added

    def inputs(self, x: Tensor, arithmetic: Arithmetic) -> tuple[Tensor, Tensor, Tensor]:
        """Returns queries, keys and values, activations [N, heads, M, D] each, of a stream x [N, M, C]."""
        n, count, _ = x.shape
        parts = sum_to_activations(self.query_key_value(to_activations(x, arithmetic), arithmetic), arithmetic)
        query, key, value = parts.reshape(n, count, 3, self.heads, -1).permute(2, 0, 3, 1, 4)
        return query, key, value

    def attend(self, query: Tensor, key: Tensor, value: Tensor, visible: Tensor | None, arithmetic: Arithmetic) -> Tensor:
        """Returns means of values, weighted by how well keys fit queries.

        Args:
            query: activations [N, heads, Q, D].
            key: activations [N, heads, M, D].
            value: activations [N, heads, M, D].
            visible: [N or 1, 1, Q or 1, M], the keys that a query sees; None for all of them.
            arithmetic: the arithmetic to compute in.

        Returns:
            Activations [N, Q, heads * D].
        """
        if arithmetic is Arithmetic.REAL:
            mean = _real_means(query, key, value, visible)
        else:
            products = query @ key.transpose(2, 3)
            scores = attention_scores(products, arithmetic)
            if visible is not None:
                scores = scores.masked_fill(~visible, -torch.inf)
            weights = attention_weights(scores, arithmetic)
            mean = (weights @ value.float()) / weights.sum(dim=-1, keepdim=True).clamp_min(1.0)
            mean = rounded_shift(mean, 0) if arithmetic is Arithmetic.EXACT else to_activations(mean, arithmetic)
        return mean.transpose(1, 2).flatten(2)

    def forward(self, x: Tensor, slope: int, valid: Tensor, arithmetic: Arithmetic) -> Tensor:
        """Maps a stream x [N, h, w, C], of which `valid` [N, h, w] holds codes, to a stream [N, h, w, C]."""
        n, height, width, _ = x.shape
        query, key, value = self.inputs(x.flatten(1, 2), arithmetic)
        rows, columns = torch.arange(height, device=x.device), torch.arange(width, device=x.device)
        steps = (columns[None, :] + slope * rows[:, None]).flatten()
        visible = (steps[:, None] > steps[None, :]) & valid.reshape(n, 1, 1, -1)
        means = self.attend(query, key, value, visible, arithmetic)
        return to_stream(self.project(means.reshape(n, height, width, -1), arithmetic, x), arithmetic)


def _real_means(query: Tensor, key: Tensor, value: Tensor, visible: Tensor | None) -> Tensor:
    """Returns the means of `CausalAttention.attend` in real numbers, by a formula of its own for speed."""
    assert visible is not None
    sees_any = visible.any(dim=-1, keepdim=True)
    mean = F.scaled_dot_product_attention(query, key, value, attn_mask=visible | ~sees_any, scale=SCORE_SCALE * math.log(2))
    return mean.masked_fill(~sees_any, 0.0)


def embedded(embedding: nn.Module, codes: Tensor, arithmetic: Arithmetic) -> Tensor:
    """Returns the activations [..., E] that stand for codes [...]."""
    vectors: Tensor = embedding(codes)
    return vectors * 2.0**ACTIVATION_BITS if arithmetic is Arithmetic.EXACT else to_activations(vectors, arithmetic)


class ConditionBlock(nn.Module):
    """A residual block whose convolution sees all sides: stream + project(relu(conv(stream)))."""

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.conv = TapConv(channels, channels, 1, (-1, 1), to_activations=True)
        self.project = FixedLinear(channels, channels)
        nn.init.zeros_(self.project.weight)

    def forward(self, x: Tensor, mask: Tensor, arithmetic: Arithmetic) -> Tensor:
        """Maps a stream x [N, h, w, C], with its mask [N, h, w, 1], to a stream [N, h, w, C]."""
        hidden = self.conv(to_activations(x, arithmetic) * mask, arithmetic)
        return to_stream(self.project(sum_to_activations(hidden, arithmetic).relu(), arithmetic, x), arithmetic)


class ConditionStack(nn.Module):
    """The network that takes the maps before this one to activations of its size.

    The half-sized top map goes through blocks of its own, then the others are added.
    """

    def __init__(self, config: PriorConfig) -> None:
        super().__init__()
        channels = config.condition_channels
        coarse, fine = config.condition_blocks
        self.embeddings = nn.ModuleList(nn.Embedding(config.codebook_size, config.embedding_dim) for _ in range(config.earlier_maps))
        self.first = TapConv(config.embedding_dim, channels, 1, (-1, 1))
        self.coarse = nn.ModuleList(ConditionBlock(channels) for _ in range(coarse))
        self.up = FixedLinear(channels, 4 * channels)
        self.others = nn.ModuleList(TapConv(config.embedding_dim, channels, 1, (-1, 1)) for _ in range(config.earlier_maps - 1))
        self.fine = nn.ModuleList(ConditionBlock(channels) for _ in range(fine))

    def forward(self, maps: list[Tensor], mask: Tensor, arithmetic: Arithmetic) -> Tensor:
        """Maps the maps before, [N, h/2, w/2] and then [N, h, w] each, with the mask [N, h, w, 1], to activations [N, h, w, C]."""
        coarse_mask = mask[:, ::2, ::2]
        x = to_stream(self.first(embedded(self.embeddings[0], maps[0], arithmetic) * coarse_mask, arithmetic), arithmetic)
        for block in self.coarse:
            x = block(x, coarse_mask, arithmetic)
        x = to_stream(self.up(to_activations(x, arithmetic), arithmetic), arithmetic)
        n, height, width, channels = x.shape
        x = x.reshape(n, height, width, 2, 2, channels // 4).permute(0, 1, 3, 2, 4, 5).reshape(n, 2 * height, 2 * width, channels // 4)
        for embedding, conv, indices in zip(self.embeddings[1:], self.others, maps[1:], strict=True):
            x = to_stream(conv(embedded(embedding, indices, arithmetic) * mask, arithmetic, x), arithmetic)
        for block in self.fine:
            x = block(x, mask, arithmetic)
        return to_activations(x, arithmetic)


def _is_weight(name: str) -> bool:
    return name.endswith("weight") and "embedding" not in name


def _format_of(name: str) -> tuple[int, int]:
    """Returns the fractional bits and the largest integer of a parameter that is no weight."""
    if "embedding" in name:
        return ACTIVATION_BITS, MAX_ACTIVATION
    return (LOGIT_BITS, MAX_LOGIT) if name == "head.bias" else (STREAM_BITS, MAX_STREAM)


class PixelSnail(nn.Module):
    """The prior of one map."""

    sharpness: int = PLAIN_SHARPNESS
    """Sixteenths by which exact logits are multiplied."""

    def __init__(self, config: PriorConfig) -> None:
        super().__init__()
        self.config = config
        channels = config.channels
        self.embedding = nn.Embedding(config.codebook_size, config.embedding_dim)
        self.first = TapConv(config.embedding_dim, channels, FIRST_ROWS, (-FIRST_COLUMNS, -1))
        self.blocks = nn.ModuleList(GatedBlock(config) for _ in range(config.blocks))
        self.condition = ConditionStack(config) if config.earlier_maps else None
        self.attention = CausalAttention(config) if config.heads else None
        self.head = FixedLinear(channels, config.codebook_size, LOGIT_BITS, MAX_LOGIT)

    def sharpened(self, sharpness: int) -> "PixelSnail":
        """Returns the same prior of another sharpness, 1 to `MAX_SHARPNESS`, which shares its layers."""
        if sharpness == self.sharpness:
            return self
        other = copy(self)
        other.sharpness = sharpness
        return other

    @property
    def gated_blocks(self) -> list[GatedBlock]:
        """The gated blocks, with their type."""
        return [block for block in self.blocks if isinstance(block, GatedBlock)]

    @property
    def device(self) -> torch.device:
        """The device that the parameters are on."""
        return self.head.weight.device

    @torch.no_grad()
    def start_embeddings(self, codebooks: Tensor, generator: torch.Generator) -> None:
        """Starts the embeddings as random projections of the codes' vectors [maps, K, D]: similar codes begin with similar embeddings."""
        # This map's own embedding is the first in the module, that of the last map.
        embeddings = [module for module in self.modules() if isinstance(module, nn.Embedding)]
        for embedding, codebook in zip([*embeddings[1:], embeddings[0]], codebooks, strict=False):
            vectors = codebook - codebook.mean(dim=0)
            vectors = vectors / vectors.square().mean().sqrt().clamp_min(1e-9)
            projection = torch.randn(vectors.shape[1], self.config.embedding_dim, generator=generator) * vectors.shape[1] ** -0.5
            embedding.weight.copy_(vectors @ projection)

    def integers(self) -> dict[str, Tensor]:
        """Returns every parameter in its number format.

        Weights are int8, with `<name>_bits` int8 an output channel; embeddings are int8; all others are int16.

        Raises:
            ValueError: A dot product of these weights could exceed 2^24 units.
        """
        exported: dict[str, Tensor] = {}
        for name, parameter in self.named_parameters():
            values = parameter.detach().float()
            if not _is_weight(name):
                bits, largest = _format_of(name)
                dtype = torch.int8 if largest == MAX_ACTIVATION else torch.int16
                exported[name] = in_units(values, bits, largest).to(dtype)
                continue
            weight_bits_ = weight_bits(values)
            units = fixed_weight(values, Arithmetic.TRAINED) * torch.exp2(weight_bits_).view(-1, *[1] * (values.ndim - 1))
            if float(units.abs().flatten(1).sum(dim=1).max()) * MAX_ACTIVATION >= EXACT_LIMIT:
                raise ValueError(f"{name}: dot products could exceed {EXACT_LIMIT}")
            exported[name], exported[f"{name}_bits"] = units.to(torch.int8), weight_bits_.to(torch.int8)
        return exported

    def load_integers(self, exported: dict[str, Tensor]) -> None:
        """Sets the parameters to what `integers` gave.

        Raises:
            KeyError, RuntimeError: A tensor is missing, unknown, or of another shape.
            ValueError: A tensor is not in its number format.
        """
        state: dict[str, Tensor] = {}
        for name, values in exported.items():
            if name.endswith("_bits"):
                check_integers(name, values, *WEIGHT_BITS_RANGE, is_vector=True)
            elif _is_weight(name):
                check_integers(name, values, -MAX_WEIGHT, MAX_WEIGHT, has_products=True)
                unit = torch.exp2(-exported[f"{name}_bits"].float()).view(len(values), *[1] * (values.ndim - 1))
                state[name] = values.float() * unit
            else:
                bits, largest = _format_of(name)
                check_integers(name, values, -largest, largest)
                state[name] = values.float() * 2.0**-bits
        self.load_state_dict(state, strict=True)

    def logits(self, x: Tensor, arithmetic: Arithmetic) -> Tensor:
        """Returns the logits [..., K] of a stream x [..., C], in octaves, or in sixteenths of them when exact."""
        return to_logits(self.head(to_activations(x, arithmetic), arithmetic).float(), arithmetic, self.sharpness)

    def forward(
        self, indices: Tensor, earlier: list[Tensor], arithmetic: Arithmetic, *, valid: Tensor | None = None, side_by_side: int = 1
    ) -> Tensor:
        """Computes the logits of all codes in one pass.

        Args:
            indices: [N, h, w], the codes of this map.
            earlier: the maps before it, [N, h/2, w/2] and then [N, h, w] each.
            arithmetic: the arithmetic to compute in.
            valid: [N, h, w] bool, false where a tile is smaller than the others; a multiple of 2 where there are earlier maps.
            side_by_side: number of tiles in one skewed map, a divisor of N; it changes the speed alone.

        Returns:
            [N, h, w, K] in octaves, in sixteenths of them when exact.
        """
        config = self.config
        n, height, width = indices.shape
        if valid is None:
            valid = torch.ones_like(indices, dtype=torch.bool)

        def packed(tiles: Tensor) -> Tensor:
            """Skews tiles [N, h, w, C] to [N / side_by_side, h, L, C]."""
            row = F.pad(tiles, (0, 0, 0, config.gap)).reshape(n // side_by_side, side_by_side, height, width + config.gap, -1)
            return skew(row.transpose(1, 2).flatten(2, 3), config.slope)

        def unpacked(x: Tensor) -> Tensor:
            """Undoes `packed`."""
            row = unskew(x, config.slope, side_by_side * (width + config.gap))
            tiles = row.reshape(n // side_by_side, height, side_by_side, width + config.gap, -1).transpose(1, 2).flatten(0, 1)
            return tiles[:, :, :width]

        activations = embedded(self.embedding, indices, arithmetic)
        tile_mask = valid[..., None].to(activations.dtype)
        mask = packed(tile_mask)
        condition = None if self.condition is None else packed(self.condition(earlier, tile_mask, arithmetic))
        positions = None
        if self.attention is not None:
            positions = packed(self.attention.positions(height, width, arithmetic).expand(n, -1, -1, -1))
        x = to_stream(self.first(packed(activations * tile_mask), arithmetic, positions), arithmetic)
        for number, block in enumerate(self.gated_blocks):
            if self.attention is not None and number == config.attention_before:
                x = packed(self.attention(unpacked(x), config.slope, valid, arithmetic))
            x = block(x, mask, condition, arithmetic)
        return self.logits(unpacked(x), arithmetic)
