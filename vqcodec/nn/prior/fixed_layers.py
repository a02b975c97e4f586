"""Layers in fixed point: products of activations with weights, and convolutions as products of gathered taps.

Exact products run on int8 where the CPU multiplies int8 fast and right, else on float32. Both give the same numbers, since every sum of
products stays below 2^24 units; only the speed differs.
"""

import time
from collections.abc import Callable, Sequence
from functools import cache
from typing import Final, Self

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from vqcodec.nn.prior.fixed_point import HALF_GATE, Arithmetic, fixed, fixed_weight, in_units, weight_bits
from vqcodec.nn.prior.number_formats import ACTIVATION_BITS, MAX_ACTIVATION, MAX_STREAM, MAX_WEIGHT, STREAM_BITS

_TRIALS: Final = 5


class ExactWeight:
    """A weight and a bias, prepared for exact products.

    Args:
        weight: [O, ...] in its number format; an operand holds its other axes flattened.
        bias: [O], integers in units of 2^-bits.
        bits: number of fractional bits of the bias, and of what is added to the sums.
        shift: number of these bits that are rounded off the sums.
        gates: whether the second half of the sums are gates; these come out half their range higher, so that `gate` need not add it.
    """

    def __init__(self, weight: Tensor, bias: Tensor, bits: int, shift: int, *, gates: bool) -> None:
        self.scale = 2.0**-shift
        self.bias = bias * self.scale + 0.5
        if gates:
            self.bias[len(bias) // 2 :] += HALF_GATE
        self.dtype = torch.int8 if weight.device.type == "cpu" and has_int8_products() else torch.float32
        weight_bits_ = weight_bits(weight)
        self.unit = torch.exp2(bits - shift - ACTIVATION_BITS - weight_bits_)
        # A transposed matrix is what int8 products take soonest.
        self.matrix = (weight.flatten(1) * torch.exp2(weight_bits_)[:, None]).to(self.dtype).contiguous().t()

    @classmethod
    def side_by_side(cls, weights: Sequence[Self]) -> Self:
        """Joins weights of the same inputs into one that gives the outputs of all of them."""
        joined = object.__new__(cls)
        joined.dtype, joined.scale = weights[0].dtype, weights[0].scale
        joined.bias, joined.unit = torch.cat([weight.bias for weight in weights]), torch.cat([weight.unit for weight in weights])
        joined.matrix = torch.cat([weight.matrix.t() for weight in weights]).t()
        return joined

    def sums(self, operand: Tensor, added: Tensor | None = None) -> Tensor:
        """Returns the sums [..., O] of products of activations [..., I] with the weight, of the bias, and of what is `added` [..., O].

        They are half a unit higher than what is to be rounded, so that `floor` rounds them.
        """
        if operand.ndim > 2:
            flat = self.sums(operand.flatten(0, -2), None if added is None else added.flatten(0, -2))
            return flat.view(*operand.shape[:-1], -1)
        # Bias and what is added have few fractional bits, so that one addition alone, that of the products, meets a long fraction.
        return self.sums_onto(self.bias if added is None else torch.add(self.bias, added, alpha=self.scale), operand)

    def sums_onto(self, start: Tensor, operand: Tensor) -> Tensor:
        """Adds the products of activations [M, I] with the weight to `start`, [M, O] or [O], which holds the bias already."""
        sums = self.products(operand).float()
        return torch.addcmul(start, sums, self.unit, out=sums)

    def products(self, operand: Tensor) -> Tensor:
        """Returns the products of activations [M, I] with the weight, contiguous [M, O], integers of type int32 or float32."""
        rows = operand if operand.dtype is self.dtype else operand.to(self.dtype)
        return torch._int_mm(rows.contiguous(), self.matrix) if self.dtype is torch.int8 else rows @ self.matrix


@cache
def has_int8_products() -> bool:
    """Returns whether int8 products are exact here and faster than float32; they are not exact where old CPUs saturate."""
    generator = torch.Generator().manual_seed(0)
    for rows in (1, 17, 64):
        x = torch.randint(-MAX_ACTIVATION, MAX_ACTIVATION + 1, (rows, 768), dtype=torch.int8, generator=generator, device="cpu")
        weight = torch.randint(-MAX_WEIGHT, MAX_WEIGHT + 1, (768, 256), dtype=torch.int8, generator=generator, device="cpu")
        x[0], weight[:, 0], weight[:, 1] = MAX_ACTIVATION, MAX_WEIGHT, -MAX_WEIGHT
        if not torch.equal(torch._int_mm(x, weight).double(), x.double() @ weight.double()):
            return False
    x_float, weight_float = x.float(), weight.float()
    return _seconds(lambda: torch._int_mm(x, weight)) < _seconds(lambda: x_float @ weight_float)


def _seconds(multiply: Callable[[], Tensor]) -> float:
    """Returns the least seconds of some trials."""
    seconds = []
    for _ in range(_TRIALS):
        started = time.perf_counter()
        multiply()
        seconds.append(time.perf_counter() - started)
    return min(seconds)


class FixedLayer(nn.Module):
    """A layer with a weight [O, ...] and a bias [O] of `bits` fractional bits, whose exact sums are rounded to `shift` bits fewer."""

    gates = False

    def __init__(self, weight: Tensor, bits: int, largest: int, shift: int) -> None:
        super().__init__()
        self.weight = nn.Parameter(weight)
        self.bias = nn.Parameter(torch.zeros(len(weight)))
        self.bits, self.largest, self.shift = bits, largest, shift
        self._exact: tuple[tuple[object, ...], ExactWeight] | None = None

    @property
    def exact_weight(self) -> ExactWeight:
        """The parameters, rounded to their formats and prepared for exact products; made anew when they have changed."""
        state = (self.weight._version, self.bias._version, self.weight.device)
        if self._exact is None or self._exact[0] != state:
            bias = in_units(self.bias, self.bits, self.largest)
            self._exact = state, ExactWeight(self.weight.detach(), bias, self.bits, self.shift, gates=self.gates)
        return self._exact[1]

    def inexact_sums(self, product: Tensor, added: Tensor | None, arithmetic: Arithmetic) -> Tensor:
        """Returns `ExactWeight.sums` of a product in the other two arithmetics."""
        if arithmetic is Arithmetic.REAL:
            total = product + self.bias.to(product.dtype)
            return total if added is None else total + added
        bias = fixed(self.bias, self.bits, self.largest, arithmetic)
        return (bias if added is None else added + bias) + product.float()


class FixedLinear(FixedLayer):
    """A layer that takes activations [..., I] to sums [..., O] by a matrix product."""

    def __init__(
        self, in_features: int, out_features: int, bits: int = STREAM_BITS, largest: int = MAX_STREAM, *, to_activations: bool = False
    ) -> None:
        shift = bits - ACTIVATION_BITS if to_activations else 0
        super().__init__(torch.randn(out_features, in_features).mul_(in_features**-0.5), bits, largest, shift)

    def forward(self, x: Tensor, arithmetic: Arithmetic, added: Tensor | None = None) -> Tensor:
        """Returns sums [..., O], not rounded, of activations x [..., I] and streams [..., O] to add."""
        if arithmetic is Arithmetic.EXACT:
            return self.exact_weight.sums(x, added)
        return self.inexact_sums(F.linear(x, fixed_weight(self.weight, arithmetic)), added, arithmetic)


class TapConv(FixedLayer):
    """A convolution of activations by gathered taps and one matrix product: exact, whatever library convolutions do.

    Args:
        in_channels: number of input features.
        out_channels: number of output features.
        rows: reach of the kernel, whose taps go from -rows to rows.
        columns: offsets of the first and of the last column of the kernel.
        to_activations: whether sums are rounded to activations or to streams.
        gates: whether the sums are those that `gate` takes.
    """

    def __init__(
        self,
        in_channels: int,
        out_channels: int,
        rows: int,
        columns: tuple[int, int],
        *,
        to_activations: bool = False,
        gates: bool = False,
    ) -> None:
        width = columns[1] - columns[0] + 1
        taps = (2 * rows + 1) * width
        weight = torch.randn(out_channels, 2 * rows + 1, width, in_channels).mul_((taps * in_channels) ** -0.5)
        super().__init__(weight, STREAM_BITS, MAX_STREAM, STREAM_BITS - ACTIVATION_BITS if to_activations else 0)
        self.rows = rows
        self.first, self.last = columns
        self.gates = gates

    def forward(self, x: Tensor, arithmetic: Arithmetic, added: Tensor | None = None) -> Tensor:
        """Returns sums [N, H, L, O], not rounded, of activations x [N, H, L, I] and streams [N, H, L, O] to add.

        What lies outside the map is zero.
        """
        height, length = x.shape[1:3]
        left, right = max(0, -self.first), max(0, self.last)
        if arithmetic is Arithmetic.EXACT:
            x = x.to(self.exact_weight.dtype)
        padded = F.pad(x, (0, 0, left, right, self.rows, self.rows))
        offset = left + self.first
        kernel_rows, kernel_columns = self.weight.shape[1:3]
        padded = padded[:, :, offset : offset + length + kernel_columns - 1]
        if arithmetic is Arithmetic.EXACT:
            taps = [padded[:, v : v + height, u : u + length] for v in range(kernel_rows) for u in range(kernel_columns)]
            return self.exact_weight.sums(torch.cat(taps, dim=-1), added)
        weight = fixed_weight(self.weight, arithmetic).permute(0, 3, 1, 2)
        product = F.conv2d(padded.permute(0, 3, 1, 2), weight).permute(0, 2, 3, 1)
        return self.inexact_sums(product, added, arithmetic)
