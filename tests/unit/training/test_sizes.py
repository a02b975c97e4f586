"""Sizes of the photos of a set: where each starts, which have room for a square, and which of them are taken."""

import json
from pathlib import Path

import numpy as np
import pytest

from vqcodec.training.sizes import Sizes, read_sizes
from vqcodec.training.trainer import step_rng

SIZES = Sizes(np.array([10, 40, 20, 30]), np.array([50, 20, 20, 30]))


def test_photos_start_one_after_another() -> None:
    assert SIZES.offsets.tolist() == [0, 500, 1300, 1700] and SIZES.areas.sum() == 2600


def test_wide_and_tall_photos_have_room_for_the_shorter_side_alone() -> None:
    assert SIZES.largest_side == 30 and Sizes(np.array([40, 20]), np.array([20, 50])).largest_side == 20


def test_draws_are_in_proportion_to_area_among_those_with_room() -> None:
    drawn = np.bincount(SIZES.draw(21_000, 20, step_rng(0, 0)), minlength=4)
    assert drawn[0] == 0 and np.allclose(drawn[1:] / 1000, [8, 4, 9], atol=0.5)


@pytest.mark.parametrize(("count", "expected"), [(1, [1]), (2, [1, 3]), (3, [1, 2, 3]), (9, [1, 2, 3])])
def test_photos_that_are_looked_at_are_spread_evenly(count: int, expected: list[int]) -> None:
    assert SIZES.spread(count, 20).tolist() == expected


def test_a_square_that_no_photo_has_room_for() -> None:
    message = "no photo has 31x31 pixels; the shorter side of the largest has 30"
    with pytest.raises(ValueError, match=message):
        SIZES.spread(1, 31)
    with pytest.raises(ValueError, match=message):
        SIZES.draw(1, 31, step_rng(0, 0))


@pytest.mark.parametrize("sizes", [None, [], [[1]], [[0, 1]], [[1, 1.5]], [[True, 1]], [[1, 1 << 40]]])
def test_files_without_sizes_are_refused(tmp_path: Path, sizes: object) -> None:
    path = tmp_path / "index.json"
    path.write_text(json.dumps({"sizes": sizes}))
    with pytest.raises(ValueError, match="holds no sizes"):
        read_sizes(path)
    path.write_text(json.dumps({"sizes": [[10, 50], [40, 20]]}))
    assert read_sizes(path).heights.tolist() == [10, 40]
