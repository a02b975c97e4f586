"""Codes to large images block by block, so that memory does not grow with the image but for codes and 8-bit pixels. Imports no torch.

A block is cut out with a margin as wide as the decoder's receptive field reaches, and only its inside is kept: the pixels are those of the
whole image in one pass, but for the rounding of floating-point sums. An image of one block goes through in one pass.
"""

from collections.abc import Sequence
from itertools import product
from typing import Final, Protocol

import numpy as np
from numpy.typing import NDArray

from vqcodec.format.container import Part, map_scale
from vqcodec.nn.autoencoder.inference import memory_kept
from vqcodec.nn.autoencoder.spans import BLOCK_PX, PAINTED_PX, Span, spans
from vqcodec.nn.configs import PATCH_TOP
from vqcodec.nn.memory import give_back_memory
from vqcodec.nn.progress import OnProgress, no_progress

FLAT_PX: Final = 256
"""Longest side in pixels of the blocks that areas of equal codes are painted in, each but once."""


class Painter(Protocol):
    """A decoder, ready to paint 8-bit images."""

    @property
    def margin_px(self) -> int:
        """Distance in pixels beyond which a pixel does not depend on a code, a multiple of 8."""

    def __call__(self, codes: Sequence[NDArray[np.int64]], kept: tuple[slice, slice]) -> NDArray[np.uint8]:
        """Paints parts of images.

        Args:
            codes: int64 [N, h, w] a map, the first maps of the images, top first.
            kept: rows and columns of pixels that are wanted.

        Returns:
            uint8 [N, H, W, 3], the pixels that are wanted.
        """


@memory_kept()
def paint_in_blocks(
    painter: Painter,
    indices: Sequence[NDArray[np.int64]],
    *,
    part: Part | None = None,
    margin: int | None = None,
    block: int = BLOCK_PX,
    on_progress: OnProgress = no_progress,
) -> NDArray[np.uint8]:
    """Paints 8-bit images, or a part of each, from the first len(indices) maps.

    In images of several blocks, areas of equal codes are painted once for each shape of block: they take time by their borders only.

    Args:
        painter: the decoder that paints, block by block.
        indices: int64 [N, h, w] a map, top first.
        part: rows and columns to paint; all by default.
        margin: pixels around a block whose codes count; by default as far as the decoder sees, so that blocks do not show.
        block: longest side of a block in pixels, a multiple of 8; where there are several, `PAINTED_PX` at most.
        on_progress: function that is told how far the work is.

    Returns:
        uint8 [N, H, W, 3].
    """
    n, height, width = indices[0].shape[0], indices[0].shape[1] * PATCH_TOP, indices[0].shape[2] * PATCH_TOP
    part_rows, part_columns = part or (slice(0, height), slice(0, width))
    pixels = np.empty((n, part_rows.stop - part_rows.start, part_columns.stop - part_columns.start, 3), np.uint8)
    margin = painter.margin_px if margin is None else margin
    is_one = max(pixels.shape[1:3]) <= block
    flat: dict[object, NDArray[np.uint8]] = {}
    side = block if is_one else min(block, PAINTED_PX)
    for rows in spans(part_rows, height, side, margin, PATCH_TOP):
        for columns in spans(part_columns, width, side, margin, PATCH_TOP):
            if not is_one:
                give_back_memory()
            is_flat = not is_one and all((of_map == of_map[:, :1, :1]).all() for of_map in _cut(indices, rows, columns))
            places = [(rows, columns)]
            if is_flat:
                smaller_rows = spans(rows.inner, height, FLAT_PX, margin, PATCH_TOP)
                places = list(product(smaller_rows, spans(columns.inner, width, FLAT_PX, margin, PATCH_TOP)))
            else:
                flat.clear()
            for place in places:
                codes = _cut(indices, *place)
                key = (*(span.edges for span in place), *(of_map[:, 0, 0].tobytes() for of_map in codes))
                painted = flat[key] if key in flat else painter(codes, (place[0].kept, place[1].kept))
                if is_flat:
                    flat[key] = painted
                target = pixels[:, place[0].inner.start - part_rows.start :, place[1].inner.start - part_columns.start :]
                target[:, : painted.shape[1], : painted.shape[2]] = painted
        on_progress((rows.inner.stop - part_rows.start) / pixels.shape[1])
    return pixels


def _cut(indices: Sequence[NDArray[np.int64]], rows: Span, columns: Span) -> list[NDArray[np.int64]]:
    """Returns the codes of each map that a block sees."""
    scales = [PATCH_TOP // map_scale(level) for level in range(len(indices))]
    return [whole[:, rows.scaled(s).outer, columns.scaled(s).outer] for whole, s in zip(indices, scales, strict=True)]
