"""Checks the options of commands that concern layers: --exact, --no-layers, and what `info` tells."""

import json
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from tests.cli.conftest import run
from tests.unit.rate.test_graphics import text


@pytest.fixture
def drawing(tmp_path: Path) -> Path:
    """Returns the path of a picture of text, `text.png`."""
    path = tmp_path / "text.png"
    Image.fromarray(text((96, 48))).save(path)
    return path


def pixels(path: Path) -> "np.ndarray[tuple[int, ...], np.dtype[np.uint8]]":
    with Image.open(path) as image:
        return np.asarray(image)


def test_exact_all_is_lossless_for_photos_too(picture: Path, small_model: str, tmp_path: Path) -> None:
    back = tmp_path / "back.png"
    assert run("encode", picture, "-m", small_model, "--exact", "all", "--verify").exit_code == 0
    assert run("decode", picture.with_suffix(".vq"), "-o", back).exit_code == 0
    assert np.array_equal(pixels(back), pixels(picture))
    told = run("info", picture.with_suffix(".vq")).stdout
    assert "  exact pixels " in told and "100.0% of the picture" in told and "AVIF" not in told


def test_exact_pixels_by_default_and_codes_alone(drawing: Path, small_model: str, tmp_path: Path) -> None:
    file, back = drawing.with_suffix(".vq"), tmp_path / "back.png"
    for options, is_exact in [((), True), (("--no-layers",), False), (("--no-layers", "--exact", "off"), False)]:
        assert run("encode", drawing, "-m", small_model, "-f", *options).exit_code == 0
        assert run("decode", file, "-o", back, "-f").exit_code == 0
        assert np.array_equal(pixels(back), pixels(drawing)) == is_exact
        layers = json.loads(run("info", file, "--json").stdout)["layers"]
        assert [(one["name"], one["share"]) for one in layers] == ([("exact", 1.0)] if is_exact else [])
        assert ("exact pixels" in run("info", file).stdout) == is_exact


def test_decode_without_layers(drawing: Path, small_model: str, tmp_path: Path) -> None:
    file, back = drawing.with_suffix(".vq"), tmp_path / "back.png"
    assert run("encode", drawing, "-m", small_model).exit_code == 0
    assert run("decode", file, "-o", back, "--no-layers").exit_code == 0
    assert pixels(back).shape == (48, 96, 3) and not np.array_equal(pixels(back), pixels(drawing))


def test_exact_off_stores_no_exact_pixels(drawing: Path, small_model: str) -> None:
    assert run("encode", drawing, "-m", small_model, "--exact", "off").exit_code == 0
    layers = json.loads(run("info", drawing.with_suffix(".vq"), "--json").stdout)["layers"]
    assert "exact" not in [one["name"] for one in layers]


def test_options_that_exclude_each_other(drawing: Path) -> None:
    result = run("encode", drawing, "--no-layers", "--exact", "all")
    assert result.exit_code == 2 and "--no-layers leaves out what --exact all asks for" in result.stderr
    result = run("encode", drawing, "--exact", "most")
    assert result.exit_code == 2 and "'most' is not one of 'auto', 'off', 'all'" in result.stderr
    assert not drawing.with_suffix(".vq").exists()


def test_a_lossless_file_that_does_not_fit(drawing: Path, small_model: str) -> None:
    result = run("encode", drawing, "-m", small_model, "--exact", "all", "--max-bytes", 50)
    assert result.exit_code == 1 and "does not fit into 50 bytes: the lossless file has" in result.stderr
    assert len(result.stderr.splitlines()) == 1
