"""Checks where large images are cut into blocks."""

import numpy as np
import pytest

from vqcodec.nn.autoencoder.spans import spans


@pytest.mark.parametrize("seed", range(200))
def test_blocks_cover_a_part_and_are_seen_with_their_margins(seed: int) -> None:
    rng = np.random.default_rng(seed)
    margin, block = 8 * int(rng.integers(0, 13)), 8 * int(rng.integers(16, 80))
    length = int(rng.integers(1, 5000))
    start, stop = sorted(rng.choice(length + 1, 2, replace=False).tolist()) if seed % 3 else (0, length)
    cut = list(spans(slice(start, stop), length, block, margin, 8))
    assert [span.inner.start for span in cut] == [start, *(span.inner.stop for span in cut[:-1])] and cut[-1].inner.stop == stop
    assert all(span.inner.start % 8 == 0 for span in cut[1:]) and len(cut) == -(-(-(-stop // 8) - start // 8) // (block // 8))
    for span in cut:
        assert span.outer.start == max(0, (span.inner.start - margin) // 8 * 8)
        assert span.outer.stop == min(length, -(-(span.inner.stop + margin) // 8) * 8)


@pytest.mark.parametrize("length", range(2056, 6200, 344))
def test_the_network_sees_as_much_of_each_block(length: int) -> None:
    seen = [span.outer.stop - span.outer.start for span in spans(slice(0, length), length, 1024, 40, 8)]
    assert len(seen) > 2 and max(seen) == seen[0] <= 1024 + 80 and min(seen) >= seen[0] - 8


def test_bands_of_whole_groups_are_nearly_equal() -> None:
    inner = [span.inner for span in spans(slice(0, 3800), 3800, 1024, 40, 512)]
    assert inner == [slice(0, 1024), slice(1024, 2048), slice(2048, 3072), slice(3072, 3800)]
