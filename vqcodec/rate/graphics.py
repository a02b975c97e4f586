"""What in a picture is better said exactly than by codes: text, drawings and flat areas, by rate and distortion.

In the tradition of layered documents (DjVu: Bottou et al. 1998, section 3; mixed raster content: ITU-T T.44) a picture is cut into what
codes paint well and what a lossless coder says in few bytes. Here pixels are weighed one by one: what the codes make of each is known, and
what it costs exactly is estimated, and brought to the size of the real bitstream afterwards.
"""

from collections.abc import Iterable
from itertools import pairwise
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from vqcodec.nn.threads import map_in_threads

Box = tuple[slice, slice]
"""A rectangle of pixels: its rows and columns."""

PLACE_PX: Final = 8
"""Side of the blocks that are weighed, that of a code of the top map."""

_TINY_PIXELS: Final = 256
"""Number of pixels up to which a picture may always be said better without codes."""
_MOST_REPEATED: Final = 0.25
"""Share of pixels that equal both the left and the upper one, from which on a picture may hold graphics; few photos reach it."""
_MOST_EQUAL: Final = 0.47
"""Share of pixels that equal the left one, or the upper one, from which on it may."""
_MOST_INK: Final = 0.01
"""Share of blocks with repeated pixels and full contrast from which on a picture may hold graphics."""
_INK_REPEATED, _INK_RANGE = 16, 450
"""Repeated pixels of a block of ink, of 64, and the range of R + G + B in it."""
_MOST_CONTRAST: Final = 0.1
"""Share of blocks of high contrast from which on a picture may hold graphics."""
_CONTRAST_VARIANCE: Final = 9 * 4000
"""Variance of R + G + B in a block of high contrast."""
_CONTRAST_RANGE: Final = 380
"""Least range of R + G + B in a block of such a variance, about twice its root."""
_MOST_VIVID: Final = 0.03
"""Share of pixels of full saturation from which on a picture is not like photos."""

_STRIP_PX: Final = 256
"""Rows of pixels that are counted at a time."""

_INK_WORTH: Final = 4.0
"""Factor that squared errors in text and drawings count with."""

_AREA_SHARE, _FILLED_SHARE = 0.4, 0.75
"""Share of the pixels of a block from which on it belongs to an area, and from which on it is filled (`large_areas`)."""

_GROUNDS: Final = 8
"""Number of colours that are looked for as grounds of boxes, the most frequent ones."""
_GROUND_SHARE: Final = 0.4
"""Least share of the ground in a box, in its outermost rows and columns, and in its blocks without text."""
_LEAST_BLOCKS, _MOST_BOXES = 4, 64
"""Least number of neighbouring blocks of a ground, and most boxes of one ground."""
_BOX_ROUNDS: Final = 2
"""Number of times that the edges of a box are found, since rows and columns depend on each other."""

_REPEATED_BITS: Final = 0.01
"""Bits that a pixel costs that equals its left and upper neighbours."""
_RUN_BITS: Final = 1.0
"""Bits that a pixel costs that equals one of them."""
FREQUENT_BITS: Final = 5.0
"""Bits that a pixel of a frequent colour costs."""
_FREQUENT_COLOURS: Final = 64
"""Number of colours that count as frequent, and how often one must occur at least."""
_NEW_BITS: Final = 3.0
"""Bits that any other pixel costs beside those of its difference to its neighbours."""
_EDGE_BITS: Final = 3.0
"""Bits that a change between an exact pixel and another one costs along a row."""


def may_be_graphics(rgb: NDArray[np.uint8]) -> bool:
    """Tells by quick statistics whether a picture may hold what codes paint badly; hardly a photo is among them.

    Args:
        rgb: uint8 [H, W, 3].
    """
    height, width = rgb.shape[:2]
    if height * width <= _TINY_PIXELS:
        return True
    edges = [*range(0, max(1, height - PLACE_PX + 1), _STRIP_PX), height]
    strips = map_in_threads(lambda place: _count(rgb[max(0, place[0] - 1) : place[1]], int(place[0] > 0)), [*pairwise(edges)])
    repeated, left, above, vivid, blocks, inked, contrasted = (sum(counts) for counts in zip(*strips, strict=True))
    if repeated > _MOST_REPEATED * height * width or max(left, above) > _MOST_EQUAL * height * width:
        return True
    return bool(vivid > _MOST_VIVID * height * width or inked > _MOST_INK * blocks or contrasted > _MOST_CONTRAST * blocks)


