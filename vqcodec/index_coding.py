"""Index maps <-> payloads: raw, static, or by a prior tile by tile in wavefront order (FORMAT.md, sections 4 and 7).

Every payload comes with a checksum over the indices, which tells a desynchronised decoder from a damaged file. The encoder scores all codes
of a tile in one pass, the decoder walks the steps; both get the same frequencies, since the priors' arithmetic is exact.
"""

import zlib
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from itertools import pairwise
from typing import TYPE_CHECKING, Any, Final

import numpy as np
from numpy.typing import NDArray

from vqcodec.container import ByteReader, CoderKind, MapEntry, map_name, varint_bytes
from vqcodec.entropy.coders import PriorDecoder, decode_raw, decode_static, encode_prior, encode_raw, encode_static
from vqcodec.entropy.frequencies import freqs_from_logits
from vqcodec.errors import DesyncError, FormatError, ModelError
from vqcodec.octaves import LOGIT_BITS
from vqcodec.tiling import cut_maps, cut_tiles, join_tiles, stack_tiles, tile_shapes

if TYPE_CHECKING:
    from torch import Tensor

    from vqcodec.nn.pixelsnail import PixelSnail

Places = tuple["Tensor", "Tensor", "Tensor"]
Choose = Callable[[Places, "Tensor"], "Tensor"]

SCORED_TILES: Final = 8
WALKED_TILES: Final = 32


@dataclass(frozen=True)
class CodedMap:
    """One index map as a file holds it."""

    entry: MapEntry
    payload: bytes


@dataclass(frozen=True)
class MapCoding:
    """What codes one map: its number, its static frequencies [K], and its prior where the model has one."""

    number: int
    static_freqs: NDArray[np.int64]
    prior: "PixelSnail | None" = None


@dataclass(frozen=True)
class _TileJob:
    """One tile to decode: its stream, its shape (h, w) in codes, and the same tile of the maps before."""

    payload: bytes
    shape: tuple[int, int]
    earlier: list[NDArray[np.int64]]


