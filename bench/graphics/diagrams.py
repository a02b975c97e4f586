"""Charts, a comic, maps."""

from itertools import islice, pairwise
from typing import Any, Final

import numpy as np
from PIL import Image, ImageDraw

from bench.graphics.canvas import BLACK, INKS, SIZE, WHITE, Colour, Drawing, Size, font, reduced, words


def _axes(draw: ImageDraw.ImageDraw, title: str) -> None:
    draw.text((256, 10), title, fill=BLACK, font=font(16), anchor="ma")
    for number in range(6):
        y = 340 - 58 * number
        draw.line([(52, y), (492, y)], fill=(220, 220, 220) if number else BLACK)
        draw.text((46, y), str(number * 20), fill=BLACK, font=font(10), anchor="rm")
    draw.line([(52, 340), (52, 40)], fill=BLACK)


def _chart_lines() -> Image.Image:
    rng = np.random.default_rng(12)
    walks = np.clip(150 + np.cumsum(rng.normal(1.2, 9, (4, 45)), axis=1), 10, 290)

    def curves(draw: ImageDraw.ImageDraw) -> None:
        for walk, ink in zip(walks, INKS, strict=False):
            draw.line([((56 + 9.6 * place) * 3, (340 - value) * 3) for place, value in enumerate(walk)], fill=ink, width=5, joint="curve")

    picture = reduced(curves, SIZE, WHITE)
    draw = ImageDraw.Draw(picture)
    _axes(draw, "Bytes by year, thousands")
    for number, ink in enumerate(INKS[:4]):
        draw.line([(70, 54 + 16 * number), (92, 54 + 16 * number)], fill=ink, width=2)
        draw.text((98, 54 + 16 * number), f"series {number + 1}", fill=BLACK, font=font(11), anchor="lm")
        draw.text((60 + 120 * number, 348), str(1990 + 10 * number), fill=BLACK, font=font(10))
    return picture


def _chart_bars() -> Image.Image:
    picture = Image.new("RGB", SIZE, WHITE)
    draw, rng = ImageDraw.Draw(picture), np.random.default_rng(13)
    _axes(draw, "Files by month")
    for month in range(12):
        for number in range(2):
            top, x = 340 - int(rng.integers(20, 280)), 60 + 36 * month + 14 * number
            draw.rectangle([x, top, x + 13, 340], fill=INKS[number])
            draw.text((x + 6, top - 3), str(round((340 - top) / 2.9)), fill=BLACK, font=font(8), anchor="ms")
        draw.text((74 + 36 * month, 348), "JFMAMJJASOND"[month], fill=BLACK, font=font(11), anchor="ma")
    return picture


def _chart_pie() -> Image.Image:
    shares, ends = (34, 23, 18, 14, 11), (0, 34, 57, 75, 89, 100)

    def slices(draw: ImageDraw.ImageDraw) -> None:
        for (start, end), ink in zip(pairwise(ends), INKS, strict=True):
            draw.pieslice([90, 150, 810, 870], 3.6 * start - 90, 3.6 * end - 90, fill=ink, outline=WHITE, width=5)

    picture = reduced(slices, (448, 320), WHITE)
    draw = ImageDraw.Draw(picture)
    draw.text((224, 10), "What is in a file", fill=BLACK, font=font(18), anchor="ma")
    for number, (share, name) in enumerate(zip(shares, ("top map", "bottom map", "header", "alpha", "profile"), strict=True)):
        draw.rectangle([310, 90 + 28 * number, 324, 104 + 28 * number], fill=INKS[number])
        draw.text((332, 97 + 28 * number), f"{name}, {share} %", fill=BLACK, font=font(13), anchor="lm")
    return picture


def _halftone(size: Size, pitch: float, ink: Colour, paper: Colour) -> Image.Image:
    """Returns dots on a grid turned by 45 degrees, which grow downwards."""
    width, height = size
    y, x = np.indices((height, width)).astype(float)
    along, across = (x + y) / (pitch * np.sqrt(2)), (x - y) / (pitch * np.sqrt(2))
    distance = pitch * np.hypot(along - np.rint(along), across - np.rint(across))
    share = np.clip(pitch * (0.15 + 0.4 * y / height) - distance + 0.5, 0, 1)[..., None]
    return Image.fromarray(np.rint(np.array(paper) * (1 - share) + np.array(ink) * share).astype(np.uint8))