def _count(rgb: NDArray[np.uint8], above: int) -> tuple[int, ...]:
    """Counts what `may_be_graphics` looks at in a strip of a picture.

    Args:
        rgb: uint8 [above + H, W, 3].
        above: number of rows that belong to the strip above, 0 or 1.

    Returns:
        Numbers of pixels that equal both neighbours, the left one, the upper one, and of pixels of full saturation; of blocks, of those of
        ink, and of those of high contrast.
    """
    packed = _packed(rgb)
    equals_left, equals_above = _equals_left(packed)[above:], _equals_above(packed)[above:]
    repeated = equals_left & equals_above
    red, green, blue = (np.ascontiguousarray(rgb[above:, :, channel]) for channel in range(3))
    brightest, darkest = np.maximum(np.maximum(red, green), blue), np.minimum(np.minimum(red, green), blue)
    vivid = (darkest <= 1) & (brightest >= 64)
    blocks = _blocks(red.astype(np.int16) + green + blue)
    ranges = blocks.max(axis=1).max(axis=2) - blocks.min(axis=1).min(axis=2)
    has_ink = (ranges >= _INK_RANGE) & (_blocks(repeated).sum(axis=1, dtype=np.int8).sum(axis=2) >= _INK_REPEATED)
    contrasted = blocks.transpose(0, 2, 1, 3)[ranges >= _CONTRAST_RANGE].astype(np.float32)
    is_contrasted = contrasted.reshape(-1, PLACE_PX**2).var(axis=1) > _CONTRAST_VARIANCE
    masks = (repeated, equals_left, equals_above, vivid)
    return *(int(np.count_nonzero(mask)) for mask in masks), ranges.size, int(has_ink.sum()), int(is_contrasted.sum())


def exact_bits(rgb: NDArray[np.uint8]) -> NDArray[np.float32]:
    """Estimates what each pixel, float32 [H, W], costs a lossless coder for graphics.

    Args:
        rgb: uint8 [H, W, 3].
    """
    packed = _packed(rgb)
    left, above = _equals_left(packed), _equals_above(packed)
    signed = rgb.astype(np.int16)
    to_left = np.abs(np.diff(signed, axis=1, prepend=signed[:, :1]))
    to_above = np.abs(np.diff(signed, axis=0, prepend=signed[:1]))
    differences = np.minimum(to_left, to_above).astype(np.float32)
    bits = _NEW_BITS + np.log2(1 + 2 * differences).sum(axis=2)
    bits = np.where(_has_frequent_colour(packed), np.minimum(bits, FREQUENT_BITS), bits)
    bits = np.where(left | above, np.minimum(bits, _RUN_BITS), bits)
    return np.where(left & above, _REPEATED_BITS, bits).astype(np.float32)


def choose_exact(bits: NDArray[np.float32], errors: NDArray[np.float32], ink: NDArray[np.bool_], weight: float) -> NDArray[np.bool_]:
    """Chooses the pixels that are to be exact, bool [H, W].

    A block is exact as a whole, or in its ink and what lies beside it and is worth its bits, or not at all, whichever costs least.

    Args:
        bits: float32 [H, W], what each pixel costs (`exact_bits`), scaled.
        errors: float32 [H, W], squared error of what the codes paint, summed over R, G and B.
        ink: bool [H, W], pixels of text and drawings (`ink_of`).
        weight: squared error that a bit is worth.
    """
    gain = errors - weight * bits
    ink = ink | (_beside(ink) & (gain > 0))
    edges = np.zeros(ink.shape, np.float32)
    edges[:, 1:] = (ink[:, 1:] != ink[:, :-1]) * np.float32(weight * _EDGE_BITS)
    of_blocks = _blocks(gain, pad=True).sum(axis=(1, 3))
    of_ink = _blocks(np.where(ink, gain, 0) - edges, pad=True).sum(axis=(1, 3))
    is_whole, is_ink = (of_blocks > 0) & (of_blocks >= of_ink), (of_ink > 0) & (of_ink > of_blocks)
    height, width = ink.shape
    chosen: NDArray[np.bool_] = _spread(is_whole)[:height, :width] | (_spread(is_ink)[:height, :width] & ink)
    return chosen


