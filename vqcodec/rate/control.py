"""The rate that a user asks for: an operating point, or a limit that one is searched for."""

import math
from collections.abc import Callable
from dataclasses import dataclass
from fractions import Fraction
from typing import Final, Protocol, TypedDict, TypeVar

from vqcodec.checks import checked_number, checked_whole
from vqcodec.errors import RateError
from vqcodec.models.config import ModelConfig
from vqcodec.models.dial import DEFAULT_QUALITY, MAX_RATE_WEIGHT, QUALITIES, TUNES, Jump, OperatingPoint, Tune

MAX_ENCODES: Final = 8
"""Most encodes that a search may take."""

_CLOSE_PERCENT: Final = 99
"""Percent of the limit from which on a file ends the search."""

_AIM: Final = 0.996
"""Share of the limit that the search aims at, so that half of the misses still fit."""

_FIRST_QUALITY: Final = 50.0
"""Quality that the search begins with."""

_TYPICAL_SLOPE: Final = 0.03
"""Slope of the logarithm of a file's bytes over quality that is assumed until there are files on both sides of the limit."""

_LEAST_STEP: Final = 8.0
"""Least difference in quality between the first encode and the second."""

_NARROW: Final = 0.01
"""Difference in quality within which nothing more is searched."""

_NEAR: Final = 16.0
"""Difference in quality within which the ends of a jump in size are looked at."""

_CHECKED: Final = {
    "quality": checked_number,
    "num_maps": checked_whole,
    "rate_weight": checked_number,
    "max_bytes": checked_whole,
    "target_bpp": checked_number,
}
"""What checks each number of a `RateControl`, and returns it as a number of Python."""


class _HasData(Protocol):
    @property
    def data(self) -> bytes: ...


Encoded = TypeVar("Encoded", bound=_HasData)


class RateOptions(TypedDict, total=False):
    """The arguments of `RateControl`, as options of functions that encode."""

    quality: float | None
    num_maps: int | None
    rate_weight: float | None
    max_bytes: int | None
    target_bpp: float | None
    tune: Tune


@dataclass(frozen=True)
class RateControl:
    """The rate that a user asks for by one of quality, num_maps, max_bytes and target_bpp; without any, `DEFAULT_QUALITY`.

    Attributes:
        quality: place on the model's dial, 1..100 (`Dial.at`).
        num_maps: number of the model's maps to store; then with the nearest codes, unless rate_weight is given.
        rate_weight: lambda in 0..`MAX_RATE_WEIGHT`, with quality or num_maps; by default that of the dial.
        max_bytes: most bytes that the file may have, at least 1.
        target_bpp: most bits per pixel that the file may have, above 0.
        tune: what bytes are spent on. "iq" serves what people see, and lambda grows with the detail around a place; "psnr" serves the
            squared error of the picture, and lambda is the same everywhere; "perceptual" is like "iq", but along the dial for the
            perceptual decoder.

    Raises:
        TypeError: A value is no number, or not whole where it must be.
        ValueError: A value is out of range, or values exclude each other.
    """

    quality: float | None = None
    num_maps: int | None = None
    rate_weight: float | None = None
    max_bytes: int | None = None
    target_bpp: float | None = None
    tune: Tune = "iq"

    def __post_init__(self) -> None:
        for name, checked in _CHECKED.items():
            if (value := getattr(self, name)) is not None:
                object.__setattr__(self, name, checked(name, value))
        if self.tune not in TUNES:
            raise ValueError(f"tune must be one of {', '.join(TUNES)}, not {self.tune!r}")
        given = [name for name in ("quality", "num_maps", "max_bytes", "target_bpp") if getattr(self, name) is not None]
        if len(given) > 1:
            raise ValueError(f"only one of quality, num_maps, max_bytes and target_bpp may be given, not {' and '.join(given)}")
        if self.quality is not None and not 1 <= self.quality <= QUALITIES:
            raise ValueError(f"quality must be in 1..{QUALITIES}, not {self.quality}")
        if self.num_maps is not None and self.num_maps < 1:
            raise ValueError(f"num_maps must be at least 1, not {self.num_maps}")
        if self.rate_weight is not None:
            if self.is_limit:
                raise ValueError(f"rate_weight is searched for where {given[0]} is given; only one of them may be")
            if not 0 <= self.rate_weight <= MAX_RATE_WEIGHT:
                raise ValueError(f"rate_weight must be in 0..{MAX_RATE_WEIGHT:g}, not {self.rate_weight}")
        if self.max_bytes is not None and self.max_bytes < 1:
            raise ValueError(f"max_bytes must be at least 1, not {self.max_bytes}")
        if self.target_bpp is not None and not 0 < self.target_bpp < math.inf:
            raise ValueError(f"target_bpp must be above 0, not {self.target_bpp}")

    @property
    def is_limit(self) -> bool:
        """Whether the rate is a limit, so that a search is needed."""
        return self.max_bytes is not None or self.target_bpp is not None

    def limit_bytes(self, width: int, height: int) -> int:
        """Returns the most bytes that the file of a picture of width x height pixels may have. It is for limits only."""
        if self.max_bytes is not None:
            return self.max_bytes
        assert self.target_bpp is not None
        pixels = width * height
        limit = math.floor(Fraction(float(self.target_bpp)) * pixels / 8)
        return limit + 1 if 8 * (limit + 1) / pixels <= self.target_bpp else limit

    def operating_point(self, config: ModelConfig) -> OperatingPoint:
        """Returns the operating point on a model. It is not for limits.

        Raises:
            ModelError: The model has no dial for the perceptual decoder, which is asked for.
            RateError: The model has fewer maps.
        """
        if self.num_maps is None:
            point = config.dial(self.tune).at(DEFAULT_QUALITY if self.quality is None else self.quality)
        elif self.num_maps > config.num_maps:
            raise RateError(f"{self.num_maps} maps were asked for; model {config.id} has {config.num_maps}")
        else:
            point = OperatingPoint(self.num_maps, 0.0)
        return point if self.rate_weight is None else OperatingPoint(point.num_maps, self.rate_weight)


