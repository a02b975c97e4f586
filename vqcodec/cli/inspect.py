"""`vqcodec info`, `vqcodec models` and `vqcodec compare`."""

import json
import math
from dataclasses import asdict
from io import BytesIO
from pathlib import Path
from typing import Any

import click

from vqcodec.cli.files import STANDARD_STREAM, read_bytes
from vqcodec.cli.options import InputPath, one_line
from vqcodec.errors import ImageError, VqcodecError
from vqcodec.format.container import MAGIC, SUFFIX
from vqcodec.images.metrics import bits_per_pixel, ms_ssim, psnr_db
from vqcodec.info import read_info
from vqcodec.models.registry import list_models

_json = click.option("--json", "as_json", is_flag=True, help="Print JSON, one object a line.")


@click.command()
@click.argument("file", type=InputPath())
@_json
def info(file: Path, as_json: bool) -> None:
    """Describe a .vq file: size, model, maps."""
    data = read_bytes(file)
    try:
        description = read_info(data)
    except VqcodecError as error:
        raise type(error)(f"{file}: {error}") from error
    if as_json:
        click.echo(json.dumps(asdict(description)))
        return
    click.echo(
        f"{description.width}x{description.height} {description.mode}  {description.num_bytes} bytes  {description.bpp:.3f} bpp  "
        f"model {description.model}  format {description.format_version}"
    )
    for level in description.maps:
        click.echo(
            f"  {level.name:<10} {level.height}x{level.width} codes  {level.num_bytes:>8} bytes  "
            f"{level.bits_per_code:.3f} bits/code  {level.coder}"
        )
    if description.metadata_bytes:
        click.echo(f"  transparency and colour profile  {description.metadata_bytes} bytes")


@click.command()
@_json
def models(as_json: bool) -> None:
    """List the installed models, and those in the folders that VQCODEC_MODELS names."""
    rows: list[dict[str, Any]] = [
        {
            "id": config.id,
            "number": config.number,
            "parameters": config.parameters,
            "num_bytes": config.weights_path.stat().st_size if config.weights_path.exists() else 0,
            "weights_sha256": config.weights_sha256,
            "folder": str(config.folder),
        }
        for config in list_models(lambda error: click.echo(one_line(f"vqcodec: left out: {error}"), err=True))
    ]
    for row in rows:
        if as_json:
            click.echo(json.dumps(row))
        else:
            click.echo(
                f"{row['id']:<16} {row['parameters'] / 1e6:.2f} M parameters  {row['num_bytes'] / 2**20:.1f} MiB  "
                f"sha256 {row['weights_sha256'][:16]}"
            )


@click.command()
@click.argument("a", type=InputPath())
@click.argument("b", type=InputPath())
@_json
def compare(a: Path, b: Path, as_json: bool) -> None:
    """Compare two pictures, either of which may be a .vq file: PSNR, MS-SSIM and, for a .vq file, its size.

    Pixels are compared as RGB; transparency is not. Of two .vq files, B's size is given. In JSON, the PSNR of equal pictures is null.
    """
    from vqcodec.decoding import decode_file, paint
    from vqcodec.images.picture import Picture, read_picture

    if a == b == STANDARD_STREAM:
        raise click.UsageError("only one of the two can be standard input")
    sizes: list[int] = []

    def load(path: Path) -> Picture:
        data, name = read_bytes(path), "standard input" if path == STANDARD_STREAM else str(path)
        if path.suffix.lower() != SUFFIX and not data.startswith(MAGIC):
            return read_picture(BytesIO(data), name=name)
        sizes.append(len(data))
        try:
            return paint([decode_file(data)])[0]
        except VqcodecError as error:
            raise type(error)(f"{name}: {error}") from error

    first, second = load(a).rgb, load(b).rgb
    if first.shape != second.shape:
        raise ImageError(
            f"{a} is {first.shape[1]}x{first.shape[0]} pixels, {b} is {second.shape[1]}x{second.shape[0]}; expected equal sizes"
        )
    psnr = psnr_db(first, second)
    result: dict[str, Any] = {"psnr_db": psnr if math.isfinite(psnr) else None, "ms_ssim": ms_ssim(first, second)}
    if sizes:
        result["num_bytes"] = sizes[-1]
        result["bpp"] = bits_per_pixel(sizes[-1], first.shape[1], first.shape[0])
    if as_json:
        click.echo(json.dumps(result))
        return
    similarity = (
        "n/a (defined from 161x161 pixels on, and taken up to 33 megapixels)" if result["ms_ssim"] is None else f"{result['ms_ssim']:.5f}"
    )
    size = f"  {result['num_bytes']} bytes  {result['bpp']:.3f} bpp" if sizes else ""
    click.echo(f"PSNR {psnr:.2f} dB  MS-SSIM {similarity}{size}")
