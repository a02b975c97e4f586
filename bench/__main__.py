"""`python -m bench COMMAND`: everything that is measured in this project, and the documents that show it."""

from pathlib import Path

import click

from bench.codes import run_codes
from bench.colour import run_colour
from bench.datasets import run_datasets
from bench.figures import write_figures
from bench.graphics.captions import SET, run_captions
from bench.graphics.measure import run_graphics
from bench.large import run_block_codes, run_large
from bench.model import run_model
from bench.options import images_option, model_option, out_option
from bench.page import draw_page
from bench.photos import write_photos
from bench.pictures import draw_crops, draw_demo, draw_inside, draw_samples
from bench.pillow import run_pillow
from bench.ray import run_ray
from bench.rd import run_rd, run_report
from bench.reliability import run_kills, run_memory
from bench.semantics import run_semantics
from bench.speed.commands import COMMANDS
from bench.training import run_training
from vqcodec.cli.messages import OneLineErrors
from vqcodec.cli.options import FiniteFloat, device_option


@click.group(cls=OneLineErrors)
def main() -> None:
    """Measure vqcodec."""


for _command in COMMANDS:
    main.add_command(_command)


@main.command()
@images_option
@model_option
def codes(images: str, model: str) -> None:
    """Measure the bits a code of each map.

    Writes bench/results/codes-MODEL.json, or codes-MODEL-SET.json of other images than Kodak.
    """
    run_codes(images, model)


@main.command()
@images_option
@model_option
def colour(images: str, model: str) -> None:
    """Measure whether large areas keep their colour.

    Prints the colour errors of 64x64 blocks and the worst one in levels, of AVIF at equal bytes too.

    Writes bench/results/colour-MODEL.json, or colour-MODEL-SET.json of other images than Kodak.
    """
    run_colour(images, model)


@main.command()
@model_option
def crops(model: str) -> None:
    """Draw details of photos by every codec.

    All codecs have as many bytes. Writes bench/results/plots/crops-MODEL.webp and gain-MODEL.webp.
    """
    draw_crops(model)


@main.command()
@model_option
@click.option("--count", default=192, show_default=True, type=click.IntRange(min=96), help="Number of pictures.")
def datasets(model: str, count: int) -> None:
    """Measure what training reads in a second.

    Codes from shards, painted pictures, PNG and JPEG, by two workers. Writes bench/results/datasets-MODEL.json.
    """
    run_datasets(model, count)


@main.command()
@model_option
def page(model: str) -> None:
    """Draw the page of vqcodec serve by a browser.

    Writes bench/results/plots/page.webp.
    """
    draw_page(model)


@main.command()
@click.option("--out", default="demo", type=click.Path(path_type=Path), show_default=True)
def demo(out: Path) -> None:
    """Encode and decode a photo of a cat."""
    draw_demo(out)


@main.command()
@click.option("--check", is_flag=True, help="Change nothing; fail where a table is out of date.")
def figures(check: bool) -> None:
    """Write the tables of the documents anew."""
    write_figures(check=check)


@main.command()
@model_option
@click.option("--only", default="", help="Names of pictures, separated by commas; default all. With names, nothing is written.")
def graphics(model: str, only: str) -> None:
    """Measure pictures that are no photos.

    Compares vqcodec with WebP and AVIF at equal bytes. Writes bench/results/graphics-MODEL.json.
    """
    run_graphics(model, [name.strip() for name in only.split(",") if name.strip()])


@main.command()
@click.option("--images", default=SET, show_default=True, help="kodak, wheels or a folder.")
@model_option
def captions(images: str, model: str) -> None:
    """Measure what a caption on a photo costs.

    Prints bytes at each quality as a share of those of the photo and 1.05 times those of the caption as lossless WebP. Writes
    bench/results/captions-MODEL.json, or captions-MODEL-SET.json of other images than those of wheels.
    """
    run_captions(images, model)


@main.command()
@click.option("--megapixels", type=FiniteFloat(0.1, 134), multiple=True, default=(4, 12, 25, 100), show_default=True)
@click.option("--codes", is_flag=True, help="Count codes instead that are others by blocks than in one pass, on 4 megapixels.")
@click.option("--graphics", is_flag=True, help="Measure pictures of text and photos instead of photos alone.")
@model_option
def large(megapixels: tuple[float, ...], codes: bool, graphics: bool, model: str) -> None:
    """Measure CPU seconds and memory by the size of pictures.

    Regions of 256x256 pixels are measured, too. Prints a line of JSON for each size.
    """
    if codes:
        run_block_codes(4, model)
    else:
        run_large(megapixels, model, is_screen=graphics)


@main.command()
@model_option
def inside(model: str) -> None:
    """Draw what is in a file, for docs/how.md.

    Writes bench/results/plots/inside-*.webp.
    """
    draw_inside(model)


