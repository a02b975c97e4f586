"""`vqcodec bench`: the comparison of codecs on the pictures of a folder."""

import importlib.util
import shutil
import sys
from pathlib import Path

import click

from vqcodec.cli.files import refuse_overwrite, write_bytes
from vqcodec.cli.messages import one_line
from vqcodec.cli.progress import progress
from vqcodec.errors import VqcodecError


@click.command()
@click.argument("folder", type=click.Path(path_type=Path))
@click.option("--codecs", default="", help="Names, separated by commas; default all that are installed.")
@click.option("-o", "--output", default="report.html", show_default=True, type=click.Path(path_type=Path, dir_okay=False))
@click.option("--anchor", default="jpeg", show_default=True, help="Codec that the others' rates are compared with.")
@click.option("--viewed", default=2, show_default=True, type=click.IntRange(min=0), help="Pictures to look at in the report.")
@click.option("--jobs", default=1, show_default=True, type=click.IntRange(min=1), help="Tasks at a time; seconds are fair with one alone.")
@click.option("-f", "--force", is_flag=True, help="Overwrite an existing report.")
def bench(folder: Path, codecs: str, output: Path, anchor: str, viewed: int, jobs: int, force: bool) -> None:
    """Compare codecs on the pictures in FOLDER.

    The result is a report with plots, BD-rates and a viewer.

    Measurements are kept beside the report, in NAME.jsonl and, until it is done, the folder .NAME.vqcodec-views: a run that was stopped
    goes on.
    """
    if importlib.util.find_spec("bjontegaard") is None:
        raise VqcodecError("the benchmark needs the packages of the extra [bench]; in the project's folder: pip install '.[bench]'")
    from vqcodec.compare.folder import FolderComparison

    _check_output(output, force=force)
    comparison = FolderComparison.of_folder(folder, [name.strip() for name in codecs.split(",") if name.strip()], anchor)
    for note in comparison.notes():
        click.echo(one_line(note), err=True)
    comparison.check()
    output.parent.mkdir(parents=True, exist_ok=True)
    measured, views = output.with_suffix(".jsonl"), output.with_name(f".{output.stem}.vqcodec-views")
    with progress(comparison.num_tasks(), "measurements") as bar:
        failures = comparison.measure(measured, views=views, num_viewed=viewed, jobs=jobs, on_row=bar.update)
    for line in failures.lines:
        click.echo(one_line(f"failed {line}"), err=True)
    report = comparison.report(measured, failures, views=views if viewed else None, jobs=jobs)
    for name, line in report.left_out.items():
        click.echo(f"{name}: {line}", err=True)
    write_bytes(output, report.html.encode(errors="replace"), force=force)
    shutil.rmtree(views, ignore_errors=True)
    click.echo(one_line(f"{output}: {report.num_rows} measurements of {len(comparison.images)} pictures"))
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
