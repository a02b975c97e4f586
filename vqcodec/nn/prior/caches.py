"""What a walk remembers: columns of the inputs of convolutions, and the keys and values of attention. M stands for the rows of a step."""

from typing import Final

import torch
from torch import Tensor

from vqcodec.nn.prior.fixed_layers import TapConv
from vqcodec.nn.prior.fixed_point import Arithmetic
from vqcodec.nn.prior.pixelsnail import CausalAttention
from vqcodec.nn.prior.plan import Plan

EXACT: Final = Arithmetic.EXACT

COLUMN_ROOM: Final = 8
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
        self.kept = conv.weight.new_zeros(n, height + 2 * self.reach, COLUMN_ROOM * self.width, dtype=self.weight.dtype)

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


class KeyValueCache:
    """The keys and values of all earlier steps, which attention looks at."""

    def __init__(self, attention: CausalAttention, plan: Plan) -> None:
        n, height, width = plan.size
        shape = (2, n, attention.heads, height * width, attention.head_dim)
        self.attention = attention
        self.keys_values = attention.position.new_empty(shape)
        self.visible = None if plan.is_full else plan.valid.new_empty(n, 1, 1, height * width)
        self.count = 0

    def means(self, x: Tensor, mask: Tensor | None) -> Tensor:
        """Returns the means of values, activations [M, heads * D], that attention gives the streams x [M, C] of a step.

        The step's own keys and values are kept for later steps where the mask [M] is true; None stands for everywhere.
        """
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
