"""Checks the options of `vqcodec compare` for .vq files."""

import json
from pathlib import Path

import pytest
import torch
from PIL import Image

from tests.cli.conftest import encoded, run
from tests.conftest import make_picture
from vqcodec.codec.loaded import open_model
from vqcodec.encoding.pictures import encode_pictures
from vqcodec.images.colour import ADOBE_RGB, profile_of
from vqcodec.images.picture import Picture
from vqcodec.models.dial import OperatingPoint


def test_maps_and_pixels(picture: Path, small_model: str) -> None:
    path = encoded(picture, small_model, "--no-layers")
    all_maps, one_map = (json.loads(run("compare", picture, path, "--json", *options).stdout) for options in ((), ("--max-maps", 1)))
    assert all_maps["psnr_db"] > one_map["psnr_db"] + 1
    for a, b in ((picture, picture), (path, path)):
        result = run("compare", a, b, "--max-pixels", 35999)
        assert result.exit_code == 1 and "of 200x180 pixels, expected" in result.stderr and "35999" in result.stderr
        assert run("compare", a, b, "--max-pixels", 36000).exit_code == 0


def test_pictures_of_different_profiles_are_compared_in_srgb(picture: Path, small_model: str) -> None:
    with Image.open(picture) as image:
        image.save(picture, icc_profile=profile_of(ADOBE_RGB, is_grey=False))
    for options in ((), ("--strip", "icc")):
        assert run("encode", picture, "-m", small_model, "--exact", "all", "-f", *options).exit_code == 0
        assert json.loads(run("compare", picture.with_suffix(".vq"), picture, "--json").stdout)["psnr_db"] is None


def test_a_profile_that_is_damaged_is_told_with_the_name(picture: Path, small_model: str) -> None:
    path = picture.with_suffix(".vq")
    damaged = Picture(make_picture(40, 32), icc_profile=b"junk")
    (file,) = encode_pictures([damaged], open_model(small_model).model, point=OperatingPoint(1, 0.0))
    path.write_bytes(file.data)
    result = run("compare", path, picture)
    assert result.exit_code == 1 and result.stderr.startswith(f"vqcodec: {path}: colour profile that cannot be used")


def test_the_first_of_an_animation_is_compared(picture: Path, small_model: str) -> None:
    frames = [Image.fromarray(make_picture(40, 32, seed)) for seed in range(2)]
    frames[0].save(animation := picture.with_name("a.webp"), save_all=True, append_images=frames[1:], lossless=True)
    path = encoded(animation, small_model, "--first-frame")
    assert run("compare", path, animation).exit_code == 1
    assert run("compare", path, animation, "--first-frame", "--device", "cpu").exit_code == 0


@pytest.mark.slow
def test_realism(picture: Path) -> None:
    assert run("encode", picture, "--no-layers", "-q", 20).exit_code == 0
    faithful, perceptual = (
        json.loads(run("compare", picture, picture.with_suffix(".vq"), "--realism", realism, "--json").stdout) for realism in (0, 1)
    )
    assert faithful["psnr_db"] > perceptual["psnr_db"]


def test_too_little_memory_is_one_line(picture: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("vqcodec.images.metrics.ms_ssim", lambda *_: torch.empty(1 << 50, dtype=torch.uint8))
    result = run("compare", picture, picture)
    assert (result.exit_code, result.stderr) == (1, "vqcodec: out of memory\n")
