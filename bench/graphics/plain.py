"""Drawings without text, or with little: flat colours, gradients, patterns, sprites, logos."""

from functools import partial
from typing import Final

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageDraw, ImageFilter

from bench.graphics.canvas import BLACK, SIZE, WHITE, Colour, Drawing, Size, blended, font, from_planes, ramps

FLAT: Final[dict[str, Colour]] = {
    "black": BLACK,
    "white": WHITE,
    "red": (255, 0, 0),
    "green": (0, 255, 0),
    "blue": (0, 0, 255),
    "cyan": (0, 255, 255),
    "magenta": (255, 0, 255),
    "yellow": (255, 255, 0),
    "grey": (128, 128, 128),
    "dark": (12, 12, 12),
    "skin": (224, 172, 140),
    "orange": (255, 128, 0),
}
_FLAT_SIZE: Final = (256, 192)
_SPRITE: Final = (
    "...oooo...",
    "..orrrro..",
    ".orrwrrro.",
    ".orwrrrro.",
    ".oorrrroo.",
    "..osksko..",
    "..osssso..",
    ".obbyybbo.",
    "osobbbboso",
    "..obbbbo..",
    "..oo..oo..",
    ".ooo..ooo.",
)
"""A figure of 10x12 pixels; each letter is a colour of `_INKS`, and a dot is transparent."""
_INKS: Final[dict[str, Colour]] = {
    "o": (26, 20, 35),
    "r": (214, 40, 57),
    "w": (255, 241, 232),
    "s": (255, 204, 170),
    "k": BLACK,
    "b": (41, 73, 199),
    "y": (255, 214, 0),
}
_BANDS: Final = 12
"""Number of shades of the banded gradient."""


def _flat(colour: Colour) -> Image.Image:
    return Image.new("RGB", _FLAT_SIZE, colour)


def _grey_ramp(top: float) -> Image.Image:
    right, _ = ramps(SIZE)
    return from_planes(*[right * top] * 3)


def _rgb_ramp() -> Image.Image:
    right, down = ramps(SIZE)
    return from_planes(right * 255, down * 255, 255 - right * 255)


def _sky() -> Image.Image:
    return blended((90, 140, 220), (200, 220, 245), ramps(SIZE)[1])


def _dusk() -> Image.Image:
    """An evening sky with a black end, of odd sides."""
    _, down = ramps((333, 217))
    stops = np.array([(0, 0, 4), (10, 12, 48), (88, 40, 96), (232, 112, 60), (255, 208, 120)], float)
    places = np.linspace(0, 1, len(stops))
    return from_planes(*(np.interp(down, places, channel) for channel in stops.T))


def _vignette() -> Image.Image:
    right, down = ramps(SIZE)
    distance = np.hypot(right - 0.5, down - 0.5)
    return blended((30, 120, 130), (2, 0, 6), np.clip(distance / 0.6, 0, 1))


def _bands() -> Image.Image:
    right, down = ramps((360, 240))
    return blended((250, 230, 60), (60, 0, 90), np.floor((right + down) / 2 * (_BANDS - 0.01)) / (_BANDS - 1))


def _hues() -> Image.Image:
    right, down = ramps(SIZE)
    full = np.full_like(right, 255)
    planes = (Image.fromarray(np.rint(plane).astype(np.uint8)) for plane in (right * 254, full, down * 255))
    return Image.merge("HSV", [*planes]).convert("RGB")


def _check(side: int, size: Size) -> Image.Image:
    rows, columns = np.indices((size[1], size[0])) // side
    return from_planes(*[(rows + columns) % 2 * 255] * 3)


def _stripes() -> Image.Image:
    _, columns = np.indices((256, 256))
    odd = columns % 2
    return from_planes(odd * 255, odd * 0, 255 - odd * 255)


def _scaled(values: NDArray[np.uint8], scale: int) -> Image.Image:
    """Returns a picture, uint8 [H, W, 3], whose pixels are squares of `scale` pixels."""
    return Image.fromarray(values.repeat(scale, axis=0).repeat(scale, axis=1))


def _blocks() -> Image.Image:
    rng = np.random.default_rng(1)
    return _scaled(rng.integers(0, 256, (16, 3), np.uint8)[rng.integers(0, 16, (48, 64))], 8)


def _matrix_code() -> Image.Image:
    """Random black and white modules with the three finders of a QR code, and a white border."""
    modules = np.random.default_rng(2).integers(0, 2, (33, 33), np.uint8)
    rings = np.abs(np.indices((9, 9)) - 4).max(axis=0)
    finder = np.isin(rings, (2, 4)).astype(np.uint8)
    modules[:8, :8], modules[:8, -8:], modules[-8:, :8] = finder[1:, 1:], finder[1:, :-1], finder[:-1, 1:]
    return _scaled(np.pad(modules, 4, constant_values=1)[..., None].repeat(3, axis=2) * np.uint8(255), 7)


