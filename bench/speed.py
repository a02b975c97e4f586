"""Seconds and peak memory: the command line as processes of its own, stage by stage, against naive decoding and against CompressAI."""

import json
import platform
import subprocess
import sys
import tempfile
import time
from bisect import bisect_left
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager, nullcontext
from dataclasses import replace
from datetime import UTC, datetime
from functools import cache
from pathlib import Path
from typing import Any, Final
from unittest import mock

import click
import numpy as np
import skimage.data
import torch
from numpy.typing import NDArray
from PIL import Image

import vqcodec
from bench.images import RESULTS, read_json
from bench.stages import measure_stages
from vqcodec.compare.codecs import ImageCodec
from vqcodec.compare.machine import cpu_name
from vqcodec.compare.ours import Vqcodec
from vqcodec.compare.selection import select_codecs
from vqcodec.decoding import decode_batch, decode_file, paint
from vqcodec.encoding import encode_pictures
from vqcodec.errors import VqcodecError
from vqcodec.format.container import CoderKind
from vqcodec.images.metrics import bits_per_pixel
from vqcodec.images.picture import Picture, read_picture
from vqcodec.models.config import DEFAULT_QUALITY, OperatingPoint
from vqcodec.models.registry import DEFAULT_MODEL, Model, open_model
from vqcodec.nn.kernels import library
from vqcodec.nn.prior.fixed_layers import fastest_threads
from vqcodec.nn.prior.fixed_point import Arithmetic

SIZES: Final = {(256, 256): 5, (768, 512): 5, (2048, 1536): 3, (4000, 3000): 1}
"""Width and height in pixels, and how often each is measured."""

KODAK_SIZE: Final = (768, 512)
BATCHES: Final = (1, 8, 32)
BATCH_SIZE_PX: Final = (256, 256)
FEW: Final = 5
PREFIX_ROUNDS: Final = 11
TARGET_BPP: Final = 0.4
NAIVE_PASSES: Final = 50
CODEC_SIZES: Final = {KODAK_SIZE: FEW, (2048, 1536): 1}
_HAS_COMPRESSAI: Final = "import importlib.util, sys; sys.exit(importlib.util.find_spec('compressai') is None)"
PEER_SIZES: Final = ((256, 256), KODAK_SIZE)
PEER_QUALITIES: Final = (DEFAULT_QUALITY, 75)
PEER_MODELS: Final = ("bmshj2018-factorized", "bmshj2018-hyperprior", "mbt2018", "cheng2020-attn")


def run_speed(model_id: str, peers_python: Path | None) -> None:
    """Measures on a photo that ships with scikit-image, enlarged; writes bench/results/speed-MODEL.json with medians.

    Args:
        model_id: of the model.
        peers_python: interpreter of an environment that has CompressAI (`bench/peers_env.sh`), or None to keep what was measured before.

    Raises:
        VqcodecError: that environment has no CompressAI.
    """
    if peers_python is not None and subprocess.run([str(peers_python), "-c", _HAS_COMPRESSAI], check=False).returncode:
        raise VqcodecError(f"{peers_python}: a Python without CompressAI; bash bench/peers_env.sh DIR makes one that has it")
    model = open_model(model_id, device="cpu")
    target = RESULTS / f"speed-{model.config.id}.json"
    known = read_json(target) if target.exists() else {}
    rows = []
    with tempfile.TemporaryDirectory() as name:
        for device in ["cpu", "cuda"] if torch.cuda.is_available() else ["cpu"]:
            for size, repeats in SIZES.items():
                measured = _measure(Path(name), size, open_model(model_id, device=device), repeats)
                rows.append({"device": device, "width": size[0], "height": size[1], "repeats": repeats, **measured})
                click.echo(json.dumps(rows[-1]))
        peers = known.get("peers", []) if peers_python is None else _measure_peers(peers_python, Path(name), model)
        codecs = [row for size, repeats in CODEC_SIZES.items() for row in _measure_codecs(Path(name), size, repeats, model)]
    if peers_python is None:
        click.echo("CompressAI: not measured anew, no --peers")
    naive = _measure_naive(model)
    click.echo(json.dumps(naive))
    kodak_sized = Picture(np.asarray(_picture(KODAK_SIZE)))
    stages = measure_stages(kodak_sized, model, point=top_and_bottom(model))
    click.echo(json.dumps(stages))
    result = {
        "model": model.config.id,
        "weights_sha256": model.config.weights_sha256,
        "perceptual_sha256": model.config.perceptual_sha256,
        "date": datetime.now(UTC).date().isoformat(),
        "cpu": cpu_name(),
        "threads": torch.get_num_threads(),
        "compiled_kernels": library() is not None,
        "versions": {"vqcodec": vqcodec.__version__, "torch": torch.__version__, "python": platform.python_version()},
        "rows": rows,
        "prefixes": _measure_prefixes(kodak_sized, model),
        "batches": _measure_batches(model),
        "stages": stages,
        "codecs": codecs,
        "naive": naive,
        "peers": peers,
    }
    target.write_text(json.dumps(result, indent=1) + "\n", encoding="utf-8")
    click.echo(f"written to {target}")


