"""Checks the colours of codes and of heat."""

import numpy as np
import pytest
from PIL import Image

from vqcodec.images.sheets import colours_of_codes, enlarged, faded, heat_over


def test_codes_that_are_alike_look_alike() -> None:
    rng = np.random.default_rng(0)
    codebook = rng.normal(size=(64, 12))
    codebook[1] = codebook[0] + 0.01
    colours = colours_of_codes(codebook).astype(int)
    assert np.abs(colours[0] - colours[1]).max() <= 3
    assert len(np.unique(colours, axis=0)) > 60 and colours.max() - colours.min() > 150
    assert np.array_equal(colours_of_codes(codebook[::-1]), colours[::-1])


@pytest.mark.parametrize("codebook", [np.zeros((4, 3)), np.arange(4.0)[:, None]])
def test_poor_codebooks_have_colours(codebook: np.ndarray) -> None:
    assert colours_of_codes(codebook).shape == (4, 3)


def test_heat_is_brighter_where_values_are_larger() -> None:
    heat = np.asarray(heat_over(Image.new("RGB", (13, 8)), np.array([[0.0, 5.0]]), 5.0, 8).convert("L")).astype(int)
    assert (heat[:, :8] == heat[0, 0]).all() and (heat[:, 8:] == heat[0, 8]).all() and heat[0, 8] > heat[0, 0] + 100


def test_places_are_enlarged_from_the_corner() -> None:
    image = Image.fromarray(np.array([[0, 1], [2, 3]], np.uint8))
    assert np.array_equal(np.asarray(enlarged(image, (13, 9), 8)), np.array([[0, 1], [2, 3]])[np.arange(9) // 8][:, np.arange(13) // 8])


def test_what_is_not_kept_is_pale() -> None:
    kept = np.array([[True, False]])
    assert np.asarray(faded(Image.new("RGB", (2, 1), (200, 0, 0)), kept))[0, 0].tolist() == [200, 0, 0]
    assert np.asarray(faded(Image.new("RGB", (2, 1), (200, 0, 0)), kept))[0, 1].min() > 180
