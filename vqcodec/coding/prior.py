"""Index maps <-> streams of rANS under a prior, in wavefront order (FORMAT.md, sections 4 and 7).

A walk goes through the steps of many tiles together, of one picture or of several. Whoever walks chooses each step's codes from their
logits: the decoder reads them from the streams, the encoder knows or picks them, and sampling draws them.
"""

from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from itertools import pairwise
from typing import TYPE_CHECKING, Final

import numpy as np
from numpy.typing import NDArray

from vqcodec.coding.coders import PriorDecoder, encode_prior
from vqcodec.coding.frequencies import freqs_from_logits, shares_from_logits
from vqcodec.coding.tiles import cut_maps, cut_tiles, join_tiles, stack_tiles, tile_groups, tile_places
from vqcodec.errors import DesyncError, FormatError
from vqcodec.format.container import map_name
from vqcodec.format.integers import ByteReader, varint_bytes

if TYPE_CHECKING:
    from torch import Tensor

    from vqcodec.nn.prior.pixelsnail import PixelSnail

Maps = Sequence[NDArray[np.int64]]
Places = tuple["Tensor", "Tensor", "Tensor"]
Choose = Callable[[Places, "Tensor"], "Tensor | None"]
_Step = tuple["Tensor", "Tensor", "Tensor"]

SCORED_TILES: Final = 8
WALKED_TILES: Final = 32


@dataclass(frozen=True)
class _TileGroup:
    """The tiles that share a stream.

    Attributes:
        shapes: (h, w) of each tile in codes.
        earlier: the same tiles of the maps before.
        stream: if it is known.
        picture: number of the picture that they are of.
    """

    shapes: list[tuple[int, int]]
    earlier: list[list[NDArray[np.int64]]]
    stream: bytes = b""
    picture: int = 0


def _tile_groups(size: tuple[int, int], earlier: Maps, streams: Sequence[bytes] | None = None, picture: int = 0) -> list[_TileGroup]:
    """The groups of the map of size (h, w) that follows the maps `earlier`."""
    places = tile_groups(*size, len(earlier))
    before = iter(cut_maps(earlier, sum(len(group) for group in places)))
    groups = []
    for number, group in enumerate(places):
        shapes = [(rows.stop - rows.start, columns.stop - columns.start) for rows, columns in group]
        groups.append(_TileGroup(shapes, [next(before) for _ in group], streams[number] if streams else b"", picture))
    return groups


def _batches(groups: Iterable[_TileGroup]) -> Iterator[list[_TileGroup]]:
    """Groups of up to `WALKED_TILES` tiles, to be walked together."""
    batch: list[_TileGroup] = []
    for group in groups:
        if batch and sum(len(other.shapes) for other in batch) + len(group.shapes) > WALKED_TILES:
            yield batch
            batch = []
        batch.append(group)
    if batch:
        yield batch


def _starts(groups: Sequence[_TileGroup]) -> NDArray[np.int64]:
    """The number of each group's first tile, and that of all tiles."""
    return np.cumsum([0, *(len(group.shapes) for group in groups)])


def payload_of_streams(streams: Sequence[bytes]) -> bytes:
    """A map's payload: the lengths of all streams but the last, and the streams."""
    return b"".join(varint_bytes(len(stream)) for stream in streams[:-1]) + b"".join(streams)


def _streams_of_payload(payload: bytes, count: int) -> list[bytes]:
    """What `payload_of_streams` joined.

    Raises:
        FormatError: the payload is too short.
    """
    reader = ByteReader(payload, name="payload")
    lengths = [reader.varint() for _ in range(count - 1)]
    return [*(reader.take(length) for length in lengths), payload[reader.position :]]


