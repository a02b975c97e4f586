"""Large images to codes block by block, so that memory does not grow with the image but for codes and 8-bit pixels. Imports no torch.

A block is cut out with a margin as wide as the network's receptive field reaches, and only its inside is kept: the codes are those of the
whole image in one pass, but for the rounding of floating-point sums. An image of one block goes through in one pass. Blocks consist of
whole tile groups, so that each block's codes can be chosen as soon as the network is through with it.
"""

from collections.abc import Callable, Iterator, Sequence
from typing import Protocol

import numpy as np
from numpy.typing import NDArray

from vqcodec.format.container import GROUP_PX
from vqcodec.nn.autoencoder.codebooks import ChooseMap, ChosenMap, choose_nearest, quantize
from vqcodec.nn.autoencoder.spans import BLOCK_PX, ROWS_PX, Span, spans
from vqcodec.nn.configs import PATCH_BOTTOM, PATCH_TOP
from vqcodec.nn.memory import give_back_memory
from vqcodec.nn.progress import OnProgress, no_progress

ChooseAt = Callable[[slice, slice], ChooseMap]
"""Function that gives the choice for a block, by its rows and columns in places of the top map."""


class Seen(Protocol):
    """What an encoder has seen of images."""

    @property
    def conditions(self) -> Sequence[NDArray[np.float32]]:
        """What the top map tells the decoder of each image, float32 [1, C, H/4, W/4], once `z_e_bottom` needed it; none where unknown."""

    def z_e_top(self) -> NDArray[np.float32]:
        """Returns z_e of the top map, float32 [N, H/8, W/8, D]."""

    def z_e_bottom(self, indices_top: NDArray[np.int64]) -> NDArray[np.float32]:
        """Returns z_e of the bottom map and its refinements, float32 [N, H/4, W/4, D]: of what the top map [N, H/8, W/8] leaves.

        It is asked for once, and last: what has been seen is given up.
        """


class Encoder(Protocol):
    """The encoder networks, ready to see 8-bit images."""

    @property
    def codebooks(self) -> NDArray[np.float32]:
        """Vectors of all codes of all maps, float32 [maps, K, D]."""

    @property
    def margin_px(self) -> int:
        """Distance in pixels beyond which a code does not depend on a pixel, a multiple of 8."""

    def __call__(self, pixels: NDArray[np.uint8]) -> Seen:
        """Sees images uint8 [N, H, W, 3], H and W multiples of 8."""


class Pixels(Protocol):
    """Images uint8 [N, H, W, 3], H and W multiples of 8: an array, or something that makes parts of it as they are needed."""

    @property
    def shape(self) -> tuple[int, ...]:
        """N, H, W and 3."""

    def __getitem__(self, place: tuple[slice, slice, slice], /) -> NDArray[np.uint8]:
        """Returns a part, by images, rows and columns."""


def nearest_at(rows: slice, columns: slice) -> ChooseMap:  # noqa: ARG001 (a ChooseAt)
    """Chooses the nearest codes everywhere."""
    return choose_nearest


