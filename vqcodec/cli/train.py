"""`vqcodec train autoencoder` and `vqcodec train export`."""

import sys
from pathlib import Path
from typing import TYPE_CHECKING

import click

if TYPE_CHECKING:
    from vqcodec.training.autoencoder import AutoencoderMetrics, AutoencoderValidation
    from vqcodec.training.data import PhotoSet

_data = click.option(
    "--data",
    required=True,
    multiple=True,
    type=click.Path(path_type=Path, exists=True),
    help="Folder of pictures or of .tar shards, or one shard; may be given several times.",
)
_cache = click.option(
    "--cache", type=click.Path(path_type=Path), help="Folder for the decoded pixels; default <out>/cache, shareable by runs."
)
_out = click.option("--out", required=True, type=click.Path(path_type=Path, file_okay=False), help="Folder to write.")


@click.group()
def train() -> None:
    """Train and export models."""


@train.command()
@click.option("--config", required=True, type=click.Path(path_type=Path, exists=True), help="Recipe, a TOML file.")
@_data
@click.option("--val", type=click.Path(path_type=Path, exists=True), help="Held-out photos, as --data.")
@_out
@_cache
@click.option("--resume", is_flag=True, help="Go on from the checkpoint in --out.")
@click.option(
    "--start-from",
    type=click.Path(path_type=Path, exists=True, file_okay=False),
    help="Model folder to go on from: its weights and step, with fresh optimisers.",
)
@click.option("--max-steps", type=click.IntRange(min=1), help="Stop after so many steps in all; the schedule stays.")
@click.option("--threads", type=click.IntRange(min=1), help="CPU threads; default all.")
@click.option("--device", type=click.Choice(["auto", "cpu", "cuda"]), default="auto", show_default=True)
def autoencoder(
    config: Path,
    data: tuple[Path, ...],
    val: Path | None,
    out: Path,
    cache: Path | None,
    resume: bool,
    start_from: Path | None,
    max_steps: int | None,
    threads: int | None,
    device: str,
) -> None:
    """Train an autoencoder by a recipe."""
    import torch

    from vqcodec.registry import resolve_device
    from vqcodec.training.autoencoder import train_autoencoder
    from vqcodec.training.recipe import AutoencoderRecipe

    if threads is not None:
        torch.set_num_threads(threads)
    recipe = AutoencoderRecipe.read(config)
    folder = out / "cache" if cache is None else cache
    photos = _load(data, folder)
    validation = None if val is None else _load((val,), folder)
    with click.progressbar(length=recipe.steps, file=sys.stderr, item_show_func=_show_step, show_eta=False) as bar:
        seen = 0

        def on_step(metrics: "AutoencoderMetrics") -> None:
            nonlocal seen
            bar.update(metrics.step - seen, metrics)
            seen = metrics.step

        train_autoencoder(
            recipe,
            photos,
            validation,
            out,
            device=resolve_device(device),
            resume=resume,
            start_from=start_from,
            max_steps=max_steps,
            on_step=on_step,
            on_validation=_show_validation,
        )


@train.command()
@click.option("--run", required=True, type=click.Path(path_type=Path, exists=True, file_okay=False), help="Training run.")
@_data
@_out
@_cache
@click.option("--number", required=True, type=click.IntRange(1, (1 << 28) - 1), help="Permanent number in files; private ones from 1000.")
@click.option("--crops", default=2000, show_default=True, type=click.IntRange(min=1), help="Crops to count codes on.")
def export(run: Path, data: tuple[Path, ...], out: Path, cache: Path | None, number: int, crops: int) -> None:
    """Write a model folder, whose name becomes the model's id, from a training run."""
    from vqcodec.training.export import export_autoencoder, require_run

    require_run(run)
    config = export_autoencoder(run, out, _load(data, run / "cache" if cache is None else cache), number=number, num_crops=crops)
    click.echo(f"{config.folder}: {config.parameters / 1e6:.2f} M parameters, sha256 {config.weights_sha256}", err=True)


def _load(paths: tuple[Path, ...], cache: Path) -> "PhotoSet":
    from vqcodec.training.data import find_sources, load_photos

    def on_progress(number: int) -> None:
        if number % 500 == 0:
            click.echo(f"decoded {number} photos", err=True)

    return load_photos([source for path in paths for source in find_sources(path)], cache, on_progress)


def _show_step(metrics: "AutoencoderMetrics | None") -> str:
    if metrics is None:
        return ""
    perplexity = "/".join(f"{value:.0f}" for value in metrics.perplexity)
    return (
        f"step {metrics.step}  loss {metrics.loss:.4f}  PSNR {metrics.psnr_db:.2f} dB  perplexity {perplexity}  "
        f"{metrics.images_per_s:.1f} images/s  {metrics.time_left_s / 60:.0f} min left"
    )


def _show_validation(metrics: "AutoencoderValidation") -> None:
    psnr = " ".join(f"{value:.2f}" for value in metrics.psnr_db)
    click.echo(f"\nheld out after {metrics.step} steps: PSNR {psnr} dB", err=True)
