"""Checks `vqcodec inspect`."""

from pathlib import Path

import pytest
from PIL import Image

from tests.cli.conftest import encoded, run
from vqcodec.codec import inspection


def test_it_writes_one_picture(picture: Path, small_model: str, tmp_path: Path) -> None:
    path, target = encoded(picture, small_model), tmp_path / "inspect.png"
    result = run("inspect", path, "-o", target)
    assert (result.exit_code, result.output) == (0, "")
    with Image.open(target) as sheet:
        assert sheet.format == "PNG" and sheet.width > 960
    again = run("inspect", path, "-o", target)
    assert again.exit_code == 1 and "--force" in again.stderr
    assert run("inspect", "-", "-o", "-", stdin=path.read_bytes()).stdout_bytes == target.read_bytes()
    assert run("inspect", path, "-o", target.with_suffix(".webp"), "--realism", 0).exit_code == 0
    with Image.open(target.with_suffix(".webp")) as sheet:
        assert sheet.format == "WEBP"


def test_what_cannot_be_written_is_told_first(picture: Path, small_model: str, monkeypatch: pytest.MonkeyPatch) -> None:
    path = encoded(picture, small_model)
    monkeypatch.setattr(inspection, "inspect_file", None)
    for target, message in [(path, "input itself"), (path.with_suffix(".gif"), "expected one of"), (path.with_suffix(".pgm"), "colours")]:
        result = run("inspect", path, "-o", target)
        assert result.exit_code == 1 and result.stderr.startswith(f"vqcodec: {target}: ") and message in result.stderr
    folder = run("inspect", path, "-o", f"{path.with_name('new.png')}/")
    assert folder.exit_code == 1 and "is the name of a folder" in folder.stderr and not path.with_name("new.png").exists()


def test_other_files_are_refused_in_a_line(picture: Path, small_model: str, tmp_path: Path) -> None:
    target = tmp_path / "inspect.png"
    path = encoded(picture, small_model)
    for source, options, message in [
        (picture, (), f"{picture}: not a .vq file"),
        (tmp_path / "missing.vq", (), "no such file"),
        (path, ("--max-pixels", 35999), "35999 at most"),
        (path, ("--realism", 1), "perceptual decoder"),
    ]:
        result = run("inspect", source, "-o", target, *options)
        assert result.exit_code == 1 and message in result.stderr and len(result.stderr.splitlines()) == 1
        assert not target.exists()
