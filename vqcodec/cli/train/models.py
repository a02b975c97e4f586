"""`vqcodec train codes`, `export`, `dial` and `ranges`: the commands that use a model folder or make one."""

import shlex
from pathlib import Path

import click

from vqcodec.cli.files import refuse_overwrite
from vqcodec.cli.messages import tell
from vqcodec.cli.options import FiniteFloat, WholeNumber, device_option, examples
from vqcodec.cli.progress import progress
from vqcodec.cli.train.options import (
    cache_option,
    data_option,
    existing_folder,
    load_photos,
    out_option,
    require_lpips,
    set_threads,
    threads_option,
    training_errors,
)
from vqcodec.format.container import MAX_MODEL_NUMBER
from vqcodec.models.config import CONFIG_NAME, check_id, read_config
from vqcodec.models.dial import MAX_RATE_WEIGHT


@click.command(epilog=examples("train codes --model my-models/draft --data photos/ --cache cache/ --out codes/"))
@click.option("-m", "--model", required=True, help="Id or folder of the model that encodes the photos.")
@data_option
@out_option
@cache_option
@click.option(
    "--passes",
    default=1,
    show_default=True,
    type=WholeNumber(min=1),
    help="Number of times that each photo is encoded, from another offset each time.",
)
@click.option(
    "--lambda",
    "rate_weights",
    default=(0.0,),
    show_default=True,
    multiple=True,
    type=FiniteFloat(0, MAX_RATE_WEIGHT),
    help="Lambda by which codes are chosen, as in encode. May be given several times: photos, or batches of crops, take them in turn.",
)
@click.option("--crop-size", type=WholeNumber(min=8), help="Encode only a random crop of each photo, this many pixels a side.")
@click.option("--max-maps", type=WholeNumber(min=1), help="Compute only this many maps, the first ones; no more than the model has.")
@click.option("-f", "--force", is_flag=True, help="Replace the code maps in --out.")
@device_option
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
    from vqcodec.models.model import load_model
    from vqcodec.training.code_maps import INDEX_NAME, check_extraction, extract_code_maps

    refuse_overwrite(out / INDEX_NAME, force=force)
    encoding = load_model(model, device=device)
    check_extraction(encoding.config, num_maps=max_maps, crop_size=crop_size)
    photos = load_photos(data, out / "cache" if cache is None else cache)
    with progress(passes * len(photos), "photos") as bar:
        extract_code_maps(
            encoding,
            photos,
            out,
            num_maps=max_maps,
            rate_weights=rate_weights,
            crop_size=crop_size,
            passes=passes,
            on_progress=bar.update,
        )


@click.command(
    epilog=examples(
        "train export --run run/ --data photos/ --out my-models/draft --number 1000", "train export --run run-top/ --out my-models/draft"
    )
)
@click.option("--run", required=True, type=existing_folder, help="Folder of the run of an autoencoder, a prior or a decoder.")
@data_option
@out_option
@cache_option
@click.option(
    "--number",
    type=WholeNumber(1, MAX_MODEL_NUMBER),
    help="Permanent number by which files name the model; private models have numbers from 1000.",
)
@click.option("--crops", default=2000, show_default=True, type=WholeNumber(min=1), help="Number of crops that codes are counted on.")
@click.option("-f", "--force", is_flag=True, help="Replace the model in --out. Its priors, perceptual decoder and dials are removed.")
def export(run: Path, data: tuple[Path, ...], out: Path, cache: Path | None, number: int | None, crops: int, force: bool) -> None:
    """Write the result of a run into a model folder.

    The run of an autoencoder makes the folder, whose name becomes the model's id; it needs --data, the training photos, and --number. The
    run of a prior or of a perceptual decoder is added to the folder of its model, in place of an earlier one. Files that a model wrote can
    no longer be decoded once it gets another autoencoder or prior.
    """
    from vqcodec.training.export import check_free, export_autoencoder, export_decoder, export_prior, kind_of_run, model_in
    from vqcodec.training.plot import require_matplotlib

    out = out.resolve()
    with training_errors():
        check_id(out.name)
        tell(f"reading the run in {run}")
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
            photos = load_photos(data, run / "cache" if cache is None else cache)
            with progress(100, "percent") as bar:
                config = export_autoencoder(
                    run,
                    out,
                    photos,
                    number=number,
                    num_crops=crops,
                    on_stage=tell,
                    on_progress=lambda share: bar.move_to(int(100 * share)),
                )
    if before is not None and before.weights_sha256 != config.weights_sha256:
        click.echo(f"{out}: files that {config.id} wrote before can no longer be decoded, since its weights have changed", err=True)
    if kind == "prior" and before is not None and before.faithful_dial:
        click.echo(
            f"{out}: its dials, which were measured with other priors, are gone; calibrate it again with `vqcodec train dial`", err=True
        )
    if config.perceptual_sha256 is not None and config.perceptual_dial is None:
        command = shlex.join(["vqcodec", "train", "dial", "--model", str(config.folder), "--perceptual"])
        tell(f"--tune perceptual needs a dial, which this makes: {command} --data HELD-OUT-PHOTOS --cache CACHE")
    click.echo(f"{config.folder}: {config.parameters / 1e6:.2f} M parameters, sha256 {config.weights_sha256}", err=True)


