"""`vqcodec train`: autoencoder, codes, prior, decoder, dial, export."""

import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import wraps
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from vqcodec.cli.files import refuse_overwrite
from vqcodec.cli.messages import one_line
from vqcodec.cli.options import FiniteFloat
from vqcodec.errors import ModelError, VqcodecError
from vqcodec.format.container import MAX_MODEL_NUMBER
from vqcodec.models.config import CONFIG_NAME, MAX_RATE_WEIGHT, check_id, read_config

if TYPE_CHECKING:
    from vqcodec.training.autoencoder import AutoencoderMetrics, AutoencoderValidation
    from vqcodec.training.data import PhotoSet
    from vqcodec.training.decoder import DecoderMetrics, DecoderValidation
    from vqcodec.training.loop import Trainer
    from vqcodec.training.prior import PriorMetrics, PriorValidation

_TOLD_SKIPPED = 5

_existing = click.Path(path_type=Path, exists=True)
_folder = click.Path(path_type=Path, exists=True, file_okay=False)
_data = click.option(
    "--data",
    multiple=True,
    type=_existing,
    help="Folder of .tar shards, or of pictures, those in folders below it too; or one shard. May be given several times.",
)
_cache = click.option(
    "--cache", type=click.Path(path_type=Path), help="Folder for the decoded pixels; default <out>/cache, shareable by runs."
)
_out = click.option("--out", required=True, type=click.Path(path_type=Path, file_okay=False), help="Folder to write.")
_device = click.option("--device", type=click.Choice(["auto", "cpu", "cuda"]), default="auto", show_default=True)


def _run_options(command: Callable[..., None]) -> Callable[..., None]:
    """What all training commands take."""

    @wraps(command)
    def checked(*, resume: bool, start_from: Path | None, **arguments: Any) -> None:
        if resume and start_from is not None:
            raise click.UsageError("--resume and --start-from exclude each other")
        command(resume=resume, start_from=start_from, **arguments)

    options = [
        click.option("--config", required=True, type=click.Path(path_type=Path, exists=True, dir_okay=False), help="Recipe, a TOML file."),
        _out,
        click.option("--resume", is_flag=True, help="Go on from the checkpoint in --out."),
        click.option("--start-from", type=_folder, help="Model folder to go on from: its weights and step, with fresh optimisers."),
        click.option("--max-steps", type=click.IntRange(min=1), help="Stop after so many steps in all; the schedule stays."),
        click.option("--threads", type=click.IntRange(min=1), help="CPU threads; default all."),
        _device,
    ]
    for option in reversed(options):
        checked = option(checked)
    return checked


@click.group()
def train() -> None:
    """Train and export models."""


@train.command()
@_run_options
@_data
@click.option("--val", type=_existing, help="Held-out photos, as --data.")
@click.option("--priors", "prior_model", metavar="MODEL", help="Id or folder of the model whose priors say what codes cost (rate_weights).")
@_cache
def autoencoder(
    config: Path,
    device: str,
    data: tuple[Path, ...],
    val: Path | None,
    prior_model: str | None,
    cache: Path | None,
    out: Path,
    **run: Any,
) -> None:
    """Train an autoencoder by a recipe."""
    from vqcodec.models.devices import resolve_device
    from vqcodec.models.registry import open_model
    from vqcodec.training.autoencoder import AutoencoderTrainer
    from vqcodec.training.recipe import AutoencoderRecipe

    recipe = AutoencoderRecipe.read(config)
    if recipe.rate_weights and prior_model is None:
        raise click.UsageError(f"the recipe's rate_weights need --priors, a model with priors of {recipe.model.num_maps} maps")
    priors = () if prior_model is None else open_model(prior_model, device=device).priors
    folder = out / "cache" if cache is None else cache
    photos = _load(data, folder)
    validation = None if val is None else _load((val,), folder)

    def trainer() -> AutoencoderTrainer:
        return AutoencoderTrainer(recipe, photos, validation, resolve_device(device), priors)

    _run(trainer, recipe.steps, _show_autoencoder, _show_autoencoder_validation, out, **run)


