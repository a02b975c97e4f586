"""Checks the option --region of `vqcodec decode`."""

from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from tests.cli.conftest import encoded, run


def test_a_region_is_decoded(picture: Path, small_model: str, tmp_path: Path) -> None:
    file, whole, part = encoded(picture, small_model), tmp_path / "whole.png", tmp_path / "part.png"
    assert run("decode", file, "-o", whole).exit_code == 0
    result = run("decode", file, "-o", part, "--region", "20,30,40,50")
    assert result.exit_code == 0 and "  40x50 of 200x180  " in result.stderr
    with Image.open(whole) as first, Image.open(part) as second:
        assert second.size == (40, 50)
        assert np.abs(np.asarray(first)[30:80, 20:60].astype(int) - np.asarray(second)).max() <= 1


@pytest.mark.parametrize("region", ["1,2,3", "a,b,c,d", "0,0,0,1", "-1,0,1,1", "", "1,2,3,4,5", "1_0,0,1,1", " 1,0,1,1", "٣,0,1,1"])
def test_what_is_no_region_is_a_usage_error(picture: Path, small_model: str, region: str) -> None:
    result = run("decode", encoded(picture, small_model), "-o", picture.with_name("part.png"), f"--region={region}")
    assert result.exit_code == 2 and "LEFT,TOP,WIDTH,HEIGHT" in result.stderr
    assert not picture.with_name("part.png").exists()


def test_a_region_beyond_the_picture_is_one_line(picture: Path, small_model: str, tmp_path: Path) -> None:
    file, part = encoded(picture, small_model), tmp_path / "part.png"
    result = run("decode", file, "-o", part, "--region", "190,0,20,20")
    assert result.exit_code == 1 and not part.exists()
    assert "region of 20x20 pixels at 190,0, expected one within the picture's 200x180" in result.stderr
    assert run("decode", file, "-o", part, "--region", "0,0,9,9", "--fill", "mode").exit_code == 2
