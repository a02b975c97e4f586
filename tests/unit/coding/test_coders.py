"""Checks coders against their specification: their bytes are those of a plain-Python rANS."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from numpy.typing import NDArray

from tests.rans import rans_decode, rans_encode
from tests.unit.coding.test_frequencies import counts
from vqcodec.coding.coders import PriorDecoder, decode_raw, decode_static, encode_prior, encode_raw, encode_static
from vqcodec.coding.frequencies import TOTAL, cross_entropy_bits, freqs_from_counts, freqs_from_logits, shares_from_logits
from vqcodec.errors import DesyncError


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


def test_raw_codes_are_packed_part_by_part() -> None:
    indices = np.random.default_rng(0).integers(0, 300, (1 << 17) + 3)
    payload = encode_raw(indices, 300)
    bits = (indices[:, None] >> np.arange(9) & 1).astype(np.uint8)
    assert payload == np.packbits(bits, bitorder="little").tobytes()
    assert np.array_equal(decode_raw(payload, len(indices), 300), indices)


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
