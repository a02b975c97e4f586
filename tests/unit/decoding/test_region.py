"""Checks which regions are accepted, and where they lie."""

import numpy as np
import pytest

from vqcodec.decoding.region import Region
from vqcodec.errors import RegionError


def test_a_region_is_rows_and_columns_of_its_picture() -> None:
    assert Region.of((3, 4, 5, 6)).within(8, 10) == (slice(4, 10), slice(3, 8))
    assert Region.of([np.int64(0), 0, 1, 1]) == Region(0, 0, 1, 1)


@pytest.mark.parametrize("values", [(0, 0, 9, 1), (8, 0, 1, 1), (0, 10, 1, 1), (0, 1, 1, 10), (1 << 40, 0, 1, 1)])
def test_a_region_beyond_the_picture_is_refused(values: tuple[int, ...]) -> None:
    with pytest.raises(RegionError, match=rf"{values[2]}x{values[3]} pixels at {values[0]},{values[1]}, expected one within .* 8x10"):
        Region.of(values).within(8, 10)


@pytest.mark.parametrize("values", [(0, 0, 0, 1), (0, 0, 1, -1), (-1, 0, 1, 1), (0, -1, 1, 1)])
def test_sides_and_places_have_limits(values: tuple[int, ...]) -> None:
    with pytest.raises(ValueError, match=f"not {','.join(map(str, values))}"):
        Region.of(values)


@pytest.mark.parametrize("values", [(0, 0, 1), (0, 0, 1, 1, 1), "0,0,1,1", 5, (0, 0, 1.5, 1), (True, 0, 1, 1), (0, 0, None, 1)])
def test_other_values_are_a_mistake(values: object) -> None:
    with pytest.raises(TypeError, match="four whole numbers"):
        Region.of(values)
