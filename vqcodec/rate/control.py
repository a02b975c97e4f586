"""What decides the size of a file and what it is spent for: an operating point that the user names, or a limit that one is searched for."""

import math
from collections.abc import Callable
from dataclasses import dataclass
from fractions import Fraction
from typing import Final, Literal, Protocol, TypeVar, get_args

from vqcodec.checks import check_number
from vqcodec.errors import RateError
from vqcodec.models.config import DEFAULT_QUALITY, GAP_FROM, MAX_RATE_WEIGHT, QUALITIES, ModelConfig, OperatingPoint

MAX_ENCODES: Final = 8
"""That a search may take."""
_CLOSE_PERCENT: Final = 99
"""Of the limit: a file of this size or more ends the search."""
_AIM: Final = 0.996
"""Of the limit: what the search aims at, so that half of the misses still fit."""
_FIRST_QUALITY: Final = 50.0
"""Where the search begins."""
_TYPICAL_SLOPE: Final = 0.03
"""Of the logarithm of a file's bytes over quality, until there are files on both sides of the limit."""
_LEAST_STEP: Final = 8.0
"""In quality, for the second encode."""
_NARROW: Final = 0.01
"""A difference in quality that no more is searched within."""
_NEAR: Final = 16.0
"""A difference in quality within which the ends of a jump in size are looked at."""

Tune = Literal["iq", "psnr", "perceptual"]
TUNES: Final[tuple[Tune, ...]] = get_args(Tune)
_IS_WHOLE: Final = {"quality": False, "num_maps": True, "rate_weight": False, "max_bytes": True, "target_bpp": False}


class _HasData(Protocol):
    @property
    def data(self) -> bytes: ...


Encoded = TypeVar("Encoded", bound=_HasData)


@dataclass(frozen=True)
class Jump:
    """Where sizes jump along a dial.

    Attributes:
        before: the last quality before it.
        after: the first one after it; between the two are no other files.
        steep_until: the quality up to which sizes rise steeply then.
    """

    before: float
    after: float
    steep_until: float

    def within(self, low: float, high: float) -> list[float]:
        """Those of its qualities between two others, what tells most first."""
        return [quality for quality in (self.after, self.steep_until, self.before) if low < quality < high]


@dataclass(frozen=True)
class RateControl:
    """What the user asks for: one of quality, num_maps, max_bytes and target_bpp; quality `DEFAULT_QUALITY` by default.

    Attributes:
        quality: 1..100, a place on the model's dial (`ModelConfig.operating_point`).
        num_maps: how many of the model's maps to store; then with the nearest codes, unless rate_weight is given.
        rate_weight: lambda in 0..`MAX_RATE_WEIGHT`, with quality or num_maps; by default that of the dial.
        max_bytes: the most that the file may have, at least 1.
        target_bpp: the same in bits per pixel, above 0.
        tune: what bytes are spent for: "iq", what people see, where lambda grows with the detail around a place; "psnr", the squared error
            of the picture, where lambda is the same everywhere; "perceptual", like "iq", but along the dial for the perceptual decoder.

    Raises:
        TypeError: values that are no numbers, or not whole where they must be.
        ValueError: values out of range, or that exclude each other.
    """

    quality: float | None = None
    num_maps: int | None = None
    rate_weight: float | None = None
    max_bytes: int | None = None
    target_bpp: float | None = None
    tune: Tune = "iq"

    def __post_init__(self) -> None:
        for name, is_whole in _IS_WHOLE.items():
            value = getattr(self, name)
            if value is not None:
                check_number(name, value, is_whole=is_whole)
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
        """A search is needed."""
        return self.max_bytes is not None or self.target_bpp is not None

    def limit_bytes(self, width: int, height: int) -> int:
        """The most that the file of a picture of width x height pixels may have; only where `is_limit`."""
        if self.max_bytes is not None:
            return self.max_bytes
        assert self.target_bpp is not None
        pixels = width * height
        limit = math.floor(Fraction(float(self.target_bpp)) * pixels / 8)
        return limit + 1 if 8 * (limit + 1) / pixels <= self.target_bpp else limit

    def operating_point(self, config: ModelConfig) -> OperatingPoint:
        """Of a model; only where not `is_limit`.

        Raises:
            ModelError: the model has no dial for the perceptual decoder, which is asked for.
            RateError: the model has fewer maps.
        """
        if self.num_maps is None:
            point = self.on_dial(config, DEFAULT_QUALITY if self.quality is None else self.quality)
        elif self.num_maps > config.num_maps:
            raise RateError(f"{self.num_maps} maps were asked for; model {config.id} has {config.num_maps}")
        else:
            point = OperatingPoint(self.num_maps, 0.0)
        return point if self.rate_weight is None else OperatingPoint(point.num_maps, self.rate_weight)

    def on_dial(self, config: ModelConfig, quality: float) -> OperatingPoint:
        """What a quality in 1..100 stands for when files of a model are tuned so (`ModelConfig.operating_point`)."""
        return config.operating_point(quality, perceptual=self.tune == "perceptual")

    def jump(self, config: ModelConfig) -> Jump | None:
        """The step from one map to two on the dial of a model; None where it has no dial."""
        dial = config.perceptual_dial if self.tune == "perceptual" else config.dial
        last = sum(point.num_maps == 1 for point in dial)
        return Jump(last, last + GAP_FROM, last + 1) if 0 < last < len(dial) else None


def largest_within(
    encode_at: Callable[[float], Encoded],
    max_bytes: int,
    encode_smallest: Callable[[], Encoded],
    *,
    jump: Jump | None = None,
) -> Encoded:
    """The largest file of at most `max_bytes` that a search over quality finds, by at most `MAX_ENCODES` files.

    Once there are files on both sides of the limit, the logarithm of the size is taken as linear in quality between the nearest two; where
    that moves one side only, the middle is taken, and where sizes jump nearby, an end of that.

    Args:
        encode_at: encodes at a quality in 1..100.
        max_bytes: the limit.
        encode_smallest: encodes to as few bytes as there can be, where quality 1 takes too many.
        jump: where sizes jump, if anywhere.

    Raises:
        RateError: even the smallest file is larger than the limit.
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
    """Where to look next while all files so far were on one side of the limit: one estimated step outward, and then at the end."""
    if number > 0:
        return float(QUALITIES) if is_low else 1.0
    step = max(abs(aim - math.log(size)) / _TYPICAL_SLOPE, _LEAST_STEP)
    return min(quality + step, float(QUALITIES)) if is_low else max(quality - step, 1.0)
