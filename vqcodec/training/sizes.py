"""The sizes of the pictures of a set, all of whose arrays are flat: where each picture starts, and which ones are drawn or looked at."""

import json
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from vqcodec.format.container import MAX_SIDE_PX


@dataclass(frozen=True)
class Sizes:
    """The heights and widths of pictures that lie one after another, row by row, in a flat array.

    Attributes:
        heights, widths: int64 [P], sizes of the pictures in `unit`.
        unit: name of what the sizes count, for messages.
    """

    heights: NDArray[np.int64]
    widths: NDArray[np.int64]
    unit: str = "pixels"

    def __len__(self) -> int:
        return len(self.heights)

    @cached_property
    def areas(self) -> NDArray[np.int64]:
        """The number of pixels or codes of each picture, int64 [P]."""
        return self.heights * self.widths

    @cached_property
    def offsets(self) -> NDArray[np.int64]:
        """The number of pixels or codes before each picture, int64 [P]."""
        return np.cumsum(self.areas) - self.areas

    @property
    def largest_side(self) -> int:
        """The side of the largest square that some picture has room for."""
        return int(np.minimum(self.heights, self.widths).max())

    def draw(self, count: int, side: int, rng: np.random.Generator) -> NDArray[np.int64]:
        """Draws the numbers of pictures that have room for a square, in proportion to their area and with repetition.

        Args:
            count: number of pictures.
            side: side of the square.
            rng: source of the draw.

        Raises:
            ValueError: No picture has room for the square.
        """
        usable = self.with_room_for(side)
        areas = self.areas[usable].astype(np.float64)
        drawn: NDArray[np.int64] = rng.choice(usable, size=count, p=areas / areas.sum())
        return drawn

    def spread(self, count: int, side: int) -> NDArray[np.int64]:
        """Returns the numbers of at most `count` pictures that have room for a square, spread evenly over the set.

        Raises:
            ValueError: No picture has room for the square.
        """
        usable = self.with_room_for(side)
        chosen: NDArray[np.int64] = usable[np.linspace(0, len(usable) - 1, min(count, len(usable))).astype(int)]
        return chosen

    def with_room_for(self, side: int) -> NDArray[np.int64]:
        """Returns the numbers of the pictures that have room for a square.

        Raises:
            ValueError: No picture has room for the square.
        """
        if side > self.largest_side:
            raise ValueError(f"no photo has {side}x{side} {self.unit}; the shorter side of the largest has {self.largest_side}")
        return np.flatnonzero((self.heights >= side) & (self.widths >= side))


def read_sizes(path: Path) -> Sizes:
    """Reads the heights and widths that a JSON file lists as `sizes`.

    Raises:
        ValueError: The file lists no sizes.
    """
    try:
        index = json.loads(path.read_text(encoding="utf-8"))
    except RecursionError as error:
        raise ValueError(str(error)) from error
    sizes = index.get("sizes") if isinstance(index, dict) else None
    if not isinstance(sizes, list) or not sizes or not all(_is_size(pair) for pair in sizes):
        raise ValueError("holds no sizes, expected a list of heights and widths")
    heights, widths = np.array(sizes, dtype=np.int64).T
    return Sizes(heights, widths)


def _is_size(pair: object) -> bool:
    return isinstance(pair, list) and len(pair) == 2 and all(type(side) is int and 0 < side <= MAX_SIDE_PX for side in pair)
