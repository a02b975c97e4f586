"""Regions: which part of a picture is wanted."""

from dataclasses import dataclass
from typing import Any, Self

from vqcodec.errors import RegionError
from vqcodec.format.container import Part


@dataclass(frozen=True)
class Region:
    """A rectangle of pixels.

    Attributes:
        left, top: place of its upper left pixel.
        width, height: its size.

    Raises:
        TypeError: A value is no whole number.
        ValueError: A value is below 0, or a side is 0.
    """

    left: int
    top: int
    width: int
    height: int

    def __post_init__(self) -> None:
        values = self.left, self.top, self.width, self.height
        if not all(isinstance(value, int) and not isinstance(value, bool) for value in values):
            raise TypeError(f"region must be left, top, width and height, four whole numbers, not {values!r}")
        if min(self.left, self.top) < 0 or min(self.width, self.height) < 1:
            raise ValueError(f"region must have a left and top of at least 0 and sides of at least 1, not {','.join(map(str, values))}")

    @classmethod
    def of(cls, values: Any) -> Self:
        """Returns a region that is given as left, top, width and height.

        Raises:
            TypeError, ValueError: The values are not as described.
        """
        if not isinstance(values, list | tuple) or len(values) != 4:
            raise TypeError(f"region must be left, top, width and height, four whole numbers, not {values!r}")
        return cls(*(int(value) if hasattr(value, "__index__") and not isinstance(value, bool) else value for value in values))

    def within(self, width: int, height: int) -> Part:
        """Returns the rows and columns of the region in a picture of width x height pixels.

        Raises:
            RegionError: It does not lie within the picture.
        """
        if self.left + self.width > width or self.top + self.height > height:
            raise RegionError(
                f"region of {self.width}x{self.height} pixels at {self.left},{self.top}, expected one within the picture's {width}x{height}"
            )
        return slice(self.top, self.top + self.height), slice(self.left, self.left + self.width)