def _comic() -> Image.Image:
    """Four panels with flat colours, black outlines, halftone dots and speech bubbles."""

    def figures(draw: ImageDraw.ImageDraw) -> None:
        for number, (x, y) in enumerate(((24, 24), (780, 24), (24, 588), (780, 588))):
            sky, coat = ((255, 221, 85), (120, 200, 240), (240, 130, 130), (150, 220, 150))[number], INKS[number]
            draw.rectangle([x, y, x + 732, y + 540], fill=sky, outline=BLACK, width=9)
            draw.polygon([(x + 90, y + 530), (x + 150, y + 330), (x + 330, y + 330), (x + 390, y + 530)], fill=coat, outline=BLACK, width=8)
            draw.ellipse([x + 140, y + 120, x + 340, y + 350], fill=(255, 214, 170), outline=BLACK, width=8)
            draw.chord([x + 130, y + 100, x + 350, y + 340], 180, 360, fill=(90, 50, 20), outline=BLACK, width=8)
            draw.arc([x + 190, y + 240, x + 290, y + 310], 20, 160, fill=BLACK, width=8)
            for eye in (200, 260):
                draw.ellipse([x + eye, y + 210, x + eye + 20, y + 245], fill=BLACK)
            draw.polygon([(x + 360, y + 210), (x + 450, y + 150), (x + 470, y + 190)], fill=WHITE, outline=BLACK, width=6)
            draw.ellipse([x + 390, y + 40, x + 710, y + 190], fill=WHITE, outline=BLACK, width=6)

    picture = reduced(figures, SIZE, WHITE)
    draw = ImageDraw.Draw(picture)
    for x, y, line in ((191, 46, "NO LOSS?"), (443, 46, "NONE!"), (191, 234, "GOOD."), (443, 234, "BYTES...")):
        draw.text((x, y), line, fill=BLACK, font=font(15), anchor="mm")
    picture.paste(_halftone((100, 76), 6, (200, 30, 60), (255, 221, 85)), (148, 106))
    picture.paste(_halftone((100, 76), 4, (20, 60, 160), (120, 200, 240)), (400, 106))
    return picture


def _regions() -> Image.Image:
    """A map of countries: flat colours with hard borders, a river, names with white rims."""
    width, height = SIZE
    rng = np.random.default_rng(14)
    sites = rng.uniform(0, 1, (14, 2)) * (height, width)
    y, x = np.indices((height, width))
    y, x = y + 9 * np.sin(x / 23) + 4 * np.sin(x / 7), x + 9 * np.sin(y / 19) + 4 * np.sin(y / 6)
    nearest = ((y[..., None] - sites[:, 0]) ** 2 + (x[..., None] - sites[:, 1]) ** 2).argmin(axis=-1)
    inks = np.array([(251, 180, 174), (179, 205, 227), (204, 235, 197), (254, 217, 166), (255, 255, 204), (229, 216, 189)], np.uint8)
    pixels = inks[nearest % len(inks)]
    pixels[(nearest == 0) | (nearest == 5)] = (150, 200, 235)
    edge = np.zeros_like(nearest, bool)
    edge[:, 1:] |= nearest[:, 1:] != nearest[:, :-1]
    edge[1:] |= nearest[1:] != nearest[:-1]
    pixels[edge] = (90, 80, 90)
    picture = Image.fromarray(pixels)
    draw = ImageDraw.Draw(picture)
    draw.line([(20 + 6 * step, 200 + 60 * np.sin(step / 9) + 9 * np.sin(step / 2)) for step in range(82)], fill=(60, 120, 200), width=2)
    for number, (row, column) in enumerate(sites):
        name = ("Avenia", "Boral", "Cestia", "Dorn", "Elmar")[number % 5]
        draw.text((column, row), name, fill=BLACK, font=font(11 + number % 3 * 2), anchor="mm", stroke_width=2, stroke_fill=WHITE)
    return picture


def _streets() -> Image.Image:
    """A map of a town: parks, water, roads with rims and small names."""
    rng = np.random.default_rng(15)
    roads = [(int(place), bool(kind)) for place, kind in zip(rng.integers(20, 1500, 22), rng.integers(0, 2, 22), strict=True)]

    def town(draw: ImageDraw.ImageDraw) -> None:
        draw.polygon([(0, 900), (500, 800), (760, 1152), (0, 1152)], fill=(170, 211, 223))
        for _ in range(5):
            x, y = int(rng.integers(0, 1400)), int(rng.integers(0, 900))
            draw.rectangle([x, y, x + 190, y + 130], fill=(200, 230, 180))
        for rim in (6, 0):
            for number, (place, upright) in enumerate(roads):
                ends = [(place, 0), (place + 160, 1152)] if upright else [(0, place * 0.75), (1536, place * 0.7 + 60)]
                is_main = number % 6 == 0
                ink: Any = (190, 150, 100) if rim else ((252, 214, 164) if is_main else WHITE)
                draw.line(ends, fill=ink, width=(27 if is_main else 13) + rim)

    picture = reduced(town, SIZE, (242, 239, 233))
    draw = ImageDraw.Draw(picture)
    for word, x, y in zip(islice(words(16), 40), rng.integers(5, 440, 40), rng.integers(5, 360, 40), strict=True):
        draw.text((int(x), int(y)), f"{word.title()} St", fill=(80, 80, 80), font=font(9))
    return picture


DIAGRAMS: Final[dict[str, Drawing]] = {
    "chart_lines": _chart_lines,
    "chart_bars": _chart_bars,
    "chart_pie": _chart_pie,
    "comic": _comic,
    "map_regions": _regions,
    "map_streets": _streets,
}
"""The drawings of this module by name."""
