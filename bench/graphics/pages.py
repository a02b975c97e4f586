"""Pages of text: of several colours and kinds of letters, code, a terminal, scans."""

from functools import partial
from io import BytesIO
from itertools import islice
from typing import Final

import numpy as np
from PIL import Image, ImageDraw, ImageFilter

from bench.graphics.canvas import BLACK, INKS, SIZE, WHITE, Colour, Drawing, Size, font, from_planes, pixel_font, ramps, words, write_lines


def _page(background: Colour, ink: Colour, px: int, size: Size = SIZE) -> Image.Image:
    return write_lines(Image.new("RGB", size, background), px, ink)


def _bitmap_page() -> Image.Image:
    return write_lines(Image.new("RGB", (333, 217), WHITE), 11, BLACK, bitmap=True)


def _subpixel_page() -> Image.Image:
    """Text for a screen whose thirds of pixels are red, green and blue: each channel is drawn a third of a pixel further right."""
    width, height = 400, 300
    wide = write_lines(Image.new("L", (width, height), 255), 13, 0).resize((width * 3, height), Image.Resampling.BICUBIC)
    smooth = np.asarray(wide, float)
    smooth = (np.roll(smooth, 1, axis=1) + smooth + np.roll(smooth, -1, axis=1)) / 3
    return from_planes(*(smooth[:, start::3] for start in range(3)))


def _headings() -> Image.Image:
    """Letters of many sizes, bold, slanted and spaced, in colours."""
    picture = Image.new("RGB", SIZE, (250, 248, 240))
    draw, source, y = ImageDraw.Draw(picture), words(5), 8
    for number, px in enumerate((44, 32, 26, 20, 16, 13, 11, 10, 9)):
        line = " ".join(islice(source, 2 + number))
        ink = (*INKS, BLACK)[number % 6]
        draw.text((10, y), line, fill=ink, font=font(px), stroke_width=1 if number % 3 == 0 else 0, stroke_fill=ink)
        y += round(px * 1.5)
    slanted = write_lines(Image.new("RGB", (SIZE[0] + 60, 90), (250, 248, 240)), 15, (70, 30, 10), seed=6)
    slanted = slanted.transform(slanted.size, Image.Transform.AFFINE, (1, 0.25, -12, 0, 1, 0), Image.Resampling.BICUBIC)
    picture.paste(slanted.crop((20, 0, SIZE[0], 84)), (8, y))
    return picture


def _code() -> Image.Image:
    """An editor with a dark background: line numbers, and words in the colours of a language."""
    picture = Image.new("RGB", SIZE, (40, 44, 52))
    draw, source = ImageDraw.Draw(picture), words(7)
    inks = ((198, 120, 221), (97, 175, 239), (152, 195, 121), (209, 154, 102), (171, 178, 191))
    draw.rectangle([0, 0, 38, SIZE[1]], fill=(33, 37, 43))
    draw.rectangle([39, 96, SIZE[0], 112], fill=(44, 50, 60))
    for number, y in enumerate(range(6, SIZE[1] - 14, 18)):
        draw.text((12, y), f"{number + 41}", fill=(76, 82, 99), font=font(12))
        x = 48 + 24 * (number * 5 % 4)
        for place, word in enumerate(islice(source, 3 + number % 5)):
            draw.text((x, y), word, fill=inks[(number + place * 3) % 5], font=font(12))
            x += round(draw.textlength(f"{word} ", font=font(12))) + 2
    return picture


def _terminal() -> Image.Image:
    picture = Image.new("RGB", (480, 320), BLACK)
    draw, source = ImageDraw.Draw(picture), words(8)
    inks = ((0, 205, 0), (205, 205, 205), (205, 205, 0), (0, 205, 205), (205, 0, 0))
    for number, y in enumerate(range(4, 300, 13)):
        draw.text((4, y), "user@host:~$ ", fill=inks[0], font=pixel_font())
        draw.text((84, y), " ".join(islice(source, 8)), fill=inks[number % 5], font=pixel_font())
    draw.rectangle([84, 304, 90, 314], fill=inks[1])
    return picture


def _scan(px: int, paper: Colour, *, grey: bool, quality: int) -> Image.Image:
    """Printed text as a scanner gives it: turned, blurred, shaded, noisy, and once a JPEG; with a blue signature unless grey."""
    size = (448, 320)
    page = write_lines(Image.new("RGB", size, WHITE), px, (30, 30, 34), margin=26, seed=px)
    if not grey:
        sign = [(250 + 3 * step, 286 - 14 * np.sin(step / 3) * np.cos(step / 11)) for step in range(50)]
        ImageDraw.Draw(page).line(sign, fill=(30, 50, 160), width=2)
    turned = page.rotate(0.8, Image.Resampling.BICUBIC, fillcolor=WHITE).filter(ImageFilter.GaussianBlur(0.7))
    right, down = ramps(size)
    shade = (1 - 0.12 * right**2 - 0.06 * down)[..., None] * np.array(paper) / 255
    noise = np.random.default_rng(17).normal(0, 2.5, (size[1], size[0], 1))
    scanned = from_planes(*np.moveaxis(np.asarray(turned) * shade + noise, -1, 0))
    file = BytesIO()
    scanned.save(file, "JPEG", quality=quality)
    return Image.open(file).convert("L" if grey else "RGB")


PAGES: Final[dict[str, Drawing]] = {
    "text_black": partial(_page, WHITE, BLACK, 13),
    "text_dark": partial(_page, (30, 30, 30), (212, 212, 212), 13),
    "text_colour": partial(_page, WHITE, (200, 0, 60), 12),
    "text_red_on_blue": partial(_page, (0, 0, 200), (255, 0, 0), 18),
    "text_10px": partial(_page, WHITE, BLACK, 10, (384, 256)),
    "text_bitmap": _bitmap_page,
    "text_subpixel": _subpixel_page,
    "text_headings": _headings,
    "code": _code,
    "terminal": _terminal,
    "scan_grey": partial(_scan, 14, WHITE, grey=True, quality=85),
    "scan_paper": partial(_scan, 12, (250, 240, 214), grey=False, quality=80),
}
"""The drawings of this module by name."""
