"""Matrix products that are too small for several threads. Imports no torch."""

from typing import Final

import numpy as np
from numpy.typing import NDArray

_ALONE: Final = 1 << 18
"""Multiplications of a product that BLAS leaves to one thread."""
_ROWS: Final = 64
"""Multiple of the rows that kernels of BLAS take at a time."""


def add_product(to: NDArray[np.float32], values: NDArray[np.float32], weight: NDArray[np.float32]) -> None:
    """Adds values @ weight, [M, K] @ [K, D], to an array [M, D], in parts so small that BLAS computes them with one thread.

    Where BLAS takes several for products of some 100,000 multiplications, they wait for each other longer than they work. All parts have
    the same number of rows, the last with zeros, so that no sum is rounded otherwise because more rows follow or fewer.
    """
    step = max(1, _ALONE // weight.size // _ROWS) * _ROWS
    for start in range(0, len(values), step):
        part = values[start : start + step]
        rows = len(part)
        if rows < step:
            part = np.concatenate([part, np.zeros((step - rows, part.shape[1]), part.dtype)])
        to[start : start + rows] += (part @ weight)[:rows]
