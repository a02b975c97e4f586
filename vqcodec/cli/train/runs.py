"""`vqcodec train autoencoder`, `prior` and `decoder`: the commands that train a network by a recipe."""

import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, nullcontext
from functools import wraps
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from vqcodec.cli.messages import tell
from vqcodec.cli.options import FiniteFloat, WholeNumber, device_option, examples
from vqcodec.cli.progress import progress, say
from vqcodec.cli.train.options import (
    cache_option,
    data_option,
    existing_folder,
    held_out_photos_option,
    load_photos,
    out_option,
    require_lpips,
    set_threads,
    threads_option,
    training_errors,
)
from vqcodec.cli.train.progress import line
from vqcodec.errors import ModelError

if TYPE_CHECKING:
    import torch

    from vqcodec.training.data import PhotoSet
    from vqcodec.training.recipe import Recipe
    from vqcodec.training.trainer import Trainer


def _run_options(command: Callable[..., None]) -> Callable[..., None]:
    """Adds the options that all training commands take."""

    @wraps(command)
    def checked(
        *, resume: bool, accept_changes: bool, start_from: Path | None, minutes: float | None, max_steps: int | None, **arguments: Any
    ) -> None:
        from vqcodec.models.devices import resolve_device
        from vqcodec.training.launch import joined
        from vqcodec.training.loop import check_beginning

        began = time.monotonic()
        if resume and start_from is not None:
            raise click.UsageError("--resume and --start-from exclude each other")
        if accept_changes and not resume:
            raise click.UsageError("--accept-changes needs --resume")
        if minutes is not None and max_steps is not None:
            raise click.UsageError("--minutes and --max-steps exclude each other")
        given = {"resume": resume, "accept_changes": accept_changes, "start_from": start_from, "minutes": minutes, "max_steps": max_steps}
        with joined(resolve_device(arguments["device"])):
            check_beginning(arguments["out"], resume=resume, start_from=start_from)
            command(**given, began=began, **arguments)

    options = [
        click.option(
            "--config", required=True, type=click.Path(path_type=Path, exists=True, dir_okay=False), help="TOML file with the recipe."
        ),
        out_option,
        click.option("--resume", is_flag=True, help="Go on from the checkpoint in --out."),
        click.option(
            "--accept-changes",
            is_flag=True,
            help="With --resume: go on although recipe, photos or minutes differ from those of the checkpoint, which then says so.",
        ),
        click.option(
            "--start-from", type=existing_folder, help="Model folder to go on from: its weights and steps, with fresh optimisers."
        ),
        click.option(
            "--minutes",
            type=FiniteFloat(min=0, min_open=True),
            help="Time for the whole command, in which the run goes through the recipe's schedules, however many steps that are.",
        ),
        click.option("--max-steps", type=WholeNumber(min=1), help="Stop after this many steps of the recipe; the schedule stays as it is."),
        click.option(
            "--compile/--no-compile",
            "compiles",
            default=None,
            help="Compile the blocks of the networks, which takes a minute and makes steps on a GPU faster; by default on a GPU alone.",
        ),
        click.option(
            "--fit-memory", is_flag=True, help="Split batches that do not fit into a GPU's memory; a step has as many crops as before."
        ),
        threads_option,
        device_option,
    ]
    for option in reversed(options):
        checked = option(checked)
    return checked


@click.command(epilog=examples("train autoencoder --config recipes/autoencoder.toml --data photos/ --val held-out/ --out run/"))
@_run_options
@data_option
@held_out_photos_option
@click.option(
    "--priors", "prior_model", metavar="MODEL", help="Id or folder of the model whose priors tell what codes cost, for rate_weights."
)
@cache_option
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
    from vqcodec.models.model import load_model
    from vqcodec.training.autoencoder import AutoencoderTrainer
    from vqcodec.training.recipe import AutoencoderRecipe

    recipe = AutoencoderRecipe.read(config)
    if recipe.rate_weights and prior_model is None:
        raise click.UsageError(f"the recipe's rate_weights need --priors, a model with priors of {recipe.network.num_maps} maps")
    priors = () if prior_model is None else load_model(prior_model, device=device).priors
    photos, held_out = _load_sets(data, val, out / "cache" if cache is None else cache)

    def trainer(recipe: AutoencoderRecipe) -> AutoencoderTrainer:
        return AutoencoderTrainer(recipe, photos, held_out, resolve_device(device), priors)

    _run(trainer, recipe, resolve_device(device), out, **run)


