"""Checks which numbers of pixels are let in, told and refused."""

import pytest

from vqcodec.errors import LimitExceededError
from vqcodec.format.container import MAX_PIXELS, ColourMode, Header
from vqcodec.format.layers import NO_LAYERS, WEBP_SIGNATURE, Layers, Patch
from vqcodec.format.limits import MANY_PIXELS, allowed_pixels, check_file_size, check_max_pixels, check_part_size, size_note


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


def patch(left: int, top: int, width: int, height: int) -> Patch:
    return Patch(left, top, 1, WEBP_SIGNATURE + (width - 1 | (height - 1) << 14).to_bytes(4, "little"))


@pytest.mark.parametrize(
    ("mode", "layers", "most"),
    [
        (ColourMode.RGB, NO_LAYERS, 20 * 10),
        (ColourMode.RGB, Layers((patch(0, 0, 40, 60), patch(60, 0, 40, 60), patch(0, 15, 100, 9))), 20 * 10),
        (ColourMode.RGB, Layers((patch(0, 0, 41, 10), patch(60, 0, 40, 60))), 41 * 10),
        (ColourMode.RGB, Layers((patch(0, 0, 41, 10), patch(59, 14, 41, 46))), 41 * 10 + 41 * 46),
        (ColourMode.RGB, Layers((patch(45, 6, 2, 2),)), 20 * 10),
        (ColourMode.RGB, Layers(avif=b""), 100 * 60),
        (ColourMode.LA, NO_LAYERS, 100 * 60),
    ],
)
def test_what_is_decoded_as_a_whole_for_a_part_counts(mode: ColourMode, layers: Layers, most: int) -> None:
    header, part = Header(1, bytes(4), 100, 60, mode, ()), (slice(5, 15), slice(40, 60))
    check_part_size(part, header, layers, 1000, most)
    with pytest.raises(LimitExceededError, match=f"expected {most - 1} at most"):
        check_part_size(part, header, layers, 1000, most - 1)
