"""The command `vqcodec decode`."""

from pathlib import Path
from typing import Literal

import click
from click.core import ParameterSource

from vqcodec.cli.jobs import plan_jobs
from vqcodec.cli.memory import check_memory
from vqcodec.cli.options import (
    WholeNumber,
    batch_size_option,
    device_option,
    examples,
    folder_options,
    force_option,
    inputs_argument,
    json_option,
    max_pixels_option,
    output_option,
    realism_option,
)
from vqcodec.cli.results import show_results
from vqcodec.decoding.region import Region
from vqcodec.format.container import SUFFIX
from vqcodec.models.devices import needs_torch


class RegionParam(click.ParamType[Region]):
    """A rectangle as four numbers with commas between them."""

    name = "region"

    def convert(self, value: object, param: click.Parameter | None, ctx: click.Context | None) -> Region:
        """Returns the region, or ends the command with one line about what was expected."""
        if isinstance(value, Region):
            return value
        numbers = str(value).split(",")
        try:
            if not all(number.isascii() and number.isdecimal() for number in numbers):
                raise ValueError(f"{value!r} holds more than digits and commas")
            return Region.of([int(number) for number in numbers])
        except (TypeError, ValueError):
            self.fail(f"{value!r} is not LEFT,TOP,WIDTH,HEIGHT, four whole numbers in pixels, sides of at least 1.", param, ctx)


@click.command(
    epilog=examples(
        "decode photo.vq",
        "decode small/ -o pictures/ --realism 1",
        "decode large.vq --region 0,0,800,600 -o corner.png",
    )
)
@inputs_argument
@output_option
@click.option("--max-maps", type=WholeNumber(min=1), help="Paint from so many maps at most, from the top on: a coarser picture, sooner.")
@click.option("--allow-truncated", is_flag=True, help="Accept files that were cut off; their pictures are coarser.")
@click.option(
    "--fill",
    type=click.Choice(["none", "sample", "mode"]),
    default="none",
    show_default=True,
    help="Leave missing maps out, sample them from the priors, or take their most probable codes (mode).",
)
@click.option("--seed", type=WholeNumber(min=0), default=0, show_default=True, help="Seed of --fill sample.")
@realism_option
@click.option(
    "--region",
    type=RegionParam(),
    metavar="LEFT,TOP,WIDTH,HEIGHT",
    help="Decode this rectangle of pixels alone, in time and memory that follow its size.",
)
@click.option("--no-layers", is_flag=True, help="Paint the codes alone, without what the file stores in another way.")
@click.option(
    "--output-quality", type=WholeNumber(1, 100), help="Quality of .jpg, .avif and .webp files; without it 95, and no loss in .webp."
)
@click.option("--output-lossless", is_flag=True, help="Refuse to write a format with loss.")
@max_pixels_option
@device_option
@batch_size_option
@force_option
@folder_options
@json_option
def decode(
    inputs: tuple[Path, ...],
    output: str | None,
    max_maps: int | None,
    allow_truncated: bool,
    fill: Literal["none", "sample", "mode"],
    seed: int,
    realism: float,
    region: Region | None,
    no_layers: bool,
    output_quality: int | None,
    output_lossless: bool,
    max_pixels: int | None,
    device: str,
    batch_size: int,
    force: bool,
    recursive: bool,
    skip_existing: bool,
    processes: int,
    is_quiet: bool,
    as_json: bool,
) -> None:
    """Decode .vq files into pictures.

    An INPUT is a .vq file, a folder of .vq files, or - for standard input. Without -o, photo.vq becomes photo.png beside it; the suffix of
    an output says its format.
    """
    if region is not None and fill != "none":
        raise click.UsageError("--region and --fill do not go together")
    if fill != "sample" and click.get_current_context().get_parameter_source("seed") is not ParameterSource.DEFAULT:
        raise click.UsageError("--seed is for --fill sample, which is not given")
    if output_quality is not None and output_lossless:
        raise click.UsageError("--output-quality has loss, which --output-lossless refuses; only one of them may be given")
    plan = plan_jobs(inputs, output, input_suffixes=[SUFFIX], output_suffix=".png", recursive=recursive)
    check_memory(needs_torch=needs_torch(device))
    from vqcodec.cli.conversions import Decoding  # loads NumPy and Pillow, so that usage errors come before it
    from vqcodec.cli.workers import convert_plan
    from vqcodec.images.writing import Compression

    conversion = Decoding(
        max_maps=max_maps,
        allow_truncated=allow_truncated,
        fill=None if fill == "none" else fill,
        seed=seed,
        realism=realism,
        region=region,
        layers=not no_layers,
        max_pixels=max_pixels,
        compression=Compression(output_quality, output_lossless),
        device=device,
        batch_size=batch_size,
        force=force,
        skip_existing=skip_existing,
    )
    results = convert_plan(plan, conversion, processes=processes)
    show_results(plan, results, seconds_key="decode_s", as_json=as_json, is_quiet=is_quiet)