def _scene(size: Size) -> NDArray[np.uint8]:
    """Returns a scene of a game in large pixels, uint8 [H, W, 3]: sky, hills, bricks and figures."""
    width, height = size
    rng = np.random.default_rng(3)
    scene = np.zeros((height, width, 3), np.uint8)
    scene[:] = (92, 148, 252)
    columns = np.arange(width)
    hills = height * 0.55 + height * 0.12 * np.sin(columns / 9) + 2 * np.sin(columns / 2.3)
    scene[np.arange(height)[:, None] > hills] = (0, 168, 68)
    ground = height - max(8, height // 5)
    rows, across = np.indices((height - ground, width))
    is_joint = (rows % 4 == 0) | ((across + rows // 4 % 2 * 4) % 8 == 0)
    scene[ground:] = np.where(is_joint[..., None], (80, 30, 0), (200, 76, 12))
    for _ in range(width // 12):
        left, top = int(rng.integers(0, width - 6)), int(rng.integers(0, height // 3))
        scene[top : top + 2, left : left + 6] = WHITE
    for left in range(6, width - 12, 22):
        for y, line in enumerate(_SPRITE):
            for x, ink in enumerate(line):
                if ink in _INKS:
                    scene[ground - len(_SPRITE) + y, left + x] = _INKS[ink]
    return scene


def _sprites(scale: int) -> Image.Image:
    return _scaled(_scene((320 // scale, 240 // scale)), scale)


def _disc(softness: float) -> NDArray[np.float64]:
    """Returns an alpha plane, 0 to 255, of a disc whose edge is `softness` pixels wide."""
    rows, columns = np.indices((256, 256)) - 127.5
    alpha: NDArray[np.float64] = np.clip((100 - np.hypot(rows, columns)) / softness + 0.5, 0, 1) * 255
    return alpha


def _logo(softness: float) -> Image.Image:
    """A disc with letters on a transparent background, below which another colour is hidden."""
    right, down = ramps((256, 256))
    picture = from_planes(0 * right + 220, right * 127, 60 + down * 127)
    ImageDraw.Draw(picture).text((74, 100), "logo", fill=WHITE, font=font(48))
    alpha = np.rint(_disc(softness)).astype(np.uint8)
    pixels = np.where(alpha[..., None] > 0, np.asarray(picture), np.array((255, 0, 255), np.uint8))
    return Image.fromarray(np.dstack([pixels, alpha]))


def _badge() -> Image.Image:
    """A flat sign of three colours that is either opaque or transparent, with hard steps at its edges."""
    picture = Image.new("RGBA", (240, 240), (0, 0, 0, 0))
    draw = ImageDraw.Draw(picture)
    draw.fontmode = "1"
    draw.regular_polygon((120, 120, 112), 6, fill=(0, 92, 185, 255))
    draw.regular_polygon((120, 120, 92), 6, fill=(255, 205, 0, 255))
    draw.polygon([(120, 60), (165, 165), (75, 165)], fill=(0, 92, 185, 255))
    draw.text((120, 192), "VQ", fill=(0, 92, 185, 255), font=font(24), anchor="ms")
    return picture


def _shadowed() -> Image.Image:
    """A button with letters and a wide soft shadow, on a transparent background."""
    shadow = Image.new("L", (300, 180), 0)
    ImageDraw.Draw(shadow).rounded_rectangle([40, 46, 260, 146], 22, fill=150)
    picture = Image.new("RGBA", shadow.size, (0, 0, 0, 0))
    picture.putalpha(shadow.filter(ImageFilter.GaussianBlur(10)))
    button = Image.new("RGBA", shadow.size, (0, 0, 0, 0))
    draw = ImageDraw.Draw(button)
    draw.rounded_rectangle([40, 36, 260, 136], 22, fill=(98, 0, 238, 255))
    draw.text((72, 62), "Download", fill=(255, 255, 255, 255), font=font(34))
    return Image.alpha_composite(picture, button)


def _icons() -> Image.Image:
    """Twelve small signs of 32 pixels on a transparent background."""
    picture = Image.new("RGBA", (160, 120), (0, 0, 0, 0))
    draw = ImageDraw.Draw(picture)
    for number in range(12):
        x, y = 4 + number % 4 * 40, 4 + number // 4 * 40
        box, ink = [x, y, x + 31, y + 31], (*[*FLAT.values()][number % 8 + 2], 255)
        if number % 3 == 0:
            draw.ellipse(box, outline=ink, width=4)
        elif number % 3 == 1:
            draw.rounded_rectangle(box, 7, fill=ink)
        else:
            draw.regular_polygon((x + 16, y + 16, 15), 3 + number % 4, fill=ink)
        draw.line([x + 8, y + 16, x + 14, y + 23, x + 24, y + 9], fill=(40, 40, 40, 255), width=3)
    return picture


def _line_art() -> Image.Image:
    picture = Image.new("RGB", SIZE, WHITE)
    draw = ImageDraw.Draw(picture)
    middle = (SIZE[0] / 2, SIZE[1] / 2)
    for x in range(0, SIZE[0], 16):
        for end in ((x, 0), (x, SIZE[1])):
            draw.line([middle, end], fill=BLACK)
    for radius in range(10, 180, 12):
        draw.circle(middle, radius, outline=BLACK)
    return picture


PLAIN: Final[dict[str, Drawing]] = {
    **{f"flat_{name}": partial(_flat, colour) for name, colour in FLAT.items()},
    "gradient_grey": partial(_grey_ramp, 255),
    "gradient_dark": partial(_grey_ramp, 30),
    "gradient_rgb": _rgb_ramp,
    "gradient_sky": _sky,
    "gradient_dusk": _dusk,
    "gradient_vignette": _vignette,
    "gradient_bands": _bands,
    "hues": _hues,
    "check_1": partial(_check, 1, (256, 256)),
    "check_8": partial(_check, 8, SIZE),
    "stripes": _stripes,
    "pixel_blocks": _blocks,
    "matrix_code": _matrix_code,
    "sprites_1": partial(_sprites, 1),
    "sprites_4": partial(_sprites, 4),
    "sprites_8": partial(_sprites, 8),
    "line_art": _line_art,
    "logo": partial(_logo, 1.5),
    "logo_blurred": partial(_logo, 40),
    "logo_hard": _badge,
    "logo_shadow": _shadowed,
    "logo_icons": _icons,
}
"""The drawings of this module by name."""
