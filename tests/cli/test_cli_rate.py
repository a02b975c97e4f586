"""Checks the options of `encode` that decide how large files are and what bytes are spent on."""

import json
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

import vqcodec
from tests.cli.conftest import run
from tests.conftest import make_picture


def test_limits_of_bytes(picture: Path, small_model: str, tmp_path: Path) -> None:
    other = tmp_path / "small.png"
    Image.fromarray(make_picture(16, 16)).save(other)
    coarsest = ("encode", picture, "-m", small_model, "--maps", 1, "--lambda", 1e6, "--no-layers", "--json", "-f")
    smallest = min(json.loads(run(*coarsest, "--tune", tune).stdout)["num_bytes"] for tune in ("iq", "psnr"))
    target = tmp_path / "limited.vq"
    result = run("encode", picture, "-m", small_model, "--max-bytes", 2 * smallest, "-o", target, "--json", "--verify")
    assert smallest <= json.loads(result.stdout)["num_bytes"] == target.stat().st_size <= 2 * smallest
    bpp = 8 * 2 * smallest / (200 * 180)
    assert run("encode", picture, "-m", small_model, "--target-bpp", bpp, "-f", "-o", target).exit_code == 0
    assert 8 * target.stat().st_size / (200 * 180) <= bpp
    result = run("encode", picture, "-m", small_model, "--target-bpp", 0.0005, "-f", "-o", target)
    assert result.exit_code == 1
    assert f"0.0005 bpp: does not fit into 2 bytes: the smallest file has {smallest}" in result.stderr
    result = run("encode", picture, other, "-m", small_model, "--max-bytes", smallest - 1, "-o", f"{tmp_path / 'out'}/")
    assert result.exit_code == 1
    assert f"photo.png: does not fit into {smallest - 1} bytes: the smallest file has {smallest}" in result.stderr
    assert [path.name for path in (tmp_path / "out").iterdir()] == ["small.vq"]


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (("-q", 50, "--max-bytes", 100), "not -q and --max-bytes"),
        (("--maps", 2, "--target-bpp", 1), "not --maps and --target-bpp"),
        (("--max-bytes", 100, "--lambda", 1), "--lambda is searched for"),
        (("--max-bytes", 0), "'0' is no number of bytes of at least 1"),
        (("--target-bpp", 0), "0.0 is not in the range x>0"),
        (("--target-bpp", "nan"), "nan is not a finite number"),
        (("-q", 101), "101.0 is not in the range 1<=x<=100"),
    ],
)
def test_rates_that_exclude_each_other(picture: Path, small_model: str, options: tuple[object, ...], message: str) -> None:
    result = run("encode", picture, "-m", small_model, *options)
    assert result.exit_code == 2 and message in result.stderr and not picture.with_suffix(".vq").exists()


def test_tune(picture: Path, small_model: str) -> None:
    with Image.open(picture) as image:
        pixels = np.asarray(image)
    files = []
    for tune in ("iq", "psnr", "perceptual"):
        assert run("encode", picture, "-m", small_model, "-f", "--maps", 2, "--lambda", 3, "--tune", tune).exit_code == 0
        files.append(picture.with_suffix(".vq").read_bytes())
    assert files[0] != files[1] == vqcodec.encode(pixels, model=small_model, num_maps=2, rate_weight=3, tune="psnr")
    assert files[2] == files[0], "dials apart, of one kind"
    result = run("encode", picture, "-m", small_model, "-f", "--tune", "perceptual")
    assert result.exit_code == 1 and "no dial for a perceptual decoder" in result.stderr
    assert run("encode", picture, "-m", small_model, "-f", "--tune", "ssim").exit_code == 2
    with pytest.raises(ValueError, match="tune must be one of iq, psnr, perceptual, not 'ssim'"):
        vqcodec.encode(pixels, model=small_model, tune="ssim")  # type: ignore[arg-type]


def test_maps_and_lambda(picture: Path, small_model: str) -> None:
    sizes = []
    for options in (("--maps", 2), ("--maps", 2, "--lambda", 5), ("-q", 50), ("-q", 50, "--lambda", 5)):
        sizes.append(json.loads(run("encode", picture, "-m", small_model, "-f", "--json", *options).stdout)["num_bytes"])
    assert sizes[0] == sizes[2] > sizes[1] == sizes[3]
    result = run("encode", picture, "-m", small_model, "-f", "--maps", 9)
    assert result.exit_code == 1 and "9 maps were asked for; model small-test has 4" in result.stderr


@pytest.mark.parametrize(("text", "most"), [("700", 700), ("0.7k", 700), (".7kB", 700), ("0.0007M", 700), ("1G", 10**9)])
def test_limits_in_thousands_and_millions_of_bytes(tmp_path: Path, small_model: str, text: str, most: int) -> None:
    path = tmp_path / "photo.png"
    Image.fromarray(make_picture(48, 32)).save(path)
    result = run("encode", path, "-m", small_model, "--max-bytes", text, "--no-layers")
    assert result.exit_code == 0, result.stderr
    assert path.with_suffix(".vq").stat().st_size <= most


@pytest.mark.parametrize("text", ["0", "0.1", "-5", "x", "5T", "1e3", "", "k", "nan"])
def test_limits_that_are_no_numbers_of_bytes(picture: Path, text: str) -> None:
    result = run("encode", picture, "--max-bytes", text)
    assert result.exit_code == 2 and "is no number of bytes of at least 1, such as 20000, 20k or 1.5M" in result.stderr
