"""How a model does on held-out photos: bytes and distortion along its dials, as a training run ends with it."""

from pathlib import Path
from typing import TYPE_CHECKING, Final

import click
import numpy as np

import vqcodec
from bench.images import opened_set
from bench.tables import table
from vqcodec.compare.quality import Quality
from vqcodec.images.picture import read_picture
from vqcodec.models.registry import find_model

if TYPE_CHECKING:
    from vqcodec.models.dial import Tune

_QUALITIES: Final = (10, 30, 50, 70, 90)
_SHOWN: Final = {"psnr_db": (2, "PSNR (dB)"), "lpips_alex": (4, "LPIPS (AlexNet)"), "dists": (4, "DISTS")}
"""Measures that are shown: their decimals and headings."""


def run_model(images: str, model: str) -> None:
    """Prints means over the images for some qualities of each dial that the model has."""
    codec, meter = vqcodec.open_model(model), Quality()
    tunes: list[Tune] = ["psnr"] if find_model(model).perceptual_dial is None else ["psnr", "perceptual"]
    rows = []
    with opened_set(images) as paths:
        pictures = [read_picture(path).rgb for path in paths]
    for tune in tunes:
        for quality in _QUALITIES:
            files = codec.encode_batch(pictures, quality=quality, tune=tune)
            decoded = codec.decode_batch(files, realism=float(tune == "perceptual"))
            measured = [meter.measure(picture, np.asarray(image)) for picture, image in zip(pictures, decoded, strict=True)]
            bpp = np.mean([8 * len(data) / picture[..., 0].size for data, picture in zip(files, pictures, strict=True)])
            means = {key: np.mean([values[key] for values in measured]) for key in _SHOWN if key not in meter.missing}
            cells = [f"{means[key]:.{digits}f}" if key in means else "" for key, (digits, _) in _SHOWN.items()]
            rows.append([tune, str(quality), f"{np.mean([len(data) for data in files]):.0f}", f"{bpp:.3f}", *cells])
    click.echo(table(["tune", "quality", "bytes", "bpp", *(heading for _, heading in _SHOWN.values())], rows))
    click.echo(f"means over {len(pictures)} pictures; {Path(model).name}; perceptual files are painted with --realism 1")