@click.command(
    epilog=examples(
        "train dial --model my-models/draft --data held-out/ --cache cache/",
        "train dial --model my-models/draft --perceptual --data held-out/ --cache cache/",
    )
)
@click.option("--model", "folder", required=True, type=existing_folder, help="Model folder, whose config.json is changed.")
@data_option
@click.option(
    "--cache", required=True, type=click.Path(path_type=Path), help="Folder for the decoded pixels, which several runs may share."
)
@click.option("--crops", default=24, show_default=True, type=WholeNumber(min=1), help="Number of crops of 256x256 pixels to measure.")
@click.option("--perceptual", is_flag=True, help="Calibrate --tune perceptual, by the pictures of the perceptual decoder.")
@threads_option
@device_option
def dial(folder: Path, data: tuple[Path, ...], cache: Path, crops: int, perceptual: bool, threads: int | None, device: str) -> None:
    """Calibrate the quality dial of a model on held-out photos."""
    from vqcodec.images.picture import Picture
    from vqcodec.models.model import load_model
    from vqcodec.training.dial import fit_dial, measure_curves, measured_rate_weights, write_dial

    model = load_model(read_config(folder), device)
    if perceptual:
        require_lpips()
        _ = model.stored_perceptual_decoder  # which there may be none of
    photos = load_photos(data, cache)
    with training_errors():
        set_threads(threads)
        pictures = [Picture(crop) for crop in photos.centre_crops(crops, 256)]
        steps = sum(len(measured_rate_weights(model.config, 1 + number)) for number in range(model.config.num_maps))
        with progress(steps, "settings") as bar:
            curves = measure_curves(model, pictures, bar.update, perceptual=perceptual)
    name = "LPIPS" if perceptual else "PSNR"
    for num_maps, curve in enumerate(curves, start=1):
        for rate_weight, num_bytes, quality_db in zip(curve.rate_weights, curve.num_bytes, curve.quality_db, strict=True):
            click.echo(f"{num_maps} maps  lambda {rate_weight:<7g} {num_bytes.mean():7.0f} bytes  {name} {quality_db.mean():.2f} dB")
    write_dial(folder, fit_dial(curves), perceptual=perceptual)


@click.command(epilog=examples("train ranges --model my-models/draft --data held-out/ --cache cache/"))
@click.option("--model", "folder", required=True, type=existing_folder, help="Model folder, whose config.json is changed.")
@data_option
@click.option(
    "--cache", required=True, type=click.Path(path_type=Path), help="Folder for the decoded pixels, which several runs may share."
)
@click.option("--crops", default=24, show_default=True, type=WholeNumber(min=1), help="Number of crops of 256x256 pixels to measure.")
@threads_option
@device_option
def ranges(folder: Path, data: tuple[Path, ...], cache: Path, crops: int, threads: int | None, device: str) -> None:
    """Measure ranges of activations on held-out photos, by which `encode` computes in 8 bits where the processor is made for that."""
    from vqcodec.models.model import load_model
    from vqcodec.training.activations import measure_ranges, write_ranges

    model = load_model(read_config(folder), device)
    photos = load_photos(data, cache)
    with training_errors():
        set_threads(threads)
        pictures = photos.centre_crops(crops, 256)
        with progress(len(pictures), "crops") as bar:
            measured = measure_ranges(model.network, list(pictures), bar.update)
    for name, largest in measured.items():
        click.echo(f"{name:<32} {largest:.3f}")
    write_ranges(folder, measured)
