"""Options and helpers that several commands of `vqcodec train` share."""

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Final

import click

from vqcodec.cli.messages import tell
from vqcodec.cli.options import WholeNumber
from vqcodec.errors import ModelError, VqcodecError
from vqcodec.nn.threads import MAX_THREADS

if TYPE_CHECKING:
    from vqcodec.training.data import PhotoSet

_MAX_TOLD_SKIPS: Final = 5
"""Most unreadable pictures that are told by name."""
_PROGRESS_PHOTOS: Final = 500
"""Number of decoded photos from one progress message to the next."""

existing_path = click.Path(path_type=Path, exists=True)
existing_folder = click.Path(path_type=Path, exists=True, file_okay=False)
data_option = click.option(
    "--data",
    multiple=True,
    type=existing_path,
    help="Folder of .tar shards, or folder of pictures, including those in folders below it, or one shard. May be given several times.",
)
held_out_photos_option = click.option("--val", type=existing_path, help="Held-out photos, named as for --data.")
out_option = click.option("--out", required=True, type=click.Path(path_type=Path, file_okay=False), help="Folder to write.")
cache_option = click.option(
    "--cache",
    type=click.Path(path_type=Path),
    help="Folder for the decoded pixels, which several runs may share. The default is cache in --out, or in --run where there is one.",
)
threads_option = click.option("--threads", type=WholeNumber(1, MAX_THREADS), help="Number of CPU threads; all by default.")


def load_photos(paths: tuple[Path, ...], cache: Path) -> "PhotoSet":
    """Loads photos through a cache, telling how far it is and which pictures cannot be read.

    Raises:
        click.UsageError: There are no paths.
        ImageError: The paths hold no readable picture.
    """
    from vqcodec.training import data

    if not paths:
        raise click.UsageError("--data is missing")
    num_skipped = 0

    def on_progress(number: int) -> None:
        if number == 1:
            tell(f"decoding photos into {cache}")
        elif number % _PROGRESS_PHOTOS == 0:
            tell(f"decoded {number} photos")

    def on_skipped(error: VqcodecError) -> None:
        nonlocal num_skipped
        num_skipped += 1
        if num_skipped <= _MAX_TOLD_SKIPS:
            tell(f"{error}; skipped")

    photos = data.load_photos([source for path in paths for source in data.find_sources(path)], cache, on_progress, on_skipped)
    if num_skipped > _MAX_TOLD_SKIPS:
        tell(f"{num_skipped} unreadable pictures were skipped in all")
    return photos


@contextmanager
def training_errors() -> Iterator[None]:
    """Turns what does not fit the data, or is not installed, into an error that is shown as one line.

    Raises:
        ModelError: The block raised an ImportError, ValueError or OverflowError, which this stands for.
    """
    try:
        yield
    except (ImportError, ValueError, OverflowError) as error:
        raise ModelError(str(error)) from error


def set_threads(threads: int | None) -> None:
    """Sets the number of CPU threads, where one is given."""
    import torch

    if threads is not None:
        torch.set_num_threads(threads)


def require_lpips() -> None:
    """Checks that the weights of LPIPS are installed, before anything that takes long.

    Raises:
        ModelError: The weights are not installed.
    """
    from vqcodec.images.lpips import weights_path

    with training_errors():
        weights_path("vgg")
