"""The command line as tests call it, and a picture for it."""

from pathlib import Path

import pytest
from click.testing import CliRunner, Result
from PIL import Image

from tests.conftest import make_picture
from vqcodec.cli import main


def run(*args: object, stdin: bytes | None = None) -> Result:
    result = CliRunner().invoke(main, [str(arg) for arg in args], input=stdin)
    assert result.exception is None or isinstance(result.exception, SystemExit), result.exception
    return result


def save_pictures(folder: Path, count: int, width: int, height: int) -> Path:
    folder.mkdir()
    for number in range(count):
        Image.fromarray(make_picture(width, height, number)).save(folder / f"{number}.png")
    return folder


@pytest.fixture
def picture(tmp_path: Path) -> Path:
    path = tmp_path / "photo.png"
    Image.fromarray(make_picture(200, 180)).save(path)
    return path


def encoded(picture: Path, model: str, *options: object) -> Path:
    assert run("encode", picture, "-m", model, "-q", 100, "-f", *options).exit_code == 0
    return picture.with_suffix(".vq")
