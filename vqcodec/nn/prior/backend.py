"""The backend of a walk: all that is done around its products of matrices.

This module has the protocol and an implementation in torch; `vqcodec.nn.prior.cpu_backend` has one by compiled kernels. In shapes, M stands
for the rows of a step, those of all tiles together.
"""

from typing import Final, Protocol

import torch
from torch import Tensor

from vqcodec.nn.prior.fixed_layers import ExactWeight, TapConv
from vqcodec.nn.prior.fixed_point import Arithmetic, gate, to_activations, to_logits, to_stream
from vqcodec.nn.prior.pixelsnail import CausalAttention

EXACT: Final = Arithmetic.EXACT

_ROOM: Final = 8
"""Size of a column cache in kernel widths. A larger one means fewer moves of its columns to the front."""


class ColumnCache:
    """A cache of the last columns of a causal convolution's input.

    It holds activations [N, rows + 2 * reach, columns * C], written from left to right.

    Args:
        conv: the convolution.
        n: number of tiles.
        height: number of rows of a tile.
    """

    def __init__(self, conv: TapConv, n: int, height: int) -> None:
        self.weight = conv.exact_weight
        self.reach = conv.rows
        self.channels = conv.weight.shape[3]
        self.width = (conv.last - conv.first + 1) * self.channels
        self.end = self.width
        self.kept = conv.weight.new_zeros(n, height + 2 * self.reach, _ROOM * self.width, dtype=self.weight.dtype)

    def begin(self) -> None:
        """Begins a new column of zeros, which from now on is the newest."""
        if self.end == self.kept.shape[2]:
            start, self.end = self.end - self.width + self.channels, self.width - self.channels
            self.kept[..., : self.end] = self.kept[..., start:]
            self.kept[..., self.end :] = 0
        self.end += self.channels

    def push(self, values: Tensor, rows: slice) -> None:
        """Adds a column with values [M, C] at these rows and zeros elsewhere."""
        self.begin()
        n, height, length = self.kept.shape
        count = rows.stop - rows.start
        offset = (rows.start + self.reach) * length + self.end - self.channels
        column = self.kept.as_strided((n, count, self.channels), (height * length, length, 1), offset)
        column.copy_(values.view(n, count, self.channels))

    def taps(self, rows: slice) -> Tensor:
        """Returns the inputs [M, taps * C] of the convolution at these rows of the newest column."""
        n, height, length = self.kept.shape
        taps = self.kept.as_strided(
            (n, rows.stop - rows.start, 2 * self.reach + 1, self.width),
            (height * length, length, length, 1),
            rows.start * length + self.end - self.width,
        )
        return taps.reshape(-1, self.weight.matrix.shape[0])


class KeyValueCache(Protocol):
    """The keys and values of all earlier steps, which attention looks at."""

    def means(self, x: Tensor, mask: Tensor | None) -> Tensor:
        """Returns the means of values, activations [M, heads * D], that attention gives the streams x [M, C] of a step.

        The step's own keys and values are kept for later steps where the mask [M] is true; None stands for everywhere.
        """


class Backend(Protocol):
    """An implementation of all that a step does between its products of matrices."""

    def push(self, columns: ColumnCache, x: Tensor, mask: Tensor | None, rows: slice) -> Tensor:
        """Adds the activations of streams x [M, C] as a column, zero where the mask [M] is false; returns its taps [M, taps * C]."""

    def taps(self, columns: ColumnCache, rows: slice) -> Tensor:
        """Returns the taps [M, taps * C] at these rows of the newest column."""

    def to_stream(self, weight: ExactWeight, operand: Tensor, added: Tensor | None = None) -> Tensor:
        """Returns streams [M, O]: the products of activations [M, I] with the weight, its bias, and streams [M, O] to add."""

    def gate(self, weight: ExactWeight, operand: Tensor, start: Tensor) -> Tensor:
        """Returns the activations [M, O / 2] that `gate` gives of the products of activations [M, I] and their start, [M, O] or [O]."""

    def to_logits(self, weight: ExactWeight, x: Tensor) -> Tensor:
        """Returns the logits [M, O] of streams x [M, I]."""

    def key_value_cache(self, attention: CausalAttention, valid: Tensor) -> KeyValueCache:
        """Returns an empty cache for tiles whose codes are where `valid` [N, h, w] is true."""


class TorchKeyValueCache:
    """A `KeyValueCache` by the functions that `PixelSnail.forward` is made of."""

    def __init__(self, attention: CausalAttention, valid: Tensor) -> None:
        n, height, width = valid.shape
        shape = (2, n, attention.heads, height * width, attention.head_dim)
        self.attention = attention
        self.keys_values = attention.position.new_empty(shape)
        self.visible = None if valid.all() else valid.new_empty(n, 1, 1, height * width)
        self.count = 0

    def means(self, x: Tensor, mask: Tensor | None) -> Tensor:
        """Does what `KeyValueCache` says."""
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


class TorchBackend:
    """A `Backend` by the functions that `PixelSnail.forward` is made of."""

    def push(self, columns: ColumnCache, x: Tensor, mask: Tensor | None, rows: slice) -> Tensor:
        """Does what `Backend` says."""
        inputs = to_activations(x, EXACT)
        columns.push(inputs if mask is None else inputs * mask[:, None], rows)
        return columns.taps(rows)

    def taps(self, columns: ColumnCache, rows: slice) -> Tensor:
        """Does what `Backend` says."""
        return columns.taps(rows)

    def to_stream(self, weight: ExactWeight, operand: Tensor, added: Tensor | None = None) -> Tensor:
        """Does what `Backend` says."""
        return to_stream(weight.sums(operand, added), EXACT)

    def gate(self, weight: ExactWeight, operand: Tensor, start: Tensor) -> Tensor:
        """Does what `Backend` says."""
        return gate(weight.sums_onto(start, operand), EXACT)

    def to_logits(self, weight: ExactWeight, x: Tensor) -> Tensor:
        """Does what `Backend` says."""
        return to_logits(weight.sums(to_activations(x, EXACT)), EXACT)

    def key_value_cache(self, attention: CausalAttention, valid: Tensor) -> KeyValueCache:
        """Does what `Backend` says."""
        return TorchKeyValueCache(attention, valid)