def largest_within(
    encode_at: Callable[[float], Encoded],
    max_bytes: int,
    encode_smallest: Callable[[], Encoded],
    *,
    jump: Jump | None = None,
) -> Encoded:
    """Finds the largest file of at most `max_bytes` by a search over quality that takes at most `MAX_ENCODES` encodes.

    Once there are files on both sides of the limit, the logarithm of the size is taken as linear in quality between the nearest two; where
    that moves one side only, the middle is taken, and where sizes jump nearby, an end of that.

    Args:
        encode_at: function that encodes at a quality in 1..100.
        max_bytes: the limit in bytes.
        encode_smallest: function that encodes to as few bytes as there can be, for when quality 1 takes too many.
        jump: the place where sizes jump, if there is one.

    Raises:
        RateError: Even the smallest file is larger than the limit.
    """
    best: Encoded | None = None
    low: tuple[float, float] | None = None
    high: tuple[float, float] | None = None
    aim = math.log(max(max_bytes, 1)) + math.log(_AIM)
    quality, was_low, in_a_row = _FIRST_QUALITY, False, 0
    for number in range(MAX_ENCODES):
        encoded = encode_at(quality)
        size = len(encoded.data)
        is_low = size <= max_bytes
        in_a_row = in_a_row + 1 if number and is_low == was_low else 1
        was_low = is_low
        if is_low:
            low = quality, math.log(size)
            if best is None or size > len(best.data):
                best = encoded
            if 100 * size >= _CLOSE_PERCENT * max_bytes or quality == QUALITIES:
                break
        else:
            high = quality, math.log(size)
            if quality == 1:
                smallest = encode_smallest()
                if len(smallest.data) <= max_bytes:
                    return smallest
                raise RateError(f"does not fit into {max_bytes} bytes: the smallest file has {min(size, len(smallest.data))}")
        if low is None or high is None:
            quality = _outward(quality, size, aim, number, is_low=is_low)
        elif high[0] - low[0] < _NARROW or (jump is not None and (low[0], high[0]) == (jump.before, jump.after)):
            break
        elif jump is not None and high[0] - low[0] < _NEAR and (ends := jump.within(low[0], high[0])):
            quality = ends[0]
        else:
            share = (aim - low[1]) / (high[1] - low[1]) if in_a_row < 2 and high[1] > low[1] else 0.5
            quality = low[0] + min(max(share, 0.1), 0.9) * (high[0] - low[0])
    assert best is not None, "the third encode in a row that is too large is at quality 1"
    return best


def _outward(quality: float, size: int, aim: float, number: int, *, is_low: bool) -> float:
    """Returns the quality to try next while all files were on one side of the limit: one estimated step outward, and then the end."""
    if number > 0:
        return float(QUALITIES) if is_low else 1.0
    step = max(abs(aim - math.log(size)) / _TYPICAL_SLOPE, _LEAST_STEP)
    return min(quality + step, float(QUALITIES)) if is_low else max(quality - step, 1.0)
