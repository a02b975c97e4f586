"""Checks that every codec has a colour of its own, which readers can tell from the others."""

import itertools
import re

import numpy as np
import pytest
from skimage.color import deltaE_ciede2000, rgb2lab

from vqcodec.compare.colours import COLOURS, colours_of
from vqcodec.compare.names import ALL


def test_every_codec_has_one_whatever_stands_beside_it() -> None:
    assert sorted(COLOURS) == sorted(ALL)
    assert colours_of(["avif", "other", "vqcodec"])[::2] == [COLOURS["avif"], COLOURS["vqcodec"]]
    assert len(set(colours_of([*ALL[1:], "other"]))) == len(ALL)
    assert len(colours_of([str(number) for number in range(40)])) == 40


@pytest.mark.parametrize("background", [0, 1])
def test_they_differ(background: int) -> None:
    colours = [of_codec[background] for of_codec in COLOURS.values()]
    assert all(re.fullmatch("#[0-9a-f]{6}", colour) for colour in colours)
    lab = rgb2lab(np.array([[int(colour[start : start + 2], 16) / 255 for start in (1, 3, 5)] for colour in colours]))
    assert min(float(deltaE_ciede2000(a, b)) for a, b in itertools.combinations(lab, 2)) >= 13
