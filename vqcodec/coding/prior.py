"""Index maps to streams of rANS under a prior and back, in wavefront order (FORMAT.md, sections 4 and 7).

The decoder reads the codes of each step from the streams; the encoder knows or picks them, and sampling draws them.
"""

from collections.abc import Sequence
from dataclasses import replace
from itertools import pairwise
from typing import Final

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from vqcodec.coding.coders import PriorDecoder, encode_prior
from vqcodec.coding.frequencies import freqs_from_logits, shares_from_logits
from vqcodec.coding.native import decode_natively, draw_natively, encode_natively, find_frequencies
from vqcodec.coding.streams import (
    DecodedBatch,
    DecodedMap,
    Maps,
    TileGroup,
    WalkedMap,
    batches_of_groups,
    decode_in_batches,
    first_tiles,
    groups_of_map,
)
from vqcodec.coding.tensor_coder import CodedOrder, StreamTensors, TensorDecoder, encode_tensors, streams_of
from vqcodec.coding.tensor_frequencies import ends_of, slots_of
from vqcodec.coding.tiles import coding_order, cut_tiles, join_tiles, tile_places
from vqcodec.coding.walk import Choice, Choosing, most_tiles, stacked, valid_places, walk_groups
from vqcodec.errors import DesyncError
from vqcodec.nn.prior.compiled import native_prior_of
from vqcodec.nn.prior.drawing import Draw
from vqcodec.nn.prior.fixed_point import Arithmetic
from vqcodec.nn.prior.pixelsnail import PixelSnail
from vqcodec.nn.prior.plan import Places
from vqcodec.nn.progress import OnProgress, no_progress

SCORED_TILES: Final = 8
"""Tiles that `score_map` scores in one pass."""


def walk_map(
    prior: PixelSnail,
    sizes: Sequence[tuple[int, int]],
    earlier: Sequence[Maps],
    choosing: Choosing,
    *,
    with_streams: bool = False,
    as_on_cpu: bool = False,
) -> list[WalkedMap]:
    """Walks through the map of several pictures that `prior` is for, its codes chosen step by step.

    Args:
        prior: the prior of the map.
        sizes: (h, w) in codes of this map of each picture.
        earlier: the maps before it of each picture.
        choosing: how codes are chosen; its tiles are those of all pictures, in the order of `tile_places`.
        with_streams: whether the codes are entropy-coded on the way.
        as_on_cpu: whether as many tiles are walked together as on a CPU; else as many as the device takes (`most_tiles`).
    """
    number = prior.config.earlier_maps
    groups = [groups_of_map(size, maps) for size, maps in zip(sizes, earlier, strict=True)]
    tiles: list[NDArray[np.int64]] = []
    streams: list[bytes] = []
    most = None if as_on_cpu else most_tiles(prior)
    for batch in batches_of_groups((group for of_picture in groups for group in of_picture), most):
        if with_streams:
            of_batch, coded = (_code_on_device if codes_on_device(prior.device) else _code_on_cpu)(prior, batch, choosing, len(tiles))
            tiles += of_batch
            streams += coded
        else:
            tiles += walk_groups(prior, batch, choosing, first=len(tiles)).tiles
    remaining, waiting = iter(tiles), iter(streams)
    return [
        WalkedMap(
            join_tiles([next(remaining) for _ in tile_places(*size, number)], *size, number),
            [next(waiting) for _ in of_picture] if with_streams else (),
        )
        for size, of_picture in zip(sizes, groups, strict=True)
    ]


def draw_by_prior(prior: PixelSnail, draw: Draw, sizes: Sequence[tuple[int, int]], earlier: Sequence[Maps]) -> list[WalkedMap]:
    """Draws the codes of the map of several pictures that `prior` is for; the arguments are those of `draw_natively`."""
    native = native_prior_of(prior)
    if native is not None:
        return draw_natively(native, draw, sizes, earlier)
    drawing = Choosing.by(lambda _, logits: torch.from_numpy(draw(logits.cpu().numpy())).to(logits.device))
    # The numbers that are drawn by a seed go to the tiles of a batch in turn, so batches are the same on all devices.
    return walk_map(prior, sizes, earlier, drawing, as_on_cpu=True)


def known_codes(prior: PixelSnail, maps: Maps) -> Choosing:
    """Returns the choice of codes that are known, of the map [h, w] of each picture that `prior` is for."""
    tiles = [tile for indices in maps for tile in cut_tiles(indices, prior.config.earlier_maps)]
    return Choosing(lambda codes: (lambda places, _: codes[places], tuple), of_tiles=stacked([tiles], prior), name="known")


