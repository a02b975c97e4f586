"""Frequencies and coders against their specification: integers that sum to 2^24, bytes equal to a plain-Python rANS."""

from decimal import ROUND_HALF_UP, Decimal, localcontext

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp
from numpy.typing import NDArray

from tests.rans import rans_decode, rans_encode
from vqcodec.coding.coders import PriorDecoder, decode_raw, decode_static, encode_prior, encode_raw, encode_static
from vqcodec.coding.frequencies import TOTAL, check_freqs, cross_entropy_bits, freqs_from_counts, freqs_from_logits, shares_from_logits
from vqcodec.errors import DesyncError
from vqcodec.format.octaves import OCTAVE_BITS, OCTAVES

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


@given(counts, st.integers(0, 2**32 - 1), st.integers(0, 400))
def test_static_bytes_equal_plain_rans(values: NDArray[np.int64], seed: int, length: int) -> None:
    freqs = freqs_from_counts(values)
    rng = np.random.default_rng(seed)
    indices = rng.choice(len(freqs), size=length, p=freqs / TOTAL).astype(np.int64)
    if length:
        indices[0] = int(np.argmin(freqs))
    payload = encode_static(indices, freqs)
    assert payload == rans_encode(indices.tolist(), [freqs.tolist()] * length)
    assert decode_static(payload, length, freqs).tolist() == indices.tolist()
    assert rans_decode(payload, [freqs.tolist()] * length) == indices.tolist()
    assert 8 * len(payload) <= cross_entropy_bits(indices, freqs) + 64 + length * 1e-3


@given(st.integers(2, 700), st.integers(0, 2**32 - 1), st.integers(0, 300))
def test_raw_round_trip_and_length(codebook_size: int, seed: int, length: int) -> None:
    indices = np.random.default_rng(seed).integers(codebook_size, size=length)
    payload = encode_raw(indices, codebook_size)
    assert len(payload) == -(-length * (codebook_size - 1).bit_length() // 8)
    assert decode_raw(payload, length, codebook_size).tolist() == indices.tolist()


def test_raw_bits_are_in_the_stated_order() -> None:
    assert encode_raw(np.array([0b1_0000_0001, 0b0_1000_0000]), 512) == bytes([0b0000_0001, 0b0000_0001, 0b0000_0001])


@pytest.mark.parametrize(
    ("payload", "message"),
    [(b"\x00", "expected 2"), (b"\xff\x7f", "holds code"), (b"\x00\x80", "unused bits"), (b"\x00\x00\x00", "expected 2")],
)
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


def test_streams_have_any_number_of_bytes_and_no_zero_at_the_end() -> None:
    freqs = freqs_from_counts(np.arange(512))
    payloads = [encode_static(np.arange(length), freqs) for length in range(2, 60)]
    assert {len(payload) % 4 for payload in payloads} == {0, 1, 2, 3}
    for length, payload in enumerate(payloads, start=2):
        assert payload[-1] and decode_static(payload, length, freqs).tolist() == list(range(length))
        with pytest.raises(DesyncError, match="ends with a zero byte"):
            decode_static(payload + b"\0", length, freqs)


def test_static_payload_with_more_than_its_codes() -> None:
    freqs = freqs_from_counts(np.arange(512))
    payload = encode_static(np.arange(100), freqs)
    with pytest.raises(DesyncError, match="more than its codes"):
        decode_static(payload, 50, freqs)


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


def test_octaves_are_powers_of_two() -> None:
    with localcontext() as context:
        context.prec = 40
        exact = [Decimal(2) ** (Decimal(OCTAVE_BITS) - Decimal(i) / 16) for i in range(16)]
        assert [int(value.to_integral_value(ROUND_HALF_UP)) for value in exact] == list(OCTAVES)


@given(st.integers(2, 300), st.integers(0, 2**32 - 1), st.integers(1, 60))
def test_prior_stream_is_that_of_the_oracle_and_decodes_in_parts(size: int, seed: int, length: int) -> None:
    rng = np.random.default_rng(seed)
    logits = rng.integers(-300, 300, size=(length, size))
    freqs, shares = freqs_from_logits(logits), shares_from_logits(logits)
    indices = rng.integers(size, size=length)
    payload = encode_prior(indices, shares)
    decoder = PriorDecoder(payload)
    cut = int(rng.integers(length + 1))
    assert np.array_equal(np.concatenate([decoder.decode(shares[:cut]), decoder.decode(shares[cut:])]), indices)
    decoder.finish()
    assert payload == rans_encode(indices.tolist(), freqs.tolist())
    assert rans_decode(payload, freqs.tolist()) == indices.tolist()
