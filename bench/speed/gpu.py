"""Images and megapixels a second of batches on a device, and whether codes, files and pixels are those of a CPU."""

import json
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from statistics import median
from typing import Any, Final

import click
import numpy as np
import torch

from bench.images import RESULTS
from bench.speed.ours import photo
from vqcodec.compare.machine import cpu_name
from vqcodec.decoding.files import DecodedFile, decode_codes, open_file
from vqcodec.decoding.painting import paint
from vqcodec.encoding.pictures import encode_pictures
from vqcodec.encoding.writing import EncodedFile, write_file
from vqcodec.images.picture import Picture
from vqcodec.models.dial import DEFAULT_QUALITY, OperatingPoint
from vqcodec.models.model import Model, load_model
from vqcodec.rate.options import LayerOptions

BATCHES: Final = {(256, 256): (1, 16, 64, 256), (768, 512): (1, 8, 32)}
"""Numbers of images in a batch, by width and height in pixels."""
FEW_BATCHES: Final = {(40, 24): (1, 3), (24, 40): (2,)}
"""Small ones, to try the command."""
WARM_UPS: Final = 2
"""Calls before the first that counts: the first one prepares, and the second one captures graphs."""
RUNS: Final = 3
CHECKED: Final = 4
"""Images of each batch that are decoded and written on the CPU, too."""


@dataclass(frozen=True)
class Checks:
    """What is compared with a CPU over all batches.

    Attributes:
        images: number of images whose codes and files were compared.
        largest_difference: the largest difference of pixels in levels.
        different_share: share of samples that differ.
    """

    images: int
    largest_difference: int
    different_share: float


def run_batches(model_id: str, device: str, *, is_quick: bool) -> None:
    """Measures batches of photos at the default quality on a device; writes bench/results/gpu-MODEL.json for CUDA.

    Args:
        model_id: id or folder of the model.
        device: "cpu" or "cuda".
        is_quick: whether few small images are measured, to try the command, and nothing is written.

    Raises:
        click.ClickException: Codes or files differ from those of a CPU.
    """
    model, on_cpu = load_model(model_id, device), load_model(model_id, "cpu")
    point = model.config.dial("iq").at(DEFAULT_QUALITY)
    rows, checks = [], []
    for size, counts in (FEW_BATCHES if is_quick else BATCHES).items():
        for count in counts:
            row, checked = _measure(_pictures(size, count), model, on_cpu, point)
            rows.append({"width": size[0], "height": size[1], "count": count, **row})
            checks.append(checked)
            click.echo(json.dumps(rows[-1]))
    compared = {
        "images": sum(checked.images for checked in checks),
        "largest_difference": max(checked.largest_difference for checked in checks),
        "different_share": round(float(np.mean([checked.different_share for checked in checks])), 5),
    }
    click.echo(
        "codes and files of {images} images are those of the CPU; their pixels differ by {largest_difference} levels at most, "
        "in {different_share:.2%} of samples".format(**compared)
    )
    if is_quick or model.device != "cuda":
        click.echo("nothing is written")
        return
    about = {
        "model": model.config.id,
        "weights_sha256": model.config.weights_sha256,
        "device": torch.cuda.get_device_name(),
        "cpu": cpu_name(),
        "torch": torch.__version__,
        "maps": point.num_maps,
    }
    target = RESULTS / f"gpu-{model.config.id}.json"
    target.write_text(json.dumps({**about, "checks": compared, "rows": rows}, indent=1) + "\n", encoding="utf-8")
    click.echo(f"written to {target}")


def _pictures(size: tuple[int, int], count: int) -> list[Picture]:
    """Returns pictures of a size, each of them the same photo moved by another number of pixels."""
    pixels = np.asarray(photo(size))
    return [Picture(np.roll(pixels, (7 * number, 11 * number), (0, 1))) for number in range(count)]


def _measure(pictures: Sequence[Picture], model: Model, on_cpu: Model, point: OperatingPoint) -> tuple[Mapping[str, Any], Checks]:
    """Returns median seconds and rates of a batch, with its peak of memory, and what was compared."""
    is_on_gpu = model.device == "cuda"
    if is_on_gpu:
        torch.cuda.reset_peak_memory_stats()
    encode_s, files = _timed(lambda: encode_pictures(pictures, model, point=point, batch_size=None))
    bare_s, _ = _timed(lambda: encode_pictures(pictures, model, point=point, options=LayerOptions(layers=False), batch_size=None))
    codes_s, decoded = _timed(lambda: decode_codes([open_file(file.data, model=model, layers=True) for file in files]))
    paint_s, painted = _timed(lambda: paint(decoded, batch_size=None))
    for file, codes in zip(files, decoded, strict=True):
        _check(codes.or_raise().indices, file.indices, "the codes that are decoded on the device differ from those that were encoded")
    of_cpu = [_decoded_on_cpu(picture, file, on_cpu) for picture, file in zip(pictures[:CHECKED], files, strict=False)]
    differences = [np.abs(ours.pixels.astype(int) - theirs.pixels) for ours, theirs in zip(painted, paint(of_cpu), strict=False)]
    megapixels = sum(picture.pixels.shape[0] * picture.pixels.shape[1] for picture in pictures) / 1e6
    row: dict[str, Any] = {}
    for verb, seconds in [("encode", encode_s), ("encode_codes", bare_s), ("decode", codes_s + paint_s), ("decode_codes", codes_s)]:
        row[f"{verb}_s"] = round(seconds, 4)
        row[f"{verb}_images_per_s"] = round(len(pictures) / seconds, 1)
        row[f"{verb}_mpx_per_s"] = round(megapixels / seconds, 2)
    row["peak_mib"] = round(torch.cuda.max_memory_reserved() / 2**20) if is_on_gpu else None
    checks = Checks(
        len(of_cpu), max(int(of_picture.max()) for of_picture in differences), float(np.mean([(one > 0).mean() for one in differences]))
    )
    return row, checks


def _decoded_on_cpu(picture: Picture, file: EncodedFile, model: Model) -> DecodedFile:
    """Decodes a file on the CPU, and checks that its codes and bytes are those that the CPU gives."""
    (decoded,) = decode_codes([open_file(file.data, model=model, layers=True)])
    _check(decoded.or_raise().indices, file.indices, "the codes that are decoded on the CPU differ from those that were encoded")
    written = write_file(picture, file.indices, model, None, [None] * len(file.indices), file.layers)
    if written != file.data:
        raise click.ClickException(f"a file of {len(file.data)} bytes differs from what the CPU writes of the same codes")
    return decoded


def _check(codes: Sequence[np.ndarray[Any, Any]], expected: Sequence[np.ndarray[Any, Any]], message: str) -> None:
    if len(codes) != len(expected) or not all(map(np.array_equal, codes, expected)):
        raise click.ClickException(message)


def _timed(work: Callable[[], Any]) -> tuple[float, Any]:
    """Returns the median seconds of some work, and what it gives."""
    for _ in range(WARM_UPS):
        result = work()
    seconds = []
    for _ in range(RUNS):
        started = time.perf_counter()
        result = work()  # pictures and codes come back to the CPU, so that the device is done
        seconds.append(time.perf_counter() - started)
    return median(seconds), result
