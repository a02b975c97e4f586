"""Rate and distortion of all codecs on an image set, and the report of it."""

import json
import sys
import tempfile
from collections.abc import Sequence
from pathlib import Path
from typing import Final

import click

from bench.images import image_set
from bench.kodak import RESULTS
from bench.published import read_published
from vqcodec.bench.bd_rate import bd_tables
from vqcodec.bench.codecs import select_codecs
from vqcodec.bench.plots import write_plots
from vqcodec.bench.quality import Quality
from vqcodec.bench.report import write_report
from vqcodec.bench.rows import mean_curves, read_rows
from vqcodec.bench.run import about, num_tasks, read_views, run_benchmark

ANCHORS: Final = ("jpeg", "webp", "avif", "vqcodec")


def run_rd(set_name: str, codecs: Sequence[str], jobs: int, viewed: int, out: Path) -> None:
    """Measures what bench/results/rd-SET.jsonl does not hold yet; keeps views of the first images in `out`."""
    selection = select_codecs(codecs)
    for name, reason in {**selection.skipped, **Quality().missing}.items():
        click.echo(f"skipped {name}: {reason}", err=True)
    with tempfile.TemporaryDirectory() as work:
        images = image_set(set_name, Path(work))
        label = _label(set_name)
        known = RESULTS / f"rd-{label}.json"
        before = json.loads(known.read_text(encoding="utf-8")) if known.exists() else {}
        known.write_text(json.dumps({**before, **about(images, selection, jobs)}, indent=1) + "\n", encoding="utf-8")
        with click.progressbar(length=num_tasks(images, selection), file=sys.stderr, show_pos=True) as bar:
            outcome = run_benchmark(
                images,
                selection,
                RESULTS / f"rd-{label}.jsonl",
                jobs=jobs,
                views=out / f"views-{label}",
                num_viewed=viewed,
                on_row=bar.update,
            )
    for failure in outcome.failures:
        click.echo(f"failed {failure}", err=True)


def run_report(set_name: str, out: Path) -> None:
    """Writes plots to bench/results/plots and report.html to `out`, from the result files."""
    label = _label(set_name)
    rows = read_rows(RESULTS / f"rd-{label}.jsonl")
    published = read_published() if label == "kodak" else []
    for path in write_plots(RESULTS / "plots", rows, published):
        click.echo(path)
    out.mkdir(parents=True, exist_ok=True)
    views = out / f"views-{label}"
    write_report(
        out / "report.html",
        rows,
        published,
        read_views(views) if views.is_dir() else [],
        title=f"Rate and distortion: {label}",
        bd_tables=bd_tables(mean_curves(rows), ANCHORS),
        about=json.loads((RESULTS / f"rd-{label}.json").read_text(encoding="utf-8")),
    )
    click.echo(out / "report.html")


def _label(set_name: str) -> str:
    return set_name if set_name in ("kodak", "wheels") else Path(set_name).resolve().name
