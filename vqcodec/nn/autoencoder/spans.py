"""Where large images are cut into blocks, with margins that the network sees and that are not kept."""

from collections.abc import Iterator
from dataclasses import dataclass
from itertools import pairwise
from typing import Final, Self

from vqcodec.nn.configs import PATCH_TOP

BLOCK_PX: Final = 2048
"""Longest side of a block in pixels, about: those at the edges of an image, which have fewer margins, may be longer."""

PAINTED_PX: Final = 1536
"""Longest side of a block that the decoder paints at a time, where an image has several blocks."""


@dataclass(frozen=True)
class Span:
    """The place of one block along one axis, in pixels: the network sees `outer`, multiples of 8, and `inner` is kept of that."""

    outer: slice
    inner: slice

    def scaled(self, divisor: int) -> Self:
        """Returns the same place in units of `divisor` pixels."""
        return type(self)(_divided(self.outer, divisor), _divided(self.inner, divisor))

    @property
    def kept(self) -> slice:
        """The place of `inner`, counted from the beginning of `outer`."""
        return slice(self.inner.start - self.outer.start, self.inner.stop - self.outer.start)

    @property
    def edges(self) -> tuple[int, int, int]:
        """The beginning and the end of `kept`, and the length of `outer`: all that the result depends on beside the codes."""
        return self.kept.start, self.kept.stop, self.outer.stop - self.outer.start


def _divided(span: slice, divisor: int) -> slice:
    return slice(span.start // divisor, span.stop // divisor)


def spans(part: slice, length: int, block: int, margin: int, unit: int) -> Iterator[Span]:
    """Yields blocks that cover `part` of `length` and meet at multiples of `unit`.

    Of each the network sees nearly the same length, no more than `block` and two margins, and never more than of the first, so that memory
    for one does for the next. Where `unit` is larger than the margin, it is the inner lengths that are nearly the same.
    """
    first = part.start // unit
    units = -(-part.stop // unit) - first
    count = -(-units // (block // unit))
    around = min(margin, block // 2) // unit
    before, after = (around if has_more else 0 for has_more in (part.start > 0, part.stop < length))
    seen = before + units + after + 2 * around * (count - 1)
    inner_edges = (first - (-seen * number // count) - before - (2 * number - 1) * around for number in range(1, count))
    edges = [part.start, *(edge * unit for edge in inner_edges), part.stop]
    for start, stop in pairwise(edges):
        outer_start = max(0, (start - margin) // PATCH_TOP * PATCH_TOP)
        yield Span(slice(outer_start, min(length, -(-(stop + margin) // PATCH_TOP) * PATCH_TOP)), slice(start, stop))
