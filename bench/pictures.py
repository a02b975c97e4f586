"""Pictures to look at: details by every codec, the inside of a file, draws from the priors, and a photo through the codec."""

import subprocess
import sys
import tempfile
from dataclasses import dataclass
from pathlib import Path
from typing import Final

import click
import numpy as np
import skimage.data
from PIL import Image, ImageDraw, ImageFont

import vqcodec
from bench.images import MODELS, RESULTS, image_set
from vqcodec.compare.codecs import ImageCodec, Pixels
from vqcodec.compare.selection import select_codecs
from vqcodec.format.container import bits_per_pixel
from vqcodec.images.metrics import psnr_db
from vqcodec.images.picture import read_picture
from vqcodec.models.dial import DEFAULT_QUALITY

CROP_RATES_BPP: Final = (0.15, 0.3)
CROP_SIDE_PX: Final = 176
LABEL_PX: Final = 28
"""Height of the label above a detail."""
CROP_PLACES: Final = {"astronaut": (30, 150), "china": (150, 60), "coffee": (110, 240)}
"""Top and left of the detail of each photo, in pixels."""
CROP_CODECS: Final = {"jpeg": (1, 95), "webp": (0, 95), "avif": (0, 95), "jpeg-xl": (25.0, 0.5)}
"""Other codecs, with the range of their settings from few bytes to many; JPEG XL's are distances, the others' whole numbers."""
BISECTION_STEPS: Final = 9
MAX_SIZE_DIFFERENCE: Final = 0.03
"""Relative difference in bytes above which a label tells it."""
GAIN: Final = ("original", "jpeg", "webp", "avif", "vqcodec")
"""Names of the pictures in the short strip for README, which shows the first photo at the first rate."""

INSIDE_SIDE_PX: Final = 256
INSIDE_RATE_WEIGHT: Final = 0.1
"""Lambda of the file whose inside is drawn, which has all four maps."""
NUM_SAMPLES: Final = 16
SAMPLE_SIDE_PX: Final = 256
SAMPLES_JPEG_QUALITY: Final = 88


@dataclass(frozen=True)
class Shown:
    """One codec's picture of a photo.

    Attributes:
        num_bytes: size of the file; 0 for the original.
    """

    name: str
    pixels: Pixels
    num_bytes: int


def draw_crops(model_id: str) -> None:
    """Draws details of photos by every codec in the same bytes; writes crops-MODEL.webp and gain-MODEL.webp to bench/results/plots.

    The file of vqcodec sets the bytes, and every other codec takes the setting whose file is nearest to it in size. The photos ship in
    scikit-image and scikit-learn.
    """
    selection = select_codecs(tuple(CROP_CODECS))
    for name, reason in selection.skipped.items():
        click.echo(f"skipped {name}: {reason}", err=True)
    with tempfile.TemporaryDirectory() as work:
        photos = {path.stem: read_picture(path).rgb for path in image_set("wheels", Path(work))}
    rows: list[dict[str, Pixels]] = []
    for name, place in CROP_PLACES.items():
        for rate in CROP_RATES_BPP:
            pixels = photos[name]
            data = vqcodec.encode(pixels, target_bpp=rate, model=model_id)
            shown = [Shown("original", pixels, 0), *_by_codecs(pixels, data, model_id, selection.codecs)]
            for picture in shown[1:]:
                share = picture.num_bytes / len(data)
                click.echo(f"{name} {picture.name}: {picture.num_bytes} bytes ({share:.3f}), PSNR {psnr_db(pixels, picture.pixels):.2f} dB")
            rows.append({picture.name: _labelled(picture, place, len(data)) for picture in shown})
    _write_plot(f"crops-{model_id}.webp", np.concatenate([np.concatenate([*row.values()], axis=1) for row in rows]))
    _write_plot(f"gain-{model_id}.webp", np.concatenate([rows[0][name] for name in GAIN if name in rows[0]], axis=1))


def _write_plot(name: str, pixels: Pixels, *, lossless: bool = True) -> None:
    """Writes a picture to the folder of plots, without loss or in fewer bytes, and prints where."""
    target = RESULTS / "plots" / name
    target.parent.mkdir(parents=True, exist_ok=True)
    Image.fromarray(pixels).save(target, lossless=lossless, quality=100 if lossless else 85, method=6)
    click.echo(f"written to {target}")


def _by_codecs(pixels: Pixels, data: bytes, model_id: str, codecs: list[ImageCodec]) -> list[Shown]:
    """Returns the pictures by every codec in as many bytes as vqcodec's file `data` has; vqcodec's own come last."""
    shown = []
    for codec in codecs:
        file = _file_of_size(codec, pixels, len(data))
        shown.append(Shown(codec.name, codec.decode(file), len(file)))
    shown.append(Shown("vqcodec", np.asarray(vqcodec.decode(data)), len(data)))
    tuned = vqcodec.encode(pixels, max_bytes=len(data), tune="perceptual", model=model_id)
    shown.append(Shown("vqcodec, realism 1", np.asarray(vqcodec.decode(tuned, realism=1.0)), len(tuned)))
    return shown


