"""`Steps` on a CPU by compiled kernels: the same numbers, each step in a few passes over memory instead of many."""

import ctypes

import torch
from torch import Tensor

from vqcodec.nn.kernels import constant, library
from vqcodec.nn.prior.backend import Columns, Memory, Steps, TorchSteps
from vqcodec.nn.prior.fixed_layers import ExactWeight
from vqcodec.nn.prior.fixed_point import ATTENTION_POWERS, MAX_ACTIVATION, MAX_LOGIT, MAX_STREAM
from vqcodec.nn.prior.pixelsnail import CausalAttention

_NAMES = ("activations", "taps", "push", "sums", "gated", "attend")


class CompiledSteps:
    """`Steps` by the kernels of a library, for weights of one type."""

    def __init__(self, kernels: ctypes.CDLL, dtype: torch.dtype) -> None:
        suffix = str(dtype).removeprefix("torch.")
        self.kernels, self.dtype = kernels, dtype
        self._activations, self._taps, self._push, self._sums, self._gated, self.attend = (
            getattr(kernels, f"{name}_{suffix}") for name in _NAMES
        )

    def push(self, columns: Columns, x: Tensor, mask: Tensor | None, rows: slice) -> Tensor:
        """See `Steps`."""
        columns.begin()
        x, mask = x.contiguous(), _contiguous(mask)
        out, *places = self._places(columns, rows)
        self._push(x.data_ptr(), _address(mask), *places, out.data_ptr())
        return out

    def taps(self, columns: Columns, rows: slice) -> Tensor:
        """See `Steps`."""
        out, *places = self._places(columns, rows)
        self._taps(*places, out.data_ptr())
        return out

    def _places(self, columns: Columns, rows: slice) -> tuple[Tensor, int, int, int, int, int, int, int, int]:
        """Room for taps; the address of the newest column's first row; tiles, rows, channels, strides of both, reach and width."""
        n, height, length = columns.kept.shape
        count = rows.stop - rows.start
        offset = (rows.start + columns.reach) * length + columns.end - columns.channels
        out = columns.kept.new_empty(n * count, (2 * columns.reach + 1) * columns.width)
        address = columns.kept.data_ptr() + offset * columns.kept.element_size()
        return out, address, n, count, columns.channels, height * length, length, columns.reach, columns.width

    def stream(self, weight: ExactWeight, operand: Tensor, added: Tensor | None = None) -> Tensor:
        """See `Steps`."""
        return self._rounded(weight, operand, MAX_STREAM, added)

    def logits(self, weight: ExactWeight, x: Tensor) -> Tensor:
        """See `Steps`."""
        return self.rounded_of_stream(weight, x, MAX_LOGIT)

    def rounded_of_stream(self, weight: ExactWeight, x: Tensor, limit: int) -> Tensor:
        """Products of the activations of streams [M, I] and the bias, rounded to integers within a limit, float32 [M, O]."""
        x = x.contiguous()
        operand = torch.empty_like(x, dtype=self.dtype)
        self._activations(x.data_ptr(), x.numel(), operand.data_ptr())
        return self._rounded(weight, operand, limit)

    def _rounded(self, weight: ExactWeight, operand: Tensor, limit: int, added: Tensor | None = None) -> Tensor:
        """`ExactWeight.sums`, rounded to integers within a limit."""
        products = weight.products(operand)
        out = torch.empty_like(products, dtype=torch.float32)
        added = _contiguous(added)
        parts = products.data_ptr(), weight.unit.data_ptr(), weight.bias.data_ptr(), _address(added)
        self._sums(*parts, weight.scale, limit, *products.shape, out.data_ptr())
        return out

    def gated(self, weight: ExactWeight, operand: Tensor, start: Tensor) -> Tensor:
        """See `Steps`."""
        products = weight.products(operand)
        rows, channels = len(products), products.shape[1] // 2
        out = torch.empty(rows, channels, dtype=self.dtype, device="cpu")
        stride = start.stride(0) if start.ndim == 2 else 0
        self._gated(products.data_ptr(), weight.unit.data_ptr(), start.data_ptr(), stride, rows, channels, out.data_ptr())
        return out

    def memory(self, attention: CausalAttention, valid: Tensor) -> Memory:
        """See `Steps`."""
        return CompiledMemory(self, attention, valid)


class CompiledMemory:
    """`Memory` by the kernels of `steps`."""

    def __init__(self, steps: CompiledSteps, attention: CausalAttention, valid: Tensor) -> None:
        n, height, width = valid.shape
        block, queries = constant(steps.kernels, "block"), constant(steps.kernels, "queries_together")
        places, room = (-(-count // block) * block for count in (height * width, attention.head_dim))
        self.steps = steps
        self.weight = attention.query_key_value.exact_weight
        self.sizes = n, attention.heads, attention.head_dim, places
        # Types and device are named, whatever torch's defaults are.
        self.keys = torch.zeros(n, attention.heads, places // block, attention.head_dim, block, dtype=torch.float32, device="cpu")
        self.values = torch.zeros(n, attention.heads, places, room, dtype=torch.float32, device="cpu")
        self.weights = torch.empty(queries, places, dtype=torch.float32, device="cpu")
        self.counts = torch.zeros(n, dtype=torch.int64, device="cpu")
        known = constant(steps.kernels, "powers_known")  # all others are 0
        self.powers = torch.tensor(ATTENTION_POWERS[: known + 1], dtype=torch.float32, device="cpu")
        self.left = height * width

    def means(self, x: Tensor, mask: Tensor | None) -> Tensor:
        """See `Memory`.

        Raises:
            ValueError: more codes than tiles have.
        """
        n, heads, dim, places = self.sizes
        self.left -= len(x) // n
        if self.left < 0:
            raise ValueError(f"{-self.left} more codes than a tile has")
        inputs = self.steps.rounded_of_stream(self.weight, x, MAX_ACTIVATION)
        out = inputs.new_empty(len(x), heads * dim, dtype=self.steps.dtype)
        mask = _contiguous(mask)
        parts = (_address(tensor) for tensor in (inputs, mask, self.keys, self.values, self.counts, self.powers))
        sizes = (n, len(x) // n, heads, dim, places)
        self.steps.attend(*parts, *sizes, self.weights.data_ptr(), out.data_ptr())
        return out


def _contiguous(tensor: Tensor | None) -> Tensor | None:
    return None if tensor is None else tensor.contiguous()


def _address(tensor: Tensor | None) -> int | None:
    return None if tensor is None else tensor.data_ptr()


def fastest_steps(weight: ExactWeight) -> Steps:
    """The steps for a prior whose weights are such as this one."""
    kernels = library() if weight.matrix.device.type == "cpu" else None
    return TorchSteps() if kernels is None else CompiledSteps(kernels, weight.dtype)
