"""The command `vqcodec info`."""

import json
import sys
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING

import click

from vqcodec.cli.files import check_standard_output, input_name, read_bytes
from vqcodec.cli.folders import find_files
from vqcodec.cli.messages import errors_name, one_line, tell
from vqcodec.cli.options import examples, inputs_argument, json_option
from vqcodec.errors import VqcodecError
from vqcodec.format.container import SUFFIX
from vqcodec.format.octaves import PLAIN_SHARPNESS

if TYPE_CHECKING:
    from vqcodec.info import FileInfo, MapInfo


@click.command(epilog=examples("info photo.vq", "info small/ --recursive --json"))
@inputs_argument
@click.option("-r", "--recursive", is_flag=True, help="Take .vq files in folders below a folder, too.")
@json_option
def info(inputs: tuple[Path, ...], recursive: bool, as_json: bool) -> None:
    """Describe .vq files: their size, their model, their maps and their layers. Nothing is decoded.

    An INPUT is a .vq file, a folder of .vq files, or - for standard input.
    """
    from vqcodec.info import read_info

    check_standard_output()
    found = find_files(inputs, frozenset([SUFFIX]), recursive=recursive)
    is_one = len(found.files) == 1 and not found.of_folder
    for note in found.notes():
        tell(note)
    failed = 0
    for file in found.files:
        try:
            data = read_bytes(file.path)
            with errors_name(input_name(file.path)):
                description = read_info(data)
        except VqcodecError as error:
            failed += 1
            tell(str(error))
            if as_json:
                click.echo(json.dumps({"input": str(file.path), "error": str(error)}))
            continue
        if as_json:
            click.echo(json.dumps({"input": str(file.path), **asdict(description)}))
        else:
            _show(description, "" if is_one else f"{one_line(str(file.path))}: ")
    if failed:
        if not is_one:
            tell(f"{failed} of {len(found.files)} files failed")
        sys.exit(1)


def _sharpness_of(entry: "MapInfo") -> str:
    return "" if entry.sharpness == PLAIN_SHARPNESS else f", sharpness {entry.sharpness}/{PLAIN_SHARPNESS}"


def _show(description: "FileInfo", name: str) -> None:
    """Prints a description for people, the first line of which begins with `name`."""
    click.echo(
        f"{name}{description.width}x{description.height} {description.mode}  {description.num_bytes} bytes  {description.bpp:.3f} bpp  "
        f"model {description.model}  format {description.format_version}"
    )
    for entry in description.maps:
        click.echo(
            f"  {entry.name:<10} {entry.width}x{entry.height} codes  {entry.num_bytes:>8} bytes  "
            f"{entry.bits_per_code:.3f} bits/code  {entry.coder}{_sharpness_of(entry)}"
        )
    for layer in description.layers:
        click.echo(f"  {layer.title:<31} {layer.num_bytes:>5} bytes  {layer.share:.1%} of the picture")
    if description.metadata_bytes:
        click.echo(f"  transparency, profile, EXIF, XMP  {description.metadata_bytes} bytes")
