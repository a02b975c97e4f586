"""Checks the search for the largest file within a limit of bytes, and what is asked of it."""

import math
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pytest
from numpy.typing import NDArray

import vqcodec
from tests.conftest import make_picture
from vqcodec.encoding.pictures import encode_controlled
from vqcodec.errors import RateError
from vqcodec.format.container import CoderKind
from vqcodec.images.picture import Picture
from vqcodec.models.config import read_config
from vqcodec.models.dial import MAX_RATE_WEIGHT, Jump, Tune
from vqcodec.models.model import load_model
from vqcodec.rate.control import MAX_ENCODES, RateControl, largest_within


@dataclass
class File:
    data: bytes


@pytest.mark.parametrize("limit", [130, 1000, 4321, 50_000, 10_000_000])
@pytest.mark.parametrize("bend", [0.6, 1.0, 1.7])
@pytest.mark.parametrize("fixed", [0, 80_000])
def test_a_search_comes_close_to_its_limit(limit: int, bend: float, fixed: int) -> None:
    """Fixed bytes are those of an alpha plane."""
    sizes: list[int] = []
    limit += fixed

    def encode_at(quality: float) -> File:
        sizes.append(fixed + round(120 * math.exp(7 * ((quality - 1) / 99) ** bend)))
        return File(bytes(sizes[-1]))

    found = largest_within(encode_at, limit, lambda: encode_at(1))
    largest = fixed + round(120 * math.exp(7))
    assert len(found.data) == max(size for size in sizes if size <= limit) and len(sizes) <= MAX_ENCODES
    assert len(found.data) > 0.97 * min(limit, largest)


def test_a_search_keeps_the_largest_file_that_fits() -> None:
    """Sizes need not rise with quality."""
    tried: list[int] = []

    def encode_at(quality: float) -> File:
        tried.append(round(1000 + 20 * quality + 400 * math.sin(quality)))
        return File(bytes(tried[-1]))

    for limit in range(1400, 3400, 100):
        tried.clear()
        assert len(largest_within(encode_at, limit, lambda: encode_at(1)).data) == max(size for size in tried if size <= limit)


@pytest.mark.parametrize("limit", [150, 180, 199, 205, 230, 310, 330, 400, 700])
@pytest.mark.parametrize("last", [7, 18, 40])
def test_a_search_over_a_jump(limit: int, last: int) -> None:
    """Sizes jump by half after quality `last`, then rise faster up to the next whole one."""
    sizes: list[int] = []

    def size(quality: float) -> int:
        after = max(quality - last - 0.25, 0)
        return round(
            100 * math.exp(0.03 * min(quality, last) + 0.03 * after + (0.4 + 0.3 * min(after / 0.75, 1)) * (quality >= last + 0.25))
        )

    def encode_at(quality: float) -> File:
        sizes.append(size(quality))
        return File(bytes(sizes[-1]))

    best = max((size(number / 1000) for number in range(1000, 100_001) if size(number / 1000) <= limit), default=0)
    found = largest_within(encode_at, limit, lambda: File(bytes(90)), jump=Jump(last, last + 0.25, last + 1))
    assert len(sizes) <= MAX_ENCODES and 0.97 * best < len(found.data) <= limit


def test_a_search_over_steps() -> None:
    def encode_at(quality: float) -> File:
        return File(bytes(100 * math.ceil(quality / 25)))

    assert len(largest_within(encode_at, 399, lambda: File(bytes(50))).data) == 300
    assert len(largest_within(encode_at, 99, lambda: File(bytes(99))).data) == 99
    for fewest, smallest in ((99, 99), (120, 100)):
        with pytest.raises(RateError, match=f"does not fit into 98 bytes: the smallest file has {smallest}"):
            largest_within(encode_at, 98, lambda fewest=fewest: File(bytes(fewest)))


