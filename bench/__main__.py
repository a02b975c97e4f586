"""`python -m bench COMMAND`: everything that is measured here, and the documents that show it."""

from pathlib import Path

import click

from bench.codes import run_codes
from bench.crops import run_crops
from bench.demo import run_demo
from bench.dial import run_dial
from bench.figures import write_figures
from bench.images import default_set
from bench.kodak import run_kodak
from bench.rd import run_rd, run_report
from bench.realism import run_realism
from bench.samples import run_samples
from bench.semantics import run_semantics
from bench.speed import run_speed
from vqcodec.cli.messages import OneLineErrors
from vqcodec.cli.options import FiniteFloat
from vqcodec.models.registry import DEFAULT_MODEL


@click.group(cls=OneLineErrors)
def main() -> None:
    """Measure vqcodec."""


@main.command()
@click.option("--out", default="demo", type=click.Path(path_type=Path), show_default=True)
def demo(out: Path) -> None:
    """Encode and decode a photo that ships with scikit-image."""
    run_demo(out)


_PHOTOS = click.Path(path_type=Path, exists=True)
_images = click.option("--images", default=default_set, help="kodak, wheels or a folder; default kodak, or wheels where it is absent.")
_out = click.option("--out", default="bench/out", show_default=True, type=click.Path(path_type=Path), help="For what is not kept in git.")


@main.command()
@_images
@click.option("--codecs", default="", help="Names, separated by commas; default all that are installed.")
@click.option("--jobs", default=1, show_default=True, type=click.IntRange(min=1), help="Tasks at a time, each on its share of the cores.")
@click.option("--viewed", default=3, show_default=True, type=click.IntRange(min=0), help="Keep views of the first images for the report.")
@_out
def rd(images: str, codecs: str, jobs: int, viewed: int, out: Path) -> None:
    """Measure codecs x images x settings; adds to bench/results/rd-SET.jsonl."""
    run_rd(images, [name.strip() for name in codecs.split(",") if name.strip()], jobs, viewed, out)


@main.command()
@click.option("--images", default="kodak", show_default=True, help="As of rd, whose result files are read.")
@_out
def report(images: str, out: Path) -> None:
    """Write plots and report.html from the result files."""
    run_report(images, out)


@main.command()
@click.option("--data", type=_PHOTOS, help="Photos: a folder or a .tar shard; default ../shared/data/val.tar, else those in wheels.")
@click.option("--cache", default="bench/out/cache", type=click.Path(path_type=Path), show_default=True)
def semantics(data: Path | None, cache: Path) -> None:
    """Measure whether a classifier agrees with itself after compression; writes bench/results/semantics-SET.json."""
    run_semantics(data, cache)


@main.command()
@_images
@click.option("--model", default=DEFAULT_MODEL, show_default=True)
def kodak(images: str, model: str) -> None:
    """Measure a model's prefixes; writes bench/results/kodak-MODEL.json, or kodak-MODEL-SET.json of other images than Kodak."""
    run_kodak(images, model)


@main.command()
@_images
@click.option("--model", default=DEFAULT_MODEL, show_default=True)
def dial(images: str, model: str) -> None:
    """Measure a model's dial; writes bench/results/dial-MODEL.json, or dial-MODEL-SET.json of other images than Kodak."""
    run_dial(images, model)


@main.command()
@_images
@click.option("--model", default=DEFAULT_MODEL, show_default=True)
def realism(images: str, model: str) -> None:
    """Measure a model's two decoders and mixtures; writes bench/results/realism-MODEL.json."""
    run_realism(images, model)


@main.command()
@_images
@click.option("--model", default=DEFAULT_MODEL, show_default=True)
def codes(images: str, model: str) -> None:
    """Measure bits a code of each map; writes bench/results/codes-MODEL.json, or codes-MODEL-SET.json of other images than Kodak."""
    run_codes(images, model)


@main.command()
@click.option("--model", default=DEFAULT_MODEL, show_default=True)
@click.option("--temperature", type=FiniteFloat(min=0, min_open=True), default=1.0, show_default=True)
def samples(model: str, temperature: float) -> None:
    """Draw pictures from the priors for the model card; writes models/MODEL/samples.jpg."""
    run_samples(model, temperature)


@main.command()
@click.option("--model", default=DEFAULT_MODEL, show_default=True)
def crops(model: str) -> None:
    """Show details of photos by every codec in the same bytes; writes bench/results/plots/crops-MODEL.webp."""
    run_crops(model)


@main.command()
@click.option("--model", default=DEFAULT_MODEL, show_default=True)
@click.option(
    "--peers", type=click.Path(path_type=Path, exists=True, dir_okay=False), help="Python that has CompressAI; see bench/peers_env.sh."
)
def speed(model: str, peers: Path | None) -> None:
    """Time encode and decode; writes bench/results/speed-MODEL.json."""
    run_speed(model, peers)


@main.command()
@click.option("--check", is_flag=True, help="Change nothing; fail where a figure is out of date.")
def figures(check: bool) -> None:
    """Write the figures of README and model cards from the result files."""
    write_figures(check=check)


main()
