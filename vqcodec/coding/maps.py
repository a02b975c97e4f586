"""Index maps to payloads and back: raw, static, or by a prior (FORMAT.md, section 4).

Every payload comes with a checksum over the indices, which tells a desynchronised decoder from a damaged file.
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from vqcodec.coding.any_prior import decode_streams, encode_streams
from vqcodec.coding.coders import decode_raw, decode_static, encode_raw, encode_static
from vqcodec.coding.streams import DecodedMap, Maps, payload_of_streams, stream_places
from vqcodec.coding.tiles import tile_groups
from vqcodec.errors import DesyncError, FormatError, ModelError
from vqcodec.format.container import CoderKind, MapEntry, crc16, map_name
from vqcodec.format.octaves import PLAIN_SHARPNESS
from vqcodec.nn.progress import OnProgress, no_progress, part_of_work

if TYPE_CHECKING:
    from vqcodec.nn.prior.native import NativePrior
    from vqcodec.nn.prior.pixelsnail import PixelSnail


@dataclass(frozen=True)
class CodedMap:
    """One index map as a file holds it: its entry in the header and its payload."""

    entry: MapEntry
    payload: bytes


@dataclass(frozen=True)
class MapCoding:
    """The means to code one map.

    Attributes:
        number: number of the map, 0 for the top.
        static_freqs: [K], the frequencies of the static coder.
        prior: the prior of the map, where the model has one.
        max_rate_weight: largest lambda that codes of the map are chosen with.
    """

    number: int
    static_freqs: NDArray[np.int64]
    prior: "PixelSnail | NativePrior | None" = None
    max_rate_weight: float = math.inf


def index_crc(indices: NDArray[np.int64]) -> int:
    """Returns the CRC-16 of indices in row order, each a little-endian u16 (FORMAT.md, section 3)."""
    return crc16(np.ascontiguousarray(indices, dtype="<u2").tobytes())


def code_map(
    coding: MapCoding,
    maps: Maps,
    earlier: Sequence[Maps],
    *,
    coder: CoderKind | None = None,
    streams: Sequence[Sequence[bytes]] | None = None,
    sharpness: int = PLAIN_SHARPNESS,
) -> list[CodedMap]:
    """Codes one map of several pictures.

    Args:
        coding: the means to code this map.
        maps: this map [h, w] of each picture.
        earlier: the maps before it of each picture.
        coder: the coder to use, or None for whichever takes the fewest bytes.
        streams: the streams of each picture's tile groups, where the prior has coded them already (`walk_map`).
        sharpness: that of the prior.

    Raises:
        ModelError: `coder` is PRIOR and the map has none.
    """
    if coder is CoderKind.PRIOR and coding.prior is None:
        raise ModelError(f"the model has no prior for map {map_name(coding.number)}")
    kinds = [kind for kind in (CoderKind if coder is None else [coder]) if kind is not CoderKind.PRIOR or coding.prior is not None]
    if CoderKind.PRIOR in kinds and coding.prior is not None and streams is None:
        streams = encode_streams(coding.prior.sharpened(sharpness), maps, earlier)
    return [_coded(coding, indices, kinds, streams[number] if streams else (), sharpness) for number, indices in enumerate(maps)]


def _coded(coding: MapCoding, indices: NDArray[np.int64], kinds: Sequence[CoderKind], streams: Sequence[bytes], sharpness: int) -> CodedMap:
    """Codes a map [h, w] by whichever of the coders takes the fewest bytes; `streams` are those of the prior of this sharpness."""
    payloads = {kind: _payload(kind, coding, indices, streams) for kind in kinds}
    kind = min(payloads, key=lambda kind: (len(payloads[kind]), -kind))
    payload = payloads[kind]
    of_prior = sharpness if kind is CoderKind.PRIOR else PLAIN_SHARPNESS
    return CodedMap(MapEntry(kind, len(payload), crc16(payload), index_crc(indices), of_prior), payload)


def _payload(kind: CoderKind, coding: MapCoding, indices: NDArray[np.int64], streams: Sequence[bytes]) -> bytes:
    if kind is CoderKind.RAW:
        return encode_raw(indices.reshape(-1), len(coding.static_freqs))
    if kind is CoderKind.STATIC:
        return encode_static(indices.reshape(-1), coding.static_freqs)
    return payload_of_streams(streams)


def decode_map(
    coding: MapCoding,
    coded: Sequence[CodedMap],
    sizes: Sequence[tuple[int, int]],
    earlier: Sequence[Maps],
    *,
    on_progress: OnProgress = no_progress,
) -> list[DecodedMap]:
    """Decodes one map of several pictures together.

    Args:
        coding: the means to code this map.
        coded: this map of each picture.
        sizes: (h, w) in codes of this map of each picture.
        earlier: the maps before it of each picture.
        on_progress: function that is told how far the work is.

    Returns:
        For each picture the map, or why its payload does not decode to the codes that were written.
    """
    results: dict[int, DecodedMap] = {}
    streams: dict[int, list[bytes]] = {}
    for picture, (one, size) in enumerate(zip(coded, sizes, strict=True)):
        if one.entry.coder is CoderKind.PRIOR and coding.prior is not None:
            try:
                streams[picture] = [one.payload[place] for place in place_streams(coding, one.payload, len(one.payload), size)]
            except DesyncError as error:
                results[picture] = DecodedMap.failed(size, error)
        else:
            results[picture] = _decode_flat(coding, one, size)
    done = 0
    for sharpness in dict.fromkeys(coded[picture].entry.sharpness for picture in streams):
        own = [picture for picture in streams if coded[picture].entry.sharpness == sharpness]
        parts = [(streams[picture], sizes[picture], earlier[picture]) for picture in own]
        told = part_of_work(on_progress, done / len(streams), len(own) / len(streams))
        assert coding.prior is not None
        decoded = decode_streams(coding.prior.sharpened(sharpness), *zip(*parts, strict=True), on_progress=told)
        results |= zip(own, decoded, strict=True)
        done += len(own)
    return [_checked(results[picture], one.entry, coding) for picture, one in enumerate(coded)]


def place_streams(coding: MapCoding, head: bytes, num_bytes: int, size: tuple[int, int]) -> list[slice]:
    """Returns the places of the streams of all tile groups in the payload of a map of size (h, w).

    Args:
        coding: the means to code this map.
        head: beginning of the payload, as `stream_places` takes it.
        num_bytes: length of the payload.
        size: height and width of the map in codes.

    Raises:
        DesyncError: The payload does not hold them.
    """
    try:
        return stream_places(head, len(tile_groups(*size, coding.number)), num_bytes)
    except FormatError as error:
        name = map_name(coding.number)
        raise DesyncError(f"map {name}: payload of {num_bytes} bytes does not hold its streams: {error}") from error


def _decode_flat(coding: MapCoding, coded: CodedMap, size: tuple[int, int]) -> DecodedMap:
    """Decodes a map of size (h, w) that no prior of the model codes; the index CRC is not checked."""
    num_codes = size[0] * size[1]
    try:
        if coded.entry.coder is CoderKind.RAW:
            return DecodedMap(decode_raw(coded.payload, num_codes, len(coding.static_freqs)).reshape(size))
        if coded.entry.coder is CoderKind.STATIC:
            return DecodedMap(decode_static(coded.payload, num_codes, coding.static_freqs).reshape(size))
    except DesyncError as error:
        return DecodedMap.failed(size, error)
    return DecodedMap.failed(size, DesyncError(f"map {map_name(coding.number)} is coded by a prior, which the model lacks"))


def _checked(decoded: DecodedMap, entry: MapEntry, coding: MapCoding) -> DecodedMap:
    if decoded.error is not None or index_crc(decoded.indices) == entry.index_crc:
        return decoded
    message = f"map {map_name(coding.number)} decodes to other codes than were written (the CRC of the indices differs)"
    return DecodedMap.failed((decoded.indices.shape[0], decoded.indices.shape[1]), DesyncError(message))
