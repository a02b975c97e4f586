"""`vqcodec encode` and `vqcodec decode`."""

import json
import re
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any, Literal

import click

from vqcodec.cli.files import STANDARD_STREAM, Job, Outcome, decode_files, encode_files, plan_jobs
from vqcodec.cli.options import FiniteFloat, InputPath, OutputName, one_line
from vqcodec.format.container import SUFFIX, CoderKind
from vqcodec.images.metrics import bits_per_pixel
from vqcodec.models.config import DEFAULT_QUALITY, MAX_RATE_WEIGHT, QUALITIES
from vqcodec.models.registry import DEFAULT_MODEL, MODELS_VARIABLE, find_model, is_installed
from vqcodec.rate.control import TUNES, RateControl, Tune

_inputs = click.argument("inputs", metavar="INPUT...", nargs=-1, required=True, type=InputPath())
_output = click.option(
    "-o", "--output", type=OutputName(), help="File, folder (existing, or with a / at its end), or - for standard output."
)
_device = click.option(
    "--device", type=click.Choice(["auto", "cpu", "cuda"]), default="auto", show_default=True, help="Where the network runs."
)
_batch_size = click.option(
    "--batch-size", type=click.IntRange(1, 1024), default=8, show_default=True, help="Files through the network at a time."
)
_force = click.option("-f", "--force", is_flag=True, help="Overwrite existing outputs.")
_OPTION_NAMES = {
    "quality": "-q",
    "num_maps": "--maps",
    "rate_weight": "--lambda",
    "max_bytes": "--max-bytes",
    "target_bpp": "--target-bpp",
}
_json = click.option("--json", "as_json", is_flag=True, help="Print one JSON object a line.")


@click.command()
@_inputs
@_output
@click.option(
    "-q", "--quality", type=click.IntRange(1, QUALITIES), help=f"1 is smallest, {QUALITIES} is best.  [default: {DEFAULT_QUALITY}]"
)
@click.option(
    "--max-bytes", type=click.IntRange(min=1), help="Instead of -q: the best found by up to 8 encodes that fits into so many bytes."
)
@click.option("--target-bpp", type=FiniteFloat(0, min_open=True), help="The same in bits per pixel.")
@click.option("--maps", "num_maps", type=click.IntRange(min=1), help="Instead of -q: store so many maps, of the nearest codes.")
@click.option(
    "--lambda",
    "rate_weight",
    type=FiniteFloat(0, MAX_RATE_WEIGHT),
    help="With -q or --maps, what a bit is worth when codes are chosen: higher is smaller and coarser, for the first map up to a limit "
    "of the model; 0 takes the nearest codes.",
)
@click.option(
    "--tune",
    type=click.Choice(TUNES),
    default="iq",
    show_default=True,
    help="What bytes are spent for: what people see, the least squared error, or pictures for decode --realism 1.",
)
@click.option("-m", "--model", default=DEFAULT_MODEL, show_default=True, help="Id of an installed model, or a model folder.")
@_device
@_batch_size
@_force
@click.option(
    "--coder",
    type=click.Choice(["auto", *(kind.name.lower() for kind in CoderKind)]),
    default="auto",
    show_default=True,
    help="How codes are stored; auto takes the smallest for each map; with raw all codes cost the same, and the nearest are taken.",
)
@click.option("--verify", is_flag=True, help="Decode what will be written and compare the codes.")
@_json
def encode(
    inputs: tuple[Path, ...],
    output: str | None,
    quality: int | None,
    max_bytes: int | None,
    target_bpp: float | None,
    num_maps: int | None,
    rate_weight: float | None,
    tune: Tune,
    model: str,
    device: str,
    batch_size: int,
    force: bool,
    coder: str,
    verify: bool,
    as_json: bool,
) -> None:
    """Encode pictures into .vq files.

    An INPUT is a picture, a folder of pictures (not of folders), or - for standard input. Without -o, photo.jpg becomes photo.vq beside it.
    With -o - the pictures' figures, also with --json, go to standard error.
    """
    from vqcodec.images.picture import IMAGE_SUFFIXES

    try:
        rate = RateControl(quality, num_maps, rate_weight, max_bytes, target_bpp, tune)
    except ValueError as error:
        raise click.UsageError(_with_option_names(str(error))) from error
    jobs = plan_jobs(inputs, output, input_suffixes=IMAGE_SUFFIXES, output_suffix=SUFFIX)
    if not is_installed(config := find_model(model)):
        click.echo(one_line(f"vqcodec: {model} is not installed: to decode, name the folder that it is in by {MODELS_VARIABLE}"), err=True)
    outcomes = encode_files(
        jobs,
        model=config,
        rate=rate,
        coder=None if coder == "auto" else CoderKind[coder.upper()],
        device=device,
        batch_size=batch_size,
        force=force,
        verify=verify,
    )
    _report(jobs, outcomes, "encode_s", as_json=as_json)


