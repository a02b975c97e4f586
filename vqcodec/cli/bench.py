"""`vqcodec bench`: the benchmark of the project, on the pictures of a folder."""

import importlib.util
import os
import shutil
import sys
from pathlib import Path

import click

from vqcodec.errors import VqcodecError
from vqcodec.files import OutputError, refuse_overwrite, write_bytes


@click.command()
@click.argument("folder", type=click.Path(path_type=Path))
@click.option("--codecs", default="", help="Names, separated by commas; default all that are installed.")
@click.option("-o", "--output", default="report.html", show_default=True, type=click.Path(path_type=Path, dir_okay=False))
@click.option("--anchor", default="jpeg", show_default=True, help="Codec that the others' rates are compared with.")
@click.option("--viewed", default=2, show_default=True, type=click.IntRange(min=0), help="Pictures to look at in the report.")
@click.option("--jobs", default=1, show_default=True, type=click.IntRange(min=1), help="Tasks at a time; seconds are fair with one alone.")
@click.option("--force", is_flag=True, help="Overwrite an existing report.")
def bench(folder: Path, codecs: str, output: Path, anchor: str, viewed: int, jobs: int, force: bool) -> None:
    """Compare codecs on the pictures in FOLDER: a report with plots, BD-rates and a viewer.

    Measurements are kept beside the report, in NAME.jsonl and, until it is done, the folder .NAME.vqcodec-views: a run that was stopped
    goes on.
    """
    from vqcodec.bench.bd_rate import bd_tables
    from vqcodec.bench.codecs import codec_named, select_codecs
    from vqcodec.bench.quality import Quality
    from vqcodec.bench.report import report_html
    from vqcodec.bench.rows import mean_curves, read_rows, rows_of
    from vqcodec.bench.run import about_run, find_images, num_tasks, read_views, readable_images, run_benchmark

    if importlib.util.find_spec("bjontegaard") is None:
        raise VqcodecError("the benchmark needs the packages of the extra [bench]; in the project's folder: pip install '.[bench]'")
    if output.suffix.lower() != ".html":
        raise VqcodecError(f"{output}: the report is a web page, its name must end in .html")
    refuse_overwrite(output, force=force)
    try:
        selection = select_codecs([name.strip() for name in codecs.split(",") if name.strip()])
        codec_named(anchor)
    except ValueError as error:
        raise VqcodecError(str(error)) from error
    if not os.access(output.parent, os.W_OK):
        raise OutputError(f"{output}: cannot be written, {output.parent} is no folder that can be written to")
    images, failures = readable_images(find_images(folder))
    for failure in failures:
        click.echo(f"skipped {failure}", err=True)
    if not images:
        raise VqcodecError(f"{folder}: holds no picture that can be read")
    for name, reason in selection.skipped.items():
        click.echo(f"skipped {name}: {reason}", err=True)
    missing = Quality().missing
    for name, reason in missing.items():
        click.echo(f"not measured {name}: {reason}", err=True)
    if not selection.codecs:
        raise VqcodecError("no codec is left to measure")
    if anchor not in selection.versions:
        click.echo(f"no BD-rates: the anchor {anchor} is not among the codecs measured", err=True)
    measured, views = output.with_suffix(".jsonl"), output.with_name(f".{output.stem}.vqcodec-views")
    with click.progressbar(length=num_tasks([*images], selection), file=sys.stderr) as bar:
        outcome = run_benchmark([*images], selection, measured, jobs=jobs, views=views, num_viewed=viewed, on_row=bar.update)
    for failure in outcome.failures:
        click.echo(f"failed {failure}", err=True)
    rows = rows_of(read_rows(measured), selection.versions, set(images.values())) if measured.exists() else []
    left_out = {"skipped": [*selection.skipped], "not measured": [*missing], "unreadable": failures, "failed": outcome.failures}
    count = len(set(images.values()))
    html = report_html(
        rows,
        [],
        read_views(views, rows) if viewed else [],
        title=f"Rate and distortion: {folder.resolve().name}",
        bd_tables=bd_tables(mean_curves(rows), [anchor]),
        about={
            "images": str(count),
            **about_run(jobs),
            **selection.versions,
            **{name: "; ".join(lines) for name, lines in left_out.items() if lines},
        },
    )
    write_bytes(output, html.encode(), force=force)
    shutil.rmtree(views, ignore_errors=True)
    click.echo(f"{output}: {len(rows)} measurements of {count} pictures")
    if failures or outcome.failures:
        sys.exit(1)
