"""Drawn training pictures, of what photos lack: text, interfaces, charts, line art, and saturated colours on black or on flat ground.

All words, places and colours are drawn by a seed, and the letters are the DejaVu fonts that come with matplotlib, so that no evaluation
picture, with other letters, can be among them.
"""

import importlib.util
from collections.abc import Callable
from functools import cache
from pathlib import Path
from typing import Final

import numpy as np
from numpy.random import Generator
from PIL import Image, ImageDraw, ImageFont

from vqcodec.errors import ModelError
from vqcodec.training.data import PhotoSet
from vqcodec.training.sizes import Sizes

SIDE_PX: Final = 512
"""Side of a drawn picture, and so of the largest crop of one."""
_FONTS: Final = ("DejaVuSans", "DejaVuSans-Bold", "DejaVuSerif", "DejaVuSerif-Italic", "DejaVuSansMono")
_CONSONANTS, _VOWELS = "bcdfghklmnprstvwz", "aeiouy"

Colour = tuple[int, int, int]


def synthetic_photos(count: int, seed: int) -> PhotoSet:
    """Draws pictures of `SIDE_PX` a side, of all kinds in turn.

    Args:
        count: number of pictures.
        seed: what decides the pictures.

    Raises:
        ModelError: matplotlib, which brings the fonts, is not installed.
    """
    _font_path(_FONTS[0])
    pictures = []
    for number in range(count):
        rng = np.random.default_rng([seed, number])
        pictures.append(np.asarray(_KINDS[number % len(_KINDS)](rng), np.uint8))
    sides = np.full(count, SIDE_PX)
    return PhotoSet(np.stack(pictures).reshape(-1), Sizes(sides, sides), f"synthetic-{count}-{seed}")


def _font_path(name: str) -> Path:
    spec = importlib.util.find_spec("matplotlib")
    for folder in (spec.submodule_search_locations or ()) if spec else ():
        path = Path(folder) / "mpl-data" / "fonts" / "ttf" / f"{name}.ttf"
        if path.is_file():
            return path
    raise ModelError("drawn pictures need the fonts of matplotlib, of the extra [train]: pip install 'vqcodec[train]'")


@cache
def _font(name: str, px: int) -> ImageFont.FreeTypeFont:
    return ImageFont.truetype(_font_path(name), px)


def _any_font(rng: Generator, smallest: int = 8, largest: int = 26) -> ImageFont.FreeTypeFont:
    return _font(_FONTS[rng.integers(len(_FONTS))], int(smallest * (largest / smallest) ** rng.random()))


def _words(rng: Generator, count: int) -> str:
    def word() -> str:
        letters = "".join(
            _CONSONANTS[rng.integers(len(_CONSONANTS))] + _VOWELS[rng.integers(len(_VOWELS))] for _ in range(rng.integers(1, 5))
        )
        return str(rng.integers(1, 100_000)) if rng.random() < 0.1 else letters.capitalize() if rng.random() < 0.2 else letters

    return " ".join(word() for _ in range(count))


def _any_colour(rng: Generator) -> Colour:
    """Returns a colour: a corner of the RGB cube in a third of the draws, else any."""
    values = 255 * rng.integers(0, 2, 3) if rng.random() < 1 / 3 else rng.integers(0, 256, 3)
    return tuple(map(int, values))  # type: ignore[return-value]


def _ground(rng: Generator) -> tuple[Colour, Colour]:
    """Returns the colours of paper and ink, which differ enough to be read: mostly black and white, either way round."""
    dark, light = (int(rng.integers(0, 40)),) * 3, (int(rng.integers(225, 256)),) * 3
    paper, ink = (dark, light) if rng.random() < 0.4 else (light, dark)
    if rng.random() < 0.4:
        ink = _any_colour(rng)
    if rng.random() < 0.2:
        paper = _any_colour(rng)
    if sum(abs(a - b) for a, b in zip(paper, ink, strict=True)) < 150:
        return dark, light
    return paper, ink


def _blank(colour: Colour) -> tuple[Image.Image, ImageDraw.ImageDraw]:
    picture = Image.new("RGB", (SIDE_PX, SIDE_PX), colour)
    return picture, ImageDraw.Draw(picture)