def large_areas(mask: NDArray[np.bool_], ink: NDArray[np.bool_]) -> NDArray[np.bool_]:
    """Returns what is left of a mask, bool [H, W], in areas of 3x3 blocks each of which it holds a good part of.

    Blocks that the mask nearly fills are filled, so that a box of text becomes whole. Of the others ink alone is kept. Pixels that are
    scattered over a photo are left out: each seems to be better exact, but together they cost more than they gain.
    """
    areas = _large_areas(mask)
    height, width = mask.shape
    is_filled = _spread(areas & (_shares(mask) >= _FILLED_SHARE))[:height, :width]
    left: NDArray[np.bool_] = is_filled | (_spread(areas)[:height, :width] & mask & ink)
    return left


def find_boxes(rgb: NDArray[np.uint8]) -> list[Box]:
    """Returns the rectangles of one ground colour with text or drawings on it, as captions and buttons are, as rows and columns.

    Their edges are those of the ground, to the pixel.

    Args:
        rgb: uint8 [H, W, 3].
    """
    packed = _packed(rgb)
    colours, counts = np.unique(packed, return_counts=True)
    found: list[Box] = []
    for colour in colours[np.argsort(counts, kind="stable")[-_GROUNDS:]]:
        ground = packed == colour
        for blocks in _components(_shares(ground) >= _GROUND_SHARE):
            rows, columns = box = _fitted(blocks, ground)
            if box not in found and ground[rows, columns].mean() >= _GROUND_SHARE:
                found.append(box)
    return found


def choose_boxes(boxes: Iterable[Box], bits: NDArray[np.float32], errors: NDArray[np.float32], weight: float) -> NDArray[np.bool_]:
    """Chooses the boxes that are to be exact as a whole, bool [H, W]; the other arguments are those of `choose_exact`."""
    mask = np.zeros(errors.shape, bool)
    for box in boxes:
        mask[box] |= errors[box].sum(dtype=np.float64) > weight * bits[box].sum(dtype=np.float64)
    return mask


def _fitted(box: Box, ground: NDArray[np.bool_]) -> Box:
    """Returns a box of blocks whose edges are moved to those of its ground."""
    rows, columns = box
    for _ in range(_BOX_ROUNDS):
        rows = _stretched(ground[:, columns].mean(axis=1) >= _GROUND_SHARE, rows)
        columns = _stretched(ground[rows].mean(axis=0) >= _GROUND_SHARE, columns)
    return rows, columns


def _stretched(is_ground: NDArray[np.bool_], part: slice) -> slice:
    """Returns a part of a side without what is no ground at its ends, and with the ground that goes on beyond them."""
    inside = np.flatnonzero(is_ground[part])
    if not inside.size:
        return part
    start, stop = part.start + int(inside[0]), part.start + int(inside[-1]) + 1
    before, after = np.flatnonzero(~is_ground[:start]), np.flatnonzero(~is_ground[stop:])
    return slice(int(before[-1]) + 1 if before.size else 0, stop + int(after[0]) if after.size else len(is_ground))


def _large_areas(mask: NDArray[np.bool_]) -> NDArray[np.bool_]:
    """Returns the blocks in areas of 3x3 blocks each of which a mask holds a good part of."""
    return _beside(~_beside(_shares(mask) < _AREA_SHARE))


def _shares(mask: NDArray[np.bool_]) -> NDArray[np.float64]:
    """Returns the share of the pixels of each block that a mask holds; blocks at the edges may have fewer pixels."""
    counts, sizes = (_blocks(values, pad=True).sum(axis=(1, 3)) for values in (mask, np.ones_like(mask)))
    return np.asarray(counts / sizes, np.float64)


