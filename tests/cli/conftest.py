"""Runs the command line as its tests need it, and makes pictures for it."""

from pathlib import Path

import pytest
from click.testing import CliRunner, Result
from PIL import Image

from tests.conftest import make_picture
from vqcodec.cli import main


def run(*args: object, stdin: bytes | None = None) -> Result:
    """Runs a command in this process. Errors that no user should see fail the test."""
    result = CliRunner().invoke(main, [str(arg) for arg in args], input=stdin)
    assert result.exception is None or isinstance(result.exception, SystemExit), result.exception
    return result


def save_pictures(folder: Path, count: int, width: int, height: int) -> Path:
    """Makes a folder with PNGs called `0.png`, `1.png`, ..."""
    folder.mkdir()
    for number in range(count):
        Image.fromarray(make_picture(width, height, number)).save(folder / f"{number}.png")
    return folder


@pytest.fixture
def picture(tmp_path: Path) -> Path:
    """Returns the path of a picture of 200x180 pixels, `photo.png`."""
    path = tmp_path / "photo.png"
    Image.fromarray(make_picture(200, 180)).save(path)
    return path


def encoded(picture: Path, model: str, *options: object) -> Path:
    """Encodes a picture at the best quality, and returns the path of the .vq file beside it."""
    assert run("encode", picture, "-m", model, "-q", 100, "-f", *options).exit_code == 0
    return picture.with_suffix(".vq")
