"""Seconds and peak memory of vqcodec itself: processes of its command line, and the functions of the package."""

import json
import sys
import time
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager, nullcontext
from dataclasses import replace
from pathlib import Path
from typing import Any, Final
from unittest import mock

import click
import numpy as np
import skimage.data
import torch
from PIL import Image

from bench.processes import measure_process
from vqcodec.codec.calls import decode_batch
from vqcodec.decoding.files import decode_file
from vqcodec.decoding.painting import paint
from vqcodec.encoding.pictures import encode_pictures
from vqcodec.format.container import CoderKind
from vqcodec.images.picture import Picture, read_picture
from vqcodec.models.dial import DEFAULT_QUALITY, OperatingPoint
from vqcodec.models.model import Model
from vqcodec.nn.prior.fixed_point import Arithmetic
from vqcodec.nn.prior.threads import fastest_threads

FEW: Final = 5
"""Runs that a median is taken of."""
SMALL_SIZE: Final = (256, 256)
"""Width and height in pixels of a picture of one tile."""
BATCHES: Final = (1, 8, 32)
PREFIX_ROUNDS: Final = 11
NAIVE_PASSES: Final = 50


def photo(size: tuple[int, int]) -> Image.Image:
    """Returns a photo that ships with scikit-image, resized to a width and height."""
    return Image.fromarray(skimage.data.chelsea()).resize(size, Image.Resampling.BICUBIC)  # type: ignore[no-untyped-call]


def top_and_bottom(model: Model) -> OperatingPoint:
    """Returns what is timed: two maps, at the lambda of the default quality."""
    return OperatingPoint(2, model.config.dial("iq").at(DEFAULT_QUALITY).rate_weight)


def measure_size(folder: Path, size: tuple[int, int], model: Model, repeats: int) -> dict[str, Any]:
    """Measures a photo of a size on the model's device: medians of the command line's processes and of the package's functions."""
    source, coded, back = folder / "photo.png", folder / "photo.vq", folder / "back.png"
    photo(size).save(source)
    row: dict[str, Any] = {}
    point, device = top_and_bottom(model), model.device
    chosen = ["-m", model.config.folder, "--maps", point.num_maps, "--lambda", point.rate_weight]
    for verb, arguments in [("encode", [source, "-o", coded, *chosen]), ("decode", [coded, "-o", back])]:
        command = [sys.executable, "-m", "vqcodec", verb, "--force", "--device", device, *map(str, arguments)]
        runs = [measure_process(command) for _ in range(repeats)]
        row[f"{verb}_process_s"] = round(float(np.median([run.seconds for run in runs])), 2)
        row[f"{verb}_peak_mib"] = round(max(run.peak_mib for run in runs))
    picture = read_picture(source)
    times = np.array([round_trip_seconds(picture, model, point) for _ in range(repeats)])
    names = ("encode_s", "decode_s", "paint_s")
    return {**row, **{name: round(float(median), 3) for name, median in zip(names, np.median(times, axis=0), strict=True)}}


def round_trip_seconds(picture: Picture, model: Model, point: OperatingPoint) -> tuple[float, float, float]:
    """Returns the seconds to encode a picture, to decode its codes, and to paint them."""
    started = time.perf_counter()
    (encoded,) = encode_pictures([picture], model, point=point)
    coded = time.perf_counter()
    decoded = decode_file(encoded.data, device=model.device)
    known = time.perf_counter()
    paint([decoded])
    return coded - started, known - coded, time.perf_counter() - known


def measure_naive(model: Model) -> dict[str, Any]:
    """Measures the decoding of a small picture's codes by the wavefront, and as a plain PixelSNAIL would do it, one pass a code."""
    picture = Picture(np.asarray(photo(SMALL_SIZE)))
    (encoded,) = encode_pictures([picture], model, point=top_and_bottom(model), coder=CoderKind.PRIOR)
    times = []
    for _ in range(FEW):
        started = time.perf_counter()
        decode_file(encoded.data, device="cpu")
        times.append(time.perf_counter() - started)
    naive_s = 0.0
    tensors = [torch.from_numpy(indices)[None] for indices in encoded.indices]
    for number, indices in enumerate(tensors):
        started = time.perf_counter()
        for _ in range(NAIVE_PASSES):
            with torch.inference_mode():
                model.priors[number](indices, tensors[:number], Arithmetic.EXACT)
        naive_s += (time.perf_counter() - started) / NAIVE_PASSES * indices.numel()
    return {"passes": NAIVE_PASSES, "naive_s": round(naive_s, 1), "wavefront_s": round(float(np.median(times)), 4)}


def measure_prefixes(picture: Picture, model: Model) -> list[dict[str, Any]]:
    """Measures the decoding of a file of all maps to its first map alone, to its first two, ..., with compiled kernels and without."""
    point = OperatingPoint(model.config.num_maps, top_and_bottom(model).rate_weight)
    (encoded,) = encode_pictures([picture], model, point=point)
    counts = range(1, model.config.num_maps + 1)
    times: dict[tuple[int, str], list[float]] = {}
    for _ in range(PREFIX_ROUNDS):  # all in turn, so that a slow minute of the machine slows all of them
        for name, kernels in (("decode_s", nullcontext(model)), ("without_kernels_s", without_kernels(model))):
            with kernels as walked:
                decode_file(encoded.data, model=walked)  # makes the priors, and finds out how many threads are fastest
                for count in counts:
                    started = time.perf_counter()
                    paint([decode_file(encoded.data, max_maps=count, model=walked)])
                    times.setdefault((count, name), []).append(time.perf_counter() - started)
    medians = {key: round(float(np.median(seconds)), 4) for key, seconds in times.items()}
    rows = [{"maps": count, **{name: medians[count, name] for name in ("decode_s", "without_kernels_s")}} for count in counts]
    click.echo(json.dumps(rows))
    return rows


@contextmanager
def without_kernels(model: Model) -> Iterator[Model]:
    """Makes the package work as if it had been built without a C compiler; gives a model whose priors were not made with kernels."""
    with ExitStack() as stack:
        for user in ("vqcodec.nn.prior.native", "vqcodec.coding.frequencies"):
            stack.enter_context(mock.patch(f"{user}.library", return_value=None))
        fastest_threads.cache_clear()
        yield replace(model)
    fastest_threads.cache_clear()


def measure_batches(model: Model) -> list[dict[str, Any]]:
    """Measures seconds a picture for batches of equal small pictures, top and bottom."""
    picture = Picture(np.asarray(photo(SMALL_SIZE)))
    rows = []
    for count in BATCHES:
        encode_s, decode_s = [], []
        for _ in range(FEW):
            started = time.perf_counter()
            files = encode_pictures([picture] * count, model, point=top_and_bottom(model), batch_size=count)
            encoded = time.perf_counter()
            decode_batch([file.data for file in files], device="cpu", batch_size=count)
            decode_s.append((time.perf_counter() - encoded) / count)
            encode_s.append((encoded - started) / count)
        rows.append({"count": count, "encode_s": round(float(np.median(encode_s)), 4), "decode_s": round(float(np.median(decode_s)), 4)})
        click.echo(json.dumps(rows[-1]))
    return rows
