"""The command `vqcodec compare`."""

import json
import math
from io import BytesIO
from pathlib import Path
from typing import Any

import click

from vqcodec.cli.files import STANDARD_STREAM, check_standard_output, input_name, read_bytes
from vqcodec.cli.memory import check_memory
from vqcodec.cli.messages import errors_name
from vqcodec.cli.options import (
    InputPath,
    WholeNumber,
    device_option,
    examples,
    first_frame_option,
    json_option,
    max_pixels_option,
    realism_option,
    tone_map_option,
)
from vqcodec.errors import ImageError
from vqcodec.format.container import MAGIC, SUFFIX, bits_per_pixel


@click.command(epilog=examples("compare photo.vq photo.jpg", "compare --json before.png after.png"))
@click.argument("a", type=InputPath())
@click.argument("b", type=InputPath())
@realism_option
@click.option("--max-maps", type=WholeNumber(min=1), help="Paint .vq files from so many maps at most, from the top on.")
@tone_map_option
@first_frame_option
@max_pixels_option
@device_option
@json_option
def compare(
    a: Path,
    b: Path,
    realism: float,
    max_maps: int | None,
    tone_map: bool,
    first_frame: bool,
    max_pixels: int | None,
    device: str,
    as_json: bool,
) -> None:
    """Compare two pictures: PSNR, MS-SSIM and, where one of them is a .vq file, its size.

    A and B are pictures or .vq files. They are compared as RGB, in sRGB where they have different colour profiles, and without their
    transparency. Of two .vq files, the size of B is shown. In JSON, the PSNR of equal pictures is null.
    """
    check_standard_output()
    check_memory()
    from vqcodec.decoding.files import decode_file
    from vqcodec.decoding.painting import paint
    from vqcodec.images.metrics import ms_ssim, psnr_db
    from vqcodec.images.picture import Picture, in_srgb, read_picture

    if a == b == STANDARD_STREAM:
        raise click.UsageError("only one of the two can be standard input")
    sizes: list[int] = []

    def load(path: Path) -> Picture:
        data, name = read_bytes(path), input_name(path)
        if path.suffix.lower() != SUFFIX and not data.startswith(MAGIC):
            return read_picture(BytesIO(data), name=name, max_pixels=max_pixels, tone_map=tone_map, first_frame=first_frame)
        sizes.append(len(data))
        with errors_name(name):
            return paint([decode_file(data, max_maps=max_maps, device=device, max_pixels=max_pixels)], realism=realism)[0]

    def standard(picture: Picture, path: Path) -> Picture:
        with errors_name(input_name(path)):
            return in_srgb(picture)

    pictures = load(a), load(b)
    if pictures[0].icc_profile != pictures[1].icc_profile:
        pictures = standard(pictures[0], a), standard(pictures[1], b)
    first, second = (picture.rgb for picture in pictures)
    if first.shape != second.shape:
        raise ImageError(
            f"{input_name(a)} has {first.shape[1]}x{first.shape[0]} pixels, {input_name(b)} has {second.shape[1]}x{second.shape[0]}; "
            "expected equal sizes"
        )
    psnr = psnr_db(first, second)
    result: dict[str, Any] = {"psnr_db": psnr if math.isfinite(psnr) else None, "ms_ssim": ms_ssim(first, second)}
    if sizes:
        result["num_bytes"] = sizes[-1]
        result["bpp"] = bits_per_pixel(sizes[-1], first.shape[1], first.shape[0])
    if as_json:
        click.echo(json.dumps(result))
        return
    similarity = "n/a (measured from 161x161 pixels to 33 megapixels)" if result["ms_ssim"] is None else f"{result['ms_ssim']:.5f}"
    size = f"  {result['num_bytes']} bytes  {result['bpp']:.3f} bpp" if sizes else ""
    click.echo(f"PSNR {psnr:.2f} dB  MS-SSIM {similarity}{size}")
