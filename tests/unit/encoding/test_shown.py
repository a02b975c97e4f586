"""Checks what of a painted picture counts when its colours are mended."""

import numpy as np
import pytest
import skimage.data
from PIL import Image

import vqcodec
from tests.conftest import make_picture
from tests.unit.rate.test_graphics import text
from vqcodec.coding.tint import read_colour_layer
from vqcodec.encoding.shown import Shown
from vqcodec.format.container import read_container
from vqcodec.format.layers import NO_LAYERS, Layers, read_layers
from vqcodec.images.layers import exact_patches
from vqcodec.images.picture import Picture

SIZE = (48, 40)
PART = slice(8, 32), slice(16, 48)


@pytest.fixture
def rgb() -> np.ndarray:
    return make_picture(*SIZE)


def test_what_patches_and_alpha_hide_equals_the_picture(rgb: np.ndarray) -> None:
    mask, alpha = np.zeros(SIZE[::-1], bool), np.full(SIZE[::-1], 255, np.uint8)
    mask[4:20, 10:30], alpha[25:, :24], alpha[30:, 40:] = True, 0, 1
    painted = 255 - rgb
    shown = Shown(Picture(rgb, alpha), Layers(exact_patches(rgb, mask))).beside(rgb[PART], painted[PART], PART)
    assert np.array_equal(shown, np.where((mask | (alpha == 0))[PART][:, :, None], rgb[PART], painted[PART]))


def test_of_grey_pictures_the_mean_of_colours_is_shown(rgb: np.ndarray) -> None:
    picture = Picture(rgb[:, :, 0])
    shown = Shown(picture, NO_LAYERS).beside(picture.rgb[PART], rgb[PART], PART)
    assert (shown == shown[:, :, :1]).all() and np.abs(shown[:, :, 0] - rgb[PART].mean(axis=2)).max() <= 0.5
    assert Shown(Picture(rgb), NO_LAYERS).coloured(rgb) is rgb


@pytest.mark.parametrize(("hidden", "quality"), [("under text", 10), ("transparent", 10), ("colour of grey", 3)])
def test_colours_that_are_not_shown_are_not_mended(hidden: str, quality: int) -> None:
    photo = skimage.data.astronaut()[:256, :256].copy()
    below = np.zeros((256, 256), bool)
    if hidden == "under text":
        below[128:] = True
        photo[128:] = np.where(text((256, 128)) < 128, np.uint8(0), np.array((250, 240, 20), np.uint8))
        picture = Image.fromarray(photo)
    elif hidden == "transparent":
        below[128:] = True
        picture = Image.fromarray(np.dstack([photo, np.where(below, 0, 255).astype(np.uint8)]))
    else:
        picture = Image.fromarray(skimage.data.moon()[:256, :256])
    layers = read_layers(read_container(vqcodec.encode(picture, quality=quality)).layers, 256, 256)
    assert layers.tint is not None and bool(layers.patches) == (hidden == "under text")
    offsets = read_colour_layer(layers.tint, 256, 256).offsets
    if hidden == "colour of grey":
        assert (offsets == offsets[:, :, :1]).all()
    else:
        assert offsets.any() and not offsets[len(offsets) // 2 :].any()
