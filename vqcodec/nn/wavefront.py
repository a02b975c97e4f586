"""Step-by-step inference of a prior: the logits of one step's codes at a time, all tiles at once.

Every layer keeps the few columns of its input that a step can still reach; attention keeps all keys and values. A step is one small matrix
product a layer. The arithmetic is that of `PixelSnail.forward`, by the same functions, and exact: both give the same bits.
"""

from collections.abc import Iterator, Sequence

import torch
from torch import Tensor

from vqcodec.nn.fixed_layers import ExactWeight, TapConv
from vqcodec.nn.fixed_point import MAX_STREAM, Arithmetic, activation, gated, stream
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
        """Adds a column: values [N * R, C] at its rows, zeros elsewhere."""
        n, height, length = self.kept.shape
        if self.end == length:
            start, self.end = self.end - self.width + self.channels, self.width - self.channels
            self.kept[..., : self.end] = self.kept[..., start:]
            self.kept[..., self.end :] = 0
        count = rows.stop - rows.start
        column = self.kept.as_strided(
            (n, count, self.channels), (height * length, length, 1), (rows.start + self.padding) * length + self.end
        )
        column.copy_(values.view(n, count, self.channels))
        self.end += self.channels

    def convolved(self, rows: slice, start: Tensor) -> Tensor:
        """Sums [N * R, O], not rounded: the convolution at rows of the newest column, and what is above the bias already (`sums_onto`)."""
        n, height, length = self.kept.shape
        taps = self.kept.as_strided(
            (n, rows.stop - rows.start, 2 * self.padding + 1, self.width),
            (height * length, length, length, 1),
            rows.start * length + self.end - self.width,
        )
        return self.weight.sums_onto(start, taps.reshape(-1, self.weight.matrix.shape[0]))


class _Memory:
    """Keys and values of all earlier steps."""

    def __init__(self, attention: CausalAttention, valid: Tensor) -> None:
        n, height, width = valid.shape
        shape = (2, n, attention.heads, height * width, attention.head_dim)
        self.attention = attention
        self.positions = attention.positions(height, width, EXACT).flatten(0, 1).repeat(n, 1)
        self.keys_values = attention.position.new_empty(shape)
        self.visible = None if valid.all() else valid.new_empty(n, 1, 1, height * width)
        self.count = 0

    def attended(self, x: Tensor, mask: Tensor | None) -> Tensor:
        """Stream [N * R, C] of a step -> stream [N * R, C] that has seen earlier steps. Keeps the step's keys and values."""
        n = self.keys_values.shape[1]
        streams = x.view(n, -1, x.shape[1])
        query, key, value = self.attention.inputs(streams, EXACT)
        seen, upto = slice(0, self.count), self.count + streams.shape[1]
        if self.count:
            visible = None if self.visible is None else self.visible[..., seen]
            keys, values = self.keys_values[..., seen, :]
            means = self.attention.attend(query, keys, values, visible, EXACT)
        else:
            means = x.new_zeros(*streams.shape[:2], query.shape[1] * query.shape[3])
        self.keys_values[..., self.count : upto, :] = torch.stack([key, value])
        if self.visible is not None and mask is not None:
            self.visible[..., self.count : upto] = mask.view(n, 1, 1, -1)
        self.count = upto
        return stream(self.attention.project(means.flatten(0, 1), EXACT, x), EXACT)


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
        n, self.height, self.width = valid.shape
        self.is_full = bool(valid.all())
        slope = prior.config.slope
        self.num_steps = self.width + slope * (self.height - 1)
        rows, columns = torch.arange(self.height, device=valid.device), torch.arange(self.width, device=valid.device)
        self.step_of_cell = (columns + slope * rows[:, None]).expand(n, -1, -1).flatten()
        self.vectors = embedded(prior.embedding, torch.arange(prior.config.codebook_size, device=valid.device), EXACT)
        self.codes = _Columns(prior.first, n, self.height)
        self.layers = [_Columns(block.conv, n, self.height) for block in prior.gated_blocks]
        self.biases = torch.cat([layer.weight.bias for layer in self.layers])
        self.projections = [block.project.exact_weight for block in prior.gated_blocks]
        self.memory = None if prior.attention is None else _Memory(prior.attention, valid)
        self.condition: Tensor | None = None
        if prior.condition is not None:
            self.condition_weight = ExactWeight.side_by_side(
                [block.condition.exact_weight for block in prior.gated_blocks if block.condition is not None]
            )
            self.condition_fits = self.condition_weight.stays_within(MAX_STREAM)
            mask = valid[..., None].to(prior.head.weight.dtype)
            self.condition = prior.condition(earlier, mask, EXACT).to(self.condition_weight.dtype).flatten(0, 2)

    def _by_step(self, cells: Tensor, values: Tensor) -> tuple[Tensor, ...]:
        """Values of cells that are sorted by step, as one tensor a step."""
        return torch.split(values, self.step_of_cell[cells].bincount(minlength=self.num_steps).tolist())

    def __iter__(self) -> Iterator[tuple[Tensor, Tensor, Tensor]]:
        """Yields (tile, row, column), int64 [P] each, of every step's codes, tile by tile, row by row. Call `logits`, then `push`."""
        slope, sorted_cells = self.prior.config.slope, self.step_of_cell.argsort(stable=True)
        own = sorted_cells[self.valid.flatten()[sorted_cells]]
        places = own // (self.height * self.width), own // self.width % self.height, own % self.width
        of_steps = (self._by_step(own, part) for part in places)
        for step, (cells, *at) in enumerate(zip(self._by_step(sorted_cells, sorted_cells), *of_steps, strict=True)):
            self.rows = slice(max(0, -(-(step - self.width + 1) // slope)), min(self.height - 1, step // slope) + 1)
            self.cells = cells
            self.mask = None if self.is_full else self.valid.take(cells)
            yield at[0], at[1], at[2]

    def logits(self) -> Tensor:
        """Logits [P, K] of this step's codes, integers, in the order that they were yielded in."""
        first = self.codes.weight
        start = first.bias if self.memory is None else first.above_bias(self.memory.positions.index_select(0, self.cells))
        x = stream(self.codes.convolved(self.rows, start), EXACT)
        for number, (layer, start) in enumerate(zip(self.layers, self._starts(), strict=True)):
            if self.memory is not None and number == self.prior.config.attention_before:
                x = self.memory.attended(x, self.mask)
            inputs = activation(x, EXACT)
            layer.push(inputs if self.mask is None else inputs * self.mask[:, None], self.rows)
            hidden = gated(layer.convolved(self.rows, start), EXACT)
            x = stream(self.projections[number].sums(hidden, x), EXACT)
        return self.prior.logits(x if self.mask is None else x[self.mask], EXACT)

    def _starts(self) -> Sequence[Tensor]:
        """What the sums of each block's convolution start from: its bias, and the condition's stream where there is one."""
        if self.condition is None:
            return self.biases.chunk(len(self.layers))
        sums = self.condition_weight.sums(self.condition.index_select(0, self.cells))
        streams = sums.floor_() if self.condition_fits else stream(sums, EXACT)
        torch.add(self.biases, streams, alpha=self.layers[0].weight.scale, out=streams)
        return streams.chunk(len(self.layers), dim=-1)

    def push(self, codes: Tensor) -> None:
        """Tells the codes [P] of this step, in the order that they were yielded in."""
        vectors = self.vectors.index_select(0, codes)
        if self.mask is not None:
            spread = vectors.new_zeros(len(self.cells), vectors.shape[1])
            spread[self.mask] = vectors
            vectors = spread
        self.codes.push(vectors, self.rows)
