"""`vqcodec bench`: the comparison of codecs on the pictures of a folder."""

import importlib.util
import os
import shutil
import sys
from pathlib import Path

import click

from vqcodec.cli.files import refuse_overwrite, write_bytes
from vqcodec.cli.folders import counted
from vqcodec.cli.messages import one_line
from vqcodec.cli.options import WholeNumber, examples
from vqcodec.cli.progress import duration, progress
from vqcodec.compare.names import ALL, USUAL
from vqcodec.errors import VqcodecError

_MOST_JOBS = 8
"""Most tasks at a time by default, each of which takes half a GiB of memory."""


@click.command(epilog=examples("bench holiday/ -o report.html", "bench holiday/ -o report.html --codecs vqcodec,avif,jpeg"))
@click.argument("folder", type=click.Path(path_type=Path))
@click.option(
    "--codecs",
    help=f"Names, separated by commas, of {', '.join(ALL)}. Default {', '.join(USUAL)}, and all with --thorough, if installed.",
)
@click.option("-o", "--output", default="report.html", show_default=True, type=click.Path(path_type=Path, dir_okay=False))
@click.option("--anchor", default="jpeg", show_default=True, help="Codec that the others' rates are compared with.")
@click.option("--viewed", default=2, show_default=True, type=WholeNumber(min=0), help="Pictures to look at in the report.")
@click.option("--thorough", is_flag=True, help="Compare whole pictures at all settings by all metrics, which takes hours.")
@click.option(
    "--jobs",
    type=WholeNumber(1, 256),
    help="Tasks at a time; seconds are fair with one alone. Default one for each core, one in all with --thorough.",
)
@click.option("-f", "--force", is_flag=True, help="Overwrite an existing report.")
def bench(folder: Path, codecs: str | None, output: Path, anchor: str, viewed: int, thorough: bool, jobs: int | None, force: bool) -> None:
    """Compare codecs on the pictures in FOLDER.

    The result is a report with plots, BD-rates and a viewer. Compared is the middle of each picture, 480x480 pixels at most, which takes
    about five minutes for 20 photos on two cores.

    Measurements are kept beside the report, in NAME.jsonl and, until it is done, the folder .NAME.vqcodec-views: a run that was stopped
    goes on.
    """
    if importlib.util.find_spec("bjontegaard") is None:
        raise VqcodecError("the benchmark needs the packages of the extra [bench]: pip install 'vqcodec[bench]'")
    from vqcodec.compare.folder import FolderComparison

    _check_output(output, force=force)
    names = None if codecs is None else [name.strip() for name in codecs.split(",") if name.strip()]
    if names == []:
        raise VqcodecError(f"--codecs {codecs!r} names no codec; expected names with commas between them")
    comparison = FolderComparison.of_folder(folder, names or [], anchor, is_thorough=thorough)
    for note in comparison.notes():
        click.echo(one_line(note), err=True)
    comparison.check()
    jobs = jobs or (1 if thorough else min(os.cpu_count() or 1, _MOST_JOBS))
    pictures = counted(len(comparison.images), "picture")
    counts = f"{pictures}, {counted(len(comparison.selection.codecs), 'codec')}, {counted(comparison.num_tasks(), 'measurement')}"
    measured, views = output.with_suffix(".jsonl"), output.with_name(f".{output.stem}.vqcodec-views")
    click.echo(f"{counts}: about {duration(comparison.expected_seconds(measured, jobs))}", err=True)
    output.parent.mkdir(parents=True, exist_ok=True)
    with progress(comparison.num_tasks(), "measurements") as bar:
        failures = comparison.measure(measured, views=views, num_viewed=viewed, jobs=jobs, on_row=bar.update)
    for line in failures.lines:
        click.echo(one_line(f"failed {line}"), err=True)
    report = comparison.report(measured, failures, views=views if viewed else None, jobs=jobs)
    for name, line in report.left_out.items():
        click.echo(f"{name}: {line}", err=True)
    write_bytes(output, report.html.encode(errors="replace"), force=force)
    shutil.rmtree(views, ignore_errors=True)
    click.echo(one_line(f"{output}: {counted(report.num_rows, 'measurement')} of {pictures}"))
    if comparison.unreadable or failures.lines:
        sys.exit(1)


def _check_output(output: Path, *, force: bool) -> None:
    """Checks, before anything is measured, that the report can be written.

    Raises:
        VqcodecError: Its name is not that of a web page, it exists, or its folder cannot be written to.
    """
    if output.suffix.lower() != ".html":
        raise VqcodecError(f"{output}: the report is a web page, its name must end in .html")
    refuse_overwrite(output, force=force)