def encode_in_blocks(
    encoder: Encoder,
    pixels: Pixels,
    num_maps: int | None = None,
    *,
    choose_at: ChooseAt = nearest_at,
    block: int = BLOCK_PX,
    on_progress: OnProgress = no_progress,
    seen_alone: list[Seen] | None = None,
) -> list[ChosenMap]:
    """Encodes 8-bit images into index maps.

    Args:
        encoder: the networks, which see the images block by block.
        pixels: uint8 [N, H, W, 3].
        num_maps: number of maps to compute, from the top on; all by default.
        choose_at: function that gives what chooses the maps of a block, given the maps before; by default it takes the nearest codes.
        block: longest side of a block in pixels, a multiple of 512.
        on_progress: function that is told how far the work is.
        seen_alone: list that is given what the networks have seen of images of one block; nothing of larger ones.

    Returns:
        The maps, top first.
    """
    _, height, width, _ = pixels.shape
    codebooks, margin = encoder.codebooks, encoder.margin_px
    count = len(codebooks) if num_maps is None else num_maps
    blocks = [
        (rows, columns)
        for rows in spans(slice(0, height), height, block, margin, GROUP_PX)
        for columns in spans(slice(0, width), width, block, margin, GROUP_PX)
    ]
    steps = len(blocks) * (1 if count == 1 else 1 + count)

    def strips(rows: Span, columns: Span) -> Iterator[tuple[Span, Span]]:
        is_one = len(blocks) == 1
        for strip in spans(rows.inner, height, block if is_one else ROWS_PX, margin, PATCH_TOP):
            if not is_one:
                give_back_memory()
            yield strip, columns

    def seen(rows: Span, columns: Span) -> Seen:
        if not known or known[0][0] != (rows, columns):
            known.clear()
            known.append(((rows, columns), encoder(pixels[:, rows.outer, columns.outer])))
        return known[0][1]

    known: list[tuple[tuple[Span, Span], Seen]] = []
    top = _MapOfBlocks(blocks, PATCH_TOP)
    for number, (rows, columns) in enumerate(blocks):
        parts = [_kept(seen(*strip).z_e_top(), strip, PATCH_TOP) for strip in strips(rows, columns)]
        places = rows.scaled(PATCH_TOP).inner, columns.scaled(PATCH_TOP).inner
        top.add(*quantize(codebooks[:1], _stacked(parts), choose_at(*places)))
        on_progress((number + 1) / steps)
    maps = [top.joined()]
    if count > 1:
        others = [_MapOfBlocks(blocks, PATCH_BOTTOM) for _ in range(count - 1)]
        for number, (rows, columns) in enumerate(blocks):
            parts = []
            for strip in strips(rows, columns):
                codes = maps[0].indices[:, strip[0].scaled(PATCH_TOP).outer, strip[1].scaled(PATCH_TOP).outer]
                parts.append(_kept(seen(*strip).z_e_bottom(codes), strip, PATCH_BOTTOM))
            places = rows.scaled(PATCH_TOP).inner, columns.scaled(PATCH_TOP).inner
            chosen = quantize(codebooks[1:count], _stacked(parts), choose_at(*places), [maps[0].indices[:, places[0], places[1]]])
            for other, part in zip(others, chosen, strict=True):
                other.add(part)
            on_progress((len(blocks) + (number + 1) * count) / steps)
        maps += [other.joined() for other in others]
    if seen_alone is not None and len(blocks) == 1:
        seen_alone.append(known[0][1])
    return maps


def _kept(z_e: NDArray[np.float32], strip: tuple[Span, Span], patch: int) -> NDArray[np.float32]:
    rows, columns = (span.scaled(patch).kept for span in strip)
    return np.ascontiguousarray(z_e[:, rows, columns])


def _stacked(parts: Sequence[NDArray[np.float32]]) -> NDArray[np.float32]:
    """Returns the rows of the strips of a block in one array."""
    return parts[0] if len(parts) == 1 else np.concatenate(parts, axis=1)


class _MapOfBlocks:
    """One map of whole images, put together from its blocks as they come."""

    def __init__(self, blocks: Sequence[tuple[Span, Span]], patch: int) -> None:
        self._places = [(rows.scaled(patch).inner, columns.scaled(patch).inner) for rows, columns in blocks]
        self._blocks = blocks
        self._indices: NDArray[np.int64] | None = None
        self._streams: list[Sequence[Sequence[bytes]] | None] = []

    def add(self, part: ChosenMap) -> None:
        """Takes the next block of the map."""
        rows, columns = self._places[len(self._streams)]
        if len(self._places) == 1:
            self._indices = part.indices
        else:
            if self._indices is None:
                self._indices = np.empty((len(part.indices), self._places[-1][0].stop, self._places[-1][1].stop), np.int64)
            self._indices[:, rows, columns] = part.indices
        self._streams.append(part.streams)

    def joined(self) -> ChosenMap:
        """Returns the map of all blocks."""
        assert self._indices is not None
        streams: list[list[bytes]] | None = None
        if self._streams[0] is not None:
            order = sorted(range(len(numbers := _group_numbers(self._blocks))), key=numbers.__getitem__)
            flat = [[stream for part in self._streams for stream in (part or ())[image]] for image in range(len(self._indices))]
            streams = [[of_image[number] for number in order] for of_image in flat]
        return ChosenMap(self._indices, streams)


def _group_numbers(blocks: Sequence[tuple[Span, Span]]) -> list[tuple[int, int]]:
    """Returns row and column of each tile group, block by block."""
    return [
        (row, column)
        for rows, columns in blocks
        for row in range(rows.inner.start, rows.inner.stop, GROUP_PX)
        for column in range(columns.inner.start, columns.inner.stop, GROUP_PX)
    ]
