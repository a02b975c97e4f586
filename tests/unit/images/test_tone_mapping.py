"""Checks that HDR becomes sRGB by the curves that ITU-R BT.2100 and BT.2390 define."""

import numpy as np
import pytest

from vqcodec.images.colour import D65, Colours
from vqcodec.images.tone_mapping import WHITE_NITS, nits_to_pq, pq_to_nits, tone_map

BT2020 = ((0.708, 0.292), (0.170, 0.797), (0.131, 0.046))
PQ, HLG = Colours(BT2020, D65, "pq"), Colours(BT2020, D65, "hlg")


def pq_levels(*nits: float) -> list[int]:
    return [round(float(value) * 255) for value in nits_to_pq(np.array(nits))]


def greys(*levels: int) -> np.ndarray:
    return np.repeat(np.array(levels, np.uint8)[None, :, None], 3, axis=2)


def test_pq_of_known_light() -> None:
    assert pq_to_nits(np.array([0.0, 0.5081, 0.5806, 0.7518, 1.0])) == pytest.approx([0, 100, 203, 1000, 10000], rel=2e-3)
    assert pq_to_nits(nits_to_pq(np.array([0.1, 5.0, 4000.0]))) == pytest.approx([0.1, 5, 4000])


def test_light_below_white_stays_in_place() -> None:
    mapped = tone_map(greys(*pq_levels(0, 20, 80, WHITE_NITS)), PQ)[0, :, 0]
    light = np.array([0, 20, 80, 203]) / WHITE_NITS
    expected = np.where(light <= 0.0031308, 12.92 * light, 1.055 * light ** (1 / 2.4) - 0.055) * 255
    assert np.abs(mapped - expected).max() <= 3


def test_light_above_white_is_pressed_below_it() -> None:
    levels = pq_levels(5, 50, 203, 400, 700, 1000)
    mapped = tone_map(greys(*levels), PQ)[0].astype(int)
    assert (mapped == mapped[:, :1]).all() and (np.diff(mapped[:-1, 0]) > 0).all()
    assert mapped[-1, 0] >= 254 and 215 <= mapped[2, 0] <= 240
    alone = tone_map(greys(*levels[:2]), PQ)[0].astype(int)
    assert np.abs(alone[:, 0] - mapped[:2, 0]).max() <= 1


def test_hlg() -> None:
    mapped = tone_map(greys(0, 128, 191, 255), HLG)[0].astype(int)
    assert (mapped == mapped[:, :1]).all() and mapped[0, 0] == 0 and mapped[-1, 0] == 255
    same_light = tone_map(greys(*pq_levels(50.3, WHITE_NITS, 1000)), PQ)[0, :, 0].astype(int)
    assert np.abs(mapped[1:, 0] - same_light).max() <= 3  # a half of HLG is 50.3 cd/m2, three quarters are white
    assert np.abs(tone_map(greys(191), HLG)[0, 0, 0].astype(int) - mapped[2, 0]) == 0


def test_colours_are_brought_into_srgb_and_keep_their_hue() -> None:
    red, orange = [pq_levels(150)[0], 0, 0], pq_levels(600, 300, 100)
    mapped = tone_map(np.array([[red, orange]], np.uint8), PQ)[0].astype(int)
    assert mapped[0, 1:].max() == 0 and mapped[0, 0] > 200
    assert mapped[1, 0] > mapped[1, 1] > mapped[1, 2]


def test_grey_and_many_rows() -> None:
    column = np.repeat(np.arange(256, dtype=np.uint8)[:, None], 3, axis=0)
    grey = tone_map(column, PQ)
    assert grey.shape == column.shape and (np.diff(grey[:, 0].astype(int)) >= 0).all()
    assert np.array_equal(tone_map(np.repeat(column[:, :, None], 3, axis=2), PQ)[:, :, 1], grey)
