"""Checks large pictures whose hidden pixels are filled part by part; the filling itself is tested with alpha planes."""

import numpy as np
import pytest
from numpy.typing import NDArray

from tests.conftest import make_picture
from vqcodec.images.fill import FilledParts, fill_smoothly, repeat_hidden

RGB = make_picture(301, 203)


@pytest.fixture
def hidden(monkeypatch: pytest.MonkeyPatch) -> NDArray[np.bool_]:
    """Returns a mask with a hole, and makes the cells of the picture small."""
    monkeypatch.setattr("vqcodec.images.fill._CELL_PX", 64)
    monkeypatch.setattr("vqcodec.images.fill._AROUND_PX", 16)
    monkeypatch.setattr("vqcodec.images.fill._KEPT_CELLS", 3)
    mask = np.zeros((203, 301), bool)
    mask[30:150, 40:290] = True
    mask[70:75, 100:105] = False
    return mask


def test_parts_are_those_of_one_picture(hidden: NDArray[np.bool_]) -> None:
    filled = FilledParts(RGB, np.packbits(hidden, axis=1))
    assert filled.shape == RGB.shape
    whole = filled[:, :]
    assert np.array_equal(whole[~hidden], RGB[~hidden]) and not np.array_equal(whole[hidden], RGB[hidden])
    for place in [
        (slice(0, 64), slice(0, 64)),
        (slice(33, 170), slice(61, 301)),
        (slice(202, 210), slice(300, 400)),
        (slice(5, 6), slice(9, 9)),
    ]:
        assert np.array_equal(filled[place], whole[place])
    assert np.array_equal(RGB, make_picture(301, 203))


def test_hidden_pixels_are_near_those_beside_them(hidden: NDArray[np.bool_]) -> None:
    """As near as where the whole picture is filled at once, even if the edge of the hidden pixels is the border of a cell, as at 64."""
    hidden[:, :64] = False
    filled = FilledParts(RGB, np.packbits(hidden, axis=1))[:, :], fill_smoothly(RGB, ~hidden)
    in_parts, at_once = (np.abs(one[40:140, 64].astype(int) - one[40:140, 63]).mean() for one in filled)
    assert in_parts < 1.2 * at_once
    assert (filled[0][70:125, 230:240] == 128).all()


def test_nothing_hidden_changes_nothing() -> None:
    assert np.array_equal(FilledParts(RGB, np.zeros((203, 38), np.uint8))[:, :], RGB)


def test_hidden_pixels_repeat_the_last_known_one(monkeypatch: pytest.MonkeyPatch, hidden: NDArray[np.bool_]) -> None:
    monkeypatch.setattr("vqcodec.images.fill._STRIP_PX", 50)
    repeated = repeat_hidden(RGB, ~hidden)
    assert np.array_equal(repeated[~hidden], RGB[~hidden])
    assert (repeated[30:70, 40:290] == RGB[30:70, 39:40]).all() and (repeated[72, 105:290] == RGB[72, 104]).all()
    hidden[:, 0] = True
    assert (repeat_hidden(RGB, ~hidden)[:, 0] == 0).all()
