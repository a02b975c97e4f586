"""What all drawings share: fonts, words, curves of equal shade, and lines without steps."""

from collections.abc import Callable, Iterator
from functools import cache
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageDraw, ImageFont

Colour = tuple[int, int, int]
Size = tuple[int, int]
Drawing = Callable[[], Image.Image]
"""A function that draws one picture, the same at every call."""

SIZE: Final = (512, 384)
"""Width and height of most pictures."""
BLACK: Final = (0, 0, 0)
WHITE: Final = (255, 255, 255)
INKS: Final[tuple[Colour, ...]] = ((31, 119, 180), (255, 127, 14), (44, 160, 44), (214, 39, 40), (148, 103, 189))
"""Colours that are told apart well."""
_TEXT: Final = (
    "an encoder that meets letters for the first time draws small clouds where the strokes were; ask it for 10 pixels, "
    "100 % sharp, and it shrugs: (quality = 50) costs 3,278 bytes - is that much?"
)


@cache
def font(px: int) -> ImageFont.FreeTypeFont | ImageFont.ImageFont:
    """Returns the font that Pillow holds, which is the same everywhere, at a size in pixels."""
    return ImageFont.load_default(px)


@cache
def pixel_font() -> ImageFont.ImageFont:
    """Returns the font of Pillow whose letters are bitmaps without shades, 11 pixels high and 6 wide."""
    return ImageFont.load_default_imagefont()


def words(seed: int) -> Iterator[str]:
    """Yields words without end, drawn by chance from a seed."""
    rng, known = np.random.default_rng(seed), _TEXT.split()
    while True:
        yield known[rng.integers(len(known))]


def write_lines(picture: Image.Image, px: int, ink: Any, *, seed: int = 1, margin: int = 8, bitmap: bool = False) -> Image.Image:
    """Fills a picture with lines of text, and returns it.

    Args:
        picture: the background, which is drawn on.
        px: size of the letters.
        ink: colour of the letters.
        seed: seed of the words.
        margin: width of the border that stays empty, in pixels.
        bitmap: whether the letters are those of `pixel_font`.
    """
    draw, chosen, source = ImageDraw.Draw(picture), pixel_font() if bitmap else font(px), words(seed)
    for y in range(margin, picture.height - margin - px, round(1.4 * px)):
        line = next(source)
        while draw.textlength(longer := f"{line} {next(source)}", font=chosen) < picture.width - 2 * margin:
            line = longer
        draw.text((margin, y), line, fill=ink, font=chosen)
    return picture


def reduced(draw: Callable[[ImageDraw.ImageDraw], None], size: Size, background: Any, scale: int = 3) -> Image.Image:
    """Returns a picture without steps at its edges: drawn larger by `scale`, then reduced."""
    large = Image.new("RGB", (size[0] * scale, size[1] * scale), background)
    draw(ImageDraw.Draw(large))
    return large.reduce(scale)


def ramps(size: Size) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Returns two planes [H, W] that rise from 0 to 1: to the right, and downwards."""
    width, height = size
    down, right = np.meshgrid(np.linspace(0, 1, height), np.linspace(0, 1, width), indexing="ij")
    return right, down


def from_planes(*planes: NDArray[Any]) -> Image.Image:
    """Returns the picture of planes [H, W] of red, green and blue, and of alpha where there are four; values are rounded and clipped."""
    return Image.fromarray(np.clip(np.rint(np.dstack(planes)), 0, 255).astype(np.uint8))


def blended(a: Colour, b: Colour, share: NDArray[np.float64]) -> Image.Image:
    """Returns the picture that changes from one colour to another with `share`, a plane [H, W] of 0 to 1."""
    return from_planes(*(low + (high - low) * share for low, high in zip(a, b, strict=True)))
