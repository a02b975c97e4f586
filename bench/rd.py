"""Rate and distortion of all codecs on an image set, and the report of it."""

import json
import sys
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Final

import click

from bench.images import RESULTS, opened_set, read_json, set_label
from vqcodec.cli.progress import progress
from vqcodec.compare.bd_rate import bd_tables
from vqcodec.compare.codecs import ImageCodec
from vqcodec.compare.machine import about_run
from vqcodec.compare.ours import Vqcodec
from vqcodec.compare.plots import write_plots
from vqcodec.compare.quality import Quality
from vqcodec.compare.report import report_html
from vqcodec.compare.rows import Point, Published, Row, mean_curves, read_rows, rows_of
from vqcodec.compare.run import WHOLE, RunFailures, Scope, num_tasks, run_benchmark
from vqcodec.compare.selection import CODECS, select_codecs
from vqcodec.compare.views import read_views
from vqcodec.errors import VqcodecError
from vqcodec.models.dial import DEFAULT_QUALITY, Tune

ANCHORS: Final = ("jpeg", "webp", "avif", "vqcodec")
"""Codecs that the report compares the others' rates with."""
PUBLISHED: Final = RESULTS / "published-kodak.json"
"""Curves on Kodak that others published, each with its source."""

DIAL: Final = Vqcodec("vqcodec-dial", settings=(15, 43, 70))
"""Qualities of the dial between those that are compared with other codecs."""
BYTES_AND_PSNR: Final = Scope(metrics=())
REALISM_TUNES: Final[tuple[Tune, ...]] = ("iq", "perceptual")
REALISM_LEVELS: Final = (0.0, 0.25, 0.5, 0.75, 1.0)
REALISM: Final = {
    tune: tuple(
        Vqcodec(f"vqcodec-{tune}-realism-{level:g}", realism=level, tune=tune, settings=(DEFAULT_QUALITY,)) for level in REALISM_LEVELS
    )
    for tune in REALISM_TUNES
}
"""Files of the default quality, painted by mixtures of the two decoders; by the tune of the files."""
STUDIES: Final[tuple[ImageCodec, ...]] = (DIAL, *(codec for codecs in REALISM.values() for codec in codecs))
"""Settings of vqcodec that have tables of their own and are not compared with other codecs."""


def run_rd(set_name: str, codecs: Sequence[str], jobs: int, viewed: int, out: Path) -> None:
    """Measures what bench/results/rd-SET.jsonl does not hold yet; keeps views of the first images in `out`.

    Raises:
        VqcodecError: a name that no codec has.
    """
    try:
        selection = select_codecs(codecs, (*CODECS, *STUDIES))
    except ValueError as error:
        raise VqcodecError(str(error)) from error
    for name, reason in {**selection.skipped, **Quality().missing}.items():
        click.echo(f"skipped {name}: {reason}", err=True)
    label = set_label(set_name)
    runs, out_rows = read_runs(label), RESULTS / f"rd-{label}.jsonl"
    before = read_rows(out_rows) if out_rows.exists() else []
    with opened_set(set_name) as images, progress(num_tasks(images, selection), "measurements") as bar:
        failures = RunFailures()
        for scope in (WHOLE, BYTES_AND_PSNR):
            own = replace(selection, codecs=[codec for codec in selection.codecs if (codec == DIAL) == (scope == BYTES_AND_PSNR)])
            views = out / f"views-{label}"
            failures += run_benchmark(images, own, out_rows, jobs=jobs, views=views, num_viewed=viewed, scope=scope, on_row=bar.update)
    measured = {row.codec for row in read_rows(out_rows) if row not in before}
    for name, version in selection.versions.items():
        if name not in failures.codecs and (name in measured or runs.get(name, {}).get("version") != version):
            runs[name] = {"version": version, "images": str(len(images)), **about_run(jobs)}
    (RESULTS / f"rd-{label}.json").write_text(json.dumps(runs, indent=1) + "\n", encoding="utf-8")
    for line in failures.lines:
        click.echo(f"failed {line}", err=True)
    if failures.lines:
        sys.exit(1)


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
    measured = {codec.name: runs[codec.name] for codec in CODECS if codec.name in runs}
    html = report_html(
        rows,
        published,
        read_views(views, rows),
        title=f"Rate and distortion: {label}",
        bd_tables=bd_tables(mean_curves(rows), ANCHORS),
        about={
            **{name: "; ".join([run["version"], run["date"], run["processor"]]) for name, run in measured.items()},
            "not measured": ", ".join(codec.name for codec in CODECS if codec.name not in measured) or "nothing",
        },
    )
    (out / "report.html").write_text(html, encoding="utf-8")
    click.echo(out / "report.html")


def read_runs(label: str) -> dict[str, dict[str, str]]:
    """Returns what the rows of each codec in rd-LABEL.jsonl come from (version, date, processor, ...), by the codec's name."""
    path = RESULTS / f"rd-{label}.json"
    runs: dict[str, dict[str, str]] = read_json(path) if path.exists() else {}
    return runs


def current_rows(set_name: str, codecs: Sequence[ImageCodec] = CODECS) -> list[Row]:
    """Returns the rows of a set's result file that are of these codecs, in this order, and of the versions in the file beside it.

    Raises:
        VqcodecError: nothing has been measured.
    """
    label = set_label(set_name)
    path = RESULTS / f"rd-{label}.jsonl"
    if not path.exists():
        raise VqcodecError(f"{path}: absent; run python -m bench rd --images {set_name} first")
    runs = read_runs(label)
    order = [codec.name for codec in codecs if codec.name in runs]
    rows = rows_of(read_rows(path), {name: runs[name]["version"] for name in order})
    return sorted(rows, key=lambda row: order.index(row.codec))


def read_published() -> list[Published]:
    """Reads the curves that others published on Kodak."""
    return [Published(curve["name"], curve["source"], [Point(**point) for point in curve["points"]]) for curve in read_json(PUBLISHED)]