def index_crc32(indices: NDArray[np.int64]) -> int:
    """CRC-32 of indices in row order, each a little-endian u16 (FORMAT.md, section 3)."""
    return zlib.crc32(np.ascontiguousarray(indices, dtype="<u2").tobytes())


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
        streams: the streams of a map's tiles, by its number, where its prior has coded it already (`walk_maps`).

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
        coded.append(CodedMap(MapEntry(kind, len(payload), zlib.crc32(payload), index_crc32(level)), payload))
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
    if streams is None:
        streams = [encode_prior(tile, freqs) for tile, freqs in score_map(coding.prior, [*earlier, level])]
    lengths = b"".join(varint_bytes(len(stream) // 4) for stream in streams[:-1])
    return lengths + b"".join(streams)


def score_map(prior: "PixelSnail", maps: Sequence[NDArray[np.int64]]) -> list[tuple[NDArray[np.int64], NDArray[np.int64]]]:
    """Codes and frequencies of the last of `maps`, tile by tile, each in the order of coding: int64 [M] and [M, K]."""
    import torch

    from vqcodec.nn.fixed_point import Arithmetic

    tiles = [cut_tiles(level, number) for number, level in enumerate(maps)]
    scored = []
    for start in range(0, len(tiles[-1]), SCORED_TILES):
        group = slice(start, start + SCORED_TILES)
        *earlier, indices = _stacked([level[group] for level in tiles], prior)
        valid = _valid([tile.shape for tile in tiles[-1][group]], indices)
        with torch.inference_mode():
            logits = prior(indices, earlier, Arithmetic.EXACT, valid=valid, side_by_side=len(indices))
        for tile, tile_logits in zip(tiles[-1][group], logits, strict=True):
            height, width = tile.shape
            rows, columns = coding_order(height, width, prior.config.slope)
            scored.append((tile[rows, columns], freqs_from_logits(to_integers(tile_logits[rows, columns]))))
    return scored


def coding_order(height: int, width: int, slope: int) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """Rows and columns of a tile's codes by step, and by row within a step."""
    rows, columns = np.divmod(np.arange(height * width), width)
    order = np.lexsort((rows, columns + slope * rows))
    return rows[order], columns[order]


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
    results: list[NDArray[np.int64] | DesyncError] = []
    jobs: list[_TileJob] = []
    waiting: list[int] = []
    for coded_maps, size, before in zip(files, sizes, earlier, strict=True):
        coded = coded_maps[coding.number]
        try:
            if coded.entry.coder is CoderKind.PRIOR:
                jobs += _tile_jobs(coded.payload, size, coding, before)
                waiting.append(len(results))
                results.append(np.empty(size, np.int64))
            else:
                results.append(_decode_flat(coded, coding, size[0] * size[1]).reshape(size))
        except DesyncError as error:
            results.append(error)
    tiles = iter(_decode_tiles(coding, jobs))
    for file in waiting:
        parts = [next(tiles) for _ in tile_shapes(*sizes[file], coding.number)]
        intact = [part for part in parts if not isinstance(part, DesyncError)]
        errors = [part for part in parts if isinstance(part, DesyncError)]
        results[file] = errors[0] if errors else join_tiles(intact, *sizes[file], coding.number)
    for file, (coded_maps, result) in enumerate(zip(files, results, strict=True)):
        if not isinstance(result, DesyncError) and index_crc32(result) != coded_maps[coding.number].entry.index_crc32:
            results[file] = DesyncError(
                f"map {map_name(coding.number)} decodes to other codes than were written (CRC-32 of the indices differs)"
            )
    return results


def _decode_flat(coded: CodedMap, coding: MapCoding, num_codes: int) -> NDArray[np.int64]:
    if coded.entry.coder is CoderKind.RAW:
        return decode_raw(coded.payload, num_codes, len(coding.static_freqs))
    return decode_static(coded.payload, num_codes, coding.static_freqs)


def _tile_jobs(payload: bytes, size: tuple[int, int], coding: MapCoding, earlier: Sequence[NDArray[np.int64]]) -> list[_TileJob]:
    if coding.prior is None:
        raise DesyncError(f"map {map_name(coding.number)} is coded by a prior, which the model lacks")
    shapes = tile_shapes(*size, coding.number)
    reader = ByteReader(payload)
    try:
        lengths = [4 * reader.varint() for _ in shapes[:-1]]
        streams = [reader.take(length) for length in lengths]
    except FormatError as error:
        raise DesyncError(f"map {map_name(coding.number)}: payload of {len(payload)} bytes does not hold its tiles") from error
    streams.append(payload[reader.position :])
    return [_TileJob(*job) for job in zip(streams, shapes, cut_maps(earlier, len(shapes)), strict=True)]


def _decode_tiles(coding: MapCoding, jobs: list[_TileJob]) -> list[NDArray[np.int64] | DesyncError]:
    results: list[NDArray[np.int64] | DesyncError] = []
    for start in range(0, len(jobs), WALKED_TILES):
        assert coding.prior is not None
        results += _walk(coding.prior, jobs[start : start + WALKED_TILES])
    return results


def _walk(prior: "PixelSnail", jobs: list[_TileJob]) -> list[NDArray[np.int64] | DesyncError]:
    """Decodes tiles step by step, all together."""
    decoders: list[PriorDecoder | DesyncError] = []
    for job in jobs:
        try:
            decoders.append(PriorDecoder(job.payload))
        except DesyncError as error:
            decoders.append(error)

    def decode_step(places: Places, logits: "Tensor") -> "Tensor":
        freqs = freqs_from_logits(to_integers(logits))
        codes = np.zeros(len(freqs), np.int64)
        bounds = np.searchsorted(places[0].cpu().numpy(), np.arange(len(jobs) + 1))
        for decoder, (begin, end) in zip(decoders, pairwise(bounds), strict=True):
            if begin < end and isinstance(decoder, PriorDecoder):
                codes[begin:end] = decoder.decode(freqs[begin:end])
        return places[0].new_tensor(codes)

    tiles = _walk_tiles(prior, [job.shape for job in jobs], [job.earlier for job in jobs], decode_step)
    results: list[NDArray[np.int64] | DesyncError] = []
    for decoder, tile in zip(decoders, tiles, strict=True):
        try:
            if isinstance(decoder, DesyncError):
                raise decoder
            decoder.finish()
            results.append(tile)
        except DesyncError as error:
            results.append(error)
    return results


def walk_maps(
    prior: "PixelSnail",
    sizes: Sequence[tuple[int, int]],
    earlier: Sequence[Sequence[NDArray[np.int64]]],
    choose: Choose,
    *,
    streams: list[list[bytes]] | None = None,
) -> list[NDArray[np.int64]]:
    """The map of several pictures that `prior` is for, its codes chosen step by step.

    Args:
        prior: of the map.
        sizes: (h, w) in codes of this map of each picture.
        earlier: the maps before it of each picture.
        choose: gives a step's codes [P], for the tile, row in the tile and column in it of each, and their logits [P, K] in octaves. Tiles
            are numbered through all pictures.
        streams: a list to which the coded tiles of each picture are added, or None.

    Returns:
        int64 [h, w] for each picture.
    """
    number = prior.config.earlier_maps
    shapes = [tile_shapes(*size, number) for size in sizes]
    flat_shapes = [shape for of_picture in shapes for shape in of_picture]
    before = [tile for maps, of_picture in zip(earlier, shapes, strict=True) for tile in cut_maps(maps, len(of_picture))]
    tiles: list[NDArray[np.int64]] = []
    coded: list[bytes] = []
    for start in range(0, len(flat_shapes), WALKED_TILES):
        group = slice(start, start + WALKED_TILES)
        steps: list[Any] = []

        def choose_in_group(places: Places, logits: "Tensor", start: int = start, steps: list[Any] = steps) -> "Tensor":
            codes = choose((places[0] + start, *places[1:]), logits)
            if streams is not None:
                steps.append((places[0], codes, (logits * (1 << LOGIT_BITS)).short()))
            return codes

        tiles += _walk_tiles(prior, flat_shapes[group], before[group], choose_in_group)
        coded += _code_steps(steps, len(flat_shapes[group])) if streams is not None else []
    if streams is not None:
        remaining_streams = iter(coded)
        streams += [[next(remaining_streams) for _ in of_picture] for of_picture in shapes]
    remaining = iter(tiles)
    return [join_tiles([next(remaining) for _ in of_picture], *size, number) for size, of_picture in zip(sizes, shapes, strict=True)]


def _code_steps(steps: "list[tuple[Tensor, Tensor, Tensor]]", num_tiles: int) -> list[bytes]:
    """The streams of tiles, from each step's tile numbers [P], codes [P] and logits [P, K] in sixteenths of an octave."""
    tile, codes, logits = (np.concatenate([part.cpu().numpy() for part in parts]) for parts in zip(*steps, strict=True))
    streams = []
    for number in range(num_tiles):
        in_tile = tile == number
        streams.append(encode_prior(codes[in_tile], freqs_from_logits(logits[in_tile].astype(np.int64))))
    return streams


def _walk_tiles(
    prior: "PixelSnail", shapes: Sequence[tuple[int, int]], earlier: Sequence[Sequence[NDArray[np.int64]]], choose: Choose
) -> list[NDArray[np.int64]]:
    """`walk_maps` for one group of tiles of shapes (h, w), numbered from 0."""
    import torch

    from vqcodec.nn.wavefront import Wavefront

    codes = torch.zeros(len(shapes), max(h for h, _ in shapes), max(w for _, w in shapes), dtype=torch.int64, device=prior.device)
    before = _stacked([list(level) for level in zip(*earlier, strict=True)], prior)
    with torch.inference_mode():
        walk = Wavefront(prior, before, _valid(shapes, codes))
        for places in walk:
            codes[places] = step_codes = choose(places, walk.logits())
            walk.push(step_codes)
    return [tile[:height, :width] for tile, (height, width) in zip(codes.cpu().numpy(), shapes, strict=True)]


def to_integers(logits: "Tensor") -> NDArray[np.int64]:
    """Logits in octaves, which are whole numbers of sixteenths, as these numbers."""
    return np.asarray((logits * (1 << LOGIT_BITS)).short().cpu().numpy(), dtype=np.int64)


def _stacked(levels: list[list[NDArray[np.int64]]], prior: "PixelSnail") -> list["Tensor"]:
    """Tiles of each level in one tensor [N, h, w]; those of the top are half as high and wide as the others."""
    import torch

    stacked = []
    for tiles in levels:
        height, width = (max(tile.shape[axis] for tile in tiles) for axis in (0, 1))
        stacked.append(torch.from_numpy(stack_tiles(tiles, height, width)).to(prior.device))
    return stacked


def _valid(shapes: Sequence[tuple[int, ...]], like: "Tensor") -> "Tensor":
    """[N, h, w] bool: where tiles of these shapes hold codes."""
    valid = like.new_zeros(like.shape).bool()
    for tile, (height, width) in zip(valid, shapes, strict=True):
        tile[:height, :width] = True
    return valid
