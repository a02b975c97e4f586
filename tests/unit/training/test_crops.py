"""Checks that crops are the same ones wherever the photos lie."""

from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
import torch

from tests.unit.training.conftest import CPU
from vqcodec.training import crops as crops_module
from vqcodec.training.crops import Crops, uploaded
from vqcodec.training.data import PhotoSet
from vqcodec.training.trainer import step_rng


@pytest.mark.parametrize("size", [8, 40, 56])
def test_crops_from_the_memory_of_a_device_are_those_of_the_cache(photos: PhotoSet, monkeypatch: pytest.MonkeyPatch, size: int) -> None:
    monkeypatch.setattr(crops_module, "_UPLOADED_BYTES", 1000)
    mapped, held = Crops.of(photos, CPU), Crops(photos, CPU, uploaded(photos, CPU))
    assert mapped.pixels is None
    for step in range(3):
        expected = photos.random_crops(9, size, step_rng(0, step))
        assert expected.shape == (9, size, size, 3)
        for source in (mapped, held):
            assert np.array_equal(source.random(9, size, step_rng(0, step)).numpy(), expected)
    with pytest.raises(ValueError, match="no photo has 100x100 pixels"):
        held.random(1, 100, step_rng(0, 0))


def test_crops_lie_in_photos_and_half_of_them_are_mirrored(photos: PhotoSet) -> None:
    places = photos.random_places(400, 56, step_rng(0, 0))
    crops = photos.random_crops(400, 56, step_rng(0, 0))
    assert 150 < places.mirrored.sum() < 250
    whole = {
        window.tobytes()
        for number in range(len(photos))
        for photo in [photos.photo(number)]
        for top in range(photo.shape[0] - 55)
        for left in range(photo.shape[1] - 55)
        for window in (photo[top : top + 56, left : left + 56], photo[top : top + 56, left : left + 56][:, ::-1])
    }
    assert {crop.tobytes() for crop in crops} <= whole


def test_photos_stay_on_disk_where_a_gpu_lacks_memory(photos: PhotoSet, monkeypatch: pytest.MonkeyPatch) -> None:
    size = photos.pixels.nbytes
    device: Any = SimpleNamespace(type="cuda")
    monkeypatch.setattr(crops_module, "uploaded", lambda photos, device: torch.zeros(1))
    for free, is_held in ((4 * size - 1, False), (4 * size, True)):
        monkeypatch.setattr(torch.cuda, "mem_get_info", lambda device, free=free: (free, 10 * free))
        assert (Crops.of(photos, device).pixels is not None) is is_held