def frequencies_by_prior(prior: PixelSnail, indices: NDArray[np.int64], earlier: Maps) -> NDArray[np.uint32]:
    """Returns the frequency that a prior gives each code of a map; the arguments are those of `find_frequencies`."""
    native = native_prior_of(prior)
    if native is not None:
        return find_frequencies(native, indices, earlier)
    tiles = cut_tiles(indices, prior.config.earlier_maps)
    (codes,) = stacked([tiles], prior)
    of_codes = torch.zeros_like(codes)

    def make(codes: Tensor, of_codes: Tensor) -> Choice:
        def choose(places: Places, logits: Tensor) -> Tensor:
            chosen = codes[places]
            of_codes[places] = slots_of(ends_of(logits), chosen)[1]
            return chosen

        return choose, tuple

    size = indices.shape[0], indices.shape[1]
    walk_map(prior, [size], [earlier], Choosing(make, of_tiles=[codes, of_codes]))
    cropped = [own[: tile.shape[0], : tile.shape[1]] for own, tile in zip(of_codes.cpu().numpy(), tiles, strict=True)]
    return join_tiles(cropped, *size, prior.config.earlier_maps).astype(np.uint32)


def code_by_prior(prior: PixelSnail, maps: Maps, earlier: Sequence[Maps]) -> list[Sequence[bytes]]:
    """Codes the map of several pictures that `prior` is for.

    Args:
        prior: the prior of the map.
        maps: this map [h, w] of each picture.
        earlier: the maps before it of each picture.

    Returns:
        For each picture the streams of its tile groups.
    """
    native = native_prior_of(prior)
    if native is not None:
        return [*encode_natively(native, maps, earlier)]
    sizes = [(indices.shape[0], indices.shape[1]) for indices in maps]
    return [walked.streams for walked in walk_map(prior, sizes, earlier, known_codes(prior, maps), with_streams=True)]


def decode_by_prior(
    prior: PixelSnail,
    streams: Sequence[Sequence[bytes]],
    sizes: Sequence[tuple[int, int]],
    earlier: Sequence[Maps],
    *,
    on_progress: OnProgress = no_progress,
) -> list[DecodedMap]:
    """Decodes the map of several pictures that `prior` is for.

    Args:
        prior: the prior of the map.
        streams: the streams of each picture's tile groups.
        sizes: (h, w) in codes of this map of each picture.
        earlier: the maps before it of each picture.
        on_progress: function that is told how far the work is.
    """
    native = native_prior_of(prior)
    if native is not None:
        return decode_natively(native, streams, sizes, earlier, on_progress=on_progress)

    def decode(batch: list[TileGroup]) -> DecodedBatch:
        return _decode_on_device(prior, batch) if codes_on_device(prior.device) else _decode_on_cpu(prior, batch)

    number = prior.config.earlier_maps
    return decode_in_batches(number, streams, sizes, earlier, decode, most_tiles(prior), on_progress=on_progress)


def codes_on_device(device: torch.device) -> bool:
    """Returns whether streams are coded and decoded in tensors; on a CPU the coder of the library is faster."""
    return device.type != "cpu"


def _order_of(prior: PixelSnail, groups: Sequence[TileGroup]) -> CodedOrder:
    shapes = [shape for group in groups for shape in group.shapes]
    return CodedOrder.of(shapes, [len(group.shapes) for group in groups], prior.config.slope, prior.device)


def _code_on_device(
    prior: PixelSnail, groups: Sequence[TileGroup], choosing: Choosing, first: int
) -> tuple[Sequence[NDArray[np.int64]], list[bytes]]:
    """Walks a batch of groups, and codes it without a wait for the device; returns its tiles and streams."""
    order = _order_of(prior, groups)

    def make(*tensors: Tensor) -> Choice:
        choose, _ = choosing.make(*tensors)
        slots: list[tuple[Tensor, Tensor]] = []

        def choose_and_keep(places: Places, logits: Tensor) -> Tensor | None:
            codes = choose(places, logits)
            assert codes is not None
            slots.append(slots_of(ends_of(logits), codes))
            return codes

        def coded() -> tuple[Tensor, Tensor]:
            firsts, freqs = (torch.cat(parts) for parts in zip(*slots, strict=True))
            return encode_tensors(order, firsts, freqs)

        return choose_and_keep, coded

    name = None if choosing.name is None else f"{choosing.name}, coded"
    walked = walk_groups(prior, groups, replace(choosing, make=make, name=name), first=first)
    return walked.tiles, streams_of(*walked.results)


