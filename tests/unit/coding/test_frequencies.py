"""Checks frequencies against their specification: integers of at least 1 that sum to 2^24."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp
from numpy.typing import NDArray

from vqcodec.coding.frequencies import TOTAL, check_freqs, freqs_from_counts, freqs_from_logits

counts = hnp.arrays(np.int64, st.integers(2, 600), elements=st.integers(0, 1 << 40))


@given(counts)
def test_frequencies_are_at_least_one_sum_to_2_to_24_and_keep_order(values: NDArray[np.int64]) -> None:
    freqs = freqs_from_counts(values)
    assert int(freqs.sum()) == TOTAL
    assert freqs.min() >= 1
    others = np.arange(len(values)) != np.argmax(freqs)
    ranked = freqs[others][np.argsort(values[others], kind="stable")]
    assert (np.diff(ranked) >= 0).all()
    assert values[np.argmax(freqs)] >= values.max() - values.sum() / TOTAL - 1


def test_frequencies_of_a_known_case() -> None:
    assert freqs_from_counts(np.array([0, 0, 1])).tolist() == [4194304, 4194304, 8388608]
    assert freqs_from_counts(np.array([7])).tolist() == [TOTAL]


@pytest.mark.parametrize("bad", [[-1, 2], [[1, 2]], []])
def test_counts_that_are_none(bad: list[int]) -> None:
    with pytest.raises(ValueError, match="counts"):
        freqs_from_counts(np.array(bad, dtype=np.int64))


@pytest.mark.parametrize("bad", [[TOTAL - 1, 0, 1], [TOTAL, 1], [1, 1]])
def test_frequencies_that_are_none(bad: list[int]) -> None:
    with pytest.raises(ValueError, match="sum to"):
        check_freqs(np.array(bad))


def test_frequencies_of_logits() -> None:
    """One octave more is twice the share; logits 21 octaves down get the least; the first of equals takes the remainder."""
    freqs = freqs_from_logits(np.array([[16, 0, 0, -400], [5, 5, 5, 5], [0, 16, 16, 0]]))
    assert (freqs.sum(axis=1) == TOTAL).all() and freqs.dtype == np.int64
    assert freqs[0].tolist() == [(TOTAL - 4) // 2 + 1, (TOTAL - 4) // 4 + 1, (TOTAL - 4) // 4 + 1, 1]
    assert (freqs[1] == TOTAL // 4).all()
    assert freqs[2, 1] - freqs[2, 2] in (0, 1, 2, 3) and freqs[2, 0] == freqs[2, 3] < freqs[2, 2]


@given(st.integers(2, 40), st.integers(0, 2**32 - 1))
def test_frequencies_of_logits_follow_the_softmax(size: int, seed: int) -> None:
    logits = np.random.default_rng(seed).integers(-1023, 1024, size=(3, size))
    freqs = freqs_from_logits(logits)
    pmf = np.exp2((logits - logits.max(axis=1, keepdims=True)) / 16)
    pmf /= pmf.sum(axis=1, keepdims=True)
    assert (freqs.sum(axis=1) == TOTAL).all() and freqs.min() >= 1
    assert np.abs(freqs / TOTAL - pmf).max() < 1e-4