@train.command()
@_run_options
@click.option("-m", "--model", required=True, help="Id of an installed model, or a model folder, whose codes the decoder is for.")
@_data
@click.option("--val", type=_existing, help="Held-out photos, as --data.")
@_cache
def decoder(
    config: Path, device: str, model: str, data: tuple[Path, ...], val: Path | None, cache: Path | None, out: Path, **run: Any
) -> None:
    """Train a second decoder for a model's codes, whose pictures look right."""
    from vqcodec.images.lpips import weights_path
    from vqcodec.models.devices import resolve_device
    from vqcodec.models.registry import open_model
    from vqcodec.training.decoder import DecoderTrainer
    from vqcodec.training.recipe import DecoderRecipe

    recipe = DecoderRecipe.read(config)
    with _threads(None):
        weights_path("vgg")
    folder = out / "cache" if cache is None else cache
    photos = _load(data, folder)
    validation = None if val is None else _load((val,), folder)

    def trainer() -> DecoderTrainer:
        return DecoderTrainer(recipe, photos, validation, resolve_device(device), open_model(model, device=device))

    _run(trainer, recipe.steps, _show_decoder, _show_decoder_validation, out, **run)


@train.command()
@click.option("-m", "--model", required=True, help="Id of an installed model, or a model folder.")
@_data
@_out
@_cache
@click.option("--passes", default=1, show_default=True, type=click.IntRange(min=1), help="Each from another offset, perhaps mirrored.")
@click.option(
    "--lambda",
    "rate_weights",
    default=(0.0,),
    show_default=True,
    multiple=True,
    type=FiniteFloat(0, MAX_RATE_WEIGHT),
    help="As of encode, for priors that expect it; photos, or batches of crops, take several in turn.",
)
@click.option("--crop-size", type=click.IntRange(min=8), help="Only a random crop of each photo, of so many pixels a side: much sooner.")
@click.option("--max-maps", type=click.IntRange(min=1), help="Only the first maps.")
@click.option("-f", "--force", is_flag=True, help="Replace the code maps in --out.")
@_device
def codes(
    model: str,
    data: tuple[Path, ...],
    out: Path,
    cache: Path | None,
    passes: int,
    rate_weights: tuple[float, ...],
    crop_size: int | None,
    max_maps: int | None,
    force: bool,
    device: str,
) -> None:
    """Extract the code maps that priors are trained on."""
    from vqcodec.models.registry import open_model
    from vqcodec.training.code_maps import INDEX_NAME, extract_code_maps

    refuse_overwrite(out / INDEX_NAME, force=force)
    photos = _load(data, out / "cache" if cache is None else cache)
    with click.progressbar(length=passes * len(photos), file=sys.stderr) as bar:
        extract_code_maps(
            open_model(model, device=device),
            photos,
            out,
            num_maps=max_maps,
            rate_weights=rate_weights,
            crop_size=crop_size,
            passes=passes,
            on_progress=bar.update,
        )


@train.command()
@_run_options
@click.option("--codes", required=True, type=_folder, help="Code maps, as `train codes` writes them.")
@click.option("--val", type=_folder, help="Held-out code maps.")
def prior(config: Path, device: str, codes: Path, val: Path | None, out: Path, **run: Any) -> None:
    """Train the prior of one map by a recipe."""
    from vqcodec.models.devices import resolve_device
    from vqcodec.training.code_maps import open_code_maps
    from vqcodec.training.prior import PriorTrainer
    from vqcodec.training.recipe import PriorRecipe

    recipe = PriorRecipe.read(config)
    maps, held_out = open_code_maps(codes), None if val is None else open_code_maps(val)

    def trainer() -> PriorTrainer:
        return PriorTrainer(recipe, maps, held_out, resolve_device(device))

    _run(trainer, recipe.steps, _show_prior, _show_prior_validation, out, **run)