def top_and_bottom(model: Model) -> OperatingPoint:
    """What is timed: two maps, at the lambda of the default quality."""
    return OperatingPoint(2, model.config.operating_point(DEFAULT_QUALITY).rate_weight)


def _picture(size: tuple[int, int]) -> Image.Image:
    """A photo that ships with scikit-image, resized."""
    return Image.fromarray(skimage.data.chelsea()).resize(size, Image.Resampling.BICUBIC)  # type: ignore[no-untyped-call]


def _measure_naive(model: Model) -> dict[str, Any]:
    """Decoding one 256x256 picture's top and bottom codes by the wavefront, and as a plain PixelSNAIL would, one pass a code."""
    (encoded,) = encode_pictures([Picture(np.asarray(_picture((256, 256))))], model, point=top_and_bottom(model), coder=CoderKind.PRIOR)
    times = []
    for _ in range(FEW):
        started = time.perf_counter()
        decode_file(encoded.data, device="cpu")
        times.append(time.perf_counter() - started)
    naive_s = 0.0
    tensors = [torch.from_numpy(level)[None] for level in encoded.indices]
    for number, indices in enumerate(tensors):
        started = time.perf_counter()
        for _ in range(NAIVE_PASSES):
            with torch.inference_mode():
                model.priors[number](indices, tensors[:number], Arithmetic.EXACT)
        naive_s += (time.perf_counter() - started) / NAIVE_PASSES * indices.numel()
    wavefront_s = float(np.median(times))
    return {
        "passes": NAIVE_PASSES,
        "naive_s": round(naive_s, 1),
        "wavefront_s": round(wavefront_s, 4),
        "ratio": round(naive_s / wavefront_s),
    }


def _measure_prefixes(picture: Picture, model: Model) -> list[dict[str, Any]]:
    """Seconds to decode a file of all maps to its first map alone, to its first two, ..., with compiled kernels and without."""
    point = OperatingPoint(model.config.num_maps, top_and_bottom(model).rate_weight)
    (encoded,) = encode_pictures([picture], model, point=point)
    counts = range(1, model.config.num_maps + 1)
    times: dict[tuple[int, str], list[float]] = {}
    for _ in range(PREFIX_ROUNDS):  # all in turn, so that the machine's moods spare none
        for name, kernels in (("decode_s", nullcontext()), ("without_kernels_s", _without_kernels())):
            with kernels:
                decode_file(encoded.data, device="cpu")  # finds out how many threads are fastest
                for count in counts:
                    started = time.perf_counter()
                    paint([decode_file(encoded.data, max_maps=count, device="cpu")])
                    times.setdefault((count, name), []).append(time.perf_counter() - started)
    medians = {key: round(float(np.median(seconds)), 4) for key, seconds in times.items()}
    rows = [{"maps": count, **{name: medians[count, name] for name in ("decode_s", "without_kernels_s")}} for count in counts]
    click.echo(json.dumps(rows))
    return rows


