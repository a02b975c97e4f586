"""How much better a model's priors know the photos that they were trained on than others, beside JPEG, which learned from neither."""

import json
from collections.abc import Sequence
from io import BytesIO
from pathlib import Path
from typing import Any, Final

import click
import numpy as np
import torch
from numpy.typing import NDArray
from PIL import Image

from bench.images import write_result
from vqcodec.format.container import map_name
from vqcodec.models.registry import Model, open_model
from vqcodec.nn.autoencoder.blocks import encode_in_blocks
from vqcodec.nn.autoencoder.vqvae import PATCH_TOP
from vqcodec.nn.prior.fixed_point import Arithmetic
from vqcodec.nn.prior.pixelsnail import TOP_TILE
from vqcodec.rate.choice import RateDistortionChoice
from vqcodec.training.data import find_sources, load_photos
from vqcodec.training.prior import measure_bits

CROPS: Final = 240
RATE_WEIGHTS: Final = (0.0, 0.25)
"""Nearest codes, and such as `encode` chooses at a middle rate."""
JPEG_QUALITY: Final = 50
_BATCH = 16


def measure_gap(training: Sequence[Path], held_out: Path, cache: Path, model_id: str) -> None:
    """Measures whole tiles from the middle of photos spread evenly over two sets; writes bench/results/gap-MODEL.json.

    Args:
        training: folders of pictures or .tar shards, or single shards, that the model was trained on.
        held_out: the same, of photos that it was not trained on.
        cache: folder for the decoded pixels.
        model_id: id of an installed model.

    Raises:
        click.ClickException: photos of one set are all smaller than 256 pixels, and than those of the other.
    """
    model = open_model(model_id, device="cpu")
    crops = [_crops(paths, cache) for paths in (training, [held_out])]
    if crops[0].shape[1:] != crops[1].shape[1:]:
        raise click.ClickException(f"the largest squares of the two sets have {crops[0].shape[1]} and {crops[1].shape[1]} pixels a side")
    settings = [{"rate_weight": rate_weight, "priors": _priors(model, crops, rate_weight)} for rate_weight in RATE_WEIGHTS]
    jpeg = {"quality": JPEG_QUALITY, "bpp": [round(_jpeg_bpp(part), 4) for part in crops]}
    write_result("gap", model.config, None, {"photos": [len(part) for part in crops], "jpeg": jpeg, "settings": settings})


def _crops(paths: Sequence[Path], cache: Path) -> NDArray[np.uint8]:
    photos = load_photos([source for path in paths for source in find_sources(path)], cache)
    return photos.centre_crops(CROPS, TOP_TILE * PATCH_TOP)


def _priors(model: Model, crops: Sequence[NDArray[np.uint8]], rate_weight: float) -> list[dict[str, Any]]:
    of_training, of_others = (_encoded(model, part, rate_weight) for part in crops)
    rows = []
    for number, prior in enumerate(model.priors):
        known = number + 1
        rows.append(
            {
                "map": map_name(number),
                "training_real": round(measure_bits(prior, of_training[:known], Arithmetic.REAL), 4),
                "held_out_real": round(measure_bits(prior, of_others[:known], Arithmetic.REAL), 4),
                "held_out_fixed": round(measure_bits(prior, of_others[:known], Arithmetic.TRAINED), 4),
            }
        )
        click.echo(json.dumps({"rate_weight": rate_weight, **rows[-1]}))
    return rows


@torch.inference_mode()
def _encoded(model: Model, crops: NDArray[np.uint8], rate_weight: float) -> list[torch.Tensor]:
    """The maps of crops [N, S, S, 3], [N, h, w] each."""
    batches = []
    for start in range(0, len(crops), _BATCH):
        x = torch.from_numpy(crops[start : start + _BATCH]).permute(0, 3, 1, 2).contiguous()
        choose = RateDistortionChoice(model.codings, rate_weight, pixels=x)
        batches.append(encode_in_blocks(model.network, x, model.network.config.num_maps, choose=choose))
    return [torch.cat(levels) for levels in zip(*batches, strict=True)]


def _jpeg_bpp(crops: NDArray[np.uint8]) -> float:
    total = 0
    for crop in crops:
        file = BytesIO()
        Image.fromarray(crop).save(file, "JPEG", quality=JPEG_QUALITY)
        total += len(file.getvalue())
    return 8 * total / crops[..., 0].size
