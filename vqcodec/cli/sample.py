"""The command `vqcodec sample`."""

import math
import re

import click

from vqcodec.cli.files import picture_output, write_bytes
from vqcodec.cli.memory import check_memory
from vqcodec.cli.options import FiniteFloat, OutputName, WholeNumber, device_option, examples, force_option, model_option
from vqcodec.errors import VqcodecError
from vqcodec.models.devices import needs_torch

_MAX_GRID_SIDE_PX = 16383
"""Longest side of a grid, which is that of WebP; other formats hold more."""

_MAX_SIDE_PX = 4096
"""Longest side of one picture."""


class _Size(click.ParamType[tuple[int, int]]):
    """A size in pixels, written as WIDTHxHEIGHT."""

    name = "WIDTHxHEIGHT"

    def convert(self, value: str | tuple[int, int], param: click.Parameter | None, ctx: click.Context | None) -> tuple[int, int]:
        if isinstance(value, tuple):
            return value
        sides = value.split("x")
        if len(sides) != 2 or not all(re.fullmatch(r"0*[1-9][0-9]{0,3}", side) and int(side) <= _MAX_SIDE_PX for side in sides):
            self.fail(f"{value!r} is no size; expected for example 256x256, with sides of 1..{_MAX_SIDE_PX}", param, ctx)
        return int(sides[0]), int(sides[1])


@click.command(epilog=examples("sample -n 4 -o grid.png", "sample --seed 7 --temperature 0.9 -o grid.png"))
@click.option("-n", "--count", type=WholeNumber(1, 1024), default=16, show_default=True, help="Number of pictures.")
@click.option("-o", "--output", required=True, type=OutputName(), help="Picture file for the grid, or - for standard output.")
@click.option(
    "--temperature",
    type=FiniteFloat(min=0, min_open=True),
    default=1.0,
    show_default=True,
    help="Below 1 draws likelier codes, above 1 less likely ones.",
)
@click.option("--top-k", type=WholeNumber(min=1), help="Draw each code from so many of the most probable ones.")
@click.option("--seed", type=WholeNumber(min=0), default=0, show_default=True, help="The same seed draws the same pictures.")
@click.option("--size", type=_Size(), default="256x256", show_default=True, help="Size of each picture in pixels.")
@click.option("--max-maps", type=WholeNumber(min=1), help="Draw so many maps only, from the top on: coarser pictures, sooner.")
@model_option
@device_option
@force_option
def sample(
    count: int,
    output: str,
    temperature: float,
    top_k: int | None,
    seed: int,
    size: tuple[int, int],
    max_maps: int | None,
    model: str,
    device: str,
    force: bool,
) -> None:
    """Draw new pictures from a model's priors, and write them side by side as one picture."""
    check_memory(needs_torch=needs_torch(device))
    import numpy as np

    from vqcodec.codec.loaded import open_model
    from vqcodec.images.picture import Picture
    from vqcodec.images.writing import write_picture

    target, suffix = picture_output(output, force=force)
    width, height = size
    columns = math.ceil(math.sqrt(count))
    rows = math.ceil(count / columns)
    if max(columns * width, rows * height) > _MAX_GRID_SIDE_PX:
        raise VqcodecError(f"the grid would have {columns * width}x{rows * height} pixels, expected sides of {_MAX_GRID_SIDE_PX} at most")
    codec = open_model(model, device=device)
    pictures = codec.sample(count, size=size, num_maps=max_maps, temperature=temperature, top_k=top_k, seed=seed)
    grid = np.zeros((rows * height, columns * width, 3), np.uint8)
    for number, picture in enumerate(pictures):
        top, left = number // columns * height, number % columns * width
        grid[top : top + height, left : left + width] = np.asarray(picture)
    write_bytes(target, write_picture(Picture(grid), suffix), force=force)
