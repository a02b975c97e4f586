"""`vqcodec bench`: the benchmark of the project, on the pictures of a folder."""

import importlib.util
import os
import shutil
import sys
from collections.abc import Collection, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

import click

from vqcodec.cli.files import OutputError, refuse_overwrite, write_bytes
from vqcodec.cli.options import one_line
from vqcodec.errors import VqcodecError

if TYPE_CHECKING:
    from vqcodec.compare.codecs import Selection
    from vqcodec.compare.rows import Point, Row


def _select(codecs: str, anchor: str) -> "Selection":
    """The codecs of a list with commas; all where it is empty."""
    from vqcodec.compare.codecs import codec_named, select_codecs

    try:
        codec_named(anchor)
        return select_codecs([name.strip() for name in codecs.split(",") if name.strip()])
    except ValueError as error:
        raise VqcodecError(str(error)) from error


def _left_out_of_curves(
    rows: "Sequence[Row]", curves: "Mapping[str, Sequence[Point]]", count: int, missing: Collection[str]
) -> dict[str, str]:
    """Lines about the pictures, of `count`, that the means of all codecs or of a metric leave out; of metrics that are not `missing`."""
    from vqcodec.compare.rows import METRICS, num_lacking

    points = [point for of_codec in curves.values() for point in of_codec]
    lines = {
        f"no curves of {metric.title}": f"{num_lacking(metric, rows)} of {count} pictures are too small or too large for it"
        for metric in METRICS
        if points and metric.key not in missing and all(metric.of(point) is None for point in points)
    }
    compared = max((point.num_images or 0 for point in points), default=0)
    if compared < count:
        lines["compared"] = f"{compared} of {count} pictures, those that every codec coded and every metric is of"
    return lines


@click.command()
@click.argument("folder", type=click.Path(path_type=Path))
@click.option("--codecs", default="", help="Names, separated by commas; default all that are installed.")
@click.option("-o", "--output", default="report.html", show_default=True, type=click.Path(path_type=Path, dir_okay=False))
@click.option("--anchor", default="jpeg", show_default=True, help="Codec that the others' rates are compared with.")
@click.option("--viewed", default=2, show_default=True, type=click.IntRange(min=0), help="Pictures to look at in the report.")
@click.option("--jobs", default=1, show_default=True, type=click.IntRange(min=1), help="Tasks at a time; seconds are fair with one alone.")
@click.option("-f", "--force", is_flag=True, help="Overwrite an existing report.")
def bench(folder: Path, codecs: str, output: Path, anchor: str, viewed: int, jobs: int, force: bool) -> None:
    """Compare codecs on the pictures in FOLDER: a report with plots, BD-rates and a viewer.

    Measurements are kept beside the report, in NAME.jsonl and, until it is done, the folder .NAME.vqcodec-views: a run that was stopped
    goes on.
    """
    from vqcodec.compare.bd_rate import bd_tables
    from vqcodec.compare.quality import Quality
    from vqcodec.compare.report import report_html
    from vqcodec.compare.rows import mean_curves, read_rows, rows_of
    from vqcodec.compare.run import about_run, find_images, num_tasks, read_views, readable_images, run_benchmark

    if importlib.util.find_spec("bjontegaard") is None:
        raise VqcodecError("the benchmark needs the packages of the extra [bench]; in the project's folder: pip install '.[bench]'")
    if output.suffix.lower() != ".html":
        raise VqcodecError(f"{output}: the report is a web page, its name must end in .html")
    refuse_overwrite(output, force=force)
    selection = _select(codecs, anchor)
    folder_there = next(parent for parent in output.absolute().parents if parent.exists())
    if not folder_there.is_dir() or not os.access(folder_there, os.W_OK):
        raise OutputError(f"{output}: cannot be written, {folder_there} is no folder that can be written to")
    images, failures = readable_images(find_images(folder))
    for failure in failures:
        click.echo(one_line(f"skipped {failure}"), err=True)
    if not images:
        raise VqcodecError(f"{folder}: holds no picture that can be read")
    missing = Quality().missing
    for what, reasons in (("skipped", selection.skipped), ("not measured", missing)):
        for name, reason in reasons.items():
            click.echo(f"{what} {name}: {reason}", err=True)
    if not selection.codecs:
        raise VqcodecError("no codec is left to measure")
    if anchor not in selection.versions:
        click.echo(f"no BD-rates: the anchor {anchor} is not among the codecs measured", err=True)
    output.parent.mkdir(parents=True, exist_ok=True)
    paths = [*images.values()]
    measured, views = output.with_suffix(".jsonl"), output.with_name(f".{output.stem}.vqcodec-views")
    with click.progressbar(length=num_tasks(paths, selection), file=sys.stderr) as bar:
        outcome = run_benchmark(paths, selection, measured, jobs=jobs, views=views, num_viewed=viewed, on_row=bar.update)
    for failure in outcome.failures:
        click.echo(one_line(f"failed {failure}"), err=True)
    rows = rows_of(read_rows(measured), selection.versions, images) if measured.exists() else []
    rows = [replace(row, image=images[row.image_sha256].name) for row in rows]
    curves = mean_curves(rows)
    left_out = _left_out_of_curves(rows, curves, len(images), missing)
    for name, line in left_out.items():
        click.echo(f"{name}: {line}", err=True)
    not_measured = {"skipped": selection.skipped, "not measured": missing, "unreadable": failures, "failed": outcome.failures}
    html = report_html(
        rows,
        [],
        read_views(views, rows) if viewed else [],
        title=f"Rate and distortion: {folder.resolve().name}",
        bd_tables=bd_tables(curves, [anchor]),
        about={
            "images": str(len(images)),
            **about_run(jobs),
            **selection.versions,
            **left_out,
            **{name: "; ".join(lines) for name, lines in not_measured.items() if lines},
        },
    )
    write_bytes(output, html.encode(errors="replace"), force=force)
    shutil.rmtree(views, ignore_errors=True)
    click.echo(one_line(f"{output}: {len(rows)} measurements of {len(images)} pictures"))
    if failures or outcome.failures:
        sys.exit(1)
