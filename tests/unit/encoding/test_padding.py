"""Checks how pictures are padded to whole places."""

import numpy as np

from vqcodec.encoding.padding import PaddedPixels


def test_edges_are_repeated_where_a_part_reaches_beyond_a_picture() -> None:
    pictures = [np.random.default_rng(number).integers(0, 256, (13, 21, 3), np.uint8) for number in range(3)]
    padded = PaddedPixels(pictures)
    assert padded.shape == (3, 16, 24, 3)
    whole = padded[:, 0:16, 0:24]
    assert np.array_equal(whole[:, :13, :21], pictures)
    assert (whole[:, 13:] == whole[:, 12:13]).all() and (whole[:, :, 21:] == whole[:, :, 20:21]).all()
    assert np.array_equal(padded[1:, 8:16, 16:24], whole[1:, 8:, 16:])
    assert np.array_equal(padded[:1, 0:8, 0:8][0], pictures[0][:8, :8])
