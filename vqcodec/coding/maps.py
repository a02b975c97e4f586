"""Index maps <-> payloads: raw, static, or by a prior (FORMAT.md, section 4).

Every payload comes with a checksum over the indices, which tells a desynchronised decoder from a damaged file.
"""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from vqcodec.coding.coders import decode_raw, decode_static, encode_raw, encode_static
from vqcodec.coding.prior import decode_maps, encode_map, payload_of_streams
from vqcodec.errors import DesyncError, ModelError
from vqcodec.format.container import CoderKind, MapEntry, crc16, map_name

if TYPE_CHECKING:
    from vqcodec.nn.prior.pixelsnail import PixelSnail


@dataclass(frozen=True)
class CodedMap:
    """One index map as a file holds it."""

    entry: MapEntry
    payload: bytes


@dataclass(frozen=True)
class MapCoding:
    """What codes one map.

    Attributes:
        number: of the map, 0 for the top.
        static_freqs: [K].
        prior: where the model has one.
        max_rate_weight: the largest lambda that its codes are to be chosen with.
    """

    number: int
    static_freqs: NDArray[np.int64]
    prior: "PixelSnail | None" = None
    max_rate_weight: float = math.inf


def index_crc(indices: NDArray[np.int64]) -> int:
    """CRC-16 of indices in row order, each a little-endian u16 (FORMAT.md, section 3)."""
    return crc16(np.ascontiguousarray(indices, dtype="<u2").tobytes())


def encode_indices(
    maps: Sequence[NDArray[np.int64]],
    codings: Sequence[MapCoding],
    *,
    coder: CoderKind | None = None,
    streams: Mapping[int, Sequence[bytes]] | None = None,
) -> list[CodedMap]:
    """Codes an image's maps.

    Args:
        maps: [h, w] each, in the order of dependence.
        codings: at least as many as maps.
        coder: the kind to use, or None for whichever takes the fewest bytes.
        streams: the streams of a map's tile groups, by its number, where its prior has coded it already (`walk_maps`).

    Raises:
        ModelError: `coder` is PRIOR and a map has none.
    """
    coded = []
    for level, coding in zip(maps, codings, strict=False):
        if coder is CoderKind.PRIOR and coding.prior is None:
            raise ModelError(f"the model has no prior for map {map_name(coding.number)}")
        kinds = list(CoderKind) if coder is None else [coder]
        payloads = {
            kind: _payload(kind, maps[: coding.number], level, coding, streams or {})
            for kind in kinds
            if kind is not CoderKind.PRIOR or coding.prior
        }
        kind = min(payloads, key=lambda kind: (len(payloads[kind]), -kind))
        payload = payloads[kind]
        coded.append(CodedMap(MapEntry(kind, len(payload), crc16(payload), index_crc(level)), payload))
    return coded


def _payload(
    kind: CoderKind,
    earlier: Sequence[NDArray[np.int64]],
    level: NDArray[np.int64],
    coding: MapCoding,
    known_streams: Mapping[int, Sequence[bytes]],
) -> bytes:
    if kind is CoderKind.RAW:
        return encode_raw(level.reshape(-1), len(coding.static_freqs))
    if kind is CoderKind.STATIC:
        return encode_static(level.reshape(-1), coding.static_freqs)
    assert coding.prior is not None
    streams = known_streams.get(coding.number)
    return payload_of_streams(encode_map(coding.prior, level, earlier) if streams is None else streams)


def decode_indices(
    files: Sequence[Sequence[CodedMap]], sizes: Sequence[tuple[int, int]], coding: MapCoding, earlier: Sequence[Sequence[NDArray[np.int64]]]
) -> list[NDArray[np.int64] | DesyncError]:
    """Decodes one map of several files together.

    Args:
        files: the coded maps of each file.
        sizes: (h, w) in codes of this map in each file.
        coding: of this map.
        earlier: the maps before it of each file.

    Returns:
        For each file the map [h, w] int64, or why its payload does not decode to the codes that were written.
    """
    results: dict[int, NDArray[np.int64] | DesyncError] = {}
    by_prior: list[int] = []
    for file, (coded_maps, size) in enumerate(zip(files, sizes, strict=True)):
        coded = coded_maps[coding.number]
        if coded.entry.coder is CoderKind.PRIOR and coding.prior is not None:
            by_prior.append(file)
        else:
            results[file] = _decode_flat(coded, coding, size)
    if coding.prior is not None:
        payloads = [files[file][coding.number].payload for file in by_prior]
        decoded = decode_maps(coding.prior, payloads, [sizes[file] for file in by_prior], [earlier[file] for file in by_prior])
        results |= zip(by_prior, decoded, strict=True)
    return [_checked(results[file], coded_maps[coding.number].entry, coding) for file, coded_maps in enumerate(files)]


def _decode_flat(coded: CodedMap, coding: MapCoding, size: tuple[int, int]) -> NDArray[np.int64] | DesyncError:
    num_codes = size[0] * size[1]
    try:
        if coded.entry.coder is CoderKind.RAW:
            return decode_raw(coded.payload, num_codes, len(coding.static_freqs)).reshape(size)
        if coded.entry.coder is CoderKind.STATIC:
            return decode_static(coded.payload, num_codes, coding.static_freqs).reshape(size)
    except DesyncError as error:
        return error
    return DesyncError(f"map {map_name(coding.number)} is coded by a prior, which the model lacks")


def _checked(level: NDArray[np.int64] | DesyncError, entry: MapEntry, coding: MapCoding) -> NDArray[np.int64] | DesyncError:
    if isinstance(level, DesyncError) or index_crc(level) == entry.index_crc:
        return level
    return DesyncError(f"map {map_name(coding.number)} decodes to other codes than were written (the CRC of the indices differs)")
