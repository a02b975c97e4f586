"""Colours of curves: every codec has one of its own, the same in every report."""

from collections.abc import Sequence
from itertools import cycle
from typing import Final

COLOURS: Final = {
    "vqcodec": ("#4060a5", "#2b95f5"),
    "jpeg": ("#b9380a", "#e65b24"),
    "webp": ("#008d64", "#21e8a4"),
    "avif": ("#802765", "#b2669e"),
    "jpeg-xl": ("#c58500", "#e9bf20"),
    "heic": ("#009cee", "#b0c7fa"),
    "vvc": ("#2e3320", "#ffe8f0"),
    "vqcodec-perceptual": ("#ff2277", "#88bbbb"),
    "vqcodec-psnr": ("#4400bb", "#77aa66"),
    "avif-psnr": ("#998899", "#888877"),
    "jpeg-trellis": ("#665544", "#ff77aa"),
    "jpeg-2000": ("#7744ff", "#ff33dd"),
    "vqcodec-nearest": ("#663300", "#eeee77"),
    "vqcodec-static": ("#cc66bb", "#22aa99"),
    "vqcodec-raw": ("#779988", "#dd9933"),
}
"""Colours of measured curves by the codec's name, on a light and on a dark background.

Every two of the first seven differ by at least 14 (CIEDE2000), for readers with protanopia, deuteranopia and tritanopia (Machado et al.
2009) too. All of them differ by at least 13, and by 7 for readers with protanopia and deuteranopia.
"""

GREY: Final = ("#6d6d6d", "#9d9d9d")
"""Colour of published curves, on a light and on a dark background."""


def colours_of(names: Sequence[str]) -> list[tuple[str, str]]:
    """Returns the colours of curves; other names than those of codecs take the colours that are left, and all in turn after them."""
    left = [colours for name, colours in COLOURS.items() if name not in names]
    others = cycle(left or COLOURS.values())
    return [COLOURS.get(name) or next(others) for name in names]
