"""The top of the command tree."""

import logging

import click

from vqcodec import __version__
from vqcodec.cli.bench import bench
from vqcodec.cli.compare import compare
from vqcodec.cli.decode import decode
from vqcodec.cli.encode import encode
from vqcodec.cli.info import info
from vqcodec.cli.inspect import inspect
from vqcodec.cli.messages import OneLineErrors
from vqcodec.cli.models import models
from vqcodec.cli.options import examples
from vqcodec.cli.pack import pack
from vqcodec.cli.sample import sample
from vqcodec.cli.serve import serve
from vqcodec.cli.train import train
from vqcodec.nn.kernels import library


def _show_version(ctx: click.Context, _: click.Parameter, is_asked: bool) -> None:
    if is_asked:
        click.echo(f"vqcodec, version {__version__}{'' if library() else ' (without compiled kernels)'}")
        ctx.exit()


@click.group(
    cls=OneLineErrors,
    context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 100},
    epilog=examples("encode photo.jpg", "decode photo.vq", "encode --help"),
)
@click.option("--version", is_flag=True, is_eager=True, expose_value=False, callback=_show_version, help="Show the version and exit.")
def main() -> None:
    """A learned image codec: pictures to small .vq files and back."""
    logging.getLogger("PIL").addHandler(logging.NullHandler())  # what it logs of a damaged picture would be a second line of the error


for command in (encode, decode, info, inspect, models, compare, sample, pack, serve, train, bench):
    main.add_command(command)
