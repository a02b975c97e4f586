"""Index maps to streams of rANS under a prior and back, in wavefront order (FORMAT.md, sections 4 and 7).

The decoder reads the codes of each step from the streams; the encoder knows or picks them, and sampling draws them.
"""

from collections.abc import Sequence
from itertools import pairwise
from typing import Final

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from vqcodec.coding.coders import PriorDecoder, encode_prior
from vqcodec.coding.frequencies import freqs_from_logits, shares_from_logits
from vqcodec.coding.native import decode_natively, draw_natively, encode_natively
from vqcodec.coding.streams import DecodedBatch, DecodedMap, Maps, TileGroup, WalkedMap, decode_in_batches, first_tiles, groups_of_map
from vqcodec.coding.tiles import coding_order, cut_tiles, join_tiles, tile_places
from vqcodec.coding.walk import ChooseStep, Places, stacked, valid_places, walk_groups, walk_in_batches
from vqcodec.errors import DesyncError
from vqcodec.nn.prior.compiled import native_prior_of
from vqcodec.nn.prior.drawing import Draw
from vqcodec.nn.prior.fixed_point import Arithmetic
from vqcodec.nn.prior.pixelsnail import PixelSnail
from vqcodec.nn.progress import OnProgress, no_progress

SCORED_TILES: Final = 8
"""Tiles that `score_map` scores in one pass."""


def walk_map(
    prior: PixelSnail, sizes: Sequence[tuple[int, int]], earlier: Sequence[Maps], choose: ChooseStep, *, with_streams: bool = False
) -> list[WalkedMap]:
    """Walks through the map of several pictures that `prior` is for, its codes chosen step by step.

    Args:
        prior: the prior of the map.
        sizes: (h, w) in codes of this map of each picture.
        earlier: the maps before it of each picture.
        choose: function that chooses the codes of a step.
        with_streams: whether the codes are entropy-coded on the way.
    """
    number = prior.config.earlier_maps
    groups = [groups_of_map(size, maps) for size, maps in zip(sizes, earlier, strict=True)]
    tiles: list[NDArray[np.int64]] = []
    streams: list[bytes] = []
    flat = (group for of_picture in groups for group in of_picture)
    for batch, choice, walked in walk_in_batches(prior, flat, lambda _, first: _RecordedChoice(choose, first, is_recording=with_streams)):
        tiles += walked
        if with_streams:
            streams += choice.streams(batch)
    remaining, coded = iter(tiles), iter(streams)
    return [
        WalkedMap(
            join_tiles([next(remaining) for _ in tile_places(*size, number)], *size, number),
            [next(coded) for _ in of_picture] if with_streams else (),
        )
        for size, of_picture in zip(sizes, groups, strict=True)
    ]


def draw_by_prior(prior: PixelSnail, draw: Draw, sizes: Sequence[tuple[int, int]], earlier: Sequence[Maps]) -> list[WalkedMap]:
    """Draws the codes of the map of several pictures that `prior` is for; the arguments are those of `draw_natively`."""
    native = native_prior_of(prior)
    if native is not None:
        return draw_natively(native, draw, sizes, earlier)
    return walk_map(prior, sizes, earlier, lambda _, logits: torch.from_numpy(draw(logits.cpu().numpy())).to(logits.device))


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
    tiles = [tile for indices in maps for tile in cut_tiles(indices, prior.config.earlier_maps)]
    codes = stacked([tiles], prior)[0]
    sizes = [(indices.shape[0], indices.shape[1]) for indices in maps]
    return [walked.streams for walked in walk_map(prior, sizes, earlier, lambda places, _: codes[places], with_streams=True)]


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
        choice = _DecodedChoice(prior, batch)
        tiles = walk_groups(prior, batch, choice)
        return DecodedBatch(tiles, choice.finish())

    number = prior.config.earlier_maps
    return decode_in_batches(number, streams, sizes, earlier, decode, on_progress=on_progress)


class _RecordedChoice:
    """A `ChooseStep` that numbers the tiles of a batch through all pictures, and keeps what coding the steps takes.

    Args:
        choose: function that chooses the codes of a step.
        first: number of the batch's first tile among those of all pictures.
        is_recording: whether the steps are kept.
    """

    def __init__(self, choose: ChooseStep, first: int, *, is_recording: bool) -> None:
        self.choose, self.first, self.is_recording = choose, first, is_recording
        self.steps: list[tuple[Tensor, Tensor, Tensor]] = []

    def __call__(self, places: Places, logits: Tensor) -> Tensor | None:
        codes = self.choose((places[0] + self.first, *places[1:]), logits)
        if self.is_recording and codes is not None:
            self.steps.append((places[0], codes, logits.short()))
        return codes

    def streams(self, groups: Sequence[TileGroup]) -> list[bytes]:
        """Codes the steps and returns the streams of the groups that were walked."""
        starts = first_tiles(groups)
        arrays = [(tile.cpu().numpy(), codes.cpu().numpy(), logits.cpu().numpy()) for tile, codes, logits in self.steps]
        bounds = [np.searchsorted(tile, starts) for tile, _, _ in arrays]
        streams = []
        for number in range(len(groups)):
            own = [slice(*of_step[number : number + 2]) for of_step in bounds]
            codes = np.concatenate([codes[part] for (_, codes, _), part in zip(arrays, own, strict=True)])
            logits = np.concatenate([logits[part] for (_, _, logits), part in zip(arrays, own, strict=True)])
            streams.append(encode_prior(codes, shares_from_logits(logits)))
        return streams


class _DecodedChoice:
    """A `ChooseStep` that reads the codes of a batch of groups from their streams."""

    def __init__(self, prior: PixelSnail, groups: Sequence[TileGroup]) -> None:
        self.device = prior.device
        self.starts = first_tiles(groups)
        self.decoders: list[PriorDecoder | None] = []
        self.errors: list[DesyncError | None] = []
        for group in groups:
            try:
                decoder, error = PriorDecoder(group.stream), None
            except DesyncError as found:
                decoder, error = None, found
            self.decoders.append(decoder)
            self.errors.append(error)

    def __call__(self, places: Places, logits: Tensor) -> Tensor | None:
        if all(decoder is None or decoder.is_used_up for decoder in self.decoders):
            return None
        shares = shares_from_logits(logits.cpu().numpy())
        codes = np.zeros(len(shares), np.int64)
        bounds = np.searchsorted(places[0].cpu().numpy(), self.starts)
        for decoder, (begin, end) in zip(self.decoders, pairwise(bounds), strict=True):
            if begin < end and decoder is not None:
                codes[begin:end] = decoder.decode(shares[begin:end])
        return torch.from_numpy(codes).to(self.device)

    def finish(self) -> list[DesyncError | None]:
        """Returns for each group why its stream does not decode to the codes that were coded, or None."""
        for number, decoder in enumerate(self.decoders):
            try:
                if decoder is not None:
                    decoder.finish()
            except DesyncError as error:
                self.errors[number] = error
        return self.errors


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
