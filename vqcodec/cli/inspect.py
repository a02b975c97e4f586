"""The command `vqcodec inspect`."""

from pathlib import Path

import click

from vqcodec.cli.files import STANDARD_STREAM, input_name, output_path, read_bytes, refuse_overwrite, write_bytes
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

    target = output_path(output)
    refuse_overwrite(target, force=force, source=source)
    suffix = ".png" if target == STANDARD_STREAM else target.suffix
    write_picture(Picture(np.zeros((1, 1, 3), np.uint8)), suffix)  # a file that cannot be written is told before anything is decoded
    data = read_bytes(source)
    with errors_name(input_name(source)):
        inspection = inspect_file(data, None, device, realism=realism, max_pixels=max_pixels)
    write_bytes(target, write_picture(Picture(np.asarray(inspection.sheet())), suffix), force=force)
