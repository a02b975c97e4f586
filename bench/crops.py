"""Details of photos side by side: the original and what each codec makes of it in the same number of bytes.

Bytes come first: vqcodec's file sets them, and each other codec takes the setting whose file is nearest to it in size. The photos ship in
scikit-image and scikit-learn.
"""

import tempfile
from dataclasses import dataclass
from pathlib import Path
from typing import Final

import click
import numpy as np
from PIL import Image, ImageDraw, ImageFont

from bench.images import RESULTS, image_set
from vqcodec.compare.codecs import ImageCodec, Pixels
from vqcodec.compare.selection import select_codecs
from vqcodec.decoding import decode
from vqcodec.encoding import encode
from vqcodec.images.metrics import bits_per_pixel, psnr_db
from vqcodec.images.picture import read_picture
from vqcodec.models.registry import find_model

RATES_BPP: Final = (0.15, 0.3)
SIDE_PX: Final = 176
LABEL_PX: Final = 28
PLACES: Final = {"astronaut": (30, 150), "china": (150, 60), "coffee": (110, 240)}
"""Top and left of the detail of each photo."""
RANGES: Final = {"jpeg": (1, 95), "webp": (0, 95), "avif": (0, 95), "jpeg-xl": (25.0, 0.5)}
"""Of the settings of the other codecs, from few bytes to many; whole numbers but for JPEG XL's distances."""
STEPS: Final = 9
TOLERANCE: Final = 0.03
GAIN: Final = ("original", "jpeg", "webp", "avif", "vqcodec")
"""Names of the pictures in README's strip, which shows the first photo at the first rate."""


@dataclass(frozen=True)
class Shown:
    """One codec's picture of a photo."""

    name: str
    pixels: Pixels
    num_bytes: int


def run_crops(model_id: str) -> None:
    """Writes crops-MODEL.webp and README's gain-MODEL.webp to bench/results/plots and prints the bytes and PSNR of every picture."""
    selection = select_codecs(tuple(RANGES))
    for name, reason in selection.skipped.items():
        click.echo(f"skipped {name}: {reason}", err=True)
    has_perceptual = find_model(model_id).perceptual_sha256 is not None
    rows: list[dict[str, Pixels]] = []
    with tempfile.TemporaryDirectory() as work:
        photos = {path.stem: read_picture(path).rgb for path in image_set("wheels", Path(work))}
    for name, place in PLACES.items():
        for rate in RATES_BPP:
            pixels = photos[name]
            data = encode(pixels, target_bpp=rate, model=model_id)
            shown = [Shown("original", pixels, 0), *_pictures(pixels, data, model_id, selection.codecs, has_perceptual=has_perceptual)]
            for picture in shown[1:]:
                share = picture.num_bytes / len(data)
                click.echo(f"{name} {picture.name}: {picture.num_bytes} bytes ({share:.3f}), PSNR {psnr_db(pixels, picture.pixels):.2f} dB")
            rows.append({picture.name: _labelled(picture, place, len(data)) for picture in shown})
    _write(f"crops-{model_id}.webp", np.concatenate([np.concatenate(list(row.values()), axis=1) for row in rows]))
    _write(f"gain-{model_id}.webp", np.concatenate([rows[0][name] for name in GAIN if name in rows[0]], axis=1))


def _write(name: str, pixels: Pixels) -> None:
    """Writes a picture to the folder of plots, without loss, and prints where it is."""
    target = RESULTS / "plots" / name
    target.parent.mkdir(parents=True, exist_ok=True)
    Image.fromarray(pixels).save(target, lossless=True, quality=100, method=6)
    click.echo(f"written to {target}")


def _pictures(pixels: Pixels, data: bytes, model_id: str, codecs: list[ImageCodec], *, has_perceptual: bool) -> list[Shown]:
    """By every codec in as many bytes as vqcodec's file `data` has; vqcodec's own last."""
    shown = []
    for codec in codecs:
        file = _file_of_size(codec, pixels, len(data))
        shown.append(Shown(codec.name, codec.decode(file), len(file)))
    shown.append(Shown("vqcodec", np.asarray(decode(data)), len(data)))
    if has_perceptual:
        tuned = encode(pixels, max_bytes=len(data), tune="perceptual", model=model_id)
        shown.append(Shown("vqcodec, realism 1", np.asarray(decode(tuned, realism=1.0)), len(tuned)))
    return shown


def _file_of_size(codec: ImageCodec, pixels: Pixels, num_bytes: int) -> bytes:
    """The file nearest in size to `num_bytes`, by bisection of the codec's settings."""
    low, high = RANGES[codec.name]
    is_whole = isinstance(low, int)
    files: dict[float, bytes] = {}
    for _ in range(STEPS):
        middle = (low + high) / 2
        setting = round(middle) if is_whole else middle
        files[setting] = codec.encode(pixels, setting)
        low, high = (middle, high) if len(files[setting]) < num_bytes else (low, middle)
    return min(files.values(), key=lambda file: abs(len(file) - num_bytes))


def _labelled(picture: Shown, place: tuple[int, int], num_bytes: int) -> Pixels:
    """The detail, with what it is above it; a file whose size is not nearly `num_bytes` is marked."""
    top, left = place
    height, width = picture.pixels.shape[:2]
    canvas = Image.new("RGB", (SIDE_PX, SIDE_PX + LABEL_PX), "white")
    text = picture.name
    if picture.num_bytes:
        text += f"\n{picture.num_bytes} bytes, {bits_per_pixel(picture.num_bytes, width, height):.3f} bpp"
        if abs(picture.num_bytes / num_bytes - 1) > TOLERANCE:
            text += f" ({picture.num_bytes / num_bytes - 1:+.0%})"
    ImageDraw.Draw(canvas).multiline_text((3, 2), text, fill="black", font=ImageFont.load_default(11), spacing=1)
    canvas.paste(Image.fromarray(picture.pixels[top : top + SIDE_PX, left : left + SIDE_PX]), (0, LABEL_PX))
    return np.asarray(canvas)
