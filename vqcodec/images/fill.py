"""Smooth filling of pixels that cannot be seen: under alpha 0, or under exact ones."""

from collections.abc import Iterator
from typing import Final

import numpy as np
from numpy.typing import NDArray
from PIL import Image

_CELL_PX, _AROUND_PX = 512, 64
"""Side of the cells that are filled at a time in large pictures, a multiple of 8, and how far around a cell pixels are looked at."""
_KEPT_CELLS: Final = 24
"""Cells that are kept filled, those of a block of the networks."""
_STRIP_PX: Final = 512
"""Rows of pixels that are worked on at a time."""


def fill_smoothly(pixels: NDArray[np.uint8], known: NDArray[np.bool_]) -> NDArray[np.uint8]:
    """Fills unknown pixels smoothly from those around them, so that they cost little and do not stain the edges of known ones.

    A pyramid of means of known pixels is made, and every pixel mixes the means of all levels by the share of known pixels in them, the
    finer ones first (pull-push, Gortler et al. 1996, section 3.4). Known pixels stay as they are. Where nothing is known, everything is
    grey.

    Args:
        pixels: uint8 [H, W] or [H, W, 3].
        known: bool [H, W].
    """
    if not known.any():
        return np.full_like(pixels, 128)
    planes = pixels[:, :, None] if pixels.ndim == 2 else pixels
    shares = known.astype(np.float32)
    filled = np.empty_like(planes)
    for channel in range(planes.shape[2]):
        smooth = _pull_push(planes[:, :, channel].astype(np.float32) * shares, shares)
        filled[:, :, channel] = np.where(known, planes[:, :, channel], np.clip(np.rint(smooth), 0, 255).astype(np.uint8))
    return filled[:, :, 0] if pixels.ndim == 2 else filled


class FilledParts:
    """A large picture whose hidden pixels are filled smoothly where a part of it is taken, so that there is no second picture in memory."""

    def __init__(self, pixels: NDArray[np.uint8], hidden: NDArray[np.uint8]) -> None:
        """Takes the picture, uint8 [H, W, 3], and its hidden pixels, uint8 [H, W / 8], a bit each as `numpy.packbits` makes them."""
        self._pixels, self._hidden = pixels, hidden
        self._kept: dict[tuple[int, int], NDArray[np.uint8] | None] = {}

    @property
    def shape(self) -> tuple[int, ...]:
        """Height, width and 3."""
        return self._pixels.shape

    def __getitem__(self, place: tuple[slice, slice]) -> NDArray[np.uint8]:
        """Returns a part, uint8 [h, w, 3], by rows and columns."""
        rows, columns = (slice(*own.indices(length)[:2]) for own, length in zip(place, self.shape, strict=False))
        part = self._pixels[rows, columns].copy()
        for top, own_rows, in_rows in _cells(rows):
            for left, own_columns, in_columns in _cells(columns):
                if (filled := self._cell(top, left)) is not None:
                    part[own_rows, own_columns] = filled[in_rows, in_columns]
        return part

    def _cell(self, top: int, left: int) -> NDArray[np.uint8] | None:
        if (top, left) not in self._kept:
            if len(self._kept) >= _KEPT_CELLS:
                del self._kept[next(iter(self._kept))]
            self._kept[top, left] = self._fill(top, left)
        return self._kept[top, left]

    def _fill(self, top: int, left: int) -> NDArray[np.uint8] | None:
        """Returns the pixels of a cell, or None where none of them is hidden."""
        above, before = max(0, top - _AROUND_PX), max(0, left - _AROUND_PX)
        bits = self._hidden[above : top + _CELL_PX + _AROUND_PX, before // 8 : (left + _CELL_PX + _AROUND_PX) // 8]
        pixels = self._pixels[above : top + _CELL_PX + _AROUND_PX, before : left + _CELL_PX + _AROUND_PX]
        hidden = np.unpackbits(bits, axis=1, count=pixels.shape[1]).astype(bool)
        inner = slice(top - above, top - above + _CELL_PX), slice(left - before, left - before + _CELL_PX)
        return fill_smoothly(pixels, ~hidden)[inner] if hidden[inner].any() else None


def _cells(span: slice) -> Iterator[tuple[int, slice, slice]]:
    """Yields the cells that a span meets along an axis: where each starts, its place in the span, and the span's place in it."""
    for start in range(span.start // _CELL_PX * _CELL_PX, span.stop, _CELL_PX):
        first, last = max(start, span.start), min(start + _CELL_PX, span.stop)
        yield start, slice(first - span.start, last - span.start), slice(first - start, last - start)


def repeat_hidden(pixels: NDArray[np.uint8], known: NDArray[np.bool_]) -> NDArray[np.uint8]:
    """Gives unknown pixels the colour of the last known one to their left, so that a lossless coder says them in hardly any bits.

    Args:
        pixels: uint8 [H, W, 3].
        known: bool [H, W].
    """
    if known.all():
        return pixels
    repeated = np.empty_like(pixels)
    for start in range(0, len(pixels), _STRIP_PX):
        strip = slice(start, start + _STRIP_PX)
        last = np.maximum.accumulate(np.where(known[strip], np.arange(known.shape[1]), -1), axis=1)
        colours = np.take_along_axis(pixels[strip], np.maximum(last, 0)[:, :, None], axis=1)
        repeated[strip] = np.where(last[:, :, None] < 0, 0, colours)
    return repeated


def _pull_push(weighted: NDArray[np.float32], weights: NDArray[np.float32]) -> NDArray[np.float32]:
    """Returns values without gaps, float32 [H, W], from values times weights and weights of 0 to 1."""
    height, width = weights.shape
    means: NDArray[np.float32] = np.zeros_like(weighted)
    np.divide(weighted, weights, out=means, where=weights > 0)
    if max(height, width) == 1:
        return means
    coarse = _pull_push(_halved(weighted), _halved(weights))
    doubled = Image.fromarray(coarse).resize((2 * coarse.shape[1], 2 * coarse.shape[0]), Image.Resampling.BILINEAR)
    behind = np.asarray(doubled, np.float32)[:height, :width]
    filled: NDArray[np.float32] = behind + weights * (means - behind)
    return filled


def _halved(plane: NDArray[np.float32]) -> NDArray[np.float32]:
    """Returns the means of 2x2 values, with zeros beyond the edges."""
    height, width = plane.shape
    padded = np.pad(plane, ((0, height % 2), (0, width % 2)))
    rows = padded[0::2] + padded[1::2]
    halved: NDArray[np.float32] = rows[:, 0::2] + rows[:, 1::2]
    halved *= 0.25
    return halved