def _file_of_size(codec: ImageCodec, pixels: Pixels, num_bytes: int) -> bytes:
    """Returns the file nearest in size to `num_bytes`, found by bisection of the codec's settings."""
    low, high = CROP_CODECS[codec.name]
    is_whole = isinstance(low, int)
    files: dict[float, bytes] = {}
    for _ in range(BISECTION_STEPS):
        middle = (low + high) / 2
        setting = round(middle) if is_whole else middle
        files[setting] = codec.encode(pixels, setting)
        low, high = (middle, high) if len(files[setting]) < num_bytes else (low, middle)
    return min(files.values(), key=lambda file: abs(len(file) - num_bytes))


def _labelled(picture: Shown, place: tuple[int, int], num_bytes: int) -> Pixels:
    """Returns the detail under a label, which tells the bytes, and how they differ from `num_bytes` where that is by much."""
    top, left = place
    height, width = picture.pixels.shape[:2]
    canvas = Image.new("RGB", (CROP_SIDE_PX, CROP_SIDE_PX + LABEL_PX), "white")
    text = picture.name
    if picture.num_bytes:
        text += f"\n{picture.num_bytes} bytes, {bits_per_pixel(picture.num_bytes, width, height):.3f} bpp"
        difference = picture.num_bytes / num_bytes - 1
        if abs(difference) > MAX_SIZE_DIFFERENCE:
            text += f" ({difference:+.0%})"
    ImageDraw.Draw(canvas).multiline_text((3, 2), text, fill="black", font=ImageFont.load_default(11), spacing=1)
    canvas.paste(Image.fromarray(picture.pixels[top : top + CROP_SIDE_PX, left : left + CROP_SIDE_PX]), (0, LABEL_PX))
    return np.asarray(canvas)


def draw_inside(model_id: str) -> None:
    """Draws what is in a file, of a photo that ships in scikit-image; writes inside-*.webp to bench/results/plots, for docs/how.md."""
    photo: Pixels = skimage.data.astronaut()  # type: ignore[no-untyped-call]
    codec = vqcodec.open_model(model_id)
    data = codec.encode(photo, num_maps=4, rate_weight=INSIDE_RATE_WEIGHT)
    inside = codec.inspect(data)
    side = (INSIDE_SIDE_PX, INSIDE_SIDE_PX)
    drawn = [Image.fromarray(photo), *inside.enlarged_maps[:2], inside.heat]
    _write_plot("inside-maps.webp", np.concatenate([np.asarray(picture.resize(side)) for picture in drawn], axis=1), lossless=False)
    shown, num_bytes = [], 0
    for count, entry in enumerate(inside.info.maps, 1):
        num_bytes += entry.num_bytes
        shown.append(Shown(f"{count} map{'s' * (count > 1)}", np.asarray(codec.decode(data, max_maps=count)), num_bytes))
    shown.append(Shown("original", photo, 0))
    details = [_labelled(picture, CROP_PLACES["astronaut"], picture.num_bytes) for picture in shown]
    _write_plot("inside-prefixes.webp", np.concatenate(details, axis=1), lossless=False)
    _write_plot("inside-sheet.webp", np.asarray(inside.sheet()), lossless=False)


def draw_samples(model_id: str, temperature: float) -> None:
    """Draws pictures from the priors, beside two photos and what the codec makes of them; writes models/MODEL/samples.jpg."""
    with tempfile.TemporaryDirectory() as folder:
        grid_path = Path(folder) / "grid.png"
        size = f"{SAMPLE_SIDE_PX}x{SAMPLE_SIDE_PX}"
        arguments = ["-m", model_id, "-n", str(NUM_SAMPLES), "--size", size, "--temperature", str(temperature), "-o", str(grid_path)]
        subprocess.run([sys.executable, "-m", "vqcodec", "sample", *arguments], check=True)
        grid = np.asarray(Image.open(grid_path))
    columns = [grid]
    for photo in (skimage.data.astronaut(), skimage.data.chelsea()):  # type: ignore[no-untyped-call]
        square = photo[:SAMPLE_SIDE_PX, photo.shape[1] // 2 - SAMPLE_SIDE_PX // 2 :][:, :SAMPLE_SIDE_PX]
        coded = [vqcodec.encode(square, model=model_id, num_maps=count) for count in (4, 2, 1)]
        columns.append(np.concatenate([square, *(np.asarray(vqcodec.decode(data)) for data in coded)]))
    target = MODELS / model_id / "samples.jpg"
    Image.fromarray(np.concatenate(columns, axis=1)).save(target, quality=SAMPLES_JPEG_QUALITY)
    click.echo(f"written to {target}")


def draw_demo(out: Path) -> None:
    """Encodes and decodes scikit-image's photo of a cat at three qualities; writes the files and all pictures side by side."""
    out.mkdir(parents=True, exist_ok=True)
    photo: Pixels = skimage.data.chelsea()  # type: ignore[no-untyped-call]
    height, width = photo.shape[:2]
    columns = [photo]
    for quality in (10, DEFAULT_QUALITY, 90):
        data = vqcodec.encode(photo, quality=quality)
        path = out / f"cat-q{quality}.vq"
        path.write_bytes(data)
        decoded = np.asarray(vqcodec.decode(data))
        columns.append(decoded)
        bpp = bits_per_pixel(len(data), width, height)
        click.echo(f"quality {quality:3d}: {len(data):6d} bytes  {bpp:.3f} bpp  PSNR {psnr_db(photo, decoded):.2f} dB  {path}")
    picture = out / "side-by-side.png"
    Image.fromarray(np.concatenate(columns, axis=1)).save(picture)
    click.echo(f"original and the three qualities side by side: {picture}")
