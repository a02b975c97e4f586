"""Checks that maps come back from their tiles, and that tiles, groups and batches have their limits."""

import numpy as np
import pytest

from vqcodec.coding.tiles import batches_by_size, cut_maps, cut_tiles, join_tiles, stack_tiles, tile_groups


@pytest.mark.parametrize(("number", "side"), [(0, 32), (1, 64), (3, 64)])
@pytest.mark.parametrize(("high", "wide"), [(0.1, 0.1), (1, 1), (1.1, 0.9), (2, 3), (4.5, 2.2)])
def test_a_map_comes_back_from_its_tiles(number: int, side: int, high: float, wide: float) -> None:
    height, width = round(high * side), round(wide * side)
    indices = np.arange(height * width, dtype=np.int64).reshape(height, width)
    tiles = cut_tiles(indices, number)
    assert all(1 <= length <= side for tile in tiles for length in tile.shape)
    assert np.array_equal(join_tiles(tiles, height, width, number), indices)


def test_groups_hold_two_by_two_tiles_row_by_row() -> None:
    """A map of 3 x 3 tiles, of which the last of each row and column have one code."""
    corners = [[(rows.start, columns.start) for rows, columns in group] for group in tile_groups(65, 65, 0)]
    assert corners == [[(0, 0), (0, 32), (32, 0), (32, 32)], [(0, 64), (32, 64)], [(64, 0), (64, 32)], [(64, 64)]]
    assert [(place[0].stop, place[1].stop) for place in tile_groups(65, 65, 0)[3]] == [(65, 65)]
    assert len(tile_groups(128, 128, 1)) == 1 and len(tile_groups(128, 129, 1)) == 2


def test_tiles_of_all_maps_show_the_same_part_of_the_picture() -> None:
    top = np.arange(40 * 70).reshape(40, 70)
    bottom = top.repeat(2, axis=0).repeat(2, axis=1)
    cut = cut_maps([top, bottom], 6)
    assert len(cut) == 6
    for of_top, of_bottom in cut:
        assert np.array_equal(of_top, of_bottom[::2, ::2])


def test_stacked_tiles_are_zero_beyond_their_codes() -> None:
    stacked = stack_tiles([np.full((2, 3), 7), np.full((1, 1), 5)], 2, 4)
    assert stacked.tolist() == [[[7, 7, 7, 0], [7, 7, 7, 0]], [[5, 0, 0, 0], [0, 0, 0, 0]]]


def test_batches_hold_equal_keys_within_both_limits() -> None:
    small, large, huge = ("a", 8, 8), ("a", 500, 1), ("a", 1000, 2)
    keys = [small, ("b", 8, 8), small, large, small, large, large, huge, huge]
    assert list(batches_by_size(keys, 2, 1000)) == [[0, 2], [4], [1], [3, 5], [6], [7], [8]]
    assert list(batches_by_size(keys, 9, 1000)) == [[0, 2, 4], [1], [3, 5], [6], [7], [8]]


def test_a_batch_size_of_few_bits_does_not_overflow() -> None:
    keys = [("a", 8, 8)] * 500
    assert list(batches_by_size(keys, np.uint8(200), 1 << 20)) == list(batches_by_size(keys, 200, 1 << 20))  # type: ignore[arg-type]