def _code_on_cpu(
    prior: PixelSnail, groups: Sequence[TileGroup], choosing: Choosing, first: int
) -> tuple[Sequence[NDArray[np.int64]], list[bytes]]:
    """Walks a batch of groups and codes it by the coder of the library; returns its tiles and streams."""
    steps: list[tuple[Tensor, Tensor, Tensor]] = []

    def make(*tensors: Tensor) -> Choice:
        choose, results = choosing.make(*tensors)

        def choose_and_keep(places: Places, logits: Tensor) -> Tensor | None:
            codes = choose(places, logits)
            assert codes is not None
            steps.append((places[0], codes, logits.short()))
            return codes

        return choose_and_keep, results

    walked = walk_groups(prior, groups, replace(choosing, make=make), first=first)
    starts = first_tiles(groups)
    arrays = [(codes.numpy(), logits.numpy()) for _, codes, logits in steps]
    bounds = [np.searchsorted(tile.numpy(), starts) for tile, _, _ in steps]
    streams = []
    for number in range(len(groups)):
        own = [slice(*of_step[number : number + 2]) for of_step in bounds]
        codes, logits = (
            np.concatenate([of_step[part] for of_step, part in zip(of_steps, own, strict=True)]) for of_steps in zip(*arrays, strict=True)
        )
        streams.append(encode_prior(codes, shares_from_logits(logits)))
    return walked.tiles, streams


def _decode_on_device(prior: PixelSnail, groups: Sequence[TileGroup]) -> DecodedBatch:
    """Decodes a batch of groups without a wait for the device between its steps."""
    if not any(group.stream for group in groups):
        return DecodedBatch([np.zeros(shape, np.int64) for group in groups for shape in group.shapes], [None] * len(groups))
    num_codes = [sum(height * width for height, width in group.shapes) for group in groups]
    order, streams = _order_of(prior, groups), StreamTensors.of([group.stream for group in groups], num_codes, prior.device)

    def make(words: Tensor, left: Tensor, states: Tensor) -> Choice:
        decoder = TensorDecoder(order, words, left, states)
        return lambda _, logits: decoder.decode(logits), lambda: (decoder.states, decoder.left)

    walked = walk_groups(prior, groups, Choosing(make, [streams.words, streams.left, streams.states], name="decoded"))
    states, left = (result.cpu().numpy() for result in walked.results)
    return DecodedBatch(walked.tiles, streams.errors(states, left))


def _decode_on_cpu(prior: PixelSnail, groups: Sequence[TileGroup]) -> DecodedBatch:
    """Decodes a batch of groups by the coder of the library, up to where all streams are used up."""
    starts = first_tiles(groups)
    decoders: list[PriorDecoder | None] = []
    errors: list[DesyncError | None] = []
    for group in groups:
        try:
            decoder, error = PriorDecoder(group.stream), None
        except DesyncError as found:
            decoder, error = None, found
        decoders.append(decoder)
        errors.append(error)

    def choose(places: Places, logits: Tensor) -> Tensor | None:
        if all(decoder is None or decoder.is_used_up for decoder in decoders):
            return None
        shares = shares_from_logits(logits.numpy())
        codes = np.zeros(len(shares), np.int64)
        bounds = np.searchsorted(places[0].numpy(), starts)
        for decoder, (begin, end) in zip(decoders, pairwise(bounds), strict=True):
            if begin < end and decoder is not None:
                codes[begin:end] = decoder.decode(shares[begin:end])
        return torch.from_numpy(codes)

    walked = walk_groups(prior, groups, Choosing.by(choose))
    for number, decoder in enumerate(decoders):
        try:
            if decoder is not None:
                decoder.finish()
        except DesyncError as error:
            errors[number] = error
    return DecodedBatch(walked.tiles, errors)


def score_map(prior: PixelSnail, maps: Maps) -> list[tuple[NDArray[np.int64], NDArray[np.int64]]]:
    """Scores the last of `maps` in one parallel pass, for measuring and checking.

    A walk gives the same frequencies and is faster on a CPU.

    Returns:
        Codes [M] and frequencies [M, K] of each tile, int64, in the order of the tile's steps.
    """
    tiles = [cut_tiles(indices, number) for number, indices in enumerate(maps)]
    scored = []
    for start in range(0, len(tiles[-1]), SCORED_TILES):
        group = slice(start, start + SCORED_TILES)
        *earlier, indices = stacked([of_map[group] for of_map in tiles], prior)
        valid = valid_places([tile.shape for tile in tiles[-1][group]], indices)
        with torch.inference_mode():
            logits = prior(indices, earlier, Arithmetic.EXACT, valid=valid, side_by_side=len(indices))
        for tile, tile_logits in zip(tiles[-1][group], logits, strict=True):
            height, width = tile.shape
            rows, columns = coding_order(height, width, prior.config.slope)
            scored.append((tile[rows, columns], freqs_from_logits(tile_logits[rows, columns].cpu().numpy())))
    return scored
