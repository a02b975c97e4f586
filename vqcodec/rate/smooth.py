"""Which nearly smooth pictures codes paint worse than plain colours would: noise on saturated ground above all, which photos hardly have.

The measure is a picture of planes: places of 32x32 pixels, each of one colour that may change linearly. Where codes paint a smooth picture
worse than its planes would, they spend bytes on what is not there, and another coder is worth a try.
"""

from typing import Final

import numpy as np
from numpy.typing import NDArray

_PLACE_PX: Final = 32
"""Side of a place in pixels."""
_MOST_PIXELS: Final = 1 << 22
"""Most pixels of a picture that is looked at, since several AVIF files are tried for a smooth one."""
_SAMPLED: Final = 3
"""One row of places in so many is looked at first."""
_MOST_DETAIL: Final = 200.0
"""Most squared error of planes, in a pixel of R, G and B, of a picture that is smooth as a whole; noise of 12 levels has less."""
_MOST_DETAIL_OF_PLACE: Final = 60.0
"""The same of a single place; noise of 6 levels is below it."""
_LEAST_SATURATION: Final = 100.0
"""Least difference between the largest and the smallest mean of R, G and B in a saturated place."""
_LEAST_SHARE: Final = 0.3
"""Share of smooth saturated places from which on these alone count."""
_WORSE: Final = 0.9
"""Share of the planes' squared error from which on codes paint a smooth picture badly. In photos it is 0.3 at most."""
_WORSE_IN_PLACE, _WORSE_BY = 1.0, 2.0
"""The same share in a single place, and the squared error that is added to it."""
_FLAT: Final = 0.25
"""Squared error that a picture of no detail at all may have."""

_RAMP: Final = np.linspace(-1, 1, _PLACE_PX)
_PLANES: Final = np.stack([np.ones((_PLACE_PX, _PLACE_PX)), *np.meshgrid(_RAMP, _RAMP)]).reshape(3, -1).T
_BASIS: Final = (_PLANES / np.linalg.norm(_PLANES, axis=0)).astype(np.float32)
"""Planes over a place, [1024, 3]: a constant, one that rises to the right, and one that rises downwards, each of norm 1."""


class SmoothPlaces:
    """Compares what codes paint of a smooth picture with its planes, part by part."""

    def __init__(self) -> None:
        """Starts without any part."""
        self._places = self._worse_places = 0
        self._detail = self._error = 0.0

    def add(self, rgb: NDArray[np.uint8], painted: NDArray[np.uint8]) -> None:
        """Adds a part of the picture and what is painted of it, uint8 [H, W, 3]; places that are not whole are left out.

        Errors of a place's mean do not count, since a colour layer mends them.
        """
        detail, is_saturated = _detail(rgb)
        errors = _residual(_whole_places(rgb) - _whole_places(painted), 1)[0]
        is_worse = is_saturated & (detail < _MOST_DETAIL_OF_PLACE) & (errors > _WORSE_IN_PLACE * detail + _WORSE_BY)
        self._places += detail.size
        self._worse_places += int(np.count_nonzero(is_worse))
        self._detail += float(detail.sum(dtype=np.float64))
        self._error += float(errors.sum(dtype=np.float64))

    @property
    def are_painted_worse(self) -> bool:
        """Tells whether the codes paint the picture worse than planes would, or many saturated places of it."""
        is_smooth = self._detail < _MOST_DETAIL * self._places
        if is_smooth and self._error > _WORSE * self._detail + _FLAT * self._places:
            return True
        return self._worse_places > _LEAST_SHARE * self._places


def may_be_smooth(rgb: NDArray[np.uint8]) -> bool:
    """Tells by a part of a picture, uint8 [H, W, 3], whether `SmoothPlaces` may tell something of it."""
    rows = range(0, rgb.shape[0] - _PLACE_PX + 1, _SAMPLED * _PLACE_PX)
    if not rows or rgb.shape[1] < _PLACE_PX or rgb.shape[0] * rgb.shape[1] > _MOST_PIXELS:
        return False
    detail, is_saturated = _detail(np.concatenate([rgb[row : row + _PLACE_PX] for row in rows]))
    is_smooth_and_vivid = is_saturated & (detail < _MOST_DETAIL_OF_PLACE)
    return bool(detail.mean() < _MOST_DETAIL or is_smooth_and_vivid.mean() > _LEAST_SHARE)


def _detail(rgb: NDArray[np.uint8]) -> tuple[NDArray[np.float32], NDArray[np.bool_]]:
    """Returns the mean squared error of the plane of each place, float32 [H // 32, W // 32], and whether it is saturated."""
    detail, sums = _residual(_whole_places(rgb), len(_BASIS[0]))
    means = sums[..., 0] / _PLACE_PX
    return detail, means.max(axis=2) - means.min(axis=2) > _LEAST_SATURATION


def _residual(values: NDArray[np.float32], order: int) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
    """Returns what the first planes leave of each place, and what they hold.

    Args:
        values: float32 [rows, columns, 3, 1024].
        order: how many planes are taken: 1 for the mean alone.

    Returns:
        The mean of the squares that are left, summed over R, G and B, float32 [rows, columns]; products with the planes, float32
        [rows, columns, 3, order].
    """
    products = values @ _BASIS[:, :order]
    left = np.einsum("yxcp,yxcp->yx", values, values) - np.einsum("yxco,yxco->yx", products, products)
    return np.maximum(left / _PLACE_PX**2, 0), products


def _whole_places(pixels: NDArray[np.uint8]) -> NDArray[np.float32]:
    """Returns the places of a picture [H, W, 3] that are whole, float32 [H // 32, W // 32, 3, 1024], in levels from the middle."""
    rows, columns = pixels.shape[0] // _PLACE_PX, pixels.shape[1] // _PLACE_PX
    whole = pixels[: rows * _PLACE_PX, : columns * _PLACE_PX].reshape(rows, _PLACE_PX, columns, _PLACE_PX, 3)
    return whole.transpose(0, 2, 4, 1, 3).reshape(rows, columns, 3, _PLACE_PX**2).astype(np.float32) - np.float32(128)