@train.command()
@click.option("--model", "folder", required=True, type=_folder, help="Model folder; its config.json is written.")
@_data
@click.option("--cache", required=True, type=click.Path(path_type=Path), help="Folder for the decoded pixels, shareable by runs.")
@click.option("--crops", default=24, show_default=True, type=click.IntRange(min=1), help="Crops of 256x256 pixels to measure.")
@click.option("--perceptual", is_flag=True, help="The dial of --tune perceptual, for the perceptual decoder.")
@click.option("--threads", type=click.IntRange(min=1), help="CPU threads; default all.")
@_device
def dial(folder: Path, data: tuple[Path, ...], cache: Path, crops: int, perceptual: bool, threads: int | None, device: str) -> None:
    """Calibrate what --quality 1..100 of a model means, on held-out photos."""
    from vqcodec.images.lpips import weights_path
    from vqcodec.images.picture import Picture
    from vqcodec.models.registry import load_model
    from vqcodec.training.dial import fit_dial, measure_curves, measured_rate_weights, write_dial

    if perceptual:
        with _threads(None):
            weights_path("vgg")
    photos = _load(data, cache)
    with _threads(threads):
        model = load_model(read_config(folder), device)
        pictures = [Picture(crop) for crop in photos.centre_crops(crops, 256)]
        steps = sum(len(measured_rate_weights(model.config, 1 + number)) for number in range(model.config.num_maps))
        with click.progressbar(length=steps, file=sys.stderr) as bar:
            curves = measure_curves(model, pictures, lambda: bar.update(1), perceptual=perceptual)
    name = "LPIPS" if perceptual else "PSNR"
    for num_maps, curve in enumerate(curves, start=1):
        for rate_weight, num_bytes, quality_db in zip(curve.rate_weights, curve.num_bytes, curve.quality_db, strict=True):
            click.echo(f"{num_maps} maps  lambda {rate_weight:<7g} {num_bytes.mean():7.0f} bytes  {name} {quality_db.mean():.2f} dB")
    write_dial(folder, fit_dial(curves), perceptual=perceptual)


@train.command()
@click.option("--run", required=True, type=_folder, help="Training run, of an autoencoder, a prior or a decoder.")
@_data
@_out
@click.option("--cache", type=click.Path(path_type=Path), help="Folder for the decoded pixels; default <run>/cache, shareable by runs.")
@click.option("--number", type=click.IntRange(1, MAX_MODEL_NUMBER), help="Permanent number in files; private ones from 1000.")
@click.option("--crops", default=2000, show_default=True, type=click.IntRange(min=1), help="Crops to count codes on.")
@click.option("-f", "--force", is_flag=True, help="Replace the model in --out by an autoencoder's run: its priors, decoder and dials go.")
def export(run: Path, data: tuple[Path, ...], out: Path, cache: Path | None, number: int | None, crops: int, force: bool) -> None:
    """Write a model folder from an autoencoder's run, or add a prior's or a decoder's run to one, in place of an earlier one.

    The folder's name becomes the model's id. An autoencoder's run alone takes --data, the training photos, and --number, and needs both.
    Files that the model wrote before can no longer be decoded once it gets another autoencoder or prior.
    """
    from vqcodec.training.export import check_free, export_autoencoder, export_decoder, export_prior, kind_of_run, model_in
    from vqcodec.training.plot import require_matplotlib

    out = out.resolve()
    with _threads(None):
        check_id(out.name)
        kind = kind_of_run(run)
        before = model_in(out)
        if kind != "autoencoder":
            for name, value in (("--number", number), ("--data", data)):
                if value:
                    raise click.UsageError(f"a {kind}'s run takes no {name}")
            config = export_prior(run, out) if kind == "prior" else export_decoder(run, out)
        else:
            if number is None:
                raise click.UsageError("an autoencoder's run needs --number")
            require_matplotlib()
            refuse_overwrite(out / CONFIG_NAME, force=force)
            check_free(out, number)
            photos = _load(data, run / "cache" if cache is None else cache)
            config = export_autoencoder(run, out, photos, number=number, num_crops=crops)
    if before is not None and before.weights_sha256 != config.weights_sha256:
        click.echo(f"{out}: files that {config.id} wrote before can no longer be decoded, since its weights are others now", err=True)
    if kind == "prior" and before is not None and before.dial:
        click.echo(f"{out}: its dials, which were measured with other priors, are gone; calibrate it by train dial", err=True)
    click.echo(f"{config.folder}: {config.parameters / 1e6:.2f} M parameters, sha256 {config.weights_sha256}", err=True)


def _run(
    trainer: "Callable[[], Trainer[Any, Any]]",
    steps: int,
    show: Callable[[Any], str],
    show_validation: Callable[[Any], None],
    out: Path,
    *,
    resume: bool,
    start_from: Path | None,
    max_steps: int | None,
    threads: int | None,
) -> None:
    """Trains with a progress bar; the arguments by name are those of `_run_options`."""
    from vqcodec.training.loop import train as train_to_end

    with _threads(threads):
        new = trainer()
        with _progress(steps, show) as on_step:
            trained = train_to_end(
                new, out, resume=resume, start_from=start_from, max_steps=max_steps, on_step=on_step, on_validation=show_validation
            )
    if not trained:
        click.echo("vqcodec: nothing was left to train: all steps that were asked for had been taken before", err=True)


