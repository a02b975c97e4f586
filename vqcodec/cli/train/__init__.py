"""`vqcodec train`: everything between a folder of photos and a model that encodes."""

import click

from vqcodec.cli.options import examples
from vqcodec.cli.train.models import codes, dial, export, ranges
from vqcodec.cli.train.runs import autoencoder, decoder, prior


@click.group(epilog=examples("train autoencoder --config recipes/autoencoder.toml --data photos/ --val held-out/ --out run/"))
def train() -> None:
    """Train and export models."""


for command in (autoencoder, export, codes, prior, dial, ranges, decoder):
    train.add_command(command)
