"""Integer frequency tables that sum to exactly 2^24 (FORMAT.md, section 4)."""

from typing import Final

import numpy as np
from numpy.typing import NDArray

PRECISION_BITS: Final = 24
TOTAL: Final = 1 << PRECISION_BITS


def freqs_from_counts(counts: NDArray[np.int64]) -> NDArray[np.int64]:
    """Frequencies [K] int64, each at least 1, that sum to 2^24, in proportion to counts [K].

    Every symbol gets 1; the rest is shared in proportion to `counts` + 1, rounded down; what rounding leaves goes to the most frequent
    symbol, the lowest such index. Integer arithmetic throughout.

    Raises:
        ValueError: a negative count, or more symbols than 2^24.
    """
    counts = np.asarray(counts, dtype=np.int64)
    if counts.ndim != 1 or not 1 <= len(counts) <= TOTAL or (counts < 0).any():
        raise ValueError("counts must be a vector of 1..2^24 integers that are not negative")
    smoothed = [int(count) + 1 for count in counts]
    total, spare = sum(smoothed), TOTAL - len(counts)
    freqs = np.array([1 + count * spare // total for count in smoothed], dtype=np.int64)
    freqs[int(np.argmax(freqs))] += TOTAL - int(freqs.sum())
    return freqs


def check_freqs(freqs: NDArray[np.int64]) -> None:
    """Raises ValueError unless freqs [K] are integers of at least 1 that sum to 2^24."""
    if freqs.ndim != 1 or freqs.min() < 1 or int(freqs.sum()) != TOTAL:
        raise ValueError(f"frequencies must be at least 1 and sum to {TOTAL}")


def cross_entropy_bits(indices: NDArray[np.int64], freqs: NDArray[np.int64]) -> float:
    """Bits that an ideal coder spends on `indices` with `freqs` [K]."""
    return float((PRECISION_BITS - np.log2(freqs.astype(np.float64)))[indices].sum())