def walk_maps(
    prior: "PixelSnail",
    sizes: Sequence[tuple[int, int]],
    earlier: Sequence[Maps],
    choose: Choose,
    *,
    streams: list[list[bytes]] | None = None,
) -> list[NDArray[np.int64]]:
    """The map of several pictures that `prior` is for, its codes chosen step by step.

    Args:
        prior: of the map.
        sizes: (h, w) in codes of this map of each picture.
        earlier: the maps before it of each picture.
        choose: gives a step's codes [P], for the tile, row in the tile and column in it of each, and their logits [P, K], integers in
            sixteenths of an octave; or None where all codes from here on are 0. Tiles are numbered through all pictures, in the order of
            `tile_places`.
        streams: a list to which the streams of each picture's groups are added, or None.

    Returns:
        int64 [h, w] for each picture.
    """
    number = prior.config.earlier_maps
    groups = [_tile_groups(size, maps) for size, maps in zip(sizes, earlier, strict=True)]
    tiles: list[NDArray[np.int64]] = []
    coded: list[bytes] = []
    for batch in _batches(group for of_picture in groups for group in of_picture):
        steps: list[_Step] = []

        def choose_in_batch(places: Places, logits: "Tensor", start: int = len(tiles), steps: list[_Step] = steps) -> "Tensor | None":
            codes = choose((places[0] + start, *places[1:]), logits)
            if streams is not None and codes is not None:
                steps.append((places[0], codes, logits.short()))
            return codes

        tiles += _walk(prior, batch, choose_in_batch)
        coded += _code_steps(steps, batch) if streams is not None else []
    if streams is not None:
        remaining_streams = iter(coded)
        streams += [[next(remaining_streams) for _ in of_picture] for of_picture in groups]
    remaining = iter(tiles)
    return [join_tiles([next(remaining) for _ in tile_places(*size, number)], *size, number) for size in sizes]


def encode_map(prior: "PixelSnail", level: NDArray[np.int64], earlier: Maps) -> list[bytes]:
    """The streams of a map's groups, given the maps before."""
    import torch

    tiles = cut_tiles(level, len(earlier))
    height, width = (max(tile.shape[axis] for tile in tiles) for axis in (0, 1))
    codes = torch.from_numpy(stack_tiles(tiles, height, width)).to(prior.device)
    streams: list[list[bytes]] = []
    walk_maps(prior, [(level.shape[0], level.shape[1])], [earlier], lambda places, _: codes[places], streams=streams)
    return streams[0]


def _code_steps(steps: Sequence[_Step], groups: Sequence[_TileGroup]) -> list[bytes]:
    """The streams of groups, from each step's tile numbers [P], codes [P] and logits [P, K]."""
    starts = _starts(groups)
    arrays = [(tile.cpu().numpy(), codes.cpu().numpy(), logits.cpu().numpy()) for tile, codes, logits in steps]
    bounds = [np.searchsorted(tile, starts) for tile, _, _ in arrays]
    streams = []
    for number in range(len(groups)):
        own = [slice(*of_step[number : number + 2]) for of_step in bounds]
        codes = np.concatenate([codes[part] for (_, codes, _), part in zip(arrays, own, strict=True)])
        logits = np.concatenate([logits[part] for (_, _, logits), part in zip(arrays, own, strict=True)])
        streams.append(encode_prior(codes, shares_from_logits(logits)))
    return streams


def decode_maps(
    prior: "PixelSnail", payloads: Sequence[bytes], sizes: Sequence[tuple[int, int]], earlier: Sequence[Maps]
) -> list[NDArray[np.int64] | DesyncError]:
    """The map of several pictures that `prior` is for.

    Args:
        prior: of the map.
        payloads: of each picture.
        sizes: (h, w) in codes of this map of each picture.
        earlier: the maps before it of each picture.

    Returns:
        For each picture the map [h, w] int64, or why its payload does not decode.
    """
    number = prior.config.earlier_maps
    name = map_name(number)
    errors: dict[int, DesyncError] = {}
    tiles: list[list[NDArray[np.int64]]] = [[] for _ in payloads]

    def waiting() -> Iterator[_TileGroup]:
        for picture, (payload, size, maps) in enumerate(zip(payloads, sizes, earlier, strict=True)):
            try:
                streams = _streams_of_payload(payload, len(tile_groups(*size, number)))
            except FormatError as error:
                errors[picture] = DesyncError(f"map {name}: payload of {len(payload)} bytes does not hold its streams: {error}")
                continue
            for group in _tile_groups(size, maps, streams, picture):
                if picture in errors:
                    break
                yield group

    for batch in _batches(waiting()):
        intact = [group for group in batch if group.picture not in errors]
        for group, decoded in zip(intact, _decode_groups(prior, intact) if intact else [], strict=True):
            if isinstance(decoded, DesyncError):
                errors.setdefault(group.picture, DesyncError(f"map {name}: {decoded}"))
            else:
                tiles[group.picture] += decoded
    return [errors.get(picture) or join_tiles(tiles[picture], *size, number) for picture, size in enumerate(sizes)]


