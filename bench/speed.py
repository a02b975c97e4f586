"""Seconds and peak memory of the command line: encode and decode, each as a process of its own, start and imports included."""

import json
import platform
import subprocess
import sys
import tempfile
import time
from collections.abc import Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import click
import numpy as np
import skimage.data
import torch
from PIL import Image

import vqcodec
from bench.kodak import RESULTS
from vqcodec.codec import decode_file, encode_pictures, open_model, paint
from vqcodec.image import read_image

SIZES = {"Kodak size": (768, 512), "12 megapixels": (4000, 3000)}
REPEATS = 3


def run_speed(model_id: str) -> None:
    """Measures on a photo that ships with scikit-image, enlarged; writes bench/results/speed-MODEL.json with medians."""
    rows = []
    with tempfile.TemporaryDirectory() as name:
        for label, size in SIZES.items():
            rows.append({"photo": label, "width": size[0], "height": size[1], **_measure(Path(name), size, model_id)})
            click.echo(json.dumps(rows[-1]))
    result = {
        "model": model_id,
        "date": datetime.now(UTC).date().isoformat(),
        "cpu": _cpu(),
        "threads": torch.get_num_threads(),
        "versions": {"vqcodec": vqcodec.__version__, "torch": torch.__version__, "python": platform.python_version()},
        "repeats": REPEATS,
        "rows": rows,
    }
    target = RESULTS / f"speed-{model_id}.json"
    target.write_text(json.dumps(result, indent=1) + "\n", encoding="utf-8")
    click.echo(f"written to {target}")


def _measure(folder: Path, size: tuple[int, int], model_id: str) -> dict[str, Any]:
    source, coded, back = folder / "photo.png", folder / "photo.vq", folder / "back.png"
    Image.fromarray(skimage.data.chelsea()).resize(size, Image.Resampling.BICUBIC).save(source)  # type: ignore[no-untyped-call]
    row: dict[str, Any] = {}
    for verb, arguments in [("encode", [source, "-o", coded, "-m", model_id]), ("decode", [coded, "-o", back])]:
        seconds, peak_mib = zip(
            *(_time([sys.executable, "-m", "vqcodec", verb, "--force", *map(str, arguments)]) for _ in range(REPEATS)), strict=True
        )
        row[f"{verb}_process_s"] = round(float(np.median(seconds)), 2)
        row[f"{verb}_peak_mib"] = round(max(peak_mib))
    model = open_model(model_id, device="cpu")
    picture = read_image(source)
    times: dict[str, list[float]] = {"encode": [], "decode": [], "paint": []}
    for _ in range(REPEATS):
        started = time.perf_counter()
        (encoded,) = encode_pictures([picture], model, quality=50)
        times["encode"].append(time.perf_counter() - started)
        started = time.perf_counter()
        decoded = decode_file(encoded.data, device="cpu")
        times["decode"].append(time.perf_counter() - started)
        started = time.perf_counter()
        paint([decoded])
        times["paint"].append(time.perf_counter() - started)
    return {**row, **{f"{key}_s": round(float(np.median(values)), 3) for key, values in times.items()}}


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


def _cpu() -> str:
    info = Path("/proc/cpuinfo")
    names = (
        [line.split(":", 1)[1].strip() for line in info.read_text().splitlines() if line.startswith("model name")] if info.exists() else []
    )
    return names[0] if names else platform.processor()
