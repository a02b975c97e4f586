"""The command `vqcodec inspect`."""

from pathlib import Path

import click

from vqcodec.cli.files import input_name, picture_output, read_bytes, write_bytes
from vqcodec.cli.memory import check_memory
from vqcodec.cli.messages import errors_name
from vqcodec.cli.options import InputPath, OutputName, device_option, examples, force_option, max_pixels_option, realism_option
from vqcodec.models.devices import needs_torch


@click.command(epilog=examples("inspect photo.vq -o inside.png"))
@click.argument("source", metavar="INPUT", type=InputPath())
@click.option("-o", "--output", required=True, type=OutputName(), help="Picture file to write, or - for a PNG on standard output.")
@realism_option
@max_pixels_option
@device_option
@force_option
def inspect(source: Path, output: str, realism: float, max_pixels: int | None, device: str, force: bool) -> None:
    """Show what is in a .vq file as one picture.

    It holds the decoded picture, the bits by place as heat over it, the pixels that come back exactly, the maps in colour, and the bytes of
    each part. INPUT is a .vq file, or - for standard input.
    """
    check_memory(needs_torch=needs_torch(device))
    import numpy as np

    from vqcodec.codec.inspection import inspect_file
    from vqcodec.images.picture import Picture
    from vqcodec.images.writing import write_picture

    target, suffix = picture_output(output, force=force, source=source)
    data = read_bytes(source)
    with errors_name(input_name(source)):
        inspection = inspect_file(data, None, device, realism=realism, max_pixels=max_pixels)
    write_bytes(target, write_picture(Picture(np.asarray(inspection.sheet())), suffix), force=force)
