"""Layers in fixed point: products of activations with weights, and convolutions as products of gathered taps.

Exact products run on int8 where the CPU multiplies int8 fast and right, else on float32. Both give the same numbers, since every sum stays
below 2^24 units; only the speed differs.
"""

import time
from collections.abc import Callable
from functools import cache
from typing import Final

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from vqcodec.nn.fixed_point import ACTIVATION_BITS, MAX_ACTIVATION, MAX_WEIGHT, Arithmetic, fixed_weight, stream, weight_bits

_TRIALS: Final = 5


class ExactWeight:
    """A weight and a bias, ready for exact products.

    Args:
        weight: [O, ...] in its number format; an operand holds its other axes flattened.
        bias: [O], a stream.
    """

    def __init__(self, weight: Tensor, bias: Tensor) -> None:
        self.bias = stream(bias, Arithmetic.EXACT)
        matrix = weight.flatten(1).t()
        self.is_int8 = weight.device.type == "cpu" and has_int8_products()
        if self.is_int8:
            unit = torch.exp2(-weight_bits(weight))
            self.matrix = (matrix / unit).to(torch.int8).contiguous()
            self.unit = unit * 2.0**-ACTIVATION_BITS
        else:
            self.matrix = matrix.contiguous()

    def operand(self, x: Tensor) -> Tensor:
        """Activations in the form that `product` takes."""
        return (x * 2.0**ACTIVATION_BITS).to(torch.int8) if self.is_int8 else x

    def product(self, operand: Tensor) -> Tensor:
        """What `operand` made of activations [..., I] -> [..., O], not rounded, without the bias."""
        if not self.is_int8:
            return operand @ self.matrix
        product = torch._int_mm(operand.reshape(-1, operand.shape[-1]), self.matrix)
        return (product * self.unit).reshape(*operand.shape[:-1], -1)

    def stream(self, operand: Tensor) -> Tensor:
        """The product and the bias, each rounded by itself: [..., O]."""
        return stream(self.product(operand), Arithmetic.EXACT) + self.bias


@cache
def has_int8_products() -> bool:
    """Whether int8 products are exact here, which they are not where old CPUs saturate, and faster than float32."""
    generator = torch.Generator().manual_seed(0)
    for rows in (1, 17, 64):
        x = torch.randint(-MAX_ACTIVATION, MAX_ACTIVATION + 1, (rows, 768), dtype=torch.int8, generator=generator)
        weight = torch.randint(-MAX_WEIGHT, MAX_WEIGHT + 1, (768, 256), dtype=torch.int8, generator=generator)
        x[0], weight[:, 0], weight[:, 1] = MAX_ACTIVATION, MAX_WEIGHT, -MAX_WEIGHT
        if not torch.equal(torch._int_mm(x, weight).double(), x.double() @ weight.double()):
            return False
    x_float, weight_float = x.float(), weight.float()
    return _seconds(lambda: torch._int_mm(x, weight)) < _seconds(lambda: x_float @ weight_float)


def _seconds(multiply: Callable[[], Tensor]) -> float:
    """The least of some trials."""
    seconds = []
    for _ in range(_TRIALS):
        started = time.perf_counter()
        multiply()
        seconds.append(time.perf_counter() - started)
    return min(seconds)


class FixedLayer(nn.Module):
    """Something with a weight [O, ...] and a bias [O] in units of the stream."""

    def __init__(self, weight: Tensor) -> None:
        super().__init__()
        self.weight = nn.Parameter(weight)
        self.bias = nn.Parameter(torch.zeros(len(weight)))
        self._exact: tuple[tuple[object, ...], ExactWeight] | None = None

    @property
    def exact_weight(self) -> ExactWeight:
        """The parameters, which are in their formats, for exact products; made anew when they changed."""
        state = (self.weight._version, self.bias._version, self.weight.device)
        if self._exact is None or self._exact[0] != state:
            self._exact = state, ExactWeight(self.weight.detach(), self.bias.detach())
        return self._exact[1]

    def rounded(self, product: Tensor, arithmetic: Arithmetic) -> Tensor:
        """The stream of a product and the bias, each rounded by itself, in arithmetic that is not exact."""
        if arithmetic is Arithmetic.REAL:
            return product + self.bias.to(product.dtype)
        return stream(product.float(), arithmetic) + stream(self.bias, arithmetic)


class FixedLinear(FixedLayer):
    """A matrix product of activations [..., I] that gives a stream [..., O]."""

    def __init__(self, in_features: int, out_features: int) -> None:
        super().__init__(torch.randn(out_features, in_features) * in_features**-0.5)

    def product(self, x: Tensor, arithmetic: Arithmetic) -> Tensor:
        """Activations [..., I] -> [..., O], not rounded, without the bias."""
        if arithmetic is Arithmetic.EXACT:
            return self.exact_weight.product(self.exact_weight.operand(x))
        return F.linear(x, fixed_weight(self.weight, arithmetic))

    def forward(self, x: Tensor, arithmetic: Arithmetic) -> Tensor:
        """Activations [..., I] -> [..., O], a stream."""
        if arithmetic is Arithmetic.EXACT:
            return self.exact_weight.stream(self.exact_weight.operand(x))
        return self.rounded(self.product(x, arithmetic), arithmetic)


class TapConv(FixedLayer):
    """A convolution of activations by gathered taps and one matrix product: exact, whatever library convolutions do.

    Args:
        in_channels, out_channels: of the features.
        rows: taps from -rows to rows.
        columns: offsets of the first and of the last column of the kernel.
    """

    def __init__(self, in_channels: int, out_channels: int, rows: int, columns: tuple[int, int]) -> None:
        width = columns[1] - columns[0] + 1
        taps = (2 * rows + 1) * width
        super().__init__(torch.randn(out_channels, 2 * rows + 1, width, in_channels) * (taps * in_channels) ** -0.5)
        self.rows = rows
        self.first, self.last = columns

    def forward(self, x: Tensor, arithmetic: Arithmetic) -> Tensor:
        """Activations [N, H, L, I] -> stream [N, H, L, O]; what lies outside is zero."""
        height, length = x.shape[1:3]
        left, right = max(0, -self.first), max(0, self.last)
        if arithmetic is Arithmetic.EXACT:
            x = self.exact_weight.operand(x)
        padded = F.pad(x, (0, 0, left, right, self.rows, self.rows))
        offset = left + self.first
        kernel_rows, kernel_columns = self.weight.shape[1:3]
        padded = padded[:, :, offset : offset + length + kernel_columns - 1]
        if arithmetic is Arithmetic.EXACT:
            taps = [padded[:, v : v + height, u : u + length] for v in range(kernel_rows) for u in range(kernel_columns)]
            return self.exact_weight.stream(torch.cat(taps, dim=-1))
        weight = fixed_weight(self.weight, arithmetic).permute(0, 3, 1, 2)
        return self.rounded(F.conv2d(padded.permute(0, 3, 1, 2), weight).permute(0, 2, 3, 1), arithmetic)
