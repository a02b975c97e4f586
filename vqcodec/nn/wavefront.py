"""Step-by-step inference of a prior: the logits of one step's codes at a time, all tiles at once.

Every layer keeps the few columns of its input that a step can still reach; attention keeps all keys and values. A step is one small matrix
product a layer. The arithmetic is that of `PixelSnail.forward`, by the same functions, and exact: both give the same bits.
"""

from collections.abc import Iterator

import torch
from torch import Tensor
from torch.nn import functional as F

from vqcodec.nn.fixed_layers import TapConv
from vqcodec.nn.fixed_point import Arithmetic, activation, stream
from vqcodec.nn.pixelsnail import PixelSnail

EXACT = Arithmetic.EXACT


class _Columns:
    """The last columns of a causal convolution's input, activations [N, rows + 2 * padding, columns, C]."""

    def __init__(self, conv: TapConv, n: int, height: int) -> None:
        self.padding = conv.rows
        count = conv.last - conv.first + 1
        self.weight = conv.exact_weight
        self.kept = self.weight.operand(conv.weight.new_zeros(n, height + 2 * self.padding, count, conv.weight.shape[3]))

    def push(self, values: Tensor, rows: slice) -> None:
        """Shifts by one column and sets rows of the newest one to values [N, R, C]; its other rows are zero."""
        self.kept[:, :, :-1] = self.kept[:, :, 1:].clone()
        self.kept[:, :, -1] = 0
        self.kept[:, rows.start + self.padding : rows.stop + self.padding, -1] = self.weight.operand(values)

    def convolved(self, rows: slice) -> Tensor:
        """Stream [N, R, O]: the convolution at rows of the newest column."""
        taps = [self.kept[:, rows.start + v : rows.stop + v].flatten(2) for v in range(2 * self.padding + 1)]
        return self.weight.stream(torch.cat(taps, dim=-1))


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
        self.mask = valid[..., None].to(prior.head.weight.dtype)
        self.condition = None if prior.condition is None else prior.condition(earlier, self.mask, EXACT)
        self.codes = _Columns(prior.first, self.n, self.height)
        self.layers = [_Columns(block.conv, self.n, self.height) for block in prior.gated_blocks]
        if prior.attention is not None:
            self.positions = prior.attention.positions(self.height, self.width, EXACT)
            self.seen: list[tuple[Tensor, Tensor, Tensor]] = []

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
        """Logits [P, K] in octaves of this step's codes, in the order that they were yielded in."""
        rows, columns = self.at
        mask = self.step_valid[..., None].to(self.mask.dtype)
        condition = None if self.condition is None else self.condition[:, rows, columns]
        x = self.codes.convolved(self.rows)
        if self.prior.attention is not None:
            x = x + self.positions[rows, columns]
        for number, (block, layer) in enumerate(zip(self.prior.gated_blocks, self.layers, strict=True)):
            if self.prior.attention is not None and number == self.prior.config.attention_before:
                x = self._attend(x)
            layer.push(activation(x, EXACT) * mask, self.rows)
            x = block.finish(x, layer.convolved(self.rows), condition, EXACT)
        return self.prior.logits(x[self.step_valid], EXACT)

    def _attend(self, x: Tensor) -> Tensor:
        assert self.prior.attention is not None
        query, key, value = self.prior.attention.inputs(x, EXACT)
        if self.seen:
            keys, values, valid = (torch.cat(parts, dim=dim) for parts, dim in zip(zip(*self.seen, strict=True), (2, 2, 1), strict=True))
            x = stream(x + self.prior.attention.attend(query, keys, values, valid[:, None, None], EXACT), EXACT)
        else:
            x = stream(x + self.prior.attention.project.bias, EXACT)
        self.seen.append((key, value, self.step_valid))
        return x

    def push(self, codes: Tensor) -> None:
        """Tells the codes [P] of this step, in the order that they were yielded in."""
        embedded = self.mask.new_zeros(self.n, self.rows.stop - self.rows.start, self.codes.kept.shape[-1])
        embedded[self.step_valid] = activation(F.embedding(codes, self.prior.embedding.weight), EXACT)
        self.codes.push(embedded, self.rows)