@pytest.mark.slow
def test_limits_of_real_files(models_root: Path, small_model: str, photo: NDArray[np.uint8]) -> None:
    tunes: tuple[Tune, ...] = ("iq", "psnr")
    coarsest = min(
        (vqcodec.encode(photo, model=small_model, num_maps=1, rate_weight=MAX_RATE_WEIGHT, tune=tune, layers=False) for tune in tunes),
        key=len,
    )
    smallest, lowest = len(coarsest), len(vqcodec.encode(photo, model=small_model, quality=1, layers=False))
    largest = len(vqcodec.encode(photo, model=small_model, quality=100))
    assert smallest < lowest and vqcodec.encode(photo, model=small_model, max_bytes=lowest - 1, layers=False) == coarsest
    height, width = photo.shape[:2]
    for limit in (smallest, (smallest + largest) // 2, largest, 10 * largest):
        data = vqcodec.encode(photo, model=small_model, max_bytes=limit)
        assert smallest <= len(data) <= limit
        assert data == vqcodec.encode(photo, model=small_model, target_bpp=8 * limit / (width * height))
    with pytest.raises(RateError, match=f"does not fit into {smallest - 1} bytes: the smallest file has {smallest}"):
        vqcodec.encode(photo, model=small_model, max_bytes=smallest - 1)
    with pytest.raises(RateError, match="5 maps were asked for; model small-test has 4"):
        vqcodec.encode(photo, model=small_model, num_maps=5)
    for tiny in (1e-300, 0.001):
        with pytest.raises(RateError, match="does not fit into 0 bytes"):
            vqcodec.encode(photo[:8, :8], model=small_model, target_bpp=tiny)
    assert len(vqcodec.encode(photo, model=small_model, target_bpp=1e308)) == largest
    pictures = [Picture(photo), Picture(make_picture(16, 16))]
    model = load_model(read_config(models_root / "small-test"), "cpu")
    too_large, fits = encode_controlled(pictures, model, rate=RateControl(max_bytes=smallest - 1))
    assert isinstance(too_large.error, RateError) and fits.error is None and len(fits.data) < smallest
    (raw,) = encode_controlled([Picture(photo)], model, rate=RateControl(max_bytes=4000), coder=CoderKind.RAW)
    assert {info.coder for info in vqcodec.read_info(raw.or_raise().data).maps} == {"raw"}


@pytest.mark.parametrize(
    ("values", "message"),
    [
        ({"quality": 50, "max_bytes": 100}, "not quality and max_bytes"),
        ({"num_maps": 2, "target_bpp": 0.1}, "not num_maps and target_bpp"),
        ({"max_bytes": 100, "rate_weight": 0.1}, "rate_weight is searched for"),
        ({"rate_weight": math.nan}, "rate_weight must be in"),
        ({"quality": 101}, "quality must be in"),
        ({"num_maps": 0}, "num_maps must be at least 1"),
        ({"max_bytes": 0}, "max_bytes must be at least 1"),
        ({"target_bpp": math.inf}, "target_bpp must be above 0"),
        ({"target_bpp": 10**400}, "target_bpp is too large"),
    ],
)
def test_mistakes(values: dict[str, float], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        RateControl(**values)  # type: ignore[arg-type]


@pytest.mark.parametrize(
    "values",
    [{"max_bytes": math.nan}, {"max_bytes": True}, {"num_maps": 2.0}, {"quality": "50"}, {"target_bpp": False}, {"rate_weight": "1"}],
)
def test_what_is_no_number(values: dict[str, object]) -> None:
    with pytest.raises(TypeError, match=f"{next(iter(values))} must be a"):
        RateControl(**values)  # type: ignore[arg-type]


@pytest.mark.parametrize(("num_bytes", "width", "height"), [(55, 451, 300), (7000, 451, 300), (1, 1, 1), (12345, 641, 427)])
def test_the_rate_of_a_file_admits_the_file(num_bytes: int, width: int, height: int) -> None:
    assert RateControl(target_bpp=8 * num_bytes / (width * height)).limit_bytes(width, height) == num_bytes


def test_numbers_of_numpy_are_taken_as_those_of_python(small_model: str, photo: NDArray[np.uint8]) -> None:
    half = {"quality": np.float16(40.5), "rate_weight": np.float16(0.5)}
    for values in (
        half,
        {"num_maps": np.uint8(2)},
        {"max_bytes": np.uint16(1900)},
        {"target_bpp": np.float32(0.5)},
        {"quality": np.int64(7)},
    ):
        rate = RateControl(**values)  # type: ignore[arg-type]
        plain = {name: value.item() for name, value in values.items()}
        assert rate == RateControl(**plain) and all(type(getattr(rate, name)) is type(value) for name, value in plain.items())
        part = photo[:64, :64]
        assert vqcodec.encode(part, model=small_model, **values) == vqcodec.encode(part, model=small_model, **plain)  # type: ignore[arg-type]
