"""The commands of the benchmark that measure seconds: `speed`, `stages`, `start`, `warm` and `folder`."""

from pathlib import Path
from typing import Final

import click

from bench.options import model_option
from bench.speed import PARTS, run_folder, run_speed, run_stages, run_start, run_warm
from bench.speed.gpu import run_batches

_folder = click.Path(exists=True, file_okay=False, path_type=Path)
_against = click.option("--against", type=_folder, help="Another checkout, whose kernels are built, to measure in turns with this one.")


@click.command()
@model_option
@click.option(
    "--peers",
    type=click.Path(path_type=Path, exists=True, dir_okay=False),
    help="Python that has CompressAI; see bench/speed/peers_env.sh.",
)
@click.option("--part", "parts", multiple=True, type=click.Choice(PARTS), help="Measure this part alone; may be repeated. Default all.")
@click.option("--device", type=click.Choice(["cpu", "cuda"]), help="Time batches on this device, and nothing else.")
@click.option("--quick", is_flag=True, help="With --device: time few small images, to try the command.")
def speed(model: str, peers: Path | None, parts: tuple[str, ...], device: str | None, quick: bool) -> None:
    """Time encode and decode, and other codecs.

    Writes bench/results/speed-MODEL.json, each part when it is done; with --device cuda bench/results/gpu-MODEL.json.
    """
    if device is not None:
        run_batches(model, device, is_quick=quick)
    elif quick:
        raise click.UsageError("--quick goes with --device")
    else:
        run_speed(model, peers, parts or PARTS)


@click.command()
@model_option
def stages(model: str) -> None:
    """Time the stages of encode and decode.

    Prints medians and writes nothing, so that two checkouts can be compared in turn.
    """
    run_stages(model)


@click.command()
@_against
def start(against: Path | None) -> None:
    """Time single commands from the start of a process to its end.

    Writes bench/results/start.json.
    """
    run_start(against)


@click.command()
@click.option("--images", type=_folder, help="Folder of photos, by default of 24 crops of photos that ship in packages.")
@_against
def warm(images: Path | None, against: Path | None) -> None:
    """Time encode and decode once the model is loaded.

    Prints seconds a photo at qualities 50 and 100, medians of three processes, and writes nothing.
    """
    run_warm(images, against)


@click.command()
@click.option("--images", type=_folder, help="Folder of photos, by default of 24 crops of photos that ship in packages.")
@click.option("--megapixels", type=click.FloatRange(min=0.1), help="Instead of photos, one picture of this size.")
@_against
def folder(images: Path | None, megapixels: float | None, against: Path | None) -> None:
    """Time commands that encode and decode a folder of photos.

    Prints medians of three runs and writes nothing.
    """
    if images is not None and megapixels is not None:
        raise click.UsageError("--megapixels makes a picture, and --images names some: expected one of them")
    run_folder(images, megapixels, against)


COMMANDS: Final = (speed, stages, start, warm, folder)