@contextmanager
def _without_kernels() -> Iterator[None]:
    """As where the package was built without a C compiler."""
    with ExitStack() as stack:
        for user in ("vqcodec.nn.prior.cpu_backend", "vqcodec.nn.prior.fixed_layers", "vqcodec.coding.frequencies"):
            stack.enter_context(mock.patch(f"{user}.library", return_value=None))
        fastest_threads.cache_clear()
        yield
    fastest_threads.cache_clear()


def _measure_batches(model: Model) -> list[dict[str, Any]]:
    """Seconds a picture for batches of equal pictures, top and bottom."""
    picture = Picture(np.asarray(_picture(BATCH_SIZE_PX)))
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


def _nearest_setting(codec: ImageCodec, pixels: NDArray[np.uint8], target_bytes: float) -> tuple[float, int]:
    """The codec's setting whose file is nearest to so many bytes, and that file's bytes."""

    @cache
    def num_bytes(setting: float) -> int:
        return len(codec.encode(pixels, setting))

    place = bisect_left(codec.settings, target_bytes, key=num_bytes)
    nearest = min(codec.settings[max(0, place - 1) : place + 1], key=lambda setting: abs(num_bytes(setting) - target_bytes))
    return nearest, num_bytes(nearest)


def _measure_codecs(folder: Path, size: tuple[int, int], repeats: int, model: Model) -> list[dict[str, Any]]:
    """Median seconds and peak memory of each installed codec, at its setting nearest to `TARGET_BPP`; vqcodec's by `model`."""
    source = folder / "codecs.png"
    _picture(size).save(source)
    pixels = read_picture(source).rgb
    selection = select_codecs()
    rows = []
    for selected in selection.codecs:
        codec = (
            replace(selected, model_id=str(model.config.folder))
            if isinstance(selected, Vqcodec) and selected.model_id == DEFAULT_MODEL
            else selected
        )
        setting, num_bytes = _nearest_setting(codec, pixels, TARGET_BPP * size[0] * size[1] / 8)
        encode_s, decode_s = [], []
        for _ in range(repeats):
            started = time.perf_counter()
            data = codec.encode(pixels, setting)
            encoded = time.perf_counter()
            codec.decode(data)
            decode_s.append(time.perf_counter() - encoded)
            encode_s.append(encoded - started)
        rows.append(
            {
                "codec": codec.name,
                "version": codec.version(),
                "width": size[0],
                "height": size[1],
                "setting": codec.label(setting),
                "bpp": round(bits_per_pixel(num_bytes, *size), 3),
                "repeats": repeats,
                "encode_s": round(float(np.median(encode_s)), 4),
                "decode_s": round(float(np.median(decode_s)), 4),
                "peak_mib": round(
                    _time([sys.executable, "-c", _ROUND_TRIP, codec.name, str(setting), str(source), str(model.config.folder)])[1]
                ),
            }
        )
        click.echo(json.dumps(rows[-1]))
    return rows


_ROUND_TRIP: Final = """
import sys
from dataclasses import replace
from pathlib import Path
from vqcodec.compare.ours import Vqcodec
from vqcodec.compare.selection import codec_named
from vqcodec.images.picture import read_picture
from vqcodec.models.registry import DEFAULT_MODEL
codec = codec_named(sys.argv[1])
if isinstance(codec, Vqcodec) and codec.model_id == DEFAULT_MODEL:
    codec = replace(codec, model_id=sys.argv[4])
codec.decode(codec.encode(read_picture(Path(sys.argv[3])).rgb, float(sys.argv[2])))
"""


