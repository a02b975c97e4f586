"""Which colour layer a picture gets, by rate and distortion: offsets for what large areas of the painted picture lack."""

from typing import Final

import numpy as np
from numpy.typing import NDArray

from vqcodec.coding.tint import ColourLayer, grid_size, interpolated
from vqcodec.models.dial import Tune

PLACE_PX: Final = 8
"""Side in pixels of the places whose errors are known."""

MEASURED_SHARE: Final = 2 / 3
"""Factor of what a byte is worth where errors are measured in the painted picture, and not told by the last quantiser: more is bought."""

_GRIDS: Final = (5, 6)
"""Logarithms to base 2 of the sides of cells that are tried."""
_STEPS: Final = (2, 3, 4)
"""Steps in levels that are tried."""
_MOST_OFFSET: Final = 15
"""Largest offset that is written, so that differences of two keep within the format."""
_DEAD_ZONE: Final = 0.6
"""Share of a step below which an offset becomes 0: zeros are cheap."""
_ROUNDS: Final = 3
"""Number of times that offsets are corrected for what interpolation takes from them."""
_WORTH, _WORTH_OF_SMALL_FILES = 2.0, 6.0
"""Factors that the squared error of drift counts with, since people see it more than errors that change from pixel to pixel."""
_SMALL_FILES_WEIGHT: Final = 15000.0
"""Squared error that a byte is worth from which on files are small: large areas then drift most."""
_CHUNK_BYTES: Final = 11
"""Bytes that a layer takes beside its body."""


def choose_tint(errors: NDArray[np.float32], width: int, height: int, weight: float, worth: float = _WORTH) -> ColourLayer | None:
    """Chooses a colour layer, or none where it does not pay.

    Args:
        errors: float32 [rows, columns, 3], what the mean colours of places of 8x8 pixels lack, in levels.
        width: width of the picture in pixels.
        height: its height.
        weight: squared error, summed over R, G and B and all pixels, that a byte is worth.
        worth: factor that the squared error of drift counts with.
    """
    best: ColourLayer | None = None
    best_cost = 0.0
    energy = float(np.square(errors).sum(dtype=np.float64))
    for grid_bits in _GRIDS:
        rows, columns = grid_size(width, height, grid_bits)
        side = 1 << grid_bits
        wanted = _wanted_offsets(errors, (rows, columns), side)
        for step in _STEPS:
            scaled = wanted / step
            offsets = np.where(np.abs(scaled) < _DEAD_ZONE, 0, np.rint(scaled)).clip(-_MOST_OFFSET, _MOST_OFFSET).astype(np.int64)
            if not offsets.any():
                continue
            left = float(np.square(errors - step * _surface(offsets, errors.shape, side)).sum(dtype=np.float64))
            layer = ColourLayer(grid_bits, step, offsets)
            cost = worth * PLACE_PX**2 * (left - energy) + weight * (len(layer.body) + _CHUNK_BYTES)
            if cost < best_cost:
                best, best_cost = layer, cost
    return best


def drift_worth(weight: float, tune: Tune) -> float:
    """Returns the factor that the squared error of drift counts with in files in which a byte is worth so much squared error."""
    if tune == "psnr":
        return 1.0
    return _WORTH_OF_SMALL_FILES if weight >= _SMALL_FILES_WEIGHT else _WORTH


def told_share(weight: float) -> float:
    """Returns the share of the error of mean colour that the last quantiser leaves which shows in the painted picture.

    The decoder evens out more of it in larger files: 0.88, 0.76 and 0.52 were measured on held-out photos at quality 10, 30 and 50.

    Args:
        weight: squared error that a byte is worth (`choose_tint`).
    """
    return float(np.clip(0.52 + 0.2 * np.log(weight / 10000), 0.3, 0.9))


def place_means(errors: NDArray[np.float32]) -> NDArray[np.float32]:
    """Returns the means over places, float32 [rows, columns, 3], of errors of pixels [H, W, 3]."""
    return _cell_means(errors, PLACE_PX)


def _wanted_offsets(errors: NDArray[np.float32], cells: tuple[int, int], side: int) -> NDArray[np.float32]:
    """Returns offsets [rows, columns, 3] in levels whose interpolated surface has about the mean errors of cells."""
    offsets = np.zeros((*cells, 3), np.float32)
    for _ in range(_ROUNDS):
        offsets += _cell_means(errors - _surface(offsets, errors.shape, side), side // PLACE_PX)
    return offsets


def _surface(offsets: NDArray[np.generic], shape: tuple[int, ...], side: int) -> NDArray[np.float32]:
    """Returns offsets interpolated to places, float32 of this shape."""
    places = [(np.arange(count) + 0.5) * PLACE_PX for count in shape[:2]]
    return interpolated(interpolated(offsets.astype(np.float32), places[1], side, axis=1), places[0], side, axis=0)


def _cell_means(values: NDArray[np.float32], places: int) -> NDArray[np.float32]:
    """Returns the means of cells of places x places values; the last of a row or column may be smaller."""
    rows, columns = np.arange(0, values.shape[0], places), np.arange(0, values.shape[1], places)
    sums = np.add.reduceat(np.add.reduceat(values, rows, axis=0), columns, axis=1)
    counts = np.outer(np.diff(rows, append=values.shape[0]), np.diff(columns, append=values.shape[1]))
    return np.asarray(sums / counts[:, :, None], np.float32)