@contextmanager
def _threads(threads: int | None) -> Iterator[None]:
    """Sets the number of CPU threads; what does not fit the data, or is not installed, becomes one line for the user."""
    import torch

    if threads is not None:
        torch.set_num_threads(threads)
    try:
        yield
    except (ImportError, ValueError, OverflowError) as error:
        raise ModelError(str(error)) from error


@contextmanager
def _progress(steps: int, show: Callable[[Any], str]) -> Iterator[Callable[[Any], None]]:
    """A progress bar that is told the metrics of a step."""
    bar: Any = click.progressbar(length=steps, file=sys.stderr, item_show_func=lambda item: show(item) if item else "", show_eta=False)
    with bar:
        yield lambda metrics: bar.update(metrics.step - bar.pos, metrics)


def _load(paths: tuple[Path, ...], cache: Path) -> "PhotoSet":
    from vqcodec.training.data import find_sources, load_photos

    if not paths:
        raise click.UsageError("--data is missing")

    def on_progress(number: int) -> None:
        if number % 500 == 0:
            click.echo(f"decoded {number} photos", err=True)

    skipped = 0

    def on_skipped(error: VqcodecError) -> None:
        nonlocal skipped
        skipped += 1
        if skipped <= _TOLD_SKIPPED:
            click.echo(f"vqcodec: {one_line(str(error))}; skipped", err=True)

    photos = load_photos([source for path in paths for source in find_sources(path)], cache, on_progress, on_skipped)
    if skipped > _TOLD_SKIPPED:
        click.echo(f"vqcodec: {skipped} unreadable pictures were skipped in all", err=True)
    return photos


def _show_autoencoder(metrics: "AutoencoderMetrics") -> str:
    perplexity = "/".join(f"{value:.0f}" for value in metrics.perplexity)
    return (
        f"step {metrics.step}  loss {metrics.loss:.4f}  PSNR {metrics.psnr_db:.2f} dB  perplexity {perplexity}  "
        f"{metrics.images_per_s:.1f} images/s  {metrics.time_left_s / 60:.0f} min left"
    )


def _show_autoencoder_validation(metrics: "AutoencoderValidation") -> None:
    psnr = " ".join(f"{value:.2f}" for value in metrics.psnr_db)
    click.echo(f"\nheld out after {metrics.step} steps: PSNR {psnr} dB", err=True)


def _show_decoder(metrics: "DecoderMetrics") -> str:
    return (
        f"step {metrics.step}  PSNR {metrics.psnr_db:.2f} dB  LPIPS {metrics.lpips_vgg:.4f}  real {metrics.logit_real:+.2f}  "
        f"painted {metrics.logit_painted:+.2f}  {metrics.images_per_s:.1f} images/s  {metrics.time_left_s / 60:.0f} min left"
    )


def _show_decoder_validation(metrics: "DecoderValidation") -> None:
    figures = zip(metrics.bpp, metrics.psnr_db, metrics.lpips_alex, metrics.lpips_vgg, strict=True)
    points = "; ".join(f"{bpp:.3f} bpp {psnr:.2f} dB, LPIPS {alex:.4f} / {vgg:.4f}" for bpp, psnr, alex, vgg in figures)
    click.echo(f"\nheld out after {metrics.step} steps: {points}", err=True)


def _show_prior(metrics: "PriorMetrics") -> str:
    return (
        f"step {metrics.step}  {metrics.bits_per_code:.3f} bits/code  {metrics.images_per_s:.1f} tiles/s  "
        f"{metrics.time_left_s / 60:.0f} min left"
    )


def _show_prior_validation(metrics: "PriorValidation") -> None:
    click.echo(
        f"\nheld out after {metrics.step} steps: {metrics.bits_per_code_real:.4f} bits/code, "
        f"{metrics.bits_per_code_fixed:.4f} in fixed point; training photos {metrics.training_bits_per_code_real:.4f}",
        err=True,
    )
