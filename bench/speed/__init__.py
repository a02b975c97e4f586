"""Seconds and peak memory: of vqcodec as processes and as functions, stage by stage, against other codecs and against CompressAI."""

import json
import platform
import tempfile
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, Final

import click
import numpy as np
import torch

import vqcodec
from bench.images import RESULTS, read_json
from bench.speed.codecs import KODAK_SIZE, check_peers, measure_codecs, measure_peers
from bench.speed.floor import measure_floor
from bench.speed.folder import measure_folder, write_crops, write_large
from bench.speed.ours import measure_batches, measure_naive, measure_prefixes, measure_size, photo, top_and_bottom
from bench.speed.stages import measure_decoding, measure_stages
from bench.speed.start import measure_start
from bench.speed.warm import measure_warm
from vqcodec.compare.machine import cpu_name
from vqcodec.images.picture import Picture
from vqcodec.models.model import load_model
from vqcodec.nn.kernels import library

SIZES: Final = {(256, 256): 5, KODAK_SIZE: 5, (2048, 1536): 3, (4000, 3000): 1}
"""Width and height in pixels, and the number of runs."""
PARTS: Final = ("rows", "peers", "codecs", "prefixes", "batches", "stages", "floor", "naive")
"""What `run_speed` measures, in this order: commands and functions by size, CompressAI, other codecs, first maps, batches, stages, what the
products alone would take, and decoding as a plain PixelSNAIL does it."""


def run_speed(model_id: str, peers_python: Path | None, parts: Sequence[str] = PARTS) -> None:
    """Measures on a photo that ships with scikit-image; writes bench/results/speed-MODEL.json with medians, each part when it is done.

    Args:
        model_id: id or folder of the model.
        peers_python: interpreter of an environment that has CompressAI (`peers_env.sh`), or None to keep what was measured before.
        parts: what is measured, of `PARTS`; the figures of the others are kept if they are of the same weights.

    Raises:
        VqcodecError: that environment has no CompressAI.
    """
    if peers_python is not None:
        check_peers(peers_python)
    elif "peers" in parts:
        click.echo("CompressAI: not measured anew, no --peers")
    model = load_model(model_id, device="cpu")
    picture, point = Picture(np.asarray(photo(KODAK_SIZE))), top_and_bottom(model)
    target = RESULTS / f"speed-{model.config.id}.json"
    config = model.config
    identity = {"model": config.id, "weights_sha256": config.weights_sha256, "perceptual_sha256": config.perceptual_sha256}
    with tempfile.TemporaryDirectory() as name:
        measures: dict[str, Callable[[], Any]] = {
            "rows": lambda: _measure_sizes(Path(name), model_id),
            "codecs": lambda: measure_codecs(Path(name), model),
            "prefixes": lambda: measure_prefixes(picture, model),
            "batches": lambda: measure_batches(model),
            "stages": lambda: measure_stages(picture, model, point),
            "floor": lambda: measure_floor(picture, model, point),
            "naive": lambda: measure_naive(model),
        }
        if peers_python is not None:
            measures["peers"] = lambda: measure_peers(peers_python, Path(name), model)
        for part in PARTS:
            if part not in parts or part not in measures:
                continue
            click.echo(f"measuring {part}")
            measured = measures[part]()
            kept = read_json(target) if target.exists() else {}
            result = kept if kept.items() >= identity.items() else {**identity, "about": {}}
            result[part], result["about"][part] = measured, _about()
            target.write_text(json.dumps(result, indent=1) + "\n", encoding="utf-8")
    click.echo(f"written to {target}")


def _measure_sizes(folder: Path, model_id: str) -> list[dict[str, Any]]:
    """Measures photos of all sizes on the CPU, and on a GPU where there is one."""
    rows = []
    for device in ["cpu", "cuda"] if torch.cuda.is_available() else ["cpu"]:
        for size, repeats in SIZES.items():
            measured = measure_size(folder, size, load_model(model_id, device=device), repeats)
            rows.append({"device": device, "width": size[0], "height": size[1], "repeats": repeats, **measured})
            click.echo(json.dumps(rows[-1]))
    return rows


