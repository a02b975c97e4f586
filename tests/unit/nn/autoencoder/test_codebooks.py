"""Codes by codebooks that are arrays are those of the quantisers in torch."""

from typing import Any

import numpy as np
import pytest
import torch
from numpy.typing import NDArray

from vqcodec.nn.autoencoder import codebooks
from vqcodec.nn.autoencoder.codebooks import ChosenMap, choose_nearest, nearest, quantize
from vqcodec.nn.autoencoder.residual_quantizer import ResidualQuantizer


def test_nearest_codes_are_those_of_torch() -> None:
    torch.manual_seed(0)
    chain = ResidualQuantizer(3, 16, 4)
    tables = np.stack([chain.stage(number).codebook.numpy() for number in range(3)])
    z_e = torch.randn(2, 4, 9, 7)
    vectors = z_e.permute(0, 2, 3, 1).numpy()
    maps = quantize(tables, vectors, choose_nearest)
    for chosen, expected in zip(maps, chain.quantize(z_e), strict=True):
        assert chosen.indices.dtype == np.int64 and np.array_equal(chosen.indices, expected.numpy())


def test_costs_are_added_to_distances_part_by_part(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(codebooks, "_NEAREST_VECTORS", 10)
    rng = np.random.default_rng(0)
    codebook, vectors = rng.standard_normal((16, 4), np.float32), rng.standard_normal((2, 5, 7, 4), np.float32)
    costs = rng.random(16, np.float32) * 3
    distances = np.square(vectors[..., None, :].astype(np.float64) - codebook).sum(axis=-1)
    assert np.array_equal(nearest(codebook, vectors, costs), (distances + costs).argmin(axis=3))
    assert np.array_equal(nearest(codebook, vectors), distances.argmin(axis=3))
    assert not np.array_equal(nearest(codebook, vectors), nearest(codebook, vectors, costs))


def test_each_stage_is_told_the_maps_before_and_the_next_codebook() -> None:
    told: list[tuple[int, NDArray[Any] | None]] = []

    def choose(
        codebook: NDArray[Any], residual: NDArray[Any], earlier: list[NDArray[Any]], next_codebook: NDArray[Any] | None = None, /
    ) -> ChosenMap:
        told.append((len(earlier), next_codebook))
        return ChosenMap(nearest(codebook, residual))

    rng = np.random.default_rng(0)
    tables = rng.standard_normal((2, 16, 4), np.float32)
    quantize(tables, rng.standard_normal((1, 2, 2, 4), np.float32), choose, [np.zeros((1, 1, 1), np.int64)])
    (first, following), last = told
    assert first == 1 and np.array_equal(following, tables[1]) and last == (2, None)
