"""The colour layer: offsets of colour on a coarse grid, which are added to what codes paint (FORMAT.md, section 5)."""

from dataclasses import dataclass
from functools import cached_property
from typing import Final

import numpy as np
from numpy.typing import NDArray

from vqcodec.coding.coders import PriorDecoder, encode_alike
from vqcodec.coding.frequencies import shares_from_logits
from vqcodec.errors import FormatError

MAX_OFFSET: Final = 31
"""Largest offset in steps."""
MAX_STEP: Final = 32
"""Largest step in levels."""
GRID_BITS: Final = (4, 5, 6, 7)
"""Logarithms to base 2 of the sides that cells may have in pixels."""

_HEADER_BYTES: Final = 5
_STRIP_PX: Final = 256
"""Rows of pixels that offsets are added to at a time."""


@dataclass(frozen=True)
class ColourLayer:
    """Offsets of colour.

    Attributes:
        grid_bits: logarithm to base 2 of the side of a cell in pixels.
        step: levels that an offset of 1 stands for.
        offsets: int64 [rows, columns, 3], offsets of R, G and B at the middles of cells, in steps.
    """

    grid_bits: int
    step: int
    offsets: NDArray[np.int64]

    @cached_property
    def body(self) -> bytes:
        """The bytes that `read_colour_layer` reads."""
        symbols = _to_symbols(self.offsets)
        decays = [_best_decay(channel) for channel in symbols]
        stream = encode_alike(symbols, _shares(decays))
        return bytes([self.grid_bits, self.step, *decays]) + stream

    def added_to(self, painted: NDArray[np.uint8], top: int = 0, left: int = 0, *, in_place: bool = False) -> NDArray[np.uint8]:
        """Returns a picture with the offsets added, which are interpolated linearly between the middles of cells.

        Args:
            painted: uint8 [H, W, 3], the picture or a part of it.
            top: row of the part's upper edge in the picture.
            left: column of its left edge.
            in_place: whether `painted` is changed and returned.
        """
        height, width = painted.shape[:2]
        side = 1 << self.grid_bits
        steps = (self.offsets * self.step).astype(np.float32)
        of_columns = interpolated(steps, np.arange(left, left + width) + 0.5, side, axis=1)
        result = painted if in_place else np.empty_like(painted)
        for start in range(0, height, _STRIP_PX):
            rows = slice(start, min(start + _STRIP_PX, height))
            surface = interpolated(of_columns, np.arange(top + rows.start, top + rows.stop) + 0.5, side, axis=0)
            surface += painted[rows]
            surface += np.float32(0.5)
            result[rows] = np.floor(surface, out=surface).clip(0, 255, out=surface)
        return result


def grid_size(width: int, height: int, grid_bits: int) -> tuple[int, int]:
    """Returns the numbers of rows and columns of cells of a picture of width x height pixels."""
    return -(-height >> grid_bits), -(-width >> grid_bits)


def interpolated(values: NDArray[np.float32], positions: NDArray[np.floating], side: int, *, axis: int) -> NDArray[np.float32]:
    """Interpolates values linearly along an axis.

    Args:
        values: float32 [rows, columns, 3], values at the middles of cells.
        positions: places in pixels along the axis at which values are wanted.
        side: side of a cell in pixels.
        axis: 0 or 1.
    """
    cells = values.shape[axis]
    places = np.clip(positions / side - 0.5, 0, cells - 1)
    below = places.astype(np.int64)
    shares = (places - below).astype(np.float32).reshape((-1, 1, 1) if axis == 0 else (1, -1, 1))
    first, second = (values.take(numbers, axis=axis) for numbers in (below, np.minimum(below + 1, cells - 1)))
    second -= first
    second *= shares
    second += first
    return second


def read_colour_layer(body: bytes, width: int, height: int) -> ColourLayer:
    """Reads the colour layer of a picture of width x height pixels.

    Raises:
        FormatError: It is damaged, or a field is out of its range.
    """
    if len(body) < _HEADER_BYTES:
        raise FormatError(f"a colour layer of {len(body)} bytes, expected {_HEADER_BYTES} or more")
    grid_bits, step, *decays = body[:_HEADER_BYTES]
    if grid_bits not in GRID_BITS or not 1 <= step <= MAX_STEP or 0 in decays:
        raise FormatError(
            f"a colour layer of cells 2^{grid_bits}, step {step} and decays {decays}, expected 2^4..2^7, 1..{MAX_STEP} and 1..255"
        )
    rows, columns = grid_size(width, height, grid_bits)
    decoder = PriorDecoder(body[_HEADER_BYTES:])
    symbols = np.stack([decoder.decode_alike(shares, rows * columns) for shares in _shares(decays)])
    decoder.finish()
    offsets = _to_offsets(symbols).reshape(rows, columns, 3)
    if np.abs(offsets).max() > MAX_OFFSET:
        raise FormatError(f"a colour layer with an offset of {np.abs(offsets).max()}, expected {MAX_OFFSET} at most")
    return ColourLayer(grid_bits, step, offsets)


def _shares(decays: list[int]) -> NDArray[np.float32]:
    """Returns the table of frequencies of each channel, for the coder."""
    magnitudes = (np.arange(2 * MAX_OFFSET + 1) + 1) // 2
    return shares_from_logits(-np.outer(decays, magnitudes).astype(np.float32))


def _to_symbols(offsets: NDArray[np.int64]) -> NDArray[np.int64]:
    """Returns the symbols [3, cells]: of green, and of red and blue less green; 0, 1, -1, 2, ... are symbols 0, 1, 2, 3, ..."""
    red, green, blue = offsets.reshape(-1, 3).T
    values = np.stack([green, red - green, blue - green])
    return np.where(values > 0, 2 * values - 1, -2 * values)


def _to_offsets(symbols: NDArray[np.int64]) -> NDArray[np.int64]:
    values = np.where(symbols % 2 == 1, (symbols + 1) // 2, -(symbols // 2))
    green = values[0]
    return np.stack([values[1] + green, green, values[2] + green], axis=1)


def _best_decay(symbols: NDArray[np.int64]) -> int:
    """Returns the decay under which symbols [M] take about the fewest bits: that of a geometric law of their mean magnitude."""
    mean = float(((symbols + 1) // 2).mean())
    return int(np.clip(round(16 * np.log2(1 + 1 / max(mean, 1e-3))), 1, 255))
