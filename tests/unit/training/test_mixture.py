"""Checks batches of several kinds of crops, and the drawn pictures among them."""

import importlib.util
from dataclasses import replace

import numpy as np
import pytest
import torch

from tests.unit.training.conftest import CPU, RECIPE
from vqcodec.errors import ModelError
from vqcodec.training import mixture
from vqcodec.training.crops import Crops
from vqcodec.training.data import PhotoSet
from vqcodec.training.mixture import CropMixture, halved
from vqcodec.training.sizes import Sizes
from vqcodec.training.synthetic import SIDE_PX, synthetic_photos


def flat(colour: int, side: int) -> PhotoSet:
    """Returns one picture of one grey."""
    return PhotoSet(np.full(side * side * 3, colour, np.uint8), Sizes(np.array([side]), np.array([side])), "")


def test_shares_of_a_batch() -> None:
    crops = CropMixture(Crops(flat(10, 64), CPU), 0.25, Crops(flat(200, 64), CPU), 0.3)
    rng, drawn = np.random.default_rng(0), []
    for _ in range(100):
        batch = crops.random(8, 16, rng)
        assert batch.shape == (8, 16, 16, 3) and batch.dtype == torch.uint8
        drawn.append(int((batch[:, 0, 0, 0] == 200).sum()))
        assert (batch[:, 0, 0, 0] == 10).sum() == 8 - drawn[-1]
    assert set(drawn) == {2, 3} and np.mean(drawn) == pytest.approx(2.4, abs=0.15)
    assert crops.random(8, 40, rng).shape == (8, 40, 40, 3)
    with pytest.raises(ValueError, match="no photo has 65x65 pixels"):
        crops.random(1, 65, rng)
    everything = CropMixture(Crops(flat(10, 64), CPU), 0.0, Crops(flat(200, 64), CPU), 1.0).random(3, 16, rng)
    assert (everything == 200).all()


def test_without_shares_crops_are_those_of_the_photos(photos: PhotoSet) -> None:
    source = CropMixture.of(photos, RECIPE, CPU)
    assert source.drawn is None
    crops = source.random(4, 24, np.random.default_rng(7))
    assert np.array_equal(crops.numpy(), photos.random_crops(4, 24, np.random.default_rng(7)))


def test_shrunk_crops_are_means_of_four_pixels(photos: PhotoSet) -> None:
    large = photos.random_crops(2, 40, np.random.default_rng(1))
    small = halved(torch.from_numpy(large))
    expected = large.reshape(2, 20, 2, 20, 2, 3).astype(float).mean(axis=(2, 4))
    assert small.dtype == torch.uint8 and np.abs(small.numpy() - expected).max() <= 0.5
    rng = np.random.default_rng(3)
    rng.random()
    shrunk = CropMixture(Crops(photos, CPU), 1.0).random(2, 20, np.random.default_rng(3))
    assert np.array_equal(shrunk.numpy(), halved(torch.from_numpy(photos.random_crops(2, 40, rng))).numpy())


def test_drawn_pictures_are_decided_by_the_seed() -> None:
    first, again, other = (synthetic_photos(10, seed) for seed in (1, 1, 2))
    assert np.array_equal(first.pixels, again.pixels) and not np.array_equal(first.pixels, other.pixels)
    assert len(first) == 10 and first.photo(9).shape == (SIDE_PX, SIDE_PX, 3)
    for number in range(10):
        packed = first.photo(number).astype(np.uint32) @ np.array([1, 256, 65536], np.uint32)
        colours, counts = np.unique(packed, return_counts=True)
        assert len(colours) > 4 and counts.max() > 0.02 * packed.size


def test_missing_fonts_are_told(photos: PhotoSet, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(mixture, "_NUM_DRAWN", 1)
    assert CropMixture.of(photos, replace(RECIPE, synthetic_share=0.1), CPU).drawn is not None
    with pytest.raises(ValueError, match="synthetic_share needs crops of at most 512 pixels, as large as drawn pictures, not 520"):
        CropMixture.of(photos, replace(RECIPE, synthetic_share=0.1, crop_size=520), CPU)
    monkeypatch.setattr(importlib.util, "find_spec", lambda name: None)
    with pytest.raises(ModelError, match=r"need the fonts of matplotlib, of the extra \[train\]"):
        CropMixture.of(photos, replace(RECIPE, synthetic_share=0.1), CPU)
