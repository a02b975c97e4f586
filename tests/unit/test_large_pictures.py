"""Checks pictures of many tiles and blocks: no seams, the codes of one pass, and shapes at the limits."""

import inspect
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

import vqcodec
from tests.conftest import make_picture
from vqcodec.encoding.pictures import encode_pictures
from vqcodec.images.picture import Picture
from vqcodec.models.dial import OperatingPoint
from vqcodec.models.model import load_model
from vqcodec.models.registry import DEFAULT_MODEL
from vqcodec.nn.autoencoder import blocks, painting
from vqcodec.rate.options import LayerOptions


def set_block(monkeypatch: pytest.MonkeyPatch, function: Callable[..., Any], block: int) -> None:
    """Sets the default of the longest side of a block."""
    own = inspect.unwrap(function)
    monkeypatch.setattr(own, "__kwdefaults__", {**own.__kwdefaults__, "block": block})


@pytest.mark.slow
def test_an_even_sky_shows_no_seams(monkeypatch: pytest.MonkeyPatch) -> None:
    """At the borders of tiles and blocks there are no steps that could be seen, or larger than at other codes, by the shipped model."""
    monkeypatch.setattr("vqcodec.encoding.pictures.may_be_smooth", lambda _: False)  # AVIF in place of codes has borders of its own
    monkeypatch.setattr(painting, "PAINTED_PX", 256)
    set_block(monkeypatch, blocks.encode_in_blocks, 512)
    set_block(monkeypatch, painting.paint_in_blocks, 256)
    y, x = np.mgrid[0:560, 0:776]
    noise = np.random.default_rng(0).normal(0, 1.5, (560, 776, 1))
    sky = (np.stack([90 + x / 16, 130 + y / 12, 215 - (x + y) / 40], axis=2) + noise).round().astype(np.uint8)
    decoded = np.asarray(vqcodec.decode(vqcodec.encode(sky, quality=30, device="cpu"), device="cpu")).astype(float)
    errors = decoded - sky
    for lines in (errors, errors.transpose(1, 0, 2)):
        steps = np.abs(np.diff(lines, axis=0).mean(axis=1)).mean(axis=1)[7::8]
        borders = np.arange(len(steps)) % 32 == 31
        assert 2 <= borders.sum() < 8
        assert steps[borders].max() <= 1.2 * steps[~borders].max() and steps[borders].mean() < 0.3


@pytest.mark.slow
def test_codes_of_blocks_are_those_of_one_pass(photo: NDArray[np.uint8], monkeypatch: pytest.MonkeyPatch) -> None:
    """By the shipped model; where one differs, floats rounded otherwise, and the codes after it in its tile may follow."""
    model = load_model(DEFAULT_MODEL, "cpu")
    picture = Picture(np.hstack([photo, photo[:, ::-1]])[:296, :600])
    point, options = OperatingPoint(2, 1.0), LayerOptions(layers=False)
    (whole,) = encode_pictures([picture], model, point=point, options=options)
    set_block(monkeypatch, blocks.encode_in_blocks, 512)
    (parts,) = encode_pictures([picture], model, point=point, options=options)
    for a, b in zip(whole.indices, parts.indices, strict=True):
        assert (a == b).mean() > 0.98


@pytest.mark.slow
@pytest.mark.parametrize("size", [(1, 1_000_000), (1_000_000, 1), (40_000, 300)])
def test_shapes_at_the_limits_come_back(small_model: str, size: tuple[int, int]) -> None:
    width, height = size
    picture = np.tile(make_picture(min(width, 2500), min(height, 2500)), (-(-height // 2500), -(-width // 2500), 1))[:height, :width]
    data = vqcodec.encode(picture, model=small_model, num_maps=1, coder="prior", layers=False)
    part = vqcodec.decode(data, region=(width // 2, height // 2, 1, 1))
    decoded = np.asarray(vqcodec.decode(data))
    assert decoded.shape == (height, width, 3)
    assert np.abs(decoded[height // 2, width // 2].astype(int) - np.asarray(part)[0, 0]).max() <= 1


def test_one_pixel_comes_back(small_model: str) -> None:
    data = vqcodec.encode(np.full((1, 1, 3), 200, np.uint8), model=small_model)
    assert vqcodec.decode(data).size == (1, 1) == vqcodec.decode(data, region=(0, 0, 1, 1)).size
