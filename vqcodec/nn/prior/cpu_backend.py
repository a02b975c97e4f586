"""The backend by compiled kernels on a CPU: the same numbers, each step in a few passes over memory instead of many."""

import ctypes

import torch
from torch import Tensor

from vqcodec.nn.kernels import constant, library
from vqcodec.nn.prior.backend import Backend, ColumnCache, KeyValueCache, TorchBackend
from vqcodec.nn.prior.fixed_layers import ExactWeight
from vqcodec.nn.prior.fixed_point import ATTENTION_POWERS, MAX_ACTIVATION, MAX_LOGIT, MAX_STREAM
from vqcodec.nn.prior.pixelsnail import CausalAttention

_NAMES = ("activations", "taps", "push", "sums", "gated", "attend")


class CpuBackend:
    """A `Backend` by the kernels of a library, for weights of one type."""

    def __init__(self, kernels: ctypes.CDLL, dtype: torch.dtype) -> None:
        suffix = str(dtype).removeprefix("torch.")
        self.kernels, self.dtype = kernels, dtype
        self._activations, self._taps, self._push, self._sums, self._gated, self.attend = (
            getattr(kernels, f"{name}_{suffix}") for name in _NAMES
        )

    def push(self, columns: ColumnCache, x: Tensor, mask: Tensor | None, rows: slice) -> Tensor:
        """Does what `Backend` says."""
        columns.begin()
        x, mask = x.contiguous(), _contiguous(mask)
        out, *places = self._places(columns, rows)
        self._push(x.data_ptr(), _address(mask), *places, out.data_ptr())
        return out

    def taps(self, columns: ColumnCache, rows: slice) -> Tensor:
        """Does what `Backend` says."""
        out, *places = self._places(columns, rows)
        self._taps(*places, out.data_ptr())
        return out

    def _places(self, columns: ColumnCache, rows: slice) -> tuple[Tensor, int, int, int, int, int, int, int, int]:
        """Returns the arguments of a kernel that writes taps.

        These are room for the taps; the address of the newest column's first row; the numbers of tiles, rows and channels, the strides of
        tiles and rows, the reach and the width.
        """
        n, height, length = columns.kept.shape
        count = rows.stop - rows.start
        offset = (rows.start + columns.reach) * length + columns.end - columns.channels
        out = columns.kept.new_empty(n * count, (2 * columns.reach + 1) * columns.width)
        address = columns.kept.data_ptr() + offset * columns.kept.element_size()
        return out, address, n, count, columns.channels, height * length, length, columns.reach, columns.width

    def to_stream(self, weight: ExactWeight, operand: Tensor, added: Tensor | None = None) -> Tensor:
        """Does what `Backend` says."""
        return self._rounded(weight, operand, MAX_STREAM, added)

    def to_logits(self, weight: ExactWeight, x: Tensor) -> Tensor:
        """Does what `Backend` says."""
        return self.rounded_of_stream(weight, x, MAX_LOGIT)

    def rounded_of_stream(self, weight: ExactWeight, x: Tensor, limit: int) -> Tensor:
        """Returns products of the activations of streams x [M, I] and the bias, rounded to integers within a limit, float32 [M, O]."""
        x = x.contiguous()
        operand = torch.empty_like(x, dtype=self.dtype)
        self._activations(x.data_ptr(), x.numel(), operand.data_ptr())
        return self._rounded(weight, operand, limit)

    def _rounded(self, weight: ExactWeight, operand: Tensor, limit: int, added: Tensor | None = None) -> Tensor:
        """Returns `ExactWeight.sums`, rounded to integers within a limit."""
        products = weight.products(operand)
        out = torch.empty_like(products, dtype=torch.float32)
        added = _contiguous(added)
        parts = products.data_ptr(), weight.unit.data_ptr(), weight.bias.data_ptr(), _address(added)
        self._sums(*parts, weight.scale, limit, *products.shape, out.data_ptr())
        return out

    def gate(self, weight: ExactWeight, operand: Tensor, start: Tensor) -> Tensor:
        """Does what `Backend` says."""
        products = weight.products(operand)
        rows, channels = len(products), products.shape[1] // 2
        out = torch.empty(rows, channels, dtype=self.dtype, device="cpu")
        stride = start.stride(0) if start.ndim == 2 else 0
        self._gated(products.data_ptr(), weight.unit.data_ptr(), start.data_ptr(), stride, rows, channels, out.data_ptr())
        return out

    def key_value_cache(self, attention: CausalAttention, valid: Tensor) -> KeyValueCache:
        """Does what `Backend` says."""
        return CpuKeyValueCache(self, attention, valid)


class CpuKeyValueCache:
    """A `KeyValueCache` by the kernels of a `CpuBackend`."""

    def __init__(self, backend: CpuBackend, attention: CausalAttention, valid: Tensor) -> None:
        n, height, width = valid.shape
        block, queries = constant(backend.kernels, "block"), constant(backend.kernels, "queries_together")
        places, room = (-(-count // block) * block for count in (height * width, attention.head_dim))
        self.backend = backend
        self.weight = attention.query_key_value.exact_weight
        self.sizes = n, attention.heads, attention.head_dim, places
        # Types and device are named, whatever torch's defaults are.
        self.keys = torch.zeros(n, attention.heads, places // block, attention.head_dim, block, dtype=torch.float32, device="cpu")
        self.values = torch.zeros(n, attention.heads, places, room, dtype=torch.float32, device="cpu")
        self.weights = torch.empty(queries, places, dtype=torch.float32, device="cpu")
        self.counts = torch.zeros(n, dtype=torch.int64, device="cpu")
        known = constant(backend.kernels, "powers_known")  # all others are 0
        self.powers = torch.tensor(ATTENTION_POWERS[: known + 1], dtype=torch.float32, device="cpu")
        self.left = height * width

    def means(self, x: Tensor, mask: Tensor | None) -> Tensor:
        """Does what `KeyValueCache` says.

        Raises:
            ValueError: There are more codes than tiles have.
        """
        n, heads, dim, places = self.sizes
        self.left -= len(x) // n
        if self.left < 0:
            raise ValueError(f"{-self.left} more codes than a tile has")
        inputs = self.backend.rounded_of_stream(self.weight, x, MAX_ACTIVATION)
        out = inputs.new_empty(len(x), heads * dim, dtype=self.backend.dtype)
        mask = _contiguous(mask)
        parts = (_address(tensor) for tensor in (inputs, mask, self.keys, self.values, self.counts, self.powers))
        sizes = (n, len(x) // n, heads, dim, places)
        self.backend.attend(*parts, *sizes, self.weights.data_ptr(), out.data_ptr())
        return out


def _contiguous(tensor: Tensor | None) -> Tensor | None:
    return None if tensor is None else tensor.contiguous()


def _address(tensor: Tensor | None) -> int | None:
    return None if tensor is None else tensor.data_ptr()


def fastest_backend(weight: ExactWeight) -> Backend:
    """Returns the fastest backend for a prior whose weights have the type and place of this one."""
    kernels = library() if weight.matrix.device.type == "cpu" else None
    return TorchBackend() if kernels is None else CpuBackend(kernels, weight.dtype)
