"""The dial: what quality 1..100 of a model stands for."""

import json
import math
import zlib
from collections.abc import Iterable
from dataclasses import astuple, dataclass
from typing import Any, Final, Literal, Self, get_args

QUALITIES: Final = 100
"""Number of whole qualities, and the best quality."""

DEFAULT_QUALITY: Final = 50
"""Quality where nothing else decides the size of a file."""

MAX_RATE_WEIGHT: Final = 1e6
"""Largest lambda, far above what makes every code of the later maps the most probable one."""

GAP_FROM: Final = 0.25
"""Share of the way to a quality of one more map from which on files have that map, too."""

GAP_FACTOR: Final = 1.1
"""Factor of lambda by which files in a gap of the dial go below the first point of two maps."""

LAST_FACTOR: Final = 1.03
"""Factor by which lambda falls on the way from one number of maps to the next where the first point of the next has a higher lambda."""

Tune = Literal["iq", "psnr", "perceptual"]
"""Names of what bytes are spent on: what people see, the squared error, or the pictures of the perceptual decoder."""

TUNES: Final[tuple[Tune, ...]] = get_args(Tune)


@dataclass(frozen=True)
class OperatingPoint:
    """The two numbers that decide the rate of a file.

    Attributes:
        num_maps: number of the model's maps that are stored, at least 1.
        rate_weight: lambda, about what a bit is worth when codes are chosen (`RateDistortionChoice`), in 0..`MAX_RATE_WEIGHT`.
    """

    num_maps: int
    rate_weight: float


@dataclass(frozen=True)
class Jump:
    """A place on a dial where the sizes of files jump.

    Attributes:
        before: the last quality before it.
        after: the first quality after it; files between the two have hardly other sizes than the one before it.
        steep_until: the quality up to which sizes rise steeply from there.
    """

    before: float
    after: float
    steep_until: float

    def within(self, low: float, high: float) -> list[float]:
        """Returns those of its qualities that lie between two others, the most telling one first."""
        return [quality for quality in (self.after, self.steep_until, self.before) if low < quality < high]


@dataclass(frozen=True)
class Dial:
    """A dial: the operating points of quality 1, 2, ..., `QUALITIES`, smallest files first.

    Raises:
        ValueError: There are more or fewer points.
    """

    points: tuple[OperatingPoint, ...]

    def __post_init__(self) -> None:
        if len(self.points) != QUALITIES:
            raise ValueError(f"a dial must have {QUALITIES} points, not {len(self.points)}")

    @classmethod
    def even(cls, num_maps: int) -> Self:
        """Returns the dial of a model that was never calibrated: equal shares for each number of maps, and the nearest codes."""
        return cls(tuple(OperatingPoint(math.ceil(quality * num_maps / QUALITIES), 0.0) for quality in range(1, QUALITIES + 1)))

    @classmethod
    def from_json(cls, values: object) -> Self:
        """Returns the dial that `to_json` wrote.

        Raises:
            ValueError: It is no list of `QUALITIES` pairs of a number of maps and a lambda.
        """
        if not isinstance(values, list):
            raise ValueError(f"a dial must be a list, not {values!r}")
        for point in values:
            is_pair = isinstance(point, list) and len(point) == 2 and type(point[0]) is int and type(point[1]) in (int, float)
            if not is_pair or point[0] < 1 or not 0 <= point[1] <= MAX_RATE_WEIGHT:
                raise ValueError(f"a dial must have points of maps, at least 1, and lambda in 0..{MAX_RATE_WEIGHT:g}, not {point!r}")
        return cls(tuple(OperatingPoint(*point) for point in values))

    def to_json(self) -> list[tuple[Any, ...]]:
        """Returns the points as pairs of a number of maps and a lambda."""
        return [astuple(point) for point in self.points]

    def digest(self, qualities: Iterable[float]) -> str:
        """Returns eight hexadecimal digits that tell dials apart which differ at one of these qualities."""
        points = [astuple(self.at(quality)) for quality in qualities]
        return f"{zlib.crc32(json.dumps(points).encode()):08x}"

    @property
    def max_maps(self) -> int:
        """Largest number of maps of a point."""
        return max(point.num_maps for point in self.points)

    @property
    def jump(self) -> Jump | None:
        """The step from one map to two; None where the dial has no such step."""
        last = sum(point.num_maps == 1 for point in self.points)
        return Jump(last, last + GAP_FROM, last + 1) if 0 < last < len(self.points) else None

    def at(self, quality: float) -> OperatingPoint:
        """Returns the operating point of a quality in 1..100, so that files grow with every part of a quality, mostly.

        Between whole qualities lambda is interpolated geometrically. Where the next whole quality stands for one more map, files keep their
        maps on the way there, and lambda falls to what it is there: with one map fewer at the same lambda, files are smaller than that one.
        Where lambda is not lower there, it falls by `LAST_FACTOR` in all. From one map to two, sizes jump: there the last three quarters of
        the way have two maps, and a lambda that falls from `GAP_FACTOR` times the one there. Files of pictures with large flat areas may
        get smaller on that way all the same, and better.

        Raises:
            ValueError: The quality is out of range.
        """
        if not 1 <= quality <= QUALITIES:
            raise ValueError(f"quality must be in 1..{QUALITIES}, not {quality}")
        below, above = self.points[math.floor(quality) - 1], self.points[math.ceil(quality) - 1]
        share = quality - math.floor(quality)
        if share == 0:
            return below
        if below.num_maps == 1 < above.num_maps and share >= GAP_FROM:
            return OperatingPoint(above.num_maps, above.rate_weight * GAP_FACTOR ** ((1 - share) / (1 - GAP_FROM)))
        is_lower = below.num_maps == above.num_maps or above.rate_weight < below.rate_weight
        last = above.rate_weight if is_lower else below.rate_weight / LAST_FACTOR
        return OperatingPoint(below.num_maps, below.rate_weight ** (1 - share) * last**share)
