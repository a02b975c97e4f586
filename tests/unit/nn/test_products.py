"""Checks products in parts."""

import numpy as np
import pytest

from vqcodec.nn.products import add_product


@pytest.mark.parametrize("shape", [(1, 3, 2), (5000, 48, 24), (3, 600, 600)])
def test_products_are_added(shape: tuple[int, int, int]) -> None:
    rows, inner, columns = shape
    rng = np.random.default_rng(0)
    values, weight = rng.normal(size=(rows, inner)).astype(np.float32), rng.normal(size=(inner, columns)).astype(np.float32)
    before = rng.normal(size=(rows, columns)).astype(np.float32)
    after = before.copy()
    add_product(after, values, weight)
    assert np.abs(after - (before + values.astype(np.float64) @ weight)).max() < 1e-3


@pytest.mark.parametrize("rows", [1, 7, 64, 301, 999])
def test_a_row_does_not_depend_on_how_many_follow(rows: int) -> None:
    rng = np.random.default_rng(0)
    values, weight = rng.normal(size=(1000, 192)).astype(np.float32), rng.normal(size=(192, 24)).astype(np.float32)
    whole, part = np.zeros((1000, 24), np.float32), np.zeros((rows, 24), np.float32)
    add_product(whole, values, weight)
    add_product(part, values[:rows], weight)
    assert np.array_equal(whole[:rows], part)