def _components(of_blocks: NDArray[np.bool_]) -> list[Box]:
    """Returns the bounding boxes, in pixels, of the largest components of neighbouring blocks."""
    left = set(zip(*(axis.tolist() for axis in np.nonzero(of_blocks)), strict=True))
    components = []
    while left:
        reached = [left.pop()]
        for row, column in reached:
            neighbours = {(row - 1, column), (row + 1, column), (row, column - 1), (row, column + 1)} & left
            left -= neighbours
            reached += neighbours
        if len(reached) >= _LEAST_BLOCKS:
            components.append(reached)
    found = []
    for component in sorted(components, key=lambda blocks: (-len(blocks), min(blocks)))[:_MOST_BOXES]:
        rows, columns = (slice(PLACE_PX * min(axis), PLACE_PX * (max(axis) + 1)) for axis in zip(*component, strict=True))
        found.append((rows, columns))
    return found


def _packed(rgb: NDArray[np.uint8]) -> NDArray[np.uint32]:
    """Returns one number a colour, uint32 [H, W]."""
    padded = np.zeros((*rgb.shape[:2], 4), np.uint8)
    padded[:, :, :3] = rgb
    return padded.view(np.uint32)[:, :, 0]


def _equals_left(packed: NDArray[np.uint32]) -> NDArray[np.bool_]:
    equal = np.zeros(packed.shape, bool)
    equal[:, 1:] = packed[:, 1:] == packed[:, :-1]
    return equal


def _equals_above(packed: NDArray[np.uint32]) -> NDArray[np.bool_]:
    equal = np.zeros(packed.shape, bool)
    equal[1:] = packed[1:] == packed[:-1]
    return equal


def importance(ink: NDArray[np.bool_]) -> NDArray[np.float32]:
    """Returns the factor that the squared error of each pixel counts with, float32 [H, W]: more in ink and beside it.

    Errors in photos hide in their detail, while those in text and drawings show, and letters become others.
    """
    return np.where(_beside(ink), _INK_WORTH, 1).astype(np.float32)


def ink_of(rgb: NDArray[np.uint8]) -> NDArray[np.bool_]:
    """Returns the pixels of text and drawings, bool [H, W]: those that equal two of their four neighbours or more."""
    packed = _packed(rgb)
    left, above = _equals_left(packed), _equals_above(packed)
    count = left.astype(np.uint8) + above
    count[:, :-1] += left[:, 1:]
    count[:-1] += above[1:]
    return count >= 2


def _beside(mask: NDArray[np.bool_]) -> NDArray[np.bool_]:
    """Tells of each pixel whether it or one of its eight neighbours is in a mask."""
    padded = np.pad(mask, 1)
    rows = padded[:-2] | padded[1:-1] | padded[2:]
    beside: NDArray[np.bool_] = rows[:, :-2] | rows[:, 1:-1] | rows[:, 2:]
    return beside


def _has_frequent_colour(packed: NDArray[np.uint32]) -> NDArray[np.bool_]:
    colours, counts = np.unique(packed, return_counts=True)
    most = np.argsort(counts)[-_FREQUENT_COLOURS:]
    return np.isin(packed, colours[most[counts[most] >= _FREQUENT_COLOURS]])


def _blocks(values: NDArray[Any], *, pad: bool = False) -> NDArray[Any]:
    """Returns a view [H / 8, 8, W / 8, 8] of the blocks of [H, W]; those that are not whole are padded with zeros or left out."""
    if pad or min(values.shape) < PLACE_PX:
        values = np.pad(values, ((0, -values.shape[0] % PLACE_PX), (0, -values.shape[1] % PLACE_PX)))
    rows, columns = values.shape[0] // PLACE_PX, values.shape[1] // PLACE_PX
    return values[: rows * PLACE_PX, : columns * PLACE_PX].reshape(rows, PLACE_PX, columns, PLACE_PX)


def _spread(of_blocks: NDArray[np.bool_]) -> NDArray[np.bool_]:
    return of_blocks.repeat(PLACE_PX, axis=0).repeat(PLACE_PX, axis=1)
