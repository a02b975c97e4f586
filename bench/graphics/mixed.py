"""Photos with something on them or done to them: captions, windows around them, few colours, dither, saturation."""

from functools import partial
from typing import Any, Final

import numpy as np
from PIL import Image, ImageDraw, ImageOps

from bench.graphics.canvas import BLACK, SIZE, WHITE, Drawing, Size, font, write_lines
from bench.photos import photo

_BAYER_ORDER: Final = 3
"""Logarithm of the side of the matrix of thresholds."""


def _fitted(name: str, size: Size = SIZE) -> Image.Image:
    """Returns a photo, cut and resized to a size."""
    return ImageOps.fit(photo(name), size, Image.Resampling.LANCZOS)


def _caption(name: str) -> Image.Image:
    """A photo with letters in it and a line of text below."""
    picture = _fitted(name)
    draw = ImageDraw.Draw(picture)
    draw.text((24, 12), "WHEN THE CODEC MEETS TEXT", fill=WHITE, font=font(28), stroke_width=2, stroke_fill=BLACK)
    draw.rectangle([0, SIZE[1] - 40, *SIZE], fill=WHITE)
    draw.text((12, SIZE[1] - 30), "a caption in small letters below the picture, 12 px", fill=BLACK, font=font(12))
    return picture


def _meme(name: str) -> Image.Image:
    """A photo with large letters with black rims, above and below."""
    picture = _fitted(name, (400, 400))
    draw = ImageDraw.Draw(picture)
    rim: dict[str, Any] = {"fill": WHITE, "stroke_width": 3, "stroke_fill": BLACK, "anchor": "mm"}
    draw.text((200, 34), "ONE DOES NOT SIMPLY", font=font(36), **rim)
    draw.text((200, 362), "DROP THE LETTERS", font=font(40), **rim)
    return picture


def _subtitled(name: str) -> Image.Image:
    """A frame of a film with black bars and a subtitle."""
    picture = Image.new("RGB", SIZE, BLACK)
    picture.paste(_fitted(name, (512, 272)), (0, 56))
    ink: dict[str, Any] = {"fill": (255, 240, 90), "stroke_width": 1, "stroke_fill": BLACK, "anchor": "mm", "font": font(18)}
    ImageDraw.Draw(picture).text((256, 308), "- Where is the file?\n- It was never saved.", align="center", **ink)
    return picture


def _browser(name: str) -> Image.Image:
    """A window with tabs, an address, a text and a photo."""
    picture = Image.new("RGB", SIZE, WHITE)
    draw = ImageDraw.Draw(picture)
    draw.rectangle([0, 0, SIZE[0], 62], fill=(222, 225, 230))
    draw.rounded_rectangle([10, 6, 170, 40], 8, fill=WHITE)
    draw.text((22, 12), "Photos of the week", fill=(60, 64, 67), font=font(12))
    draw.rectangle([0, 32, SIZE[0], 62], fill=WHITE)
    draw.rounded_rectangle([80, 36, 500, 58], 11, fill=(241, 243, 244))
    draw.text((94, 40), "https://example.org/photos/2024?page=3", fill=(32, 33, 36), font=font(12))
    for x, ink in ((16, (237, 106, 94)), (36, (245, 191, 79)), (56, (98, 197, 84))):
        draw.ellipse([x, 41, x + 12, 53], fill=ink)
    draw.text((20, 74), "A walk in the morning", fill=(26, 13, 171), font=font(22))
    picture.paste(_fitted(name, (280, 200)), (20, 110))
    text = write_lines(Image.new("RGB", (180, 250), WHITE), 12, (77, 81, 86), margin=4)
    picture.paste(text, (316, 106))
    draw.text((20, 318), "Fig. 1. The same place, an hour later.", fill=(112, 117, 122), font=font(11))
    draw.rounded_rectangle([20, 340, 120, 368], 6, fill=(26, 115, 232))
    draw.text((70, 354), "Next page", fill=WHITE, font=font(13), anchor="mm")
    return picture


def _two_tones(name: str) -> Image.Image:
    return _fitted(name, (320, 240)).convert("1").convert("RGB")


def _palette_dither(name: str) -> Image.Image:
    """A photo in the 16 colours that suit it best, with errors diffused."""
    picture = _fitted(name, (384, 288))
    return picture.quantize(palette=picture.quantize(16), dither=Image.Dither.FLOYDSTEINBERG).convert("RGB")


def _ordered_dither(name: str) -> Image.Image:
    """A photo in the eight corners of the colour cube, by a matrix of thresholds."""
    thresholds = np.zeros((1, 1))
    for _ in range(_BAYER_ORDER):
        thresholds = np.block([[4 * thresholds, 4 * thresholds + 2], [4 * thresholds + 3, 4 * thresholds + 1]])
    size = (320, 240)
    tiled = np.tile((thresholds + 0.5) / thresholds.size, (size[1] // len(thresholds), size[0] // len(thresholds)))
    return Image.fromarray(np.where(np.asarray(_fitted(name, size)) / 255 > tiled[..., None], 255, 0).astype(np.uint8))


def _few_colours(name: str) -> Image.Image:
    """A photo in 24 flat colours, as posters and old GIFs have it."""
    return _fitted(name, (384, 288)).quantize(24, dither=Image.Dither.NONE).convert("RGB")


def _saturated(name: str) -> Image.Image:
    hue, saturation, value = _fitted(name).convert("HSV").split()
    table = [min(255, round(2.5 * level)) for level in range(256)]
    return Image.merge("HSV", (hue, saturation.point(table), value)).convert("RGB")


MIXED: Final[dict[str, Drawing]] = {
    "caption_chelsea": partial(_caption, "chelsea"),
    "caption_coffee": partial(_caption, "coffee"),
    "meme": partial(_meme, "astronaut"),
    "subtitle": partial(_subtitled, "rocket"),
    "browser": partial(_browser, "china"),
    "dither_1bit_china": partial(_two_tones, "china"),
    "dither_1bit_astronaut": partial(_two_tones, "astronaut"),
    "dither_16_colours": partial(_palette_dither, "flower"),
    "dither_ordered": partial(_ordered_dither, "coffee"),
    "few_colours": partial(_few_colours, "china"),
    "saturated_flower": partial(_saturated, "flower"),
    "saturated_china": partial(_saturated, "china"),
}
"""The drawings of this module by name."""
