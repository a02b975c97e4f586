"""Checks the choice of a colour layer: it is made where large areas are off, and where bytes are worth it."""

import numpy as np
import pytest
from numpy.typing import NDArray

from tests.conftest import make_picture
from vqcodec.coding.tint import read_colour_layer
from vqcodec.models.dial import OperatingPoint
from vqcodec.rate.layers import byte_weight
from vqcodec.rate.tint import choose_tint, far_worth, place_means, tint_weight, worst_block

WEIGHT = byte_weight(OperatingPoint(2, 0.3))


def places(width: int, height: int) -> NDArray[np.float32]:
    """Returns errors of 0 of the places of a picture."""
    return np.zeros((-(-height // 8), -(-width // 8), 3), np.float32)


@pytest.mark.parametrize(("width", "height"), [(256, 192), (251, 187), (384, 64)])
def test_large_areas_that_are_off_are_brought_back(width: int, height: int) -> None:
    rgb = make_picture(width, height).clip(20, 235)
    painted = rgb.copy()
    painted[:, : width // 2] -= 6
    painted[: height // 2, width // 2 :, 0] += 6
    errors = place_means(rgb.astype(np.float32) - painted)
    assert errors.shape == places(width, height).shape
    layer = choose_tint(errors, width, height, WEIGHT)
    assert layer is not None and len(layer.body) < 100
    before, after = (np.square(rgb.astype(float) - picture).sum() for picture in (painted, layer.added_to(painted)))
    assert after < 0.25 * before
    assert WEIGHT * (len(layer.body) + 11) < before - after


def test_a_picture_that_is_off_as_a_whole() -> None:
    errors = places(300, 200)
    errors[:] = (6, -4, 3)
    layer = choose_tint(errors, 300, 200, WEIGHT)
    assert layer is not None and len(layer.body) < 40
    moved = layer.added_to(np.full((200, 300, 3), 100, np.uint8)).astype(int) - 100
    assert (moved == moved[0, 0]).all() and np.abs(moved[0, 0] - (6, -4, 3)).max() <= 1


@pytest.mark.parametrize("seed", range(5))
def test_noise_gets_none(seed: int) -> None:
    rng = np.random.default_rng(seed)
    pixels = rng.normal(0, 6, (192, 256, 3)).astype(np.float32)
    assert choose_tint(place_means(pixels), 256, 192, WEIGHT) is None
    assert choose_tint(rng.normal(0, 3, (24, 32, 3)).astype(np.float32), 256, 192, WEIGHT) is None


def test_no_errors_get_none() -> None:
    for weight in (0.0, WEIGHT):
        assert choose_tint(places(100, 100), 100, 100, weight) is None


def test_where_bytes_are_dear_nothing_pays() -> None:
    errors = places(256, 192)
    errors[:, :16] = 6
    weights = [0.0, WEIGHT, 14_000.0, 1e7]
    layers = [choose_tint(errors, 256, 192, weight) for weight in weights]
    assert [layer is None for layer in layers] == [False, False, False, True]
    lengths = [len(layer.body) for layer in layers if layer is not None]
    assert lengths == sorted(lengths, reverse=True)


def test_one_block_that_is_far_off_counts_more_than_its_squares() -> None:
    errors = places(512, 384)
    errors[8:16, 8:16] = 4
    layer = choose_tint(errors, 512, 384, 15_000)
    assert layer is not None and layer.offsets.any()
    assert choose_tint(errors, 512, 384, 15_000, 0.0) is None
    errors[8:16, 8:16] = 1.9
    assert choose_tint(errors, 512, 384, 15_000) is None


def test_far_blocks_count_where_bytes_are_spent_on_them() -> None:
    assert far_worth("iq") == far_worth("perceptual") > far_worth("psnr") == 0


def test_a_byte_must_save_its_share_of_the_squared_error() -> None:
    assert tint_weight(6e6, 3000) == 2000
    assert tint_weight(6e6, 0) == 6e6


@pytest.mark.parametrize("scale", [20, 60, 255])
def test_offsets_are_in_their_range(scale: int) -> None:
    """However large the errors are, the layer can be read."""
    rng = np.random.default_rng(scale)
    for width, height in [(1, 1), (33, 7), (200, 130)]:
        errors = rng.choice(np.array([-scale, scale], np.float32), places(width, height).shape)
        layer = choose_tint(errors, width, height, 0.0)
        assert layer is not None and np.abs(layer.offsets).max() <= 15
        assert np.array_equal(read_colour_layer(layer.body, width, height).offsets, layer.offsets)


def test_one_pixel() -> None:
    assert choose_tint(place_means(np.full((1, 1, 3), 6, np.float32)), 1, 1, 8 * WEIGHT) is None
    layer = choose_tint(place_means(np.full((1, 1, 3), 6, np.float32)), 1, 1, 0.1)
    assert layer is not None and layer.added_to(np.full((1, 1, 3), 100, np.uint8)).tolist() == [[[106, 106, 106]]]


@pytest.mark.parametrize("size", [(8, 8), (1, 1), (17, 23), (64, 9)])
def test_means_of_places(size: tuple[int, int]) -> None:
    """The last place of a row or column is the mean of the pixels that there are."""
    width, height = size
    pixels = np.random.default_rng(0).normal(0, 9, (height, width, 3)).astype(np.float32)
    means = place_means(pixels)
    assert means.dtype == np.float32 and means.shape == places(width, height).shape
    for row, column in np.ndindex(means.shape[:2]):
        own = pixels[8 * row : 8 * row + 8, 8 * column : 8 * column + 8]
        assert np.allclose(means[row, column], own.mean(axis=(0, 1), dtype=np.float64), atol=1e-4)


@pytest.mark.parametrize("edge", [-8, -1])
def test_the_worst_block_is_found_at_every_edge(edge: int) -> None:
    errors = places(8 * 19, 8 * 11)
    errors[edge:, edge:, 1] = -3.0
    assert worst_block(errors) == pytest.approx(3.0 * (edge / 8) ** 2)
    errors[:8, 8:16, 2] = 4.0
    assert worst_block(errors) == 4.0
    assert worst_block(np.full((3, 20, 3), -2.0, np.float32)) == 2.0
