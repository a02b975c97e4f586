"""Large images to codes block by block, so that memory does not grow with the image but for codes and 8-bit pixels. Imports no torch.

A block is cut out with a margin as wide as the network's receptive field reaches, and only its inside is kept: the codes are those of the
whole image in one pass, but for the rounding of floating-point sums. An image of one block goes through in one pass.

Larger images are walked through in bands of whole tile groups, from top to bottom. The networks see a band once, in blocks side by side.
Later maps depend on codes of the top map below them, so that they stay behind the top map by a margin:

    rows of pixels   ----- band 1 ----->|----- band 2 ----->|
    top map          chosen to the end  |   to the end      |
    vectors of later maps  up to here ->|             ->|       less a margin
    later maps        groups that are complete              |
"""

from collections.abc import Callable, Sequence
from typing import Final, Protocol

import numpy as np
from numpy.typing import NDArray

from vqcodec.format.container import GROUP_PX
from vqcodec.format.octaves import PLAIN_SHARPNESS
from vqcodec.nn.autoencoder.codebooks import ChooseMap, ChosenMap, choose_nearest, quantize
from vqcodec.nn.autoencoder.inference import memory_kept
from vqcodec.nn.autoencoder.spans import BLOCK_PX, Span, spans
from vqcodec.nn.configs import PATCH_BOTTOM, PATCH_TOP
from vqcodec.nn.memory import give_back_memory
from vqcodec.nn.progress import OnProgress, no_progress

_BAND_PX: Final = 1024
"""Most rows of a band, where blocks of it that were seen may be kept."""
_ALONE: Final = 2
"""Divisor of the pixels of a square block that gives the most pixels of an image of one block. More would take memory, and save no time."""
_SEEN_PIXELS: Final = 5 << 18
"""Most pixels that the networks see at a time in larger images."""
_KEPT_PIXELS: Final = 3 << 21
"""Most pixels of a band whose hidden states are kept from the top map to the later ones; others are seen twice."""

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


