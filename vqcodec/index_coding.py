"""Index maps <-> payloads, with the checksum over the indices that tells a desynchronised decoder from a damaged file."""

import zlib
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from vqcodec.container import CoderKind, MapEntry, map_name
from vqcodec.entropy.coders import decode_raw, decode_static, encode_raw, encode_static
from vqcodec.errors import DesyncError


@dataclass(frozen=True)
class CodedMap:
    """One index map as a file holds it."""

    entry: MapEntry
    payload: bytes


def index_crc32(indices: NDArray[np.int64]) -> int:
    """CRC-32 of indices in row order, each a little-endian u16 (FORMAT.md, section 3)."""
    return zlib.crc32(np.ascontiguousarray(indices, dtype="<u2").tobytes())


def encode_indices(indices: NDArray[np.int64], freqs: NDArray[np.int64]) -> CodedMap:
    """Codes one map [h, w] with whichever coder takes fewer bytes; static wins a tie.

    Args:
        indices: codes in [0, K).
        freqs: [K] static frequencies of this map.
    """
    flat = indices.reshape(-1)
    payloads = {CoderKind.STATIC: encode_static(flat, freqs), CoderKind.RAW: encode_raw(flat, len(freqs))}
    coder = min(payloads, key=lambda kind: len(payloads[kind]))
    payload = payloads[coder]
    return CodedMap(MapEntry(coder, len(payload), zlib.crc32(payload), index_crc32(indices)), payload)


def decode_indices(coded: CodedMap, number: int, size: tuple[int, int], freqs: NDArray[np.int64]) -> NDArray[np.int64]:
    """The map [h, w] int64 that `encode_indices` coded.

    Args:
        coded: entry and payload.
        number: of the map, for messages.
        size: (h, w).
        freqs: [K] static frequencies of this map.

    Raises:
        DesyncError: the payload does not decode to the codes that were written.
    """
    num_codes = size[0] * size[1]
    if coded.entry.coder is CoderKind.RAW:
        flat = decode_raw(coded.payload, num_codes, len(freqs))
    else:
        flat = decode_static(coded.payload, num_codes, freqs)
    if index_crc32(flat) != coded.entry.index_crc32:
        raise DesyncError(f"map {map_name(number)} decodes to other codes than were written (CRC-32 of the indices differs)")
    return flat.reshape(size)
