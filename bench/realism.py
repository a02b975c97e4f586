"""The same files of the Kodak photos painted by the faithful decoder, by the perceptual one, and by mixtures of the two."""

from collections.abc import Callable, Sequence
from typing import Any, Final

import click
import numpy as np

from bench.images import opened_set, write_result
from vqcodec.decoding import decode_file, paint
from vqcodec.encoding import encode_pictures
from vqcodec.images.lpips import Lpips
from vqcodec.images.metrics import bits_per_pixel, psnr_db
from vqcodec.images.picture import Picture, read_picture
from vqcodec.models.config import DEFAULT_QUALITY, OperatingPoint
from vqcodec.models.registry import Model, load_painter, open_model
from vqcodec.rate.control import RateControl, Tune

REALISM: Final = (0.0, 0.25, 0.5, 0.75, 1.0)
TUNES: Final[tuple[Tune, ...]] = ("iq", "perceptual")


def run_realism(set_name: str, model_id: str) -> None:
    """Encodes every photo at the default quality and decodes it at each realism; writes bench/results/realism-MODEL.json.

    Raises:
        ModelError: the model has no perceptual decoder, or no dial for it.
    """
    model = open_model(model_id)
    load_painter(model, REALISM[-1])
    points = {tune: RateControl(tune=tune).operating_point(model.config) for tune in TUNES}
    with opened_set(set_name) as images, click.progressbar(length=len(images) * len(TUNES)) as bar:
        tunes = [
            {"tune": tune, **_measure([read_picture(path) for path in images], model, tune, points[tune], bar.update)} for tune in TUNES
        ]
        count = len(images)
    for tuned in tunes:
        click.echo(f"tune {tuned['tune']}, {tuned['bpp']:.3f} bpp")
        for row in tuned["rows"]:
            click.echo(f"realism {row['realism']}: {row['psnr_db']:.2f} dB, LPIPS {row['lpips_alex']:.4f} / {row['lpips_vgg']:.4f}")
    values = {"perceptual_sha256": model.config.perceptual_sha256, "photos": count, "quality": DEFAULT_QUALITY, "tunes": tunes}
    write_result("realism", model.config, set_name, values)


def _measure(
    pictures: Sequence[Picture], model: Model, tune: Tune, point: OperatingPoint, on_progress: Callable[[int], None]
) -> dict[str, Any]:
    """Mean bits per pixel, and a row of means for each realism."""
    backbones = {"lpips_alex": Lpips("alex"), "lpips_vgg": Lpips("vgg")}
    measured: list[list[tuple[float, ...]]] = []
    bpp = []
    for picture in pictures:
        (encoded,) = encode_pictures([picture], model, point=point, tune=tune)
        height, width = picture.pixels.shape[:2]
        bpp.append(bits_per_pixel(len(encoded.data), width, height))
        file = decode_file(encoded.data)
        painted = [paint([file], realism=realism)[0].rgb for realism in REALISM]
        measured.append(
            [(psnr_db(picture.rgb, rgb), *(lpips.of_images(picture.rgb, rgb) for lpips in backbones.values())) for rgb in painted]
        )
        on_progress(1)
    rows = [
        {"realism": realism, **{key: round(float(value), 5) for key, value in zip(("psnr_db", *backbones), values, strict=True)}}
        for realism, values in zip(REALISM, np.mean(measured, axis=0), strict=True)
    ]
    return {"bpp": round(float(np.mean(bpp)), 4), "rows": rows}
