"""Checks the choice of exact pixels in large pictures, tile by tile: by made-up codes, and on the whole way with a lower limit."""

from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

import vqcodec
from tests.conftest import make_picture
from tests.unit.rate.test_graphics import noise, text
from tests.unit.rate.test_layers import WEIGHT, blurred, exact_mask
from tests.unit.test_layered_files import decoded, layers_of
from vqcodec.format.layers import Layers
from vqcodec.rate.layers import free_places, hidden_places
from vqcodec.rate.tiles import TiledLayers, choose_in_tiles


@pytest.fixture(autouse=True)
def small_tiles(monkeypatch: pytest.MonkeyPatch) -> None:
    """Cuts pictures into tiles of 64x128 pixels, and takes those of more than 4096 pixels for large ones."""
    monkeypatch.setattr("vqcodec.rate.tiles._TILE_ROWS", 64)
    monkeypatch.setattr("vqcodec.rate.tiles._TILE_COLUMNS", 128)
    monkeypatch.setattr("vqcodec.encoding.pictures.MOST_AT_ONCE_PX", 4096)
    monkeypatch.setattr("vqcodec.images.fill._CELL_PX", 64)


def choose(rgb: NDArray[np.uint8], painted: NDArray[np.uint8], alpha: NDArray[np.uint8] | None = None) -> TiledLayers | None:
    return choose_in_tiles(rgb, alpha, lambda part: painted[part], 4000, WEIGHT)


def test_text_becomes_exact_and_noise_does_not() -> None:
    """The sides are no multiples of those of tiles, nor of 8."""
    rgb = np.hstack([text((200, 150)), make_picture(133, 150)])
    painted = rgb.copy()
    painted[:, :200] = blurred(rgb)[:, :200]
    told: list[float] = []
    chosen = choose_in_tiles(rgb, None, lambda part: painted[part], 4000, WEIGHT, told.append)
    assert chosen is not None and told == sorted(told) and told[-1] == 1 and len(told) == 9
    assert all(patch.size[0] <= 128 and patch.size[1] <= 64 for patch in chosen.patches)
    mask = exact_mask(Layers(chosen.patches), 333, 150)
    assert mask[:, :128].all() and not mask[:, 256:].any() and not chosen.covers
    hidden = np.unpackbits(chosen.hidden, axis=1, count=333).astype(bool)
    assert np.array_equal(hidden, mask)
    assert np.array_equal(chosen.free, free_places(hidden_places(mask)))
    assert 0 <= chosen.error_left < 0.5 * chosen.error


def test_where_all_is_text_the_layers_cover_the_picture() -> None:
    rgb = text((300, 150))
    chosen = choose(rgb, blurred(rgb))
    assert chosen is not None and chosen.covers and chosen.error_left == 0
    assert exact_mask(Layers(chosen.patches), 300, 150).all()


def test_where_codes_are_good_nothing_is_exact() -> None:
    rgb = noise(200, 100)
    assert choose(rgb, np.clip(rgb.astype(int) + 1, 0, 255).astype(np.uint8)) is None


def test_pixels_that_cannot_be_seen_are_not_open() -> None:
    rgb, alpha = text((300, 150)), np.zeros((150, 300), np.uint8)
    alpha[:, :100] = 9
    chosen = choose(rgb, blurred(rgb), alpha)
    assert chosen is not None and chosen.covers


def test_layers_pay_by_what_is_saved_clearly() -> None:
    layers = TiledLayers((), np.zeros((1, 1), np.uint8), np.zeros((1, 1), bool), covers=False, error=1000.0, error_left=0.0)
    assert layers.pay(95, 90, 100.0) and not layers.pay(97, 90, 100.0)


@pytest.mark.parametrize("mode", ["RGB", "RGBA"])
def test_a_large_screen_is_exact_but_for_its_photo(small_model: str, photo: NDArray[np.uint8], mode: str) -> None:
    rgb = np.hstack([text((256, 192)), photo[50:242, 100:256]])
    picture: Any = rgb
    if mode == "RGBA":
        picture = np.dstack([rgb, np.full(rgb.shape[:2], 255, np.uint8)])
        picture[:20, :20, 3] = 0
    data = vqcodec.encode(picture, model=small_model, quality=50)
    back = decoded(data)
    assert np.array_equal(back[20:, :256], picture[20:, :256]) and not np.array_equal(back, picture)
    assert len(layers_of(data).patches) > 1
    part = decoded(data, region=(200, 100, 100, 60))
    assert np.array_equal(part[:, :56], picture[100:160, 200:256])
    plain = decoded(vqcodec.encode(picture, model=small_model, quality=50, layers=False))
    errors = [np.square(one[20:, 264:412].astype(int) - picture[20:, 264:412]).mean() for one in (back, plain)]
    assert errors[0] < 1.2 * errors[1]


def test_a_large_page_of_text_has_no_codes(small_model: str) -> None:
    rgb = text((300, 200))
    data = vqcodec.encode(rgb, model=small_model)
    assert np.array_equal(decoded(data), rgb) and len(layers_of(data).patches) == 12


def test_a_limit_and_options_hold_for_large_pictures(small_model: str, photo: NDArray[np.uint8]) -> None:
    rgb = np.hstack([text((256, 192)), photo[50:242, 100:256]])
    limit = len(vqcodec.encode(rgb, model=small_model, quality=50)) - 200
    data = vqcodec.encode(rgb, model=small_model, max_bytes=limit)
    assert len(data) <= limit and decoded(data).shape == rgb.shape
    assert not layers_of(vqcodec.encode(rgb, model=small_model, exact="off")).patches
    lossless = vqcodec.encode(rgb, model=small_model, exact="all")
    assert np.array_equal(decoded(lossless), rgb)
