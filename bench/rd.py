"""Rate and distortion of all codecs on an image set, and the report of it."""

import json
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Final

import click

from bench.images import RESULTS, opened_set, read_json, set_label
from vqcodec.compare.bd_rate import bd_tables
from vqcodec.compare.codecs import CODECS, select_codecs
from vqcodec.compare.plots import write_plots
from vqcodec.compare.quality import Quality
from vqcodec.compare.report import report_html
from vqcodec.compare.rows import Point, Published, Row, mean_curves, read_rows, rows_of
from vqcodec.compare.run import about_run, num_tasks, read_views, run_benchmark
from vqcodec.errors import VqcodecError

ANCHORS: Final = ("jpeg", "webp", "avif", "vqcodec")
PUBLISHED: Final = RESULTS / "published-kodak.json"
"""Curves on Kodak that others published, each with its source."""


def run_rd(set_name: str, codecs: Sequence[str], jobs: int, viewed: int, out: Path) -> None:
    """Measures what bench/results/rd-SET.jsonl does not hold yet; keeps views of the first images in `out`."""
    try:
        selection = select_codecs(codecs)
    except ValueError as error:
        raise VqcodecError(str(error)) from error
    for name, reason in {**selection.skipped, **Quality().missing}.items():
        click.echo(f"skipped {name}: {reason}", err=True)
    label = set_label(set_name)
    runs = read_runs(label)
    with opened_set(set_name) as images, click.progressbar(length=num_tasks(images, selection), file=sys.stderr, show_pos=True) as bar:
        outcome = run_benchmark(
            images,
            selection,
            RESULTS / f"rd-{label}.jsonl",
            jobs=jobs,
            views=out / f"views-{label}",
            num_viewed=viewed,
            on_row=bar.update,
        )
    for name, version in selection.versions.items():
        if name not in outcome.failed_codecs and runs.get(name, {}).get("version") != version:
            runs[name] = {"version": version, "images": str(len(images)), **about_run(jobs)}
    (RESULTS / f"rd-{label}.json").write_text(json.dumps(runs, indent=1) + "\n", encoding="utf-8")
    for failure in outcome.failures:
        click.echo(f"failed {failure}", err=True)
    if outcome.failures:
        sys.exit(1)


def read_runs(label: str) -> dict[str, dict[str, str]]:
    """What each codec's rows in rd-LABEL.jsonl come from: version, date, processor, ..., by the codec's name."""
    path = RESULTS / f"rd-{label}.json"
    runs: dict[str, dict[str, str]] = read_json(path) if path.exists() else {}
    return runs


def read_published() -> list[Published]:
    """Reads the curves that others published on Kodak."""
    return [Published(curve["name"], curve["source"], [Point(**point) for point in curve["points"]]) for curve in read_json(PUBLISHED)]


def current_rows(set_name: str) -> list[Row]:
    """The rows of a set's result file that are of the versions in the one beside it, in the order of `CODECS`.

    Raises:
        VqcodecError: nothing has been measured.
    """
    label = set_label(set_name)
    path = RESULTS / f"rd-{label}.jsonl"
    if not path.exists():
        raise VqcodecError(f"{path}: absent; run python -m bench rd --images {set_name} first")
    rows = rows_of(read_rows(path), {name: run["version"] for name, run in read_runs(label).items()})
    order = [codec.name for codec in CODECS]
    return sorted(rows, key=lambda row: order.index(row.codec))


def run_report(set_name: str, out: Path) -> None:
    """Writes plots to bench/results/plots, or to `out` for other images than Kodak, and report.html to `out`, from the result files."""
    label = set_label(set_name)
    rows, runs = current_rows(set_name), read_runs(label)
    published = read_published() if label == "kodak" else []
    for path in write_plots(RESULTS / "plots" if label == "kodak" else out / f"plots-{label}", rows, published):
        click.echo(path)
    out.mkdir(parents=True, exist_ok=True)
    views = out / f"views-{label}"
    if not views.is_dir():
        click.echo(f"{views}: absent, so the report shows no pictures; python -m bench rd keeps some", err=True)
    missing = [codec.name for codec in CODECS if codec.name not in runs]
    html = report_html(
        rows,
        published,
        read_views(views, rows),
        title=f"Rate and distortion: {label}",
        bd_tables=bd_tables(mean_curves(rows), ANCHORS),
        about={
            **{name: "; ".join([run["version"], run["date"], run["processor"]]) for name, run in runs.items()},
            "not measured": ", ".join(missing) or "nothing",
        },
    )
    (out / "report.html").write_text(html, encoding="utf-8")
    click.echo(out / "report.html")