@click.command(epilog=examples("train prior --config recipes/prior-top.toml --codes codes/ --val codes-held-out/ --out run-top/"))
@_run_options
@click.option("--codes", required=True, type=existing_folder, help="Folder that `train codes` wrote.")
@click.option("--val", type=existing_folder, help="Folder that `train codes` wrote of held-out photos.")
def prior(config: Path, device: str, codes: Path, val: Path | None, out: Path, **run: Any) -> None:
    """Train the prior of one map by a recipe."""
    from vqcodec.models.devices import resolve_device
    from vqcodec.training.code_maps import open_code_maps
    from vqcodec.training.prior import PriorTrainer
    from vqcodec.training.recipe import PriorRecipe

    recipe = PriorRecipe.read(config)
    maps, held_out = open_code_maps(codes), None if val is None else open_code_maps(val)

    def trainer(recipe: PriorRecipe) -> PriorTrainer:
        return PriorTrainer(recipe, maps, held_out, resolve_device(device))

    _run(trainer, recipe, resolve_device(device), out, **run)


@click.command(
    epilog=examples("train decoder --config recipes/decoder.toml --model my-models/mine --data photos/ --val held-out/ --out run/")
)
@_run_options
@click.option("-m", "--model", required=True, help="Id or folder of the model whose codes the decoder is for.")
@data_option
@held_out_photos_option
@cache_option
def decoder(
    config: Path, device: str, model: str, data: tuple[Path, ...], val: Path | None, cache: Path | None, out: Path, **run: Any
) -> None:
    """Train a perceptual decoder for a model by a recipe.

    The decoder paints pictures that look right from the codes of a finished model; the model stays as it is.
    """
    from vqcodec.models.devices import resolve_device
    from vqcodec.models.model import load_model
    from vqcodec.training.decoder import DecoderTrainer
    from vqcodec.training.recipe import DecoderRecipe

    recipe = DecoderRecipe.read(config)
    require_lpips()
    painted_for = load_model(model, device=device)
    photos, held_out = _load_sets(data, val, out / "cache" if cache is None else cache)

    def trainer(recipe: DecoderRecipe) -> DecoderTrainer:
        return DecoderTrainer(recipe, photos, held_out, resolve_device(device), painted_for)

    _run(trainer, recipe, resolve_device(device), out, **run)


def _load_sets(data: tuple[Path, ...], val: Path | None, cache: Path) -> "tuple[PhotoSet, PhotoSet | None]":
    """Loads the photos to train on, and those that are held out where there are any."""
    from vqcodec.nn.ranks import leader_first

    with leader_first():
        return load_photos(data, cache), None if val is None else load_photos((val,), cache)


@contextmanager
def _out_of_memory_told(error_of_gpu: type[Exception]) -> Iterator[None]:
    """Tells what helps where the block raises the error of a GPU whose memory is full.

    Raises:
        ModelError: The block raised that error.
    """
    try:
        yield
    except error_of_gpu as error:
        raise ModelError("the GPU's memory does not hold a step; --fit-memory splits batches until they fit") from error


def _run(
    make_trainer: "Callable[[Any], Trainer[Any, Any]]",
    recipe: "Recipe",
    device: "torch.device",
    out: Path,
    *,
    threads: int | None,
    compiles: bool | None,
    fit_memory: bool,
    **arguments: Any,
) -> None:
    """Trains and shows progress; other arguments are those of `train`."""
    import torch

    from vqcodec.nn.ranks import is_leader, num_ranks
    from vqcodec.training.compiling import compile_blocks
    from vqcodec.training.loop import train
    from vqcodec.training.memory import fitted

    with training_errors(), _out_of_memory_told(torch.OutOfMemoryError):
        set_threads(threads)
        on_gpu = device.type == "cuda"
        if fit_memory and num_ranks() > 1:
            raise ModelError(
                "--fit-memory is for a single process; expected a recipe whose batches fit, in parts as accumulated_batches says"
            )
        if fit_memory:
            fitting = fitted(recipe, device, make_trainer) if on_gpu else recipe
            where = "" if on_gpu else ": there is no GPU whose memory they must fit into"
            tell(f"a step takes {fitting.accumulated_batches} x {fitting.batch_size} crops or tiles{where}")
            recipe = fitting
        trainer = make_trainer(recipe)
        if (on_gpu if compiles is None else compiles) and (trouble := compile_blocks(trainer.networks, device)):
            tell(f"networks run uncompiled, since compiling failed: {trouble}")
        with progress(100, "percent of the run") if is_leader() else nullcontext() as bar:
            num_trained = train(
                trainer,
                out,
                **arguments,
                on_stage=tell,
                on_step=lambda metrics: None if bar is None else bar.move_to(int(100 * metrics.share), line(metrics)),
                on_validation=lambda metrics: say(line(metrics)),
            )
    if not num_trained and is_leader():
        tell("nothing was left to train: all steps that were asked for had been taken before, or the time was over")