@memory_kept()
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
        block: longest side of a block in pixels, a multiple of 512. An image goes through in one pass where no side of it is longer, and
            where it has at most half of the pixels of a square of this side.
        on_progress: function that is told how far the work is.
        seen_alone: list that is given what the networks have seen of images of one block; nothing of larger ones.

    Returns:
        The maps, top first.
    """
    n, height, width, _ = pixels.shape
    codebooks, margin = encoder.codebooks, encoder.margin_px
    count = len(codebooks) if num_maps is None else num_maps
    bands, columns = _cuts(pixels.shape, margin, block)
    is_one = len(bands) == len(columns) == 1
    whole = slice(0, width // PATCH_TOP)
    maps = [_MapOfBands((n, height // patch, width // patch)) for patch in (PATCH_TOP, *[PATCH_BOTTOM] * (count - 1))]
    waiting: list[NDArray[np.float32]] = []
    seen_rows = chosen_rows = num_runs = 0

    def see(rows: Span, place: Span) -> Seen:
        if not is_one:
            give_back_memory()
        return encoder(pixels[:, rows.outer, place.outer])

    def has_run() -> None:
        nonlocal num_runs
        num_runs += 1
        on_progress(num_runs / (1 + len(bands) * len(columns) * min(count, 2)))

    for rows in bands:
        kept: list[Seen | None] = []
        kept_pixels, parts = 0, []
        for place in columns:
            seen = see(rows, place)
            parts.append(_kept(seen.z_e_top(), rows, place, PATCH_TOP))
            kept_pixels += n * (rows.outer.stop - rows.outer.start) * (place.outer.stop - place.outer.start)
            kept.append(seen if is_one or kept_pixels <= _KEPT_PIXELS else None)
            has_run()
        if is_one and seen_alone is not None:
            seen_alone.append(seen)
        del seen
        maps[0].add(*quantize(codebooks[:1], _joined(parts, axis=2), choose_at(rows.scaled(PATCH_TOP).inner, whole)))
        if count == 1:
            continue
        is_last = rows.inner.stop == height
        lower = Span(rows.outer, slice(seen_rows, height if is_last else max(seen_rows, rows.inner.stop - margin)))
        parts = []
        for number, place in enumerate(columns):
            codes = maps[0].indices[:, lower.scaled(PATCH_TOP).outer, place.scaled(PATCH_TOP).outer]
            seen = kept[number] or see(rows, place)
            kept[number] = None
            parts.append(_kept(seen.z_e_bottom(codes), lower, place, PATCH_BOTTOM))
            del seen
            has_run()
        waiting.append(_joined(parts, axis=2))
        seen_rows = lower.inner.stop
        ready = slice(chosen_rows // PATCH_TOP, (height if is_last else seen_rows // GROUP_PX * GROUP_PX) // PATCH_TOP)
        if ready.stop == ready.start:
            continue
        z_e, num_ready = _joined(waiting, axis=1), (ready.stop - ready.start) * (PATCH_TOP // PATCH_BOTTOM)
        chosen = quantize(codebooks[1:count], z_e[:, :num_ready], choose_at(ready, whole), [maps[0].indices[:, ready]])
        for of_bands, part in zip(maps[1:], chosen, strict=True):
            of_bands.add(part)
        waiting, chosen_rows = [z_e[:, num_ready:].copy()], ready.stop * PATCH_TOP
    on_progress(1.0)
    return [of_bands.joined() for of_bands in maps]


def _cuts(shape: tuple[int, ...], margin: int, block: int) -> tuple[list[Span], list[Span]]:
    """Returns bands of rows, and the columns of the blocks of each; what later maps need above a band comes along."""
    n, height, width, _ = shape
    if max(height, width) <= block and height * width <= block**2 // _ALONE:
        whole = [Span(slice(0, length), slice(0, length)) for length in (height, width)]
        return whole[:1], whole[1:]
    around = 3 * margin
    longest = min(block, _BAND_PX)
    if n * (longest + around) * (width + 2 * margin * -(-width // block)) > _KEPT_PIXELS:
        longest = GROUP_PX
    widest = max(GROUP_PX, min(block, _SEEN_PIXELS // (longest + around) - 2 * margin) // PATCH_TOP * PATCH_TOP)
    bands = [
        Span(slice(max(0, span.outer.start - margin), span.outer.stop), span.inner)
        for span in spans(slice(0, height), height, longest, margin, GROUP_PX)
    ]
    return bands, list(spans(slice(0, width), width, widest, margin, PATCH_TOP))


def _kept(z_e: NDArray[np.float32], rows: Span, columns: Span, patch: int) -> NDArray[np.float32]:
    return np.ascontiguousarray(z_e[:, rows.scaled(patch).kept, columns.scaled(patch).kept])


def _joined(parts: Sequence[NDArray[np.float32]], axis: int) -> NDArray[np.float32]:
    return parts[0] if len(parts) == 1 else np.concatenate(parts, axis=axis)


class _MapOfBands:
    """One map of whole images, put together from its bands as they come.

    Attributes:
        indices: int64 of `shape`, [N, h, w], 0 where no code was chosen yet.
    """

    def __init__(self, shape: tuple[int, int, int]) -> None:
        self.indices: NDArray[np.int64] = np.zeros(shape, np.int64)
        self._num_rows = 0
        self._streams: list[list[bytes]] | None = []
        self._sharpness = PLAIN_SHARPNESS

    def add(self, part: ChosenMap) -> None:
        """Takes the next rows of the map."""
        rows = part.indices.shape[1]
        self.indices[:, self._num_rows : self._num_rows + rows] = part.indices
        self._num_rows += rows
        self._sharpness = part.sharpness
        if part.streams is None or self._streams is None:
            self._streams = None
        else:
            before = self._streams or [[] for _ in part.streams]
            self._streams = [[*streams, *more] for streams, more in zip(before, part.streams, strict=True)]

    def joined(self) -> ChosenMap:
        """Returns the map of all bands; tile groups follow each other row by row, as their streams do."""
        return ChosenMap(self.indices, self._streams, self._sharpness)
