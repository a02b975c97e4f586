"""The command `vqcodec encode`."""

import re
from pathlib import Path
from typing import TYPE_CHECKING

import click

from vqcodec.cli.jobs import plan_jobs
from vqcodec.cli.memory import check_memory
from vqcodec.cli.messages import tell
from vqcodec.cli.options import (
    ByteCount,
    FiniteFloat,
    WholeNumber,
    batch_size_option,
    device_option,
    examples,
    first_frame_option,
    folder_options,
    force_option,
    inputs_argument,
    json_option,
    max_pixels_option,
    model_option,
    output_option,
    tone_map_option,
)
from vqcodec.cli.results import show_results
from vqcodec.format.container import SUFFIX, CoderKind
from vqcodec.models.devices import needs_torch
from vqcodec.models.dial import DEFAULT_QUALITY, MAX_RATE_WEIGHT, QUALITIES, TUNES, Tune
from vqcodec.models.registry import MODELS_VARIABLE, find_model, is_installed
from vqcodec.rate.control import RateControl
from vqcodec.rate.options import EXACTS, Exact, LayerOptions

if TYPE_CHECKING:
    from vqcodec.images.picture import Strip

_OPTION_NAMES = {
    "quality": "-q",
    "num_maps": "--maps",
    "rate_weight": "--lambda",
    "max_bytes": "--max-bytes",
    "target_bpp": "--target-bpp",
}


@click.command(
    epilog=examples(
        "encode photo.jpg",
        "encode holiday/ -o small/ --recursive --quality 75",
        "encode photo.jpg --max-bytes 20k -o small.vq",
    )
)
@inputs_argument
@output_option
@click.option(
    "-q",
    "--quality",
    type=FiniteFloat(1, QUALITIES),
    help=f"From 1, the smallest files, to {QUALITIES}, the best pictures.  [default: {DEFAULT_QUALITY}]",
)
@click.option(
    "--max-bytes",
    type=ByteCount(),
    help="Instead of -q: the best picture that fits into so many bytes, of up to 8 that are tried; also as 20k or 1.5M.",
)
@click.option("--target-bpp", type=FiniteFloat(0, min_open=True), help="The same limit in bits per pixel.")
@click.option(
    "--maps",
    "num_maps",
    type=WholeNumber(min=1),
    help="Instead of -q: store so many maps, with the nearest codes unless --lambda is given.",
)
@click.option(
    "--lambda",
    "rate_weight",
    type=FiniteFloat(0, MAX_RATE_WEIGHT),
    help="With -q or --maps: what a bit is worth when codes are chosen. Higher values give smaller, coarser files; 0 takes the nearest "
    "codes. For the top map the model has an upper limit.",
)
@click.option(
    "--tune",
    type=click.Choice(TUNES),
    default="iq",
    show_default=True,
    help="What bytes are spent on: what people see, the least squared error, or pictures that are painted by decode --realism 1.",
)
@click.option(
    "--exact",
    type=click.Choice(EXACTS),
    default="auto",
    show_default=True,
    help="Store pixels exactly where that is the better use of bytes, as for text and drawings; nowhere; or everywhere, for a lossless "
    "file.",
)
@click.option("--no-layers", is_flag=True, help="Store codes alone: no exact pixels, no colour layer, and no AVIF in their place.")
@model_option
@device_option
@batch_size_option
@force_option
@click.option(
    "--coder",
    type=click.Choice(["auto", *(kind.name.lower() for kind in CoderKind)]),
    default="auto",
    show_default=True,
    help="How codes are stored; auto takes the smallest payload for each map. With raw all codes cost the same, and the nearest are taken.",
)
@click.option("--verify", is_flag=True, help="Decode what will be written, and compare the codes.")
@click.option(
    "--strip",
    type=click.Choice(["all", "exif", "xmp", "icc", "gps"]),
    multiple=True,
    help="Leave metadata out; may be given several times. Without its colour profile (icc) a picture is converted to sRGB; gps is the "
    "position in EXIF and XMP.",
)
@tone_map_option
@first_frame_option
@max_pixels_option
@folder_options
@json_option
def encode(
    inputs: tuple[Path, ...],
    output: str | None,
    quality: float | None,
    max_bytes: int | None,
    target_bpp: float | None,
    num_maps: int | None,
    rate_weight: float | None,
    tune: Tune,
    exact: Exact,
    no_layers: bool,
    model: str,
    device: str,
    batch_size: int,
    force: bool,
    coder: str,
    verify: bool,
    strip: "tuple[Strip, ...]",
    tone_map: bool,
    first_frame: bool,
    max_pixels: int | None,
    recursive: bool,
    skip_existing: bool,
    processes: int,
    is_quiet: bool,
    as_json: bool,
) -> None:
    """Encode pictures into .vq files.

    An INPUT is a picture, a folder of pictures, or - for standard input. Without -o, photo.jpg becomes photo.vq beside it. With -o - the
    figures go to standard error, those of --json too.
    """
    from vqcodec.images.formats import IMAGE_SUFFIXES

    try:
        rate = RateControl(quality, num_maps, rate_weight, max_bytes, target_bpp, tune)
    except ValueError as error:
        raise click.UsageError(_with_option_names(str(error))) from error
    if no_layers and exact == "all":
        raise click.UsageError("--no-layers leaves out what --exact all asks for; only one of them may be given")
    dial = next((name for name, value in (("-q", quality), ("--maps", num_maps), ("--lambda", rate_weight)) if value is not None), None)
    if dial is not None and exact == "all":
        raise click.UsageError(f"--exact all writes a lossless file at any {dial}; only one of them may be given")
    plan = plan_jobs(inputs, output, input_suffixes=IMAGE_SUFFIXES, output_suffix=SUFFIX, recursive=recursive)
    if not is_installed(config := find_model(model)) and not is_quiet:
        tell(
            f"{model} is not installed: to decode its files, run `vqcodec models add`, or set {MODELS_VARIABLE} to the folder that holds it"
        )
    check_memory(needs_torch=needs_torch(device))
    from vqcodec.cli.conversions import Encoding
    from vqcodec.cli.workers import convert_plan

    conversion = Encoding(
        config,
        device,
        rate,
        None if coder == "auto" else CoderKind[coder.upper()],
        LayerOptions(exact, layers=not no_layers),
        batch_size=batch_size,
        force=force,
        skip_existing=skip_existing,
        verify=verify,
        reading={"strip": strip, "tone_map": tone_map, "first_frame": first_frame, "max_pixels": max_pixels},
    )
    results = convert_plan(plan, conversion, processes=processes)
    show_results(plan, results, seconds_key="encode_s", as_json=as_json, is_quiet=is_quiet)


def _with_option_names(message: str) -> str:
    """Returns a message about the arguments of `RateControl` with the names of the options in their place."""
    return re.sub("|".join(_OPTION_NAMES), lambda name: _OPTION_NAMES[name[0]], message)
