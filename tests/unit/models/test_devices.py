"""Checks the sizes of batches; the memory of a GPU is feigned."""

import pytest
import torch

from vqcodec.models.devices import MAX_BATCH_PIXELS, batch_limits


def test_batches_grow_with_the_free_memory_of_a_gpu(monkeypatch: pytest.MonkeyPatch) -> None:
    assert batch_limits("cpu", None) == (8, MAX_BATCH_PIXELS) and batch_limits("cpu", 3) == (3, MAX_BATCH_PIXELS)
    monkeypatch.setattr(torch.cuda, "memory_reserved", lambda: 3 << 30)
    monkeypatch.setattr(torch.cuda, "memory_allocated", lambda: 1 << 30)
    pixels = []
    for gib in (2, 16, 80):
        monkeypatch.setattr(torch.cuda, "mem_get_info", lambda gib=gib: (gib << 30, 80 << 30))
        most, of_batch = batch_limits("cuda", None)
        assert most > 8 and batch_limits("cuda", 5) == (5, of_batch)
        pixels.append(of_batch)
    assert pixels[0] < MAX_BATCH_PIXELS < pixels[2] and pixels[1] / pixels[0] == pytest.approx(18 / 4, rel=0.01)
