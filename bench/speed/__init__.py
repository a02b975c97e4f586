"""Seconds and peak memory: of vqcodec as processes and as functions, stage by stage, against other codecs and against CompressAI."""

import json
import platform
import tempfile
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, Final

import click
import numpy as np
import torch

import vqcodec
from bench.images import RESULTS, read_json
from bench.speed.codecs import KODAK_SIZE, check_peers, measure_codecs, measure_peers
from bench.speed.folder import measure_folder, write_crops
from bench.speed.ours import measure_batches, measure_naive, measure_prefixes, measure_size, photo, top_and_bottom
from bench.speed.stages import measure_decoding, measure_stages
from bench.speed.start import measure_start
from vqcodec.compare.machine import cpu_name
from vqcodec.images.picture import Picture
from vqcodec.models.model import load_model
from vqcodec.nn.kernels import library

SIZES: Final = {(256, 256): 5, KODAK_SIZE: 5, (2048, 1536): 3, (4000, 3000): 1}
"""Width and height in pixels, and the number of runs."""


def run_speed(model_id: str, peers_python: Path | None) -> None:
    """Measures on a photo that ships with scikit-image, resized; writes bench/results/speed-MODEL.json with medians.

    Args:
        model_id: id or folder of the model.
        peers_python: interpreter of an environment that has CompressAI (`peers_env.sh`), or None to keep what was measured before.

    Raises:
        VqcodecError: that environment has no CompressAI.
    """
    if peers_python is not None:
        check_peers(peers_python)
    model = load_model(model_id, device="cpu")
    target = RESULTS / f"speed-{model.config.id}.json"
    rows = []
    with tempfile.TemporaryDirectory() as name:
        for device in ["cpu", "cuda"] if torch.cuda.is_available() else ["cpu"]:
            for size, repeats in SIZES.items():
                measured = measure_size(Path(name), size, load_model(model_id, device=device), repeats)
                rows.append({"device": device, "width": size[0], "height": size[1], "repeats": repeats, **measured})
                click.echo(json.dumps(rows[-1]))
        if peers_python is None:
            peers = read_json(target)["peers"] if target.exists() else []
            click.echo("CompressAI: not measured anew, no --peers")
        else:
            peers = measure_peers(peers_python, Path(name), model)
        codecs = measure_codecs(Path(name), model)
    kodak_sized = Picture(np.asarray(photo(KODAK_SIZE)))
    result = {
        "model": model.config.id,
        "weights_sha256": model.config.weights_sha256,
        "perceptual_sha256": model.config.perceptual_sha256,
        **_about(),
        "rows": rows,
        "prefixes": measure_prefixes(kodak_sized, model),
        "batches": measure_batches(model),
        "stages": measure_stages(kodak_sized, model, top_and_bottom(model)),
        "codecs": codecs,
        "naive": measure_naive(model),
        "peers": peers,
    }
    target.write_text(json.dumps(result, indent=1) + "\n", encoding="utf-8")
    click.echo(f"written to {target}")


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


def run_folder(images: Path | None, other: Path | None) -> None:
    """Measures commands that encode and decode a folder of photos, and prints what they took.

    Args:
        images: the folder; None for 24 crops of photos that ship in wheels.
        other: another checkout of vqcodec, whose kernels are built, that is measured in turns with this one; None for none.
    """
    with tempfile.TemporaryDirectory() as name:
        work = Path(name)
        if images is None:
            write_crops(images := work / "photos")
        rows = measure_folder(images, work, other)
    for row in rows:
        click.echo(
            f"{row['command']}  {row['checkout']:5}  {row['seconds']:.2f} s, {row['cpu_seconds']:.2f} CPU seconds, cores busy for "
            f"{row['busy']:.0%}, peak {row['peak_mib']:.0f} MiB"
        )
    for own, others in zip(rows[::2], rows[1::2], strict=True) if other else ():
        click.echo(f"{own['command']}  {own['seconds'] / others['seconds']:.2f} of the other's seconds")


def run_start(other: Path | None) -> None:
    """Measures how soon commands are through, from the start of a process on; writes bench/results/start.json.

    Args:
        other: another checkout of vqcodec, whose kernels are built, that is measured in turns with this one; None for none.
    """
    with tempfile.TemporaryDirectory() as name:
        rows = measure_start(Path(name), other)
    for row in rows:
        of_other = f"  {row['seconds'] / row['other_seconds']:.2f} of the other" if "other_seconds" in row else ""
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