@click.command()
@_inputs
@_output
@click.option("--max-maps", type=click.IntRange(min=1), help="Paint from the first maps only: coarser, sooner.")
@click.option("--allow-truncated", is_flag=True, help="Accept files that were cut off; they give a coarser picture.")
@click.option(
    "--fill",
    type=click.Choice(["none", "sample", "mode"]),
    default="none",
    show_default=True,
    help="Maps that are missing: left out, drawn from the priors, or their most probable codes.",
)
@click.option("--seed", type=click.IntRange(min=0), default=0, show_default=True, help="Of --fill sample.")
@click.option(
    "--realism",
    type=FiniteFloat(0, 1),
    default=0.0,
    show_default=True,
    help="0 paints what is closest to the original, 1 what looks most like a photo, with invented detail.",
)
@_device
@_batch_size
@_force
@_json
def decode(
    inputs: tuple[Path, ...],
    output: str | None,
    max_maps: int | None,
    allow_truncated: bool,
    fill: Literal["none", "sample", "mode"],
    seed: int,
    realism: float,
    device: str,
    batch_size: int,
    force: bool,
    as_json: bool,
) -> None:
    """Decode .vq files into pictures.

    An INPUT is a .vq file, a folder of them (not of folders), or - for standard input. Without -o, photo.vq becomes photo.png beside it;
    the suffix of the output picks the format.
    """
    jobs = plan_jobs(inputs, output, input_suffixes=[SUFFIX], output_suffix=".png")
    outcomes = decode_files(
        jobs,
        max_maps=max_maps,
        allow_truncated=allow_truncated,
        fill=None if fill == "none" else fill,
        seed=seed,
        realism=realism,
        device=device,
        batch_size=batch_size,
        force=force,
    )
    _report(jobs, outcomes, "decode_s", as_json=as_json)


def _with_option_names(message: str) -> str:
    """A message about the arguments of `RateControl` in the words of the command line."""
    return re.sub("|".join(_OPTION_NAMES), lambda name: _OPTION_NAMES[name[0]], message)


def _report(jobs: list[Job], outcomes: Iterator[Outcome], seconds_key: str, *, as_json: bool) -> None:
    """Shows progress and errors on stderr and results as they come; exits with 1 where a file failed."""
    to_stdout = any(job.target == STANDARD_STREAM for job in jobs)
    failed = 0
    with click.progressbar(length=len(jobs), file=sys.stderr, hidden=len(jobs) < 2 or not (sys.stderr and sys.stderr.isatty())) as bar:
        for outcome in outcomes:
            bar.update(1)
            if outcome.error is not None:
                failed += 1
                click.echo(one_line(f"vqcodec: {outcome.error}"), err=True)
                continue
            if outcome.note:
                click.echo(one_line(f"vqcodec: {outcome.job.source}: {outcome.note}"), err=True)
            if as_json:
                click.echo(json.dumps(_as_dict(outcome, seconds_key)), err=to_stdout)
            else:
                click.echo(one_line(_as_text(outcome)), err=True)
    if failed:
        if len(jobs) > 1:
            click.echo(f"vqcodec: {failed} of {len(jobs)} files failed", err=True)
        sys.exit(1)


def _as_dict(outcome: Outcome, seconds_key: str) -> dict[str, Any]:
    return {
        "input": str(outcome.job.source),
        "output": str(outcome.job.target),
        "num_bytes": outcome.num_bytes,
        "bpp": round(bits_per_pixel(outcome.num_bytes, outcome.width, outcome.height), 6),
        seconds_key: round(outcome.seconds, 4),
    }


def _as_text(outcome: Outcome) -> str:
    bpp = bits_per_pixel(outcome.num_bytes, outcome.width, outcome.height)
    size = f"{outcome.width}x{outcome.height}"
    return f"{outcome.job.source} -> {outcome.job.target}  {size}  {outcome.num_bytes} bytes  {bpp:.3f} bpp"
