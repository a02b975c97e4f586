"""Interfaces of programs: a dashboard, a dialog of the nineties, a talk on a phone, a spreadsheet."""

from itertools import islice
from typing import Final

import numpy as np
from PIL import Image, ImageDraw

from bench.graphics.canvas import BLACK, SIZE, WHITE, Colour, Drawing, font, pixel_font, words

_INK: Final = (36, 41, 47)
_RULE: Final = (208, 215, 222)
_CARDS: Final = (
    ("Builds", "1,204", (46, 160, 67)),
    ("Users", "88", (31, 111, 235)),
    ("Errors", "17", (218, 54, 51)),
    ("Cost", "4.20", (191, 135, 0)),
)


def _dashboard() -> Image.Image:
    picture = Image.new("RGB", SIZE, (245, 246, 248))
    draw = ImageDraw.Draw(picture)
    draw.rectangle([0, 0, SIZE[0], 36], fill=_INK)
    draw.text((12, 9), "Dashboard: settings", fill=WHITE, font=font(16))
    cards = (
        ("Builds", "1,204", (46, 160, 67)),
        ("Users", "88", (31, 111, 235)),
        ("Errors", "17", (218, 54, 51)),
        ("Cost", "4.20", (191, 135, 0)),
    )
    for number, (title, value, ink) in enumerate(cards):
        x = 12 + 125 * number
        draw.rounded_rectangle([x, 50, x + 115, 120], 6, fill=WHITE, outline=_RULE)
        draw.text((x + 10, 58), title, fill=(87, 96, 106), font=font(12))
        draw.text((x + 10, 78), value, fill=ink, font=font(24))
    for row, word in enumerate(islice(words(9), 9)):
        y = 136 + row * 26
        draw.rectangle([12, y, SIZE[0] - 12, y + 26], fill=(246, 248, 250) if row % 2 == 0 else WHITE, outline=_RULE)
        draw.text((20, y + 6), f"job-{row:03d}  data/{word}.parquet", fill=_INK, font=font(12))
        draw.rectangle([400, y + 8, 408 + 10 * row, y + 18], fill=(31, 111, 235))
    return picture


def _dialog() -> Image.Image:
    """A window of the nineties: grey with bevelled edges, check boxes, a progress bar, hard letters."""
    picture = Image.new("RGB", (360, 240), (0, 128, 128))
    draw = ImageDraw.Draw(picture)

    def bevel(box: tuple[int, int, int, int], *, sunken: bool = False, fill: Colour = (192, 192, 192)) -> None:
        left, top, right, bottom = box
        light, dark = (WHITE, (128, 128, 128)) if not sunken else ((128, 128, 128), WHITE)
        draw.rectangle(box, fill=fill, outline=dark)
        draw.line([(left, bottom - 1), (left, top), (right - 1, top)], fill=light)

    bevel((20, 16, 340, 224))
    draw.rectangle([23, 19, 337, 37], fill=(0, 0, 128))
    draw.text((28, 23), "Copying files...", fill=WHITE, font=pixel_font())
    for number, line in enumerate(("Keep the original", "Ask before overwriting", "Show a preview")):
        y = 52 + 22 * number
        bevel((36, y, 48, y + 12), sunken=True, fill=WHITE)
        if number != 1:
            draw.line([39, y + 6, 41, y + 9, 46, y + 3], fill=BLACK, width=2)
        draw.text((56, y + 1), line, fill=BLACK, font=pixel_font())
    bevel((36, 128, 324, 148), sunken=True)
    for x in range(39, 240, 12):
        draw.rectangle([x, 131, x + 8, 145], fill=(0, 0, 128))
    draw.text((36, 158), "3,278 bytes of 10,240", fill=BLACK, font=pixel_font())
    for x, label in ((150, "OK"), (242, "Cancel")):
        bevel((x, 184, x + 80, 208))
        draw.text((x + 40 - draw.textlength(label, font=pixel_font()) // 2, 191), label, fill=BLACK, font=pixel_font())
    return picture


def _phone() -> Image.Image:
    """A talk in bubbles on a dark screen, of odd sides."""
    picture = Image.new("RGB", (271, 481), (11, 20, 26))
    draw, source = ImageDraw.Draw(picture), words(10)
    draw.rectangle([0, 0, 271, 52], fill=(32, 44, 51))
    draw.ellipse([12, 10, 44, 42], fill=(255, 112, 67))
    draw.text((54, 10), "Ada", fill=(233, 237, 239), font=font(16))
    draw.text((54, 30), "online", fill=(134, 150, 160), font=font(11))
    for number in range(6):
        y, mine = 64 + 68 * number, number % 2 == 1
        left = 62 if mine else 10
        draw.rounded_rectangle([left, y, left + 199, y + 58], 10, fill=(0, 92, 75) if mine else (32, 44, 51))
        for row in range(2):
            draw.text((left + 10, y + 7 + 18 * row), " ".join(islice(source, 4))[:27], fill=(233, 237, 239), font=font(13))
        draw.text((left + 166, y + 43), f"9:{number + 40}", fill=(134, 150, 160), font=font(9))
    return picture


def _spreadsheet() -> Image.Image:
    picture = Image.new("RGB", SIZE, WHITE)
    draw, rng = ImageDraw.Draw(picture), np.random.default_rng(11)
    draw.rectangle([0, 0, SIZE[0], 19], fill=(230, 230, 230))
    draw.rectangle([0, 0, 31, SIZE[1]], fill=(230, 230, 230))
    draw.rectangle([192, 100, 271, 119], fill=(226, 239, 218), outline=(33, 115, 70), width=2)
    for row, y in enumerate(range(0, SIZE[1], 20)):
        draw.line([(0, y), (SIZE[0], y)], fill=(212, 212, 212))
        if row:
            draw.text((8, y + 4), str(row), fill=(90, 90, 90), font=font(10))
        for column, x in enumerate(range(32, SIZE[0], 80)):
            draw.line([(x, 0), (x, SIZE[1])], fill=(212, 212, 212))
            value = rng.normal(0, 900)
            text, ink = ("ABCDEF"[column], (90, 90, 90)) if row == 0 else (f"{value:,.2f}", BLACK if value > 0 else (192, 0, 0))
            draw.text((x + 76, y + 4), text, fill=ink, font=font(10), anchor="ra")
    return picture


INTERFACES: Final[dict[str, Drawing]] = {
    "dashboard": _dashboard,
    "dialog": _dialog,
    "phone": _phone,
    "spreadsheet": _spreadsheet,
}
"""The drawings of this module by name."""
