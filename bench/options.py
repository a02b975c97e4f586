"""Options that several commands of the benchmark have."""

from pathlib import Path

import click

from bench.images import default_set
from vqcodec.models.registry import DEFAULT_MODEL

images_option = click.option(
    "--images", default=default_set, help="kodak, wheels, graphics or a folder; default kodak, or wheels where it is absent."
)
model_option = click.option("--model", default=DEFAULT_MODEL, show_default=True)
out_option = click.option(
    "--out", default="bench/out", show_default=True, type=click.Path(path_type=Path), help="For what is not kept in git."
)