def run_stages(model_id: str) -> None:
    """Prints median seconds of the stages of encoding and of decoding one Kodak-sized picture, and of the processor; writes nothing."""
    model = load_model(model_id, device="cpu")
    photo_, point = Picture(np.asarray(photo(KODAK_SIZE))), top_and_bottom(model)
    stages = measure_stages(photo_, model, point)
    for verb, seconds in stages.items():
        for stage, of_stage in seconds.items():
            click.echo(f"{verb}  {stage:16}  {of_stage:.4f} s")
    for row in measure_decoding(photo_, model, point.rate_weight):
        click.echo(
            f"decode of {row['maps']:.0f} maps, seconds of the processor: codes {row['codes_cpu_s']:.4f}, pixels {row['paint_cpu_s']:.4f}"
        )


def run_folder(images: Path | None, megapixels: float | None, other: Path | None) -> None:
    """Measures commands that encode and decode a folder of photos, and prints what they took.

    Args:
        images: the folder; None for 24 crops of photos that ship in wheels.
        megapixels: size of the one picture that is made instead; None for none.
        other: another checkout of vqcodec, whose kernels are built, that is measured in turns with this one; None for none.
    """
    with _photos(images, megapixels) as (photos, work):
        rows = measure_folder(photos, work, other)
    for row in rows:
        click.echo(
            f"{row['command']}  {row['checkout']:5}  {row['seconds']:.2f} s, {row['cpu_seconds']:.2f} CPU seconds, cores busy for "
            f"{row['busy']:.0%}, peak {row['peak_mib']:.0f} MiB"
        )
    for own, others in zip(rows[::2], rows[1::2], strict=True) if other else ():
        click.echo(f"{own['command']}  {own['seconds'] / others['seconds']:.2f} of the other's seconds")


def run_warm(images: Path | None, other: Path | None) -> None:
    """Measures functions that encode and decode photos in processes that have loaded the model, and prints seconds a photo.

    Args:
        images: folder of the photos; None for 24 crops of photos that ship in wheels.
        other: another checkout of vqcodec, whose kernels are built, that is measured in turns with this one; None for none.
    """
    with _photos(images, None) as (photos, _):
        rows = measure_warm(photos, other)
    for row in rows:
        of_other = f"  {row['seconds'] / row['other_seconds']:.2f} of the other" if "other_seconds" in row else ""
        click.echo(f"{row['verb']} at quality {row['quality']}  {row['seconds']:.3f} s{of_other}")


@contextmanager
def _photos(images: Path | None, megapixels: float | None) -> Iterator[tuple[Path, Path]]:
    """Gives the folder of photos that are measured, made where none is named, and one for what is written."""
    with tempfile.TemporaryDirectory() as name:
        work = Path(name)
        if images is None:
            images = work / "photos"
            if megapixels is None:
                write_crops(images)
            else:
                write_large(images, megapixels)
        yield images, work


def run_start(other: Path | None) -> None:
    """Measures how soon commands are through, from the start of a process on; writes bench/results/start.json.

    Args:
        other: another checkout of vqcodec, whose kernels are built, that is measured in turns with this one; None for none.
    """
    with tempfile.TemporaryDirectory() as name:
        rows = measure_start(Path(name), other)
    for row in rows:
        of_other = f"  {row['seconds'] / row.pop('other_seconds'):.2f} of the other" if "other_seconds" in row else ""
        click.echo(
            f"{row['command']:16}  {row['seconds']:.2f} s  {row['modules']} modules{', torch among them' if row['torch'] else ''}{of_other}"
        )
    target = RESULTS / "start.json"
    target.write_text(json.dumps({**_about(), "rows": rows}, indent=1) + "\n", encoding="utf-8")
    click.echo(f"written to {target}")


def _about() -> dict[str, Any]:
    """Returns what the seconds depend on."""
    return {
        "date": datetime.now(UTC).date().isoformat(),
        "cpu": cpu_name(),
        "threads": torch.get_num_threads(),
        "compiled_kernels": library() is not None,
        "versions": {"vqcodec": vqcodec.__version__, "torch": torch.__version__, "python": platform.python_version()},
    }
