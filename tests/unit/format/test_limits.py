"""Checks which numbers of pixels are let in, told and refused."""

import pytest

from vqcodec.errors import LimitExceededError
from vqcodec.format.container import MAX_PIXELS
from vqcodec.format.limits import MANY_PIXELS, allowed_pixels, check_file_size, check_max_pixels, size_note


def test_a_limit_is_a_whole_number_of_at_least_1() -> None:
    for good in (None, 1, 10**12):
        check_max_pixels(good)
    for bad in (0, -1):
        with pytest.raises(ValueError, match="max_pixels must be at least 1"):
            check_max_pixels(bad)
    for other in (1.5, "1", True):
        with pytest.raises(TypeError, match="max_pixels must be a whole number"):
            check_max_pixels(other)


def test_the_limit_of_the_format_stands_above_that_of_a_caller() -> None:
    assert [allowed_pixels(limit) for limit in (None, 5, 1 << 40)] == [MAX_PIXELS, 5, MAX_PIXELS]


def test_large_pictures_are_told_where_no_limit_is_set() -> None:
    assert size_note(MANY_PIXELS, 1, None) == "" and size_note(MANY_PIXELS + 1, 1, MAX_PIXELS) == ""
    assert size_note(10000, 10000, None).startswith("10000x10000 pixels take much time and memory; --max-pixels")


def test_many_pixels_from_few_bytes_need_a_limit_of_the_callers() -> None:
    check_file_size(9000, 9000, 23, None)
    check_file_size(10000, 10000, 12500, None)
    check_file_size(10000, 10000, 23, MAX_PIXELS)
    with pytest.raises(LimitExceededError, match="image of 10000x10000 pixels in 12499 bytes, expected at most 89478485 pixels in so few"):
        check_file_size(10000, 10000, 12499, None)
    with pytest.raises(LimitExceededError, match="image of 11x10 pixels, expected 109 at most"):
        check_file_size(11, 10, 1000, 109)
