"""Where large images are cut into blocks, with margins that the network sees and that are not kept."""

from collections.abc import Iterator
from dataclasses import dataclass
from itertools import pairwise
from typing import Final, Self

from vqcodec.nn.configs import PATCH_TOP

BLOCK_PX: Final = 2048
"""Longest side of a block in pixels."""

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
    """Yields blocks of nearly equal length, none longer than `block`, that cover `part` of `length`; they meet at multiples of `unit`."""
    first = part.start // unit
    units = -(-part.stop // unit) - first
    count = -(-units // (block // unit))
    edges = [part.start, *((first + units * number // count) * unit for number in range(1, count)), part.stop]
    for start, stop in pairwise(edges):
        outer_start = max(0, (start - margin) // PATCH_TOP * PATCH_TOP)
        yield Span(slice(outer_start, min(length, -(-(stop + margin) // PATCH_TOP) * PATCH_TOP)), slice(start, stop))
