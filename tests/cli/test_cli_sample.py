"""Checks the pictures that the commands `sample` and `decode --fill` invent."""

from pathlib import Path

import pytest
from PIL import Image

import vqcodec
from tests.cli.conftest import run
from tests.conftest import make_picture
from vqcodec.codec.loaded import Codec


def test_samples_are_a_grid(small_model: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    grid = tmp_path / "grid.png"
    arguments = ["sample", "-m", small_model, "-n", 5, "--size", "24x16", "--seed", 3, "--top-k", 4, "-o"]
    assert run(*arguments, grid).exit_code == 0
    with Image.open(grid) as image:
        assert image.size == (3 * 24, 2 * 16)
    result = run(*arguments, grid)
    assert result.exit_code == 1 and "--force" in result.stderr
    assert run(*arguments, "-").stdout_bytes == grid.read_bytes()
    assert run(*arguments, "x.png", "--size", "24").exit_code == 2
    with monkeypatch.context() as undrawn:
        undrawn.setattr(Codec, "sample", None)
        result = run(*arguments, tmp_path / "grey.pgm")
        folder = run(*arguments, f"{tmp_path / 'new.jpg'}/")
    assert result.exit_code == 1 and "cannot hold the picture's colours" in result.stderr
    assert folder.exit_code == 1 and "new.jpg/: is the name of a folder" in folder.stderr and not (tmp_path / "new.jpg").exists()


@pytest.mark.parametrize("fill", [(), ("--fill", "none"), ("--fill", "mode")])
def test_a_seed_that_would_be_without_effect_is_refused(fill: tuple[str, ...]) -> None:
    result = run("decode", "a.vq", "--seed", 3, *fill)
    assert result.exit_code == 2 and result.stderr.splitlines()[-1] == "Error: --seed is for --fill sample, which is not given"


def test_missing_maps_are_filled(small_model: str, tmp_path: Path) -> None:
    (tmp_path / "a.vq").write_bytes(vqcodec.encode(make_picture(40, 40), model=small_model, quality=25))
    pictures = set()
    for fill in ("none", "sample", "mode"):
        target = tmp_path / f"{fill}.png"
        assert run("decode", tmp_path / "a.vq", "--fill", fill, "-o", target).exit_code == 0
        pictures.add(target.read_bytes())
    assert len(pictures) == 3
