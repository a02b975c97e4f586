"""Which colour layer a picture gets, by rate and distortion: offsets for what large areas of the painted picture lack."""

from itertools import product
from typing import Final

import numpy as np
from numpy.typing import NDArray

from vqcodec.coding.tint import ColourLayer, grid_size, interpolated
from vqcodec.models.dial import Tune
from vqcodec.nn.threads import map_in_threads

PLACE_PX: Final = 8
"""Side in pixels of the places whose errors are known."""
_STRIP_PX: Final = 64
"""Rows of pixels whose errors are computed at a time, a multiple of 8."""

_BLOCK_PLACES: Final = 8
"""Side in places of the blocks whose mean colour should not be far off."""
_FAR_LEVELS: Final = 2.0
"""Error in levels of the mean of a block from which on it is far off."""
_FAR_WORTH: Final = 64.0
"""Factor that the square of what exceeds it counts with, beside that of all errors, since people see it more than other errors."""

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
_CHUNK_BYTES: Final = 11
"""Bytes that a layer takes beside its body."""


def choose_tint(errors: NDArray[np.float32], width: int, height: int, weight: float, far_worth: float = _FAR_WORTH) -> ColourLayer | None:
    """Chooses a colour layer, or none where it does not pay.

    Args:
        errors: float32 [rows, columns, 3], what the mean colours of places of 8x8 pixels lack, in levels.
        width: width of the picture in pixels.
        height: its height.
        weight: squared error, summed over R, G and B and all pixels, that a byte is worth (`tint_weight`).
        far_worth: factor that the square of what exceeds two levels in the mean of a block counts with (`far_worth`).
    """
    best: ColourLayer | None = None
    best_cost = 0.0
    energy = _energy(errors, far_worth)
    for grid_bits in _GRIDS:
        rows, columns = grid_size(width, height, grid_bits)
        side = 1 << grid_bits
        wanted = _wanted_offsets(errors, (rows, columns), side)
        for step in _STEPS:
            scaled = wanted / step
            offsets = np.where(np.abs(scaled) < _DEAD_ZONE, 0, np.rint(scaled)).clip(-_MOST_OFFSET, _MOST_OFFSET).astype(np.int64)
            if not offsets.any():
                continue
            left = _energy(errors - step * _surface(offsets, errors.shape, side), far_worth)
            layer = ColourLayer(grid_bits, step, offsets)
            cost = PLACE_PX**2 * (left - energy) + weight * (len(layer.body) + _CHUNK_BYTES)
            if cost < best_cost:
                best, best_cost = layer, cost
    return best


def tint_weight(squared_error: float, num_bytes: int) -> float:
    """Returns the squared error that a byte of a picture's colour layer must save.

    The squared error of photos that codes paint is about inverse to their bytes, so a byte of codes saves about the share of it that the
    byte has of them all. A layer that saves less is better left out at equal bytes.

    Args:
        squared_error: that of what the codes paint, summed over R, G and B and all pixels.
        num_bytes: bytes of the codes.
    """
    return squared_error / max(1, num_bytes)


def far_worth(tune: Tune) -> float:
    """Returns the factor that blocks far off count with (`choose_tint`)."""
    return 0.0 if tune == "psnr" else _FAR_WORTH


def place_means(errors: NDArray[np.float32]) -> NDArray[np.float32]:
    """Returns the means over places, float32 [rows, columns, 3], of errors of pixels [H, W, 3]."""
    return _cell_means(errors, PLACE_PX)


def place_errors(own: NDArray[np.uint8], painted: NDArray[np.uint8]) -> tuple[NDArray[np.float32], float]:
    """Returns what the mean colours of places lack in pixels that were painted, and their squared error.

    Args:
        own: the pixels of a picture, uint8 [H, W, 3].
        painted: what was painted instead, of the same shape.

    Returns:
        Those means of places of 8x8 pixels in levels, float32 [rows, columns, 3], and the squared error, summed over colours and pixels.
    """

    def of_strip(start: int) -> tuple[NDArray[np.float32], float]:
        strip = slice(start, start + _STRIP_PX)
        lacking = own[strip].astype(np.float32) - painted[strip]
        return place_means(lacking), float(np.square(lacking, out=lacking).sum(dtype=np.float64))

    means, squared = zip(*map_in_threads(of_strip, range(0, len(own), _STRIP_PX)), strict=True)
    return np.concatenate(means), sum(squared)


def worst_block(errors: NDArray[np.float32]) -> float:
    """Returns the largest error of the mean of a block of 64x64 pixels in a channel, in levels.

    Args:
        errors: float32 [rows, columns, 3] of places of 8x8 pixels (`place_means`). What is left of a side beside whole blocks counts
            with a block that ends at the edge.
    """
    parts = [(slice(count // _BLOCK_PLACES * _BLOCK_PLACES or None), slice(-_BLOCK_PLACES, None)) for count in errors.shape[:2]]
    return max(float(np.abs(_cell_means(errors[part], _BLOCK_PLACES)).max()) for part in product(*parts))


def _energy(errors: NDArray[np.float32], far_worth: float) -> float:
    """Returns what errors of places cost, in squared errors of 8x8 pixels (`choose_tint`)."""
    squares = float(np.square(errors).sum(dtype=np.float64))
    far = (np.abs(_cell_means(errors, _BLOCK_PLACES)) - np.float32(_FAR_LEVELS)).clip(min=0)
    return squares + far_worth * float((np.square(far) * _cell_sizes(errors.shape, _BLOCK_PLACES)).sum(dtype=np.float64))


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
    return np.asarray(sums / _cell_sizes(values.shape, places), np.float32)


def _cell_sizes(shape: tuple[int, ...], places: int) -> NDArray[np.int64]:
    """Returns the numbers of values, int64 [rows, columns, 1], of cells of places x places values of an array."""
    rows, columns = (np.diff(np.arange(0, count, places), append=count) for count in shape[:2])
    return np.outer(rows, columns)[:, :, None]
