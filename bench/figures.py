"""Tables in the documents: what stands between `<!-- figures:NAME -->` and `<!-- end -->` is made from the result files."""

import re
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Final

import click

from bench import tables
from bench.datasets import datasets_table
from bench.graphics.captions import captions
from bench.graphics.tables import graphics, graphics_summary
from bench.images import MODELS, ROOT
from bench.pillow import pillow_opens, pillow_thumbnails
from bench.ray import ray_table
from bench.recipes import NETWORKS, RECIPES, keys_table
from bench.scale import scale_table
from bench.speed import tables as speed_tables
from bench.training import speed_table, step_table

TABLES: Final[dict[str, Callable[[], str]]] = {
    "bd-rates-short": tables.bd_rates_short,
    "bd-rates": tables.bd_rates,
    "bd-rates-direct": tables.bd_rates_direct,
    "dial": tables.dial,
    "dial-steps": tables.dial_steps,
    "spot": tables.spot,
    "low-rates": tables.low_rates,
    "colour": tables.colour,
    "semantics": tables.semantics,
    "realism": tables.realism,
    "graphics": graphics,
    "graphics-summary": graphics_summary,
    "captions": captions,
    "prefixes-quality": tables.prefixes_quality,
    "bits": tables.bits,
    "files": tables.files,
    "codebooks-use": tables.codebooks_use,
    "speed": speed_tables.speed,
    "start": speed_tables.start,
    "stages": speed_tables.stages,
    "floor": speed_tables.floor,
    "batches": speed_tables.batches,
    "gpu": speed_tables.gpu,
    "prefixes": speed_tables.prefixes,
    "naive": speed_tables.naive,
    "codec-speed": speed_tables.codec_speed,
    "peers": speed_tables.peers,
    "pillow-opens": pillow_opens,
    "pillow-thumbnails": pillow_thumbnails,
    "datasets": datasets_table,
    "ray": ray_table,
    "scale": scale_table,
    "training-step": step_table,
    "training-speed": speed_table,
    **{f"keys-{kind.__name__}": partial(keys_table, kind) for kind in (*RECIPES, *NETWORKS)},
}
"""The function that makes each table, by the name of its block."""
_BLOCK: Final = re.compile(r"(<!-- figures:([\w-]+) -->\n).*?(<!-- end -->)", re.DOTALL)


def documents() -> list[Path]:
    """Returns the documents of the project, those without tables too."""
    return [*sorted(ROOT.glob("*.md")), ROOT / "bench/README.md", *sorted(ROOT.glob("docs/*.md")), *sorted(MODELS.glob("*/MODEL_CARD.md"))]


def filled(path: Path) -> str:
    """Returns the text of a document with every table made anew.

    Raises:
        click.ClickException: a block has a name that no table has.
    """

    def made(block: re.Match[str]) -> str:
        if block[2] not in TABLES:
            raise click.ClickException(f"{path}: no table is called {block[2]!r}; known are {', '.join(TABLES)}")
        return f"{block[1]}{TABLES[block[2]]()}\n{block[3]}"

    return _BLOCK.sub(made, path.read_text(encoding="utf-8"))


def write_figures(*, check: bool) -> None:
    """Fills all blocks, or with `check` changes nothing.

    Raises:
        click.ClickException: with `check`, a table is out of date.
    """
    for path in documents():
        old, new = path.read_text(encoding="utf-8"), filled(path)
        if new == old:
            continue
        if check:
            raise click.ClickException(f"{path.relative_to(ROOT)}: figures differ from the result files; run python -m bench figures")
        path.write_text(new, encoding="utf-8")
        click.echo(f"{path.relative_to(ROOT)}: updated")
