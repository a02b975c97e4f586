"""What training is worth, in files: models trained equally long for different codes, and models that were trained further."""

import json
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any, Final

import click
import numpy as np

from bench.images import opened_set, write_result
from vqcodec.decoding import decode_file, paint
from vqcodec.encoding import encode_pictures
from vqcodec.images.metrics import bits_per_pixel, psnr_db
from vqcodec.images.picture import Picture, read_picture
from vqcodec.models.config import ModelConfig, OperatingPoint, read_config
from vqcodec.models.registry import Model, find_model, load_model
from vqcodec.nn.autoencoder.vqvae import PATCH_TOP
from vqcodec.nn.prior.pixelsnail import TOP_TILE
from vqcodec.training.data import find_sources, load_photos
from vqcodec.training.loop import LOG_NAME, last_step

POINTS: Final = tuple(
    OperatingPoint(num_maps, rate_weight)
    for num_maps, rate_weights in ((2, (2.0, 0.8, 0.3)), (4, (1.0, 0.6, 0.35, 0.2, 0.1)))
    for rate_weight in rate_weights
)
"""About 0.15 to 0.7 bpp, where both are used."""
HELD_OUT_CROPS: Final = 48


def compare_equal_training(folders: Mapping[str, Path], set_name: str, into: str) -> None:
    """Measures models in folders; writes bench/results/equal-training-INTO.json.

    Args:
        folders: of models that were trained for as many steps from the same weights, by what is different about each.
        set_name: the images.
        into: id or folder of the model whose training this is about.

    Raises:
        ModelError: a folder that holds no model or no log of its training.
    """
    with opened_set(set_name) as images:
        pictures = [read_picture(path) for path in images]
    configs = {name: read_config(folder) for name, folder in folders.items()}
    write_result("equal-training", find_model(into), set_name, _measured(configs, pictures))


def measure_more_training(folders: Mapping[str, Path], held_out: Path, cache: Path, model_id: str) -> None:
    """Measures a model, and what further training of it gave; writes bench/results/more-training-MODEL.json.

    The pictures are 256x256 pixels in the middle of held-out photos spread evenly over their set. All are encoded with the model's own
    limit of lambda for the top map, which an exported run does not have yet.

    Args:
        folders: of models that were trained on from this one, by what each is.
        held_out: a folder of pictures or of .tar shards, or one shard.
        cache: folder for the decoded pixels.
        model_id: id or folder of the model.

    Raises:
        ModelError: a folder that holds no model or no log of its training.
    """
    config = find_model(model_id)
    crops = load_photos(find_sources(held_out), cache).centre_crops(HELD_OUT_CROPS, TOP_TILE * PATCH_TOP)
    further = {name: replace(read_config(folder), top_max_rate_weight=config.top_max_rate_weight) for name, folder in folders.items()}
    write_result("more-training", config, None, _measured({config.id: config, **further}, [Picture(crop) for crop in crops]))


def _measured(configs: Mapping[str, ModelConfig], pictures: Sequence[Picture]) -> dict[str, Any]:
    """Rates and PSNR of models, by their names, with the length of their training."""
    models = {name: load_model(config, "cpu") for name, config in configs.items()}
    steps = {name: last_step(config.folder / LOG_NAME) for name, config in configs.items()}
    with click.progressbar(length=len(models) * len(POINTS) * len(pictures)) as bar:
        arms = [
            {
                "arm": name,
                "weights_sha256": model.config.weights_sha256,
                "steps": steps[name][0],
                "elapsed_s": round(steps[name][1]),
                "rows": [_row(model, pictures, point, bar.update) for point in POINTS],
            }
            for name, model in models.items()
        ]
    for arm in arms:
        click.echo(f"{arm['arm']}: {json.dumps(arm['rows'])}")
    return {"photos": len(pictures), "arms": arms}


def _row(model: Model, pictures: Sequence[Picture], point: OperatingPoint, on_progress: Callable[[int], None]) -> dict[str, float]:
    """Means at one point, files of `--tune psnr`."""
    figures = []
    for picture in pictures:
        (encoded,) = encode_pictures([picture], model, point=point, tune="psnr")
        height, width = picture.pixels.shape[:2]
        (painted,) = paint([decode_file(encoded.data, model=model)])
        figures.append((bits_per_pixel(len(encoded.data), width, height), psnr_db(picture.rgb, painted.rgb)))
        on_progress(1)
    bpp, psnr = np.mean(figures, axis=0)
    return {"maps": point.num_maps, "rate_weight": point.rate_weight, "bpp": round(float(bpp), 4), "psnr_db": round(float(psnr), 4)}
