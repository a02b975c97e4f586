"""Checks which pictures are smooth, and which are painted worse than plain colours would."""

import numpy as np
import pytest
import skimage.data
from numpy.typing import NDArray

from vqcodec.rate.smooth import SmoothPlaces, may_be_smooth

GREEN, BROWN = (10, 220, 10), (120, 90, 60)


def ground(colour: tuple[int, int, int], levels: int, width: int = 96, height: int = 64) -> NDArray[np.uint8]:
    """Returns a colour with uniform noise."""
    noise = np.random.default_rng(0).integers(-levels, levels + 1, (height, width, 3))
    return np.asarray((np.asarray(colour) + noise).clip(0, 255), np.uint8)


def slope(levels: int) -> NDArray[np.uint8]:
    """Returns a gradient that is steep, with noise."""
    rows, columns = np.indices((64, 96))[..., None]
    return np.asarray(ground((40, 60, 20), levels) + rows + columns * (1, 0, 1), np.uint8)


def painted_with(rgb: NDArray[np.uint8], deviation: float, shift: int = 0) -> NDArray[np.uint8]:
    """Returns a picture with normal errors, and one of the mean."""
    errors = np.random.default_rng(1).normal(shift, deviation, rgb.shape)
    return np.asarray((rgb + errors).clip(0, 255), np.uint8)


def are_worse(rgb: NDArray[np.uint8], painted: NDArray[np.uint8]) -> bool:
    places = SmoothPlaces()
    for rows in (slice(0, 32), slice(32, None)):
        places.add(rgb[rows], painted[rows])
    return places.are_painted_worse


@pytest.mark.parametrize("levels", [0, 1, 3, 6, 12])
@pytest.mark.parametrize("colour", [GREEN, BROWN])
def test_grounds_with_noise_are_smooth(colour: tuple[int, int, int], levels: int) -> None:
    rgb = ground(colour, levels)
    assert may_be_smooth(rgb) and may_be_smooth(rgb[:32, :32])
    assert not may_be_smooth(rgb[:31]) and not may_be_smooth(rgb[:, :31])


def test_large_pictures_are_not_looked_at() -> None:
    rgb = np.broadcast_to(np.asarray(GREEN, np.uint8), (2048, 2049, 3))
    assert may_be_smooth(rgb[:, :2048]) and not may_be_smooth(rgb)


@pytest.mark.parametrize("name", ["astronaut", "chelsea", "coffee"])
def test_photos_are_not(name: str) -> None:
    assert not may_be_smooth(getattr(skimage.data, name)())


@pytest.mark.parametrize("levels", [1, 3])
def test_slopes_count_as_plain(levels: int) -> None:
    """What is left of a slope beside its planes is its noise alone."""
    rgb = slope(levels)
    deviation = (levels * (levels + 1) / 3) ** 0.5
    assert may_be_smooth(rgb)
    assert not are_worse(rgb, painted_with(rgb, 0.8 * deviation))
    assert are_worse(rgb, painted_with(rgb, 1.5 * deviation + 1))


@pytest.mark.parametrize("levels", [1, 3, 6])
@pytest.mark.parametrize("colour", [GREEN, BROWN])
def test_codes_may_err_by_what_plain_colours_lack(colour: tuple[int, int, int], levels: int) -> None:
    rgb = ground(colour, levels)
    deviation = (levels * (levels + 1) / 3) ** 0.5
    assert are_worse(rgb, painted_with(rgb, 1.5 * deviation + 1))
    assert not are_worse(rgb, painted_with(rgb, 0.8 * deviation))


def test_errors_of_the_mean_do_not_count() -> None:
    rgb = ground(BROWN, 3)
    assert not are_worse(rgb, painted_with(rgb, 1.5, shift=9))


@pytest.mark.parametrize(("share", "told"), [(0.125, False), (0.375, True)])
def test_a_saturated_part_beside_detail_counts_alone(share: float, told: bool) -> None:
    """Beside as much detail a muted part does not, since photos have some."""
    for colour in (GREEN, BROWN):
        rgb = np.random.default_rng(2).integers(0, 256, (64, 256, 3), np.uint8)
        width = round(share * 256)
        rgb[:, :width] = ground(colour, 3, width)
        assert may_be_smooth(rgb) == are_worse(rgb, painted_with(rgb, 6)) == (told and colour == GREEN)
        assert not are_worse(rgb, painted_with(rgb, 1))


def test_no_place_is_whole() -> None:
    places = SmoothPlaces()
    places.add(ground(GREEN, 3, 7, 5), ground(GREEN, 6, 7, 5))
    assert not places.are_painted_worse
