"""Frequencies and coders against their specification: integers that sum to 2^24, bytes equal to a plain-Python rANS."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp
from numpy.typing import NDArray

from tests.rans import rans_decode, rans_encode
from vqcodec.entropy.coders import decode_raw, decode_static, encode_raw, encode_static
from vqcodec.entropy.frequencies import TOTAL, check_freqs, cross_entropy_bits, freqs_from_counts
from vqcodec.errors import DesyncError

counts = hnp.arrays(np.int64, st.integers(2, 600), elements=st.integers(0, 1 << 40))


@given(counts)
def test_frequencies_are_at_least_one_sum_to_2_to_24_and_keep_order(values: NDArray[np.int64]) -> None:
    freqs = freqs_from_counts(values)
    assert int(freqs.sum()) == TOTAL
    assert freqs.min() >= 1
    order = np.argsort(values, kind="stable")
    ranked = freqs[order]
    steps = np.diff(ranked) >= 0
    assert steps[:-1].all() or int(np.argmax(freqs)) == int(np.argmax(values))


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


@given(counts, st.integers(0, 2**32 - 1), st.integers(0, 400))
def test_static_bytes_equal_plain_rans(values: NDArray[np.int64], seed: int, length: int) -> None:
    freqs = freqs_from_counts(values)
    rng = np.random.default_rng(seed)
    indices = rng.choice(len(freqs), size=length, p=freqs / TOTAL).astype(np.int64)
    if length:
        indices[0] = int(np.argmin(freqs))
    payload = encode_static(indices, freqs)
    assert payload == rans_encode(indices.tolist(), freqs.tolist())
    assert decode_static(payload, length, freqs).tolist() == indices.tolist()
    assert rans_decode(payload, length, freqs.tolist()) == indices.tolist()
    assert 8 * len(payload) <= cross_entropy_bits(indices, freqs) + 64 + length * 1e-3


@given(st.integers(2, 700), st.integers(0, 2**32 - 1), st.integers(0, 300))
def test_raw_round_trip_and_length(codebook_size: int, seed: int, length: int) -> None:
    indices = np.random.default_rng(seed).integers(codebook_size, size=length)
    payload = encode_raw(indices, codebook_size)
    assert len(payload) == -(-length * (codebook_size - 1).bit_length() // 8)
    assert decode_raw(payload, length, codebook_size).tolist() == indices.tolist()


def test_raw_bits_are_in_the_stated_order() -> None:
    assert encode_raw(np.array([0b1_0000_0001, 0b0_1000_0000]), 512) == bytes([0b0000_0001, 0b0000_0001, 0b0000_0001])


@pytest.mark.parametrize(("payload", "message"), [(b"\x00", "expected 2"), (b"\xff\xff", "holds code"), (b"\x00\x00\x00", "expected 2")])
def test_hostile_raw(payload: bytes, message: str) -> None:
    with pytest.raises(DesyncError, match=message):
        decode_raw(payload, 3, 17)


@given(st.binary(max_size=64))
def test_hostile_static_raises_only_desync(payload: bytes) -> None:
    freqs = freqs_from_counts(np.arange(512))
    try:
        decode_static(payload, 5, freqs)
    except DesyncError:
        return
    assert encode_static(decode_static(payload, 5, freqs), freqs) == payload


def test_static_payload_with_more_than_its_codes() -> None:
    freqs = freqs_from_counts(np.arange(512))
    payload = encode_static(np.arange(100), freqs)
    with pytest.raises(DesyncError, match="more than its codes"):
        decode_static(payload, 50, freqs)