def _decode_groups(prior: "PixelSnail", groups: list[_TileGroup]) -> list[list[NDArray[np.int64]] | DesyncError]:
    """The tiles of each group, or why its stream does not decode."""
    import torch

    decoders: list[PriorDecoder | DesyncError] = []
    for group in groups:
        try:
            decoders.append(PriorDecoder(group.stream))
        except DesyncError as error:
            decoders.append(error)
    starts = _starts(groups)

    def decode_step(places: Places, logits: "Tensor") -> "Tensor | None":
        if all(isinstance(decoder, DesyncError) or decoder.is_used_up for decoder in decoders):
            return None
        shares = shares_from_logits(logits.cpu().numpy())
        codes = np.zeros(len(shares), np.int64)
        bounds = np.searchsorted(places[0].cpu().numpy(), starts)
        for decoder, (begin, end) in zip(decoders, pairwise(bounds), strict=True):
            if begin < end and isinstance(decoder, PriorDecoder):
                codes[begin:end] = decoder.decode(shares[begin:end])
        return torch.from_numpy(codes).to(prior.device)

    tiles = iter(_walk(prior, groups, decode_step))
    results: list[list[NDArray[np.int64]] | DesyncError] = []
    for group, decoder in zip(groups, decoders, strict=True):
        of_group = [next(tiles) for _ in group.shapes]
        try:
            if isinstance(decoder, DesyncError):
                raise decoder
            decoder.finish()
            results.append(of_group)
        except DesyncError as error:
            results.append(error)
    return results


def _walk(prior: "PixelSnail", groups: Sequence[_TileGroup], choose: Choose) -> list[NDArray[np.int64]]:
    """The tiles of some groups, walked together; they are numbered from 0."""
    import torch

    from vqcodec.nn.prior.fixed_layers import threads_for
    from vqcodec.nn.prior.wavefront import Wavefront

    shapes = [shape for group in groups for shape in group.shapes]
    earlier = [tile for group in groups for tile in group.earlier]
    codes = torch.zeros(len(shapes), max(h for h, _ in shapes), max(w for _, w in shapes), dtype=torch.int64, device=prior.device)
    before = _stacked([list(level) for level in zip(*earlier, strict=True)], prior)
    rows = codes.numel() // (codes.shape[1] + codes.shape[2])  # of a middling step
    with torch.inference_mode(), threads_for(rows + 1):
        walk = Wavefront(prior, before, _valid(shapes, codes))
        steps: list[tuple[torch.Tensor, ...]] = []
        for places in walk:
            step_codes = choose(places, walk.logits())
            if step_codes is None:
                break
            steps.append((*places, step_codes))
            walk.push(step_codes)
        if steps:
            tile, row, column, chosen = (torch.cat(parts) for parts in zip(*steps, strict=True))
            codes[tile, row, column] = chosen
    return [tile[:height, :width] for tile, (height, width) in zip(codes.cpu().numpy(), shapes, strict=True)]


def score_map(prior: "PixelSnail", maps: Maps) -> list[tuple[NDArray[np.int64], NDArray[np.int64]]]:
    """Codes and frequencies of the last of `maps`, tile by tile, each in the order of its steps: int64 [M] and [M, K].

    One parallel pass, for measuring and checking: a walk gives the same frequencies and is faster on a CPU.
    """
    import torch

    from vqcodec.nn.prior.fixed_point import Arithmetic

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
            scored.append((tile[rows, columns], freqs_from_logits(tile_logits[rows, columns].cpu().numpy())))
    return scored


def coding_order(height: int, width: int, slope: int) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """Rows and columns of a tile's codes by step, and by row within a step."""
    rows, columns = np.divmod(np.arange(height * width), width)
    order = np.lexsort((rows, columns + slope * rows))
    return rows[order], columns[order]


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
