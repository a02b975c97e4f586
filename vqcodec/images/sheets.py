"""Drawings that explain a picture: colours of codes, heat over a picture, panels with titles and bars on one sheet."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageDraw, ImageFont

PANEL_PX: Final = 480
"""Longest side of a panel of a sheet."""

_COLUMNS: Final = 3
_GAP_PX: Final = 24
_TITLE_PX: Final = 34
_LINE_PX: Final = 26
_FONT_PX: Final = 17
_PAPER, _INK, _QUIET, _BAR = (255, 255, 255), (26, 29, 33), (90, 98, 112), (188, 55, 84)
_HEAT: Final = ((0, 0, 4), (66, 10, 104), (147, 38, 103), (221, 81, 58), (252, 165, 10), (252, 255, 164))
"""Colours of heat from none to the most, about those of matplotlib's map `inferno`, whose lightness is even."""
_HEAT_SHARE: Final = 0.65
_FADED_SHARE: Final = 0.8


def heat_over(picture: Image.Image, values: NDArray[np.floating], most: float, place_px: int) -> Image.Image:
    """Returns a picture in grey under colours that show values by place.

    Args:
        picture: RGB.
        values: [h, w], at least 0, of places of `place_px` x `place_px` pixels that cover the picture.
        most: value, above 0, of the brightest colour.
        place_px: side of a place in pixels.
    """
    steps = np.linspace(0, 255, len(_HEAT))
    table = np.stack([np.interp(np.arange(256), steps, channel) for channel in zip(*_HEAT, strict=True)], axis=1).astype(np.uint8)
    colours = Image.fromarray(table[np.clip(values * (255 / most), 0, 255).astype(np.uint8)])
    return Image.blend(picture.convert("L").convert("RGB"), enlarged(colours, picture.size, place_px), _HEAT_SHARE)


def enlarged(image: Image.Image, size: tuple[int, int], place_px: int) -> Image.Image:
    """Returns an image of one pixel a place as one of `size`, width and height, where a place takes `place_px` pixels a side."""
    return image.resize(size, Image.Resampling.NEAREST, box=(0, 0, size[0] / place_px, size[1] / place_px))


def colours_of_codes(codebook: NDArray[np.floating]) -> NDArray[np.uint8]:
    """Returns a colour of each code, uint8 [K, 3]: codes whose vectors are alike look alike.

    Lightness and two differences of colour stand for the first three principal components of the codebook [K, D].
    """
    centred = np.asarray(codebook, np.float64) - codebook.mean(axis=0)
    axes = np.linalg.svd(centred, full_matrices=False)[2][:3]
    axes = axes * np.where(np.take_along_axis(axes, np.abs(axes).argmax(axis=1)[:, None], axis=1) < 0, -1, 1)
    components = np.zeros((len(centred), 3))
    components[:, : len(axes)] = centred @ axes.T
    spread = float(np.quantile(np.abs(components), 0.97)) or 1.0
    luma, blue, red = (components / spread).T
    rgb = np.stack([luma + red, luma - 0.5 * (blue + red), luma + blue], axis=1)
    return np.clip(np.rint(127.5 + 110 * rgb), 0, 255).astype(np.uint8)


def faded(picture: Image.Image, kept: NDArray[np.bool_]) -> Image.Image:
    """Returns an RGB picture that is pale but for the pixels kept, bool [H, W]."""
    pale = Image.blend(picture.convert("L").convert("RGB"), Image.new("RGB", picture.size, "white"), _FADED_SHARE)
    return Image.composite(picture, pale, Image.fromarray(kept))


@dataclass(frozen=True)
class Panel:
    """A picture of a sheet under a title.

    Attributes:
        title: one line.
        image: RGB; a place of the picture, as `enlarged` has it, is `place_px` pixels a side.
        place_px: pixels of the whole picture that a pixel of this image stands for along each side.
    """

    title: str
    image: Image.Image
    place_px: int = 1


def sheet(size: tuple[int, int], panels: Sequence[Panel], title: str, bars: Sequence[tuple[str, float, str]]) -> Image.Image:
    """Returns panels side by side, and bars below them, as one RGB image.

    Args:
        size: width and height of the picture that all panels show.
        panels: panels, row by row.
        title: line above the bars.
        bars: name, length in 0..1 and text of each bar.
    """
    scale = min(PANEL_PX / max(size), max(1, PANEL_PX // max(size)))
    width, height = (max(1, round(side * scale)) for side in size)
    rows = -(-len(panels) // _COLUMNS)
    cell = max(width, PANEL_PX) + _GAP_PX, height + _TITLE_PX + _GAP_PX
    top = rows * cell[1] + _GAP_PX
    whole = Image.new("RGB", (_COLUMNS * cell[0] + _GAP_PX, top + (len(bars) + 2) * _LINE_PX + _GAP_PX), _PAPER)
    draw, font = ImageDraw.Draw(whole), ImageFont.load_default(_FONT_PX)
    for number, panel in enumerate(panels):
        left, upper = _GAP_PX + number % _COLUMNS * cell[0], _GAP_PX + number // _COLUMNS * cell[1]
        draw.text((left, upper), panel.title, _INK, font)
        box = (0, 0, size[0] / panel.place_px, size[1] / panel.place_px)
        resampling = Image.Resampling.BOX if box[2] > width else Image.Resampling.NEAREST
        whole.paste(panel.image.resize((width, height), resampling, box=box), (left, upper + _TITLE_PX))
    draw.text((_GAP_PX, top), title, _INK, font)
    for number, (name, length, text) in enumerate(bars, 1):
        upper = top + _GAP_PX // 4 + number * _LINE_PX
        draw.text((_GAP_PX, upper), name, _INK, font)
        start = _GAP_PX + PANEL_PX // 2
        end = start + max(1, round(length * PANEL_PX))
        draw.rectangle((start, upper + 2, end, upper + _LINE_PX - 6), _BAR)
        draw.text((end + _GAP_PX // 2, upper), text, _QUIET, font)
    return whole
