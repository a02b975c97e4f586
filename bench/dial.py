"""The dial of a model on the Kodak photos: bytes and PSNR at many qualities, and whether both rise."""

from dataclasses import astuple
from pathlib import Path
from typing import Any, Final

import click
import numpy as np
import torch

from bench.images import opened_set, read_json, result_path, write_result
from vqcodec.encoding import encode_pictures
from vqcodec.images.metrics import psnr_db
from vqcodec.images.picture import Picture, read_picture
from vqcodec.models.config import QUALITIES, ModelConfig, OperatingPoint
from vqcodec.models.registry import Model, open_model
from vqcodec.nn.autoencoder.blocks import decode_in_blocks

STEP: Final = 2
SPAN_BPP: Final = (0.07, 1.0)


def run_dial(set_name: str, model_id: str) -> None:
    """Encodes every photo at every second quality; writes bench/results/dial-MODEL.json.

    Qualities that this file already has of the same weights and operating points are left as they are.
    """
    model = open_model(model_id)
    target = result_path("dial", model.config.id, set_name)
    with opened_set(set_name) as images:
        pictures = [read_picture(path) for path in images]
    pixels = [int(np.prod(picture.pixels.shape[:2])) for picture in pictures]
    rows = _kept_rows(target, model.config, pixels)
    qualities = [*range(1, QUALITIES, STEP), QUALITIES]
    with click.progressbar([quality for quality in qualities if quality not in rows]) as bar:
        for quality in bar:
            point = model.config.operating_point(quality)
            measured = [_measure(picture, model, point) for picture in pictures]
            num_bytes, psnr = zip(*measured, strict=True)
            rows[quality] = {"quality": quality, "point": list(astuple(point)), "num_bytes": list(num_bytes), "psnr_db": list(psnr)}
    values = {"pixels": pixels, "qualities": [rows[quality] for quality in qualities]}
    click.echo(summary(values))
    write_result("dial", model.config, set_name, values)


def _kept_rows(target: Path, config: ModelConfig, pixels: list[int]) -> dict[int, dict[str, Any]]:
    """The rows of an earlier result, by quality, that are of these weights, operating points and sizes of pictures."""
    if not target.exists():
        return {}
    earlier = read_json(target)
    if earlier["weights_sha256"] != config.weights_sha256 or earlier["pixels"] != pixels:
        return {}
    return {row["quality"]: row for row in earlier["qualities"] if row["point"] == list(astuple(config.operating_point(row["quality"])))}


def _measure(picture: Picture, model: Model, point: OperatingPoint) -> tuple[int, float]:
    """Bytes of the file, and PSNR of what its maps decode to."""
    (encoded,) = encode_pictures([picture], model, point=point)
    height, width = picture.pixels.shape[:2]
    painted = decode_in_blocks(model.network, [torch.from_numpy(level)[None] for level in encoded.indices])
    return len(encoded.data), round(psnr_db(picture.rgb, painted[0].permute(1, 2, 0).numpy()[:height, :width]), 4)


def summary(result: dict[str, Any]) -> str:
    """How many sizes there are, and whether bytes and PSNR rise, as a sentence or two."""
    rows = result["qualities"]
    num_bytes, psnr = (np.array([row[key] for row in rows], float) for key in ("num_bytes", "psnr_db"))
    bpp = 8 * num_bytes / np.array(result["pixels"])
    within = (bpp >= SPAN_BPP[0]) & (bpp <= SPAN_BPP[1])
    distinct = [len(set(sizes[inside])) for sizes, inside in zip(num_bytes.T, within.T, strict=True)]
    rising = [bool((np.diff(values.mean(axis=1)) > 0).all()) for values in (num_bytes, psnr)]
    falls = [max(0.0, float((1 - values[1:] / values[:-1]).max())) for values in (num_bytes, psnr)]
    means = "rise at every step" if all(rising) else "do not rise at every step"
    return (
        f"At {len(rows)} qualities of the dial, {rows[0]['quality']}, {rows[1]['quality']}, ... {rows[-1]['quality']}, a Kodak photo has "
        f"{min(distinct)} to {max(distinct)} distinct sizes from {SPAN_BPP[0]} to {SPAN_BPP[1]:g} bpp. Mean bytes and PSNR {means}; from "
        f"one quality to the next the bytes of a single photo fall by {falls[0]:.1%} at most, its PSNR by {falls[1]:.1%}."
    )
