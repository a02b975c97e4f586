"""Seconds and peak memory of all codecs at about the same rate, and seconds of CompressAI's models."""

import json
import subprocess
import sys
import time
from bisect import bisect_left
from dataclasses import replace
from datetime import UTC, datetime
from functools import cache
from pathlib import Path
from typing import Any, Final

import click
import numpy as np
import torch

from bench.processes import measure_process
from bench.speed.ours import FEW, SMALL_SIZE, photo, round_trip_seconds
from vqcodec.compare.codecs import ImageCodec, Pixels
from vqcodec.compare.ours import Vqcodec
from vqcodec.compare.selection import codec_named, select_codecs
from vqcodec.encoding.pictures import encode_pictures
from vqcodec.errors import VqcodecError
from vqcodec.format.container import bits_per_pixel
from vqcodec.images.picture import read_picture
from vqcodec.models.dial import DEFAULT_QUALITY
from vqcodec.models.model import Model

KODAK_SIZE: Final = (768, 512)
TARGET_BPP: Final = 0.4
CODEC_SIZES: Final = {KODAK_SIZE: FEW, (2048, 1536): 1}
"""Width and height in pixels, and the number of runs."""
PEER_SIZES: Final = (SMALL_SIZE, KODAK_SIZE)
PEER_QUALITIES: Final = (DEFAULT_QUALITY, 75)
"""Qualities of vqcodec that CompressAI's models are timed beside."""
PEER_MODELS: Final = ("bmshj2018-factorized", "bmshj2018-hyperprior", "mbt2018", "cheng2020-attn")
_HAS_COMPRESSAI: Final = "import importlib.util, sys; sys.exit(importlib.util.find_spec('compressai') is None)"
_ROUND_TRIP: Final = """
import sys
from pathlib import Path
from bench.speed.codecs import codec_of_model
from vqcodec.images.picture import read_picture
codec = codec_of_model(sys.argv[1], sys.argv[2])
codec.decode(codec.encode(read_picture(Path(sys.argv[3])).rgb, float(sys.argv[4])))
"""


def codec_of_model(name: str, model_id: str) -> ImageCodec:
    """Returns the codec of a name; vqcodec's settings use this model, an id or a folder."""
    codec = codec_named(name)
    return replace(codec, model_id=model_id) if isinstance(codec, Vqcodec) else codec


def measure_codecs(folder: Path, model: Model) -> list[dict[str, Any]]:
    """Measures each installed codec at its setting nearest to `TARGET_BPP`: median seconds and peak memory, by the size of the photo."""
    rows = []
    for size, repeats in CODEC_SIZES.items():
        source = folder / "codecs.png"
        photo(size).save(source)
        pixels = read_picture(source).rgb
        for name in select_codecs().versions:
            codec = codec_of_model(name, str(model.config.folder))
            setting, num_bytes = _nearest_setting(codec, pixels, TARGET_BPP * size[0] * size[1] / 8)
            times = np.array([_round_trip_seconds(codec, pixels, setting) for _ in range(repeats)])
            arguments = [name, str(model.config.folder), str(source), str(setting)]
            rows.append(
                {
                    "codec": name,
                    "version": codec.version(),
                    "width": size[0],
                    "height": size[1],
                    "setting": codec.label(setting),
                    "bpp": round(bits_per_pixel(num_bytes, *size), 3),
                    "repeats": repeats,
                    "encode_s": round(float(np.median(times[:, 0])), 4),
                    "decode_s": round(float(np.median(times[:, 1])), 4),
                    "peak_mib": round(measure_process([sys.executable, "-c", _ROUND_TRIP, *arguments]).peak_mib),
                }
            )
            click.echo(json.dumps(rows[-1]))
    return rows


def _round_trip_seconds(codec: ImageCodec, pixels: Pixels, setting: float) -> tuple[float, float]:
    """Returns the seconds to encode and to decode."""
    started = time.perf_counter()
    data = codec.encode(pixels, setting)
    encoded = time.perf_counter()
    codec.decode(data)
    return encoded - started, time.perf_counter() - encoded


def _nearest_setting(codec: ImageCodec, pixels: Pixels, target_bytes: float) -> tuple[float, int]:
    """Returns the codec's setting whose file is nearest to so many bytes, and that file's bytes."""

    @cache
    def num_bytes(setting: float) -> int:
        return len(codec.encode(pixels, setting))

    place = bisect_left(codec.settings, target_bytes, key=num_bytes)
    nearest = min(codec.settings[max(0, place - 1) : place + 1], key=lambda setting: abs(num_bytes(setting) - target_bytes))
    return nearest, num_bytes(nearest)


def check_peers(python: Path) -> None:
    """Checks that an interpreter has CompressAI.

    Raises:
        VqcodecError: it has not.
    """
    if subprocess.run([str(python), "-c", _HAS_COMPRESSAI], check=False).returncode:
        raise VqcodecError(f"{python}: a Python without CompressAI; bash bench/speed/peers_env.sh DIR makes one that has it")


def measure_peers(python: Path, folder: Path, model: Model) -> list[dict[str, Any]]:
    """Measures median seconds of CompressAI's models, and of vqcodec before each of them, by the size of the photo.

    All take turns, since the machine's speed changes. In each size vqcodec comes first.
    """
    rows = []
    points = {f"quality {quality}": model.config.dial("iq").at(quality) for quality in PEER_QUALITIES}
    for size in PEER_SIZES:
        source = folder / "peers.png"
        photo(size).save(source)
        picture = read_picture(source)
        ours: dict[str, list[tuple[float, float, float]]] = {setting: [] for setting in points}
        theirs = []
        for name in PEER_MODELS:
            for setting, point in points.items():
                ours[setting] += [round_trip_seconds(picture, model, point) for _ in range(FEW)]
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