def _measure_peers(python: Path, folder: Path, model: Model) -> list[dict[str, Any]]:
    """Median seconds of CompressAI's models by size, and first in each size ours, which is timed before each of theirs: machines wander.

    Ours are those of `PEER_QUALITIES`.
    """
    rows = []
    points = {f"quality {quality}": model.config.operating_point(quality) for quality in PEER_QUALITIES}
    for size in PEER_SIZES:
        source = folder / "peers.png"
        _picture(size).save(source)
        picture = read_picture(source)
        ours: dict[str, list[tuple[float, float, float]]] = {setting: [] for setting in points}
        theirs = []
        for name in PEER_MODELS:
            for setting, point in points.items():
                ours[setting] += [_round_trip_seconds(picture, model, point) for _ in range(FEW)]
            script = Path(__file__).with_name("peers.py")
            command = [str(python), str(script), str(source), str(torch.get_num_threads()), str(FEW), name]
            theirs.append(json.loads(subprocess.run(command, check=True, capture_output=True, text=True).stdout))
        timed = []
        for setting, seconds in ours.items():
            (file,) = encode_pictures([picture], model, point=points[setting])
            encode_s, decode_s, paint_s = np.array(seconds).T
            about = {"model": "vqcodec", "setting": setting, "bpp": round(bits_per_pixel(len(file.data), *size), 3)}
            timed.append({**about, "encode_s": encode_s, "decode_s": decode_s + paint_s})
        for row in [*timed, *theirs]:
            medians = {key: round(float(np.median(row[key])), 3) for key in ("encode_s", "decode_s")}
            rows.append({**row, **medians, "width": size[0], "height": size[1], "date": datetime.now(UTC).date().isoformat()})
            click.echo(json.dumps(rows[-1]))
    return rows


def _round_trip_seconds(picture: Picture, model: Model, point: OperatingPoint) -> tuple[float, float, float]:
    """To encode, to decode the codes, and to paint them."""
    started = time.perf_counter()
    (encoded,) = encode_pictures([picture], model, point=point)
    coded = time.perf_counter()
    decoded = decode_file(encoded.data, device=model.device.type)
    known = time.perf_counter()
    paint([decoded])
    return coded - started, known - coded, time.perf_counter() - known


def _measure(folder: Path, size: tuple[int, int], model: Model, repeats: int) -> dict[str, Any]:
    """Medians of the command line's processes and of the package's functions, on the model's device."""
    source, coded, back = folder / "photo.png", folder / "photo.vq", folder / "back.png"
    _picture(size).save(source)
    row: dict[str, Any] = {}
    point, device = top_and_bottom(model), model.device.type
    chosen = ["-m", model.config.folder, "--maps", point.num_maps, "--lambda", point.rate_weight]
    for verb, arguments in [("encode", [source, "-o", coded, *chosen]), ("decode", [coded, "-o", back])]:
        command = [sys.executable, "-m", "vqcodec", verb, "--force", "--device", device, *map(str, arguments)]
        seconds, peak_mib = zip(*(_time(command) for _ in range(repeats)), strict=True)
        row[f"{verb}_process_s"] = round(float(np.median(seconds)), 2)
        row[f"{verb}_peak_mib"] = round(max(peak_mib))
    picture = read_picture(source)
    times = np.array([_round_trip_seconds(picture, model, point) for _ in range(repeats)])
    names = ("encode_s", "decode_s", "paint_s")
    return {**row, **{name: round(float(median), 3) for name, median in zip(names, np.median(times, axis=0), strict=True)}}


def _time(command: Sequence[str]) -> tuple[float, float]:
    """Wall seconds and peak MiB of a process."""
    program = (
        "import resource, subprocess, sys, time\n"
        "started = time.perf_counter()\n"
        "subprocess.run(sys.argv[1:], check=True, capture_output=True)\n"
        "print(time.perf_counter() - started, resource.getrusage(resource.RUSAGE_CHILDREN).ru_maxrss / 1024)"
    )
    done = subprocess.run([sys.executable, "-c", program, *command], check=True, capture_output=True, text=True)
    seconds, peak_mib = map(float, done.stdout.split())
    return seconds, peak_mib
