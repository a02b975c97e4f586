"""Makes integer frequency tables that sum to exactly 2^24 (FORMAT.md, section 4)."""

import ctypes
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from vqcodec.format.octaves import OCTAVE_BITS, OCTAVES
from vqcodec.nn.kernels import library

PRECISION_BITS: Final = 24
TOTAL: Final = 1 << PRECISION_BITS
_WEIGHT_BITS: Final = 20
WEIGHTS: Final = np.array(
    [octave >> OCTAVE_BITS - _WEIGHT_BITS + halves for halves in range(_WEIGHT_BITS + 1) for octave in OCTAVES] + [0], np.int32
)
"""What logits 0, 1, 2, ... below the largest weigh; the last one stands for all that lie lower."""


def freqs_from_counts(counts: NDArray[np.int64]) -> NDArray[np.int64]:
    """Returns frequencies [K] int64, each at least 1, that sum to 2^24, in proportion to counts [K].

    Every symbol gets 1; the rest is shared in proportion to `counts` + 1, rounded down; what rounding leaves goes to the most frequent
    symbol, the lowest such index. Integer arithmetic throughout.

    Raises:
        ValueError: A count is negative, or there are more symbols than 2^24.
    """
    counts = np.asarray(counts, dtype=np.int64)
    if counts.ndim != 1 or not 1 <= len(counts) <= TOTAL or (counts < 0).any():
        raise ValueError("counts must be a vector of 1..2^24 integers that are not negative")
    smoothed = [int(count) + 1 for count in counts]
    total, spare = sum(smoothed), TOTAL - len(counts)
    freqs = np.array([1 + count * spare // total for count in smoothed], dtype=np.int64)
    freqs[int(np.argmax(freqs))] += TOTAL - int(freqs.sum())
    return freqs


def freqs_from_logits(logits: NDArray[Any]) -> NDArray[np.int64]:
    """Returns frequencies [M, K] int64 of M codes, each at least 1 and each row of sum 2^24, in proportion to 2^(logit / 16).

    The rule is one of integers (FORMAT.md, section 7): what lies d sixteenths of an octave below the largest logit of its row weighs
    2^20 * 2^(-d / 16), cut to an integer. Every symbol gets 1, the rest is shared by weight, rounded down, and what rounding leaves goes to
    the most frequent symbol, the lowest such index.

    Args:
        logits: [M, K] integers of at most 2^23, of any floating or signed type, in sixteenths of an octave.
    """
    return shares_from_logits(logits).astype(np.int64) + 1


def shares_from_logits(logits: NDArray[Any]) -> NDArray[np.float32]:
    """Returns `freqs_from_logits` less the 1 that every symbol gets, [M, K], which is what the coder takes.

    Float64 computes the shares exactly: products stay below 2^44, so that a quotient which is no integer is further from the next one than
    its rounding. Float32 holds them and their sums exactly, since all of them together are below 2^24.
    """
    kernels = library()
    return _shares_in_torch(logits) if kernels is None else _compiled_shares(kernels, logits)


def _compiled_shares(kernels: ctypes.CDLL, logits: NDArray[Any]) -> NDArray[np.float32]:
    logits = np.ascontiguousarray(logits, np.float32)
    shares, row_weights = np.empty_like(logits), np.empty(logits.shape[1], np.int32)
    arrays = (array.ctypes.data for array in (row_weights, shares))
    kernels.shares(logits.ctypes.data, WEIGHTS.ctypes.data, len(WEIGHTS) - 1, *logits.shape, *arrays)
    return shares


def _shares_in_torch(logits: NDArray[Any]) -> NDArray[np.float32]:
    import torch

    from vqcodec.coding.tensor_frequencies import shares_of

    shares: NDArray[np.float32] = shares_of(torch.from_numpy(np.ascontiguousarray(logits))).numpy()
    return shares


def check_freqs(freqs: NDArray[np.int64]) -> None:
    """Checks a table of frequencies [K].

    Raises:
        ValueError: They are not integers of at least 1 that sum to 2^24.
    """
    if freqs.ndim != 1 or freqs.min() < 1 or int(freqs.sum()) != TOTAL:
        raise ValueError(f"frequencies must be at least 1 and sum to {TOTAL}")


def cross_entropy_bits(indices: NDArray[np.int64], freqs: NDArray[np.int64]) -> float:
    """Returns the bits that an ideal coder spends on `indices` with `freqs` [K]."""
    return float((PRECISION_BITS - np.log2(freqs.astype(np.float64)))[indices].sum())
