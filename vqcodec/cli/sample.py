"""`vqcodec sample`."""

import math
import re

import click

from vqcodec.cli.files import STANDARD_STREAM, named_output, refuse_overwrite, write_bytes
from vqcodec.cli.options import FiniteFloat, OutputName
from vqcodec.errors import VqcodecError
from vqcodec.models.registry import DEFAULT_MODEL

_MAX_GRID_SIDE_PX = 16383
"""What WebP can hold; JPEG holds four times as much."""

_MAX_SIDE_PX = 4096


class _Size(click.ParamType[tuple[int, int]]):
    """WIDTHxHEIGHT in pixels."""

    name = "WIDTHxHEIGHT"

    def convert(self, value: str | tuple[int, int], param: click.Parameter | None, ctx: click.Context | None) -> tuple[int, int]:
        if isinstance(value, tuple):
            return value
        sides = value.split("x")
        if len(sides) != 2 or not all(re.fullmatch(r"0*[1-9][0-9]{0,3}", side) and int(side) <= _MAX_SIDE_PX for side in sides):
            self.fail(f"{value!r}, expected for example 256x256, sides of 1..{_MAX_SIDE_PX}", param, ctx)
        return int(sides[0]), int(sides[1])


@click.command()
@click.option("-n", "--count", type=click.IntRange(1, 1024), default=16, show_default=True, help="Pictures to draw.")
@click.option("-o", "--output", required=True, type=OutputName(), help="The grid, a picture file, or - for standard output.")
@click.option("--temperature", type=FiniteFloat(min=0, min_open=True), default=1.0, show_default=True)
@click.option("--top-k", type=click.IntRange(min=1), help="Draw from the so many most probable codes alone.")
@click.option("--seed", type=click.IntRange(min=0), default=0, show_default=True)
@click.option("--size", type=_Size(), default="256x256", show_default=True, help="Of each picture.")
@click.option("--max-maps", type=click.IntRange(min=1), help="Draw the first maps only.")
@click.option("-m", "--model", default=DEFAULT_MODEL, show_default=True, help="Id of an installed model, or a model folder.")
@click.option("--device", type=click.Choice(["auto", "cpu", "cuda"]), default="auto", show_default=True)
@click.option("-f", "--force", is_flag=True, help="Overwrite an existing output.")
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
    """Draw new pictures from a model's priors, side by side in one grid."""
    import numpy as np

    from vqcodec.coding.sampling import Sampler, sample_pictures
    from vqcodec.images.picture import Picture, write_picture
    from vqcodec.models.registry import open_model

    target = named_output(output)
    refuse_overwrite(target, force=force)
    suffix = ".png" if target == STANDARD_STREAM else target.suffix
    write_picture(Picture(np.zeros((1, 1, 3), np.uint8)), suffix)  # a file that holds no colours is refused before anything is drawn
    width, height = size
    columns = math.ceil(math.sqrt(count))
    rows = math.ceil(count / columns)
    if max(columns * width, rows * height) > _MAX_GRID_SIDE_PX:
        raise VqcodecError(f"a grid of {columns * width}x{rows * height} pixels; sides of at most {_MAX_GRID_SIDE_PX} are written")
    sampler = Sampler(temperature=temperature, top_k=top_k, seed=seed)
    pictures = sample_pictures(open_model(model, device=device), count, width=width, height=height, num_maps=max_maps, sampler=sampler)
    grid = np.zeros((rows * height, columns * width, 3), np.uint8)
    for number, picture in enumerate(pictures):
        top, left = number // columns * height, number % columns * width
        grid[top : top + height, left : left + width] = picture
    write_bytes(target, write_picture(Picture(grid), suffix), force=force)
