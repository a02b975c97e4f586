"""A real photo through the codec, with a picture of both sides."""

from pathlib import Path
from typing import TYPE_CHECKING

import click
import numpy as np
import skimage.data
from PIL import Image

import vqcodec
from vqcodec.images.metrics import bits_per_pixel, psnr_db
from vqcodec.models.config import DEFAULT_QUALITY

if TYPE_CHECKING:
    from numpy.typing import NDArray


def run_demo(out: Path) -> None:
    """Encodes and decodes scikit-image's photo of a cat at three qualities and writes the original and the results side by side."""
    out.mkdir(parents=True, exist_ok=True)
    photo: NDArray[np.uint8] = skimage.data.chelsea()  # type: ignore[no-untyped-call]
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