def _box(rng: Generator, smallest: int = 12, largest: int = SIDE_PX // 2) -> tuple[int, int, int, int]:
    """Returns left, top, right and bottom of a box that may reach out of the picture."""
    width, height = (int(smallest * (largest / smallest) ** rng.random()) for _ in range(2))
    left, top = (int(rng.integers(-width // 2, SIDE_PX - width // 2)) for _ in range(2))
    return left, top, left + width, top + height


def _page(rng: Generator) -> Image.Image:
    """Paragraphs and headings in several columns."""
    paper, ink = _ground(rng)
    picture, draw = _blank(paper)
    columns = int(rng.integers(1, 4))
    for column in range(columns):
        left, y = 8 + column * SIDE_PX // columns, int(rng.integers(0, 30))
        while y < SIDE_PX:
            font, colour = _any_font(rng, 8, 18 if rng.random() < 0.8 else 48), ink if rng.random() < 0.85 else _any_colour(rng)
            for _ in range(rng.integers(1, 9)):
                draw.text((left, y), _words(rng, 12), fill=colour, font=font)
                y += round(font.size * 1.3)
            y += int(rng.integers(2, 24))
            draw.rectangle((left + SIDE_PX // columns - 14, 0, SIDE_PX, SIDE_PX), fill=paper)
    return picture


def _interface(rng: Generator) -> Image.Image:
    """Panels with rounded corners, bars, lists, buttons and labels."""
    paper, ink = _ground(rng)
    picture, draw = _blank(paper)
    for _ in range(rng.integers(3, 9)):
        left, top, right, bottom = _box(rng, 90, 400)
        fill, edge = _any_colour(rng) if rng.random() < 0.4 else paper, _any_colour(rng) if rng.random() < 0.5 else ink
        draw.rounded_rectangle((left, top, right, bottom), int(rng.integers(0, 16)), fill=fill, outline=edge, width=int(rng.integers(1, 3)))
        font = _any_font(rng, 9, 16)
        for y in range(top + 6, bottom - 20, round(font.size * 1.8)):
            if rng.random() < 0.3:
                draw.rounded_rectangle((left + 6, y, left + 70, y + font.size + 6), 4, fill=_any_colour(rng))
            if rng.random() < 0.3:
                draw.ellipse((right - 24, y, right - 12, y + 12), fill=_any_colour(rng))
            draw.text((left + 10, y + 2), _words(rng, 2), fill=edge, font=font)
            if rng.random() < 0.4:
                draw.line((left, y, right, y), fill=edge)
    return picture


def _chart(rng: Generator) -> Image.Image:
    """Bars, curves and sectors with axes, a grid and labels."""
    paper, ink = _ground(rng)
    picture, draw = _blank(paper)
    font = _any_font(rng, 9, 15)
    for offset in (0, SIDE_PX // 2):
        base, step = offset + 220, int(rng.integers(12, 48))
        for x in range(30, SIDE_PX, step):
            draw.line((x, offset + 10, x, base), fill=tuple((a + b) // 2 for a, b in zip(paper, ink, strict=True)))
            draw.text((x, base + 4), str(rng.integers(1000)), fill=ink, font=font)
            if rng.random() < 0.6:
                draw.rectangle((x, base - int(rng.integers(5, 200)), x + step // 2, base), fill=_any_colour(rng))
        draw.line((30, base, SIDE_PX, base), fill=ink, width=2)
        heights = base - 100 + np.cumsum(rng.normal(0, 9, 60))
        draw.line([(30 + 8 * place, float(y)) for place, y in enumerate(heights)], fill=_any_colour(rng), width=int(rng.integers(1, 4)))
    box, start = _box(rng, 80, 160), 0.0
    while start < 360:
        end = start + rng.uniform(20, 120)
        draw.pieslice(box, start, end, fill=_any_colour(rng), outline=ink)
        start = end
    return picture


def _line_art(rng: Generator) -> Image.Image:
    """Thin lines, outlines and hatching, smooth or with steps."""
    paper, ink = _ground(rng)
    scale = int(rng.integers(1, 3))
    picture = Image.new("RGB", (SIDE_PX * scale, SIDE_PX * scale), paper)
    draw = ImageDraw.Draw(picture)
    for _ in range(rng.integers(10, 40)):
        box, width = tuple(side * scale for side in _box(rng)), int(rng.integers(1, 5))
        colour = ink if rng.random() < 0.7 else _any_colour(rng)
        kind = rng.integers(4)
        if kind == 0:
            draw.ellipse(box, outline=colour, width=width)
        elif kind == 1:
            draw.rectangle(box, outline=colour, width=width)
        elif kind == 2:
            draw.line([tuple(map(float, point)) for point in rng.uniform(0, SIDE_PX * scale, (4, 2))], fill=colour, width=width)
        else:
            for x in range(box[0], box[2], 6 * scale):
                draw.line((x, box[1], x + 20 * scale, box[3]), fill=colour)
    return picture.reduce(scale) if scale > 1 else picture


def _shapes(rng: Generator) -> Image.Image:
    """Flat and shaded shapes in saturated colours, many of them on black, with a few large words."""
    picture, draw = _blank((0, 0, 0) if rng.random() < 0.5 else _any_colour(rng))
    for _ in range(rng.integers(6, 30)):
        box = _box(rng)
        kind = rng.integers(4)
        if kind == 0:
            draw.ellipse(box, fill=_any_colour(rng))
        elif kind == 1:
            draw.polygon([tuple(map(float, point)) for point in rng.uniform(box[:2], box[2:], (3, 2))], fill=_any_colour(rng))
        elif kind == 2:
            draw.rectangle(box, fill=_any_colour(rng))
        else:
            one, other = (np.array(_any_colour(rng), float) for _ in range(2))
            ramp = np.linspace(0, 1, box[2] - box[0])[None, :, None]
            shade = np.broadcast_to(one + (other - one) * ramp, (box[3] - box[1], box[2] - box[0], 3))
            picture.paste(Image.fromarray(shade.round().astype(np.uint8)), box[:2])
    for _ in range(rng.integers(0, 4)):
        place = tuple(map(float, rng.integers(0, SIDE_PX, 2)))
        draw.text(place, _words(rng, 2), fill=_any_colour(rng), font=_any_font(rng, 16, 72))  # type: ignore[arg-type]
    return picture


_KINDS: Final[tuple[Callable[[Generator], Image.Image], ...]] = (_page, _interface, _chart, _line_art, _shapes)
