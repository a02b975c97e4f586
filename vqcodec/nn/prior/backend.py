"""What a walk does around its products of matrices, in torch; `vqcodec.nn.prior.cpu_backend` does it by compiled kernels.

M stands for the rows of a step, those of all tiles.
"""

from typing import Protocol

import torch
from torch import Tensor

from vqcodec.nn.prior.fixed_layers import ExactWeight, TapConv
from vqcodec.nn.prior.fixed_point import Arithmetic, activation, gated, logits, stream
from vqcodec.nn.prior.pixelsnail import CausalAttention

EXACT = Arithmetic.EXACT
_ROOM = 8
"""Times the columns that a step needs of a layer's input are kept: the more, the less often they are moved to the front."""


class Columns:
    """The last columns of a causal convolution's input, activations [N, rows + 2 * reach, columns * C], written from left to right."""

    def __init__(self, conv: TapConv, n: int, height: int) -> None:
        self.weight = conv.exact_weight
        self.reach = conv.rows
        self.channels = conv.weight.shape[3]
        self.width = (conv.last - conv.first + 1) * self.channels
        self.end = self.width
        self.kept = conv.weight.new_zeros(n, height + 2 * self.reach, _ROOM * self.width, dtype=self.weight.dtype)

    def begin(self) -> None:
        """Makes room for a column, zeros so far, which from now on is the newest."""
        if self.end == self.kept.shape[2]:
            start, self.end = self.end - self.width + self.channels, self.width - self.channels
            self.kept[..., : self.end] = self.kept[..., start:]
            self.kept[..., self.end :] = 0
        self.end += self.channels

    def push(self, values: Tensor, rows: slice) -> None:
        """Adds a column: values [M, C] at its rows, zeros elsewhere."""
        self.begin()
        n, height, length = self.kept.shape
        count = rows.stop - rows.start
        offset = (rows.start + self.reach) * length + self.end - self.channels
        column = self.kept.as_strided((n, count, self.channels), (height * length, length, 1), offset)
        column.copy_(values.view(n, count, self.channels))

    def taps(self, rows: slice) -> Tensor:
        """What the convolution takes at rows of the newest column, [M, taps * C]."""
        n, height, length = self.kept.shape
        taps = self.kept.as_strided(
            (n, rows.stop - rows.start, 2 * self.reach + 1, self.width),
            (height * length, length, length, 1),
            rows.start * length + self.end - self.width,
        )
        return taps.reshape(-1, self.weight.matrix.shape[0])


class Memory(Protocol):
    """Keys and values of all earlier steps."""

    def means(self, x: Tensor, mask: Tensor | None) -> Tensor:
        """What attention gives the streams [M, C] of a step, activations [M, heads * D].

        Keeps the step's keys and values, where the mask [M] is true.
        """


class Steps(Protocol):
    """All that is done between products of matrices."""

    def push(self, columns: Columns, x: Tensor, mask: Tensor | None, rows: slice) -> Tensor:
        """Adds the activations of streams [M, C], zeros where the mask [M] is false, as a column; its taps [M, taps * C]."""

    def taps(self, columns: Columns, rows: slice) -> Tensor:
        """The taps [M, taps * C] at rows of the newest column."""

    def stream(self, weight: ExactWeight, operand: Tensor, added: Tensor | None = None) -> Tensor:
        """Streams [M, O]: products of activations [M, I], the bias, and streams [M, O] to add."""

    def gated(self, weight: ExactWeight, operand: Tensor, start: Tensor) -> Tensor:
        """Activations [M, O / 2] that `gated` gives of the products of activations [M, I], and their start, [M, O] or [O]."""

    def logits(self, weight: ExactWeight, x: Tensor) -> Tensor:
        """Logits [M, O] of streams [M, I]."""

    def memory(self, attention: CausalAttention, valid: Tensor) -> Memory:
        """A memory of nothing yet, for tiles whose codes are where `valid` [N, h, w] is true."""


class TorchMemory:
    """`Memory` by the functions that `PixelSnail.forward` is made of."""

    def __init__(self, attention: CausalAttention, valid: Tensor) -> None:
        n, height, width = valid.shape
        shape = (2, n, attention.heads, height * width, attention.head_dim)
        self.attention = attention
        self.keys_values = attention.position.new_empty(shape)
        self.visible = None if valid.all() else valid.new_empty(n, 1, 1, height * width)
        self.count = 0

    def means(self, x: Tensor, mask: Tensor | None) -> Tensor:
        """See `Memory`."""
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
        return means.flatten(0, 1)


class TorchSteps:
    """`Steps` by the functions that `PixelSnail.forward` is made of."""

    def push(self, columns: Columns, x: Tensor, mask: Tensor | None, rows: slice) -> Tensor:
        """See `Steps`."""
        inputs = activation(x, EXACT)
        columns.push(inputs if mask is None else inputs * mask[:, None], rows)
        return columns.taps(rows)

    def taps(self, columns: Columns, rows: slice) -> Tensor:
        """See `Steps`."""
        return columns.taps(rows)

    def stream(self, weight: ExactWeight, operand: Tensor, added: Tensor | None = None) -> Tensor:
        """See `Steps`."""
        return stream(weight.sums(operand, added), EXACT)

    def gated(self, weight: ExactWeight, operand: Tensor, start: Tensor) -> Tensor:
        """See `Steps`."""
        return gated(weight.sums_onto(start, operand), EXACT)

    def logits(self, weight: ExactWeight, x: Tensor) -> Tensor:
        """See `Steps`."""
        return logits(weight.sums(activation(x, EXACT)), EXACT)

    def memory(self, attention: CausalAttention, valid: Tensor) -> Memory:
        """See `Steps`."""
        return TorchMemory(attention, valid)
