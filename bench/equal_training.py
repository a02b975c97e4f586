"""What training for codes chosen by their cost is worth: models trained equally long, with it and without, on the same photos."""

import json
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Final

import click
import numpy as np

from bench.images import opened_set, write_result
from vqcodec.decoding import decode_codes, open_file, paint
from vqcodec.encoding import encode_pictures
from vqcodec.errors import or_raise
from vqcodec.image import Picture, read_image
from vqcodec.metrics import bits_per_pixel, psnr_db
from vqcodec.model_config import OperatingPoint, read_config
from vqcodec.registry import Model, find_model, load_model
from vqcodec.training.loop import LOG_NAME, last_step

POINTS: Final = tuple(
    OperatingPoint(num_maps, rate_weight)
    for num_maps, rate_weights in ((2, (2.0, 0.8, 0.3)), (4, (1.0, 0.6, 0.35, 0.2, 0.1)))
    for rate_weight in rate_weights
)
"""About 0.15 to 0.7 bpp, where both are used."""


def compare_equal_training(folders: Mapping[str, Path], set_name: str, into: str) -> None:
    """Measures models in folders; writes bench/results/equal-training-INTO.json.

    Args:
        folders: of models that were trained for as many steps from the same weights, by what is different about each.
        set_name: the images.
        into: id or folder of the model whose training this is about.

    Raises:
        ModelError: a folder that holds no model or no log of its training.
    """
    models = {name: load_model(read_config(folder), "cpu") for name, folder in folders.items()}
    steps = {name: last_step(folder / LOG_NAME) for name, folder in folders.items()}
    with opened_set(set_name) as images:
        pictures = [read_image(path) for path in images]
    with click.progressbar(length=len(models) * len(POINTS) * len(pictures)) as bar:
        arms = [
            {
                "arm": name,
                "weights_sha256": model.config.weights_sha256,
                "steps": steps[name][0],
                "elapsed_s": round(steps[name][1]),
                "rows": [_measured(model, pictures, point, bar.update) for point in POINTS],
            }
            for name, model in models.items()
        ]
    for arm in arms:
        click.echo(f"{arm['arm']}: {json.dumps(arm['rows'])}")
    write_result("equal-training", find_model(into), set_name, {"photos": len(pictures), "arms": arms})


def _measured(model: Model, pictures: list[Picture], point: OperatingPoint, on_progress: Callable[[int], None]) -> dict[str, float]:
    """Means at one point, files of `--tune psnr`."""
    figures = []
    for picture in pictures:
        (encoded,) = encode_pictures([picture], model, point=point, tune="psnr")
        height, width = picture.pixels.shape[:2]
        (decoded,) = decode_codes([open_file(encoded.data, model=model)])
        (painted,) = paint([or_raise(decoded)])
        figures.append((bits_per_pixel(len(encoded.data), width, height), psnr_db(picture.rgb, painted.rgb)))
        on_progress(1)
    bpp, psnr = np.mean(figures, axis=0)
    return {"maps": point.num_maps, "rate_weight": point.rate_weight, "bpp": round(float(bpp), 4), "psnr_db": round(float(psnr), 4)}
