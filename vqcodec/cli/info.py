"""The command `vqcodec info`."""

import json
from dataclasses import asdict
from pathlib import Path

import click

from vqcodec.cli.files import input_name, read_bytes
from vqcodec.cli.messages import errors_name
from vqcodec.cli.options import InputPath, json_option


@click.command()
@click.argument("file", type=InputPath())
@json_option
def info(file: Path, as_json: bool) -> None:
    """Describe a .vq file: its size, its model, its maps and its layers. Nothing is decoded."""
    from vqcodec.info import read_info

    data = read_bytes(file)
    with errors_name(input_name(file)):
        description = read_info(data)
    if as_json:
        click.echo(json.dumps(asdict(description)))
        return
    click.echo(
        f"{description.width}x{description.height} {description.mode}  {description.num_bytes} bytes  {description.bpp:.3f} bpp  "
        f"model {description.model}  format {description.format_version}"
    )
    for entry in description.maps:
        click.echo(
            f"  {entry.name:<10} {entry.height}x{entry.width} codes  {entry.num_bytes:>8} bytes  "
            f"{entry.bits_per_code:.3f} bits/code  {entry.coder}"
        )
    for layer in description.layers:
        what = {"exact": "exact pixels", "avif": "AVIF picture", "colour": "colour layer"}[layer.name]
        click.echo(f"  {what:<31} {layer.num_bytes:>5} bytes  {layer.share:.1%} of the picture")
    if description.metadata_bytes:
        click.echo(f"  transparency, profile, EXIF, XMP  {description.metadata_bytes} bytes")
