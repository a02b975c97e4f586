"""Checks that the linear map that sketches pictures is that of a decoder."""

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from vqcodec.nn.autoencoder.sketch import Sketcher

CODEBOOK = np.random.default_rng(0).normal(size=(16, 4)).astype(np.float32)
COLOURS = np.random.default_rng(1).normal(0, 12, size=(4, 2, 2, 3)).astype(np.float32)
"""What a value of a vector adds to the colours of the four squares of 4x4 pixels of its code."""


class LinearPainter:
    """A decoder that is linear: the colours of a code, and an eighth of those of the code to its right."""

    margin_px = 8

    def __call__(self, codes: Sequence[NDArray[np.int64]], kept: tuple[slice, slice]) -> NDArray[np.uint8]:
        (top,) = codes
        own = np.einsum("nhwd,dabc->nhawbc", CODEBOOK[top], COLOURS) + 120
        right = np.concatenate([own[:, :, :, 1:], own[:, :, :, -1:]], axis=3)
        n, height, _, width = own.shape[:4]
        quarter = (own + right / 8 - 15).reshape(n, 2 * height, 2 * width, 3)
        return quarter.clip(0, 255).round().astype(np.uint8).repeat(4, axis=1).repeat(4, axis=2)[:, kept[0], kept[1]]


def test_a_linear_decoder_is_met_to_a_level() -> None:
    painter, freqs = LinearPainter(), np.arange(1, 17)
    sketcher = Sketcher.of(painter, CODEBOOK, freqs)
    codes = np.random.default_rng(2).integers(16, size=(131, 37))  # more rows than are taken at a time
    expected = painter([codes[None]], (slice(None), slice(None)))[0, ::4, ::4]
    found = sketcher.paint(codes)
    assert found.shape == (262, 74, 3) and found.dtype == np.uint8
    assert np.abs(found.astype(int) - expected).max() <= 1


def test_colours_beyond_the_range_are_cut() -> None:
    tables = np.zeros((9, 2, 12), np.float32)
    tables[4, 1] = 1000
    sketcher = Sketcher(tables, np.full(12, -20, np.float32))
    assert sketcher.paint(np.array([[0, 1]])).tolist() == [[[0] * 3] * 2 + [[255] * 3] * 2] * 2
