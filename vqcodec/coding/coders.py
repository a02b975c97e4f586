"""The coders of a payload: raw packing, and rANS under integer frequencies (FORMAT.md, section 4). The only importer of constriction.

Every encoder has its decoder beside it. Decoders are given the number of codes by the header and never trust a payload's length.
"""

import constriction
import numpy as np
from numpy.typing import NDArray

from vqcodec.coding.frequencies import check_freqs
from vqcodec.errors import DesyncError

_PACKED_CODES = 1 << 16
"""Number of codes that are packed at a time, a multiple of 8."""
_FAMILY = constriction.stream.model.Categorical(perfect=False)


def raw_bits(codebook_size: int) -> int:
    """Returns the bits of one code in a raw payload."""
    return max(1, (codebook_size - 1).bit_length())


def encode_raw(indices: NDArray[np.int64], codebook_size: int) -> bytes:
    """Packs flat indices [M] into `raw_bits` bits each, least significant bit first."""
    bits = np.arange(raw_bits(codebook_size))
    parts = (indices[start : start + _PACKED_CODES] for start in range(0, len(indices), _PACKED_CODES))
    return b"".join(np.packbits((part[:, None] >> bits & 1).astype(np.uint8), bitorder="little").tobytes() for part in parts)


def decode_raw(payload: bytes, num_codes: int, codebook_size: int) -> NDArray[np.int64]:
    """Unpacks the flat indices [num_codes] that `encode_raw` packed.

    Raises:
        DesyncError: The payload has another length, or holds a code that the codebook lacks.
    """
    width = raw_bits(codebook_size)
    expected = -(-num_codes * width // 8)
    if len(payload) != expected:
        raise DesyncError(f"raw payload of {len(payload)} bytes, expected {expected}")
    packed, indices = np.frombuffer(payload, np.uint8), np.empty(num_codes, np.int64)
    for start in range(0, num_codes, _PACKED_CODES):
        part = indices[start : start + _PACKED_CODES]
        bits = np.unpackbits(packed[start * width // 8 :], count=len(part) * width, bitorder="little")
        (bits.reshape(-1, width).astype(np.int64) << np.arange(width)).sum(axis=1, out=part)
    if payload and int(payload[-1]) >> ((num_codes * width - 1) % 8 + 1):
        raise DesyncError("raw payload has unused bits that are not 0")
    if num_codes and int(indices.max()) >= codebook_size:
        raise DesyncError(f"raw payload holds code {int(indices.max())}, expected less than {codebook_size}")
    return indices


def encode_static(indices: NDArray[np.int64], freqs: NDArray[np.int64]) -> bytes:
    """Returns a rANS stream of flat indices [M] under one table of frequencies [K]."""
    coder = constriction.stream.stack.AnsCoder()
    coder.encode_reverse(indices.astype(np.int32), _model(freqs))
    return _stream(coder)


def decode_static(payload: bytes, num_codes: int, freqs: NDArray[np.int64]) -> NDArray[np.int64]:
    """Decodes the flat indices [num_codes] that `encode_static` coded.

    Raises:
        DesyncError: The payload is no rANS stream, or is not used up by the codes.
    """
    coder = _ans_coder(payload, "static payload")
    indices = coder.decode(_model(freqs), num_codes)
    if not coder.is_empty():
        raise DesyncError("static payload holds more than its codes")
    return np.asarray(indices, dtype=np.int64)


def encode_prior(indices: NDArray[np.int64], shares: NDArray[np.float32]) -> bytes:
    """Returns a rANS stream of flat indices [M] under a table of frequencies each, given by `shares_from_logits` [M, K]."""
    coder = constriction.stream.stack.AnsCoder()
    coder.encode_reverse(indices.astype(np.int32), _FAMILY, shares)
    return _stream(coder)


def encode_alike(indices: NDArray[np.int64], shares: NDArray[np.float32]) -> bytes:
    """Returns a rANS stream of indices [R, M], row by row, each row under the frequencies of the shares [R, K] of its own."""
    coder = constriction.stream.stack.AnsCoder()
    for own, of_row in zip(indices[::-1], shares[::-1], strict=True):
        coder.encode_reverse(own.astype(np.int32), constriction.stream.model.Categorical(of_row, perfect=False))
    return _stream(coder)


class PriorDecoder:
    """A decoder of what `encode_prior` or `encode_alike` coded, in parts.

    Raises:
        DesyncError: The payload is no rANS stream.
    """

    def __init__(self, payload: bytes) -> None:
        self._coder = _ans_coder(payload, "a prior's stream")

    def decode(self, shares: NDArray[np.float32]) -> NDArray[np.int64]:
        """Decodes the next M indices, coded under the frequencies of `shares_from_logits` [M, K]."""
        return np.asarray(self._coder.decode(_FAMILY, shares), dtype=np.int64)

    def decode_alike(self, shares: NDArray[np.float32], count: int) -> NDArray[np.int64]:
        """Decodes the next indices [count], all coded under the frequencies of the same shares [K]."""
        return np.asarray(self._coder.decode(constriction.stream.model.Categorical(shares, perfect=False), count), dtype=np.int64)

    @property
    def is_used_up(self) -> bool:
        """Whether nothing is left of the stream, so that every further code is 0."""
        return bool(self._coder.is_empty())

    def finish(self) -> None:
        """Checks the end of the stream.

        Raises:
            DesyncError: The stream is not used up.
        """
        if not self.is_used_up:
            raise DesyncError("a prior's stream holds more than its codes")


def _stream(coder: constriction.stream.stack.AnsCoder) -> bytes:
    """Returns the coder's words, little-endian, without the zero bytes at the end."""
    return bytes(coder.get_compressed().astype("<u4")).rstrip(b"\0")


def _ans_coder(payload: bytes, name: str) -> constriction.stream.stack.AnsCoder:
    if payload.endswith(b"\0"):
        raise DesyncError(f"{name} ends with a zero byte, expected another")
    words = np.frombuffer(payload + bytes(-len(payload) % 4), "<u4")
    return constriction.stream.stack.AnsCoder(words.astype(np.uint32))


def _model(freqs: NDArray[np.int64]) -> constriction.stream.model.Categorical:
    """Returns the library's model whose table is exactly `freqs`: with `perfect=False` it gives 1 to every symbol and shares the rest."""
    check_freqs(freqs)
    return constriction.stream.model.Categorical((freqs - 1).astype(np.float32), perfect=False)
