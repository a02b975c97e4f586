"""Step-by-step inference of a prior: the logits of one step's codes at a time, all tiles at once.

Every layer keeps the few columns of its input that a step can still reach; attention keeps all keys and values. A step is one small matrix
product a layer. The arithmetic is that of `PixelSnail.forward`, by the same functions, and exact: both give the same bits.
"""

from collections.abc import Iterator

import torch
from torch import Tensor

from vqcodec.nn.fixed_layers import ExactWeight, TapConv
from vqcodec.nn.fixed_point import Arithmetic, activation, stream
from vqcodec.nn.pixelsnail import CausalAttention, PixelSnail, embedded

EXACT = Arithmetic.EXACT
_ROOM = 8
"""Times the columns that a step needs of a layer's input are kept: the more, the less often they are moved to the front."""


class _Columns:
    """The last columns of a causal convolution's input, activations [N, rows + 2 * padding, columns * C], written from left to right."""

    def __init__(self, conv: TapConv, n: int, height: int) -> None:
        self.weight = conv.exact_weight
        self.padding = conv.rows
        self.channels = conv.weight.shape[3]
        self.width = (conv.last - conv.first + 1) * self.channels
        self.end = self.width
        self.kept = conv.weight.new_zeros(n, height + 2 * self.padding, _ROOM * self.width, dtype=self.weight.dtype)

    def push(self, values: Tensor, rows: slice) -> None:
        """Adds a column: values [N, R, C] at its rows, zeros elsewhere."""
        if self.end == self.kept.shape[-1]:
            start, self.end = self.end - self.width + self.channels, self.width - self.channels
            self.kept[..., : self.end] = self.kept[..., start:]
            self.kept[..., self.end :] = 0
        self.kept[:, rows.start + self.padding : rows.stop + self.padding, self.end : self.end + self.channels] = values
        self.end += self.channels

    def convolved(self, rows: slice, added: Tensor | None) -> Tensor:
        """Sums [N, R, O], not rounded: the convolution at rows of the newest column, and streams [N, R, O] to add."""
        reached = self.kept[:, rows.start : rows.stop + 2 * self.padding, self.end - self.width : self.end]
        taps = reached.unfold(1, 2 * self.padding + 1, 1)
        return self.weight.sums(taps.transpose(2, 3).flatten(2), added)


class _Memory:
    """Keys and values of all earlier steps."""

    def __init__(self, attention: CausalAttention, valid: Tensor) -> None:
        n, height, width = valid.shape
        shape = (2, n, attention.heads, height * width, attention.head_dim)
        self.attention = attention
        self.positions = attention.positions(height, width, EXACT)
        self.keys_values = attention.position.new_empty(shape)
        self.visible = None if valid.all() else valid.new_empty(n, 1, 1, height * width)
        self.count = 0

    def attended(self, x: Tensor, step_valid: Tensor) -> Tensor:
        """Stream [N, R, C] of a step -> stream [N, R, C] that has seen earlier steps. Keeps the step's keys and values."""
        query, key, value = self.attention.inputs(x, EXACT)
        seen, upto = slice(0, self.count), self.count + x.shape[1]
        if self.count:
            visible = None if self.visible is None else self.visible[..., seen]
            keys, values = self.keys_values[..., seen, :]
            means = self.attention.attend(query, keys, values, visible, EXACT)
        else:
            means = x.new_zeros(*x.shape[:2], query.shape[1] * query.shape[3])
        self.keys_values[..., self.count : upto, :] = torch.stack([key, value])
        if self.visible is not None:
            self.visible[..., self.count : upto] = step_valid[:, None, None]
        self.count = upto
        return stream(self.attention.project(means, EXACT, x), EXACT)


class Wavefront:
    """One walk over a batch of tiles.

    Args:
        prior: with parameters rounded to their formats.
        earlier: the maps before this one, int64 [N, h/2, w/2] and then [N, h, w] each.
        valid: [N, h, w] bool, where tiles hold codes.
    """

    def __init__(self, prior: PixelSnail, earlier: list[Tensor], valid: Tensor) -> None:
        self.prior = prior
        self.valid = valid
        self.n, self.height, self.width = valid.shape
        self.num_steps = self.width + prior.config.slope * (self.height - 1)
        self.is_full = bool(valid.all())
        self.codes = _Columns(prior.first, self.n, self.height)
        self.layers = [_Columns(block.conv, self.n, self.height) for block in prior.gated_blocks]
        self.memory = None if prior.attention is None else _Memory(prior.attention, valid)
        self.condition: Tensor | None = None
        if prior.condition is not None:
            self.condition_weight = ExactWeight.side_by_side(
                [block.condition.exact_weight for block in prior.gated_blocks if block.condition is not None]
            )
            mask = valid[..., None].to(prior.head.weight.dtype)
            self.condition = prior.condition(earlier, mask, EXACT).to(self.condition_weight.dtype)

    def __iter__(self) -> Iterator[tuple[Tensor, Tensor, Tensor]]:
        """Yields (tile, row, column), int64 [P] each, of every step's codes, tile by tile, row by row. Call `logits`, then `push`."""
        slope = self.prior.config.slope
        for step in range(self.num_steps):
            first = max(0, -(-(step - self.width + 1) // slope))
            self.rows = slice(first, min(self.height - 1, step // slope) + 1)
            rows = torch.arange(self.rows.start, self.rows.stop, device=self.valid.device)
            self.at = (rows, step - slope * rows)
            self.step_valid = self.valid[:, rows, self.at[1]]
            tile, row = self.step_valid.nonzero(as_tuple=True)
            yield tile, rows[row], self.at[1][row]

    def logits(self) -> Tensor:
        """Logits [P, K] of this step's codes, integers, in the order that they were yielded in."""
        rows, columns = self.at
        conditions: list[Tensor | None] = [None] * len(self.layers)
        if self.condition is not None:
            streams = stream(self.condition_weight.sums(self.condition[:, rows, columns]), EXACT)
            conditions = list(streams.chunk(len(self.layers), dim=-1))
        x = stream(self.codes.convolved(self.rows, None if self.memory is None else self.memory.positions[rows, columns]), EXACT)
        for number, (block, layer) in enumerate(zip(self.prior.gated_blocks, self.layers, strict=True)):
            if self.memory is not None and number == self.prior.config.attention_before:
                x = self.memory.attended(x, self.step_valid)
            layer.push(self._masked(activation(x, EXACT)), self.rows)
            x = block.finish(x, layer.convolved(self.rows, conditions[number]), EXACT)
        return self.prior.logits(x.flatten(0, 1) if self.is_full else x[self.step_valid], EXACT)

    def push(self, codes: Tensor) -> None:
        """Tells the codes [P] of this step, in the order that they were yielded in."""
        vectors = embedded(self.prior.embedding, codes, EXACT)
        if self.is_full:
            spread = vectors.view(*self.step_valid.shape, -1)
        else:
            spread = vectors.new_zeros(*self.step_valid.shape, vectors.shape[-1])
            spread[self.step_valid] = vectors
        self.codes.push(spread, self.rows)

    def _masked(self, values: Tensor) -> Tensor:
        return values if self.is_full else values * self.step_valid[..., None]