@main.command()
@model_option
@click.option("--count", default=60, show_default=True, type=click.IntRange(min=2), help="Kills in all, half of encode and half of decode.")
@click.option("--signal", "name", default="KILL", show_default=True, type=click.Choice(["KILL", "TERM", "INT"]))
@click.option("--seed", default=0, show_default=True, help="Seed of the moments.")
@click.option("--jobs", "processes", default=1, show_default=True, type=click.IntRange(min=1), help="As of vqcodec encode.")
def kills(model: str, count: int, name: str, seed: int, processes: int) -> None:
    """Kill encode and decode of a folder.

    Fails if there is a partial file, or if a rerun does not give the bytes of an undisturbed run.
    """
    run_kills(model, count, name, seed, processes)


@main.command()
@model_option
@click.option("--count", default=2000, show_default=True, type=click.IntRange(min=1), help="Pictures.")
@click.option("--every", default=200, show_default=True, type=click.IntRange(min=1), help="Pictures between two lines.")
def memory(model: str, count: int, every: int) -> None:
    """Measure memory over pictures of many sizes.

    Encodes and decodes them in one process.
    """
    run_memory(model, count, every)


@main.command()
@images_option
@model_option
def model(images: str, model: str) -> None:
    """Measure a model along its dials.

    Prints bytes, PSNR, LPIPS and DISTS. Writes nothing.
    """
    run_model(images, model)


@main.command()
@click.option("--out", required=True, type=click.Path(path_type=Path, file_okay=False), help="Folder to write.")
@click.option("--count", default=40, show_default=True, type=click.IntRange(min=2), help="Number of pictures in all.")
@click.option("--size", default=272, show_default=True, type=click.IntRange(8, 300), help="Side of a picture in pixels.")
def photos(out: Path, count: int, size: int) -> None:
    """Cut photos that ship in wheels into many, to try out training.

    Writes the folders training and held-out, which share no photo.
    """
    write_photos(out, count, size)


@main.command()
@model_option
@click.option("--count", default=100, show_default=True, type=click.IntRange(min=6), help="Files in the folder.")
def pillow(model: str, count: int) -> None:
    """Measure what Pillow needs.

    Opens a file of 100 megapixels, and makes thumbnails of a folder. Writes bench/results/pillow-MODEL.json.
    """
    run_pillow(model, count)


@main.command()
@model_option
@click.option("--count", default=320, show_default=True, type=click.IntRange(min=32), help="Number of pictures.")
def ray(model: str, count: int) -> None:
    """Time bulk encoding by Ray Data and by --jobs.

    Both have two CPUs, and their files are compared. Writes bench/results/ray-MODEL.json.
    """
    run_ray(model, count)


@main.command()
@images_option
@click.option("--codecs", default="", help="Names, separated by commas; default all that are installed.")
@click.option("--jobs", default=1, show_default=True, type=click.IntRange(min=1), help="Tasks at a time, each on its share of the cores.")
@click.option("--viewed", default=3, show_default=True, type=click.IntRange(min=0), help="Keep views of the first images for the report.")
@out_option
def rd(images: str, codecs: str, jobs: int, viewed: int, out: Path) -> None:
    """Measure rate and distortion of all codecs.

    Adds to bench/results/rd-SET.jsonl what it does not hold yet: codecs x images x settings.
    """
    run_rd(images, [name.strip() for name in codecs.split(",") if name.strip()], jobs, viewed, out)


@main.command()
@click.option("--images", default="kodak", show_default=True, help="As of rd, whose result files are read.")
@out_option
def report(images: str, out: Path) -> None:
    """Write plots and a report from what rd measured."""
    run_report(images, out)


@main.command()
@model_option
@click.option("--temperature", type=FiniteFloat(min=0, min_open=True), default=1.0, show_default=True)
def samples(model: str, temperature: float) -> None:
    """Draw pictures from the priors.

    Writes models/MODEL/samples.jpg, for the model card.
    """
    draw_samples(model, temperature)


@main.command()
@click.option(
    "--data",
    type=click.Path(path_type=Path, exists=True),
    help="Photos: a folder or a .tar shard; default ../shared/data/val.tar, else those in wheels.",
)
@click.option("--cache", default="bench/out/cache", type=click.Path(path_type=Path), show_default=True, help="Folder for decoded pixels.")
def semantics(data: Path | None, cache: Path) -> None:
    """Measure whether a classifier sees the same.

    Writes bench/results/semantics-SET.json.
    """
    run_semantics(data, cache)


@main.command()
@model_option
@device_option
@click.option("--steps", default=1, show_default=True, type=click.IntRange(min=1), help="Number of steps that are timed.")
def training(model: str, device: str, steps: int) -> None:
    """Count and time a step of training.

    Prints, for the recipe of a model, operations and bytes of each part of a step, and crops a second. Writes
    bench/results/training-MODEL.json.
    """
    run_training(model, device, steps)


if __name__ == "__main__":  # processes of encode --jobs import this module, too
    main()
