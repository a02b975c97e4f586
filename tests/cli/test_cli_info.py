"""Checks `vqcodec info` of several files and folders."""

import json
from pathlib import Path

from tests.cli.conftest import run, save_pictures


def encoded_folder(tmp_path: Path, model: str) -> Path:
    """Returns a folder with two .vq files of 16x16 pixels, a damaged one, and a folder with one more."""
    folder = save_pictures(tmp_path / "in", 3, 16, 16)
    assert run("encode", folder, "-m", model, "-o", tmp_path / "out").exit_code == 0
    out = tmp_path / "out"
    (out / "2.vq").write_bytes(b"damaged")
    (out / "below").mkdir()
    (out / "1.vq").rename(out / "below" / "1.vq")
    return out


def test_every_file_of_folders_is_described(tmp_path: Path, small_model: str) -> None:
    out = encoded_folder(tmp_path, small_model)
    result = run("info", out, "--recursive")
    assert result.exit_code == 1 and "2.vq: not a .vq file" in result.stderr and "1 of 3 files failed" in result.stderr
    heads = [line for line in result.stdout.splitlines() if not line.startswith(" ")]
    assert [line.split(": ")[0] for line in heads] == [str(out / "0.vq"), str(out / "below" / "1.vq")]
    assert all(": 16x16 RGB  " in line for line in heads)
    assert run("info", out / "0.vq", out / "below").exit_code == 0


def test_json_is_one_object_a_file(tmp_path: Path, small_model: str) -> None:
    out = encoded_folder(tmp_path, small_model)
    rows = [json.loads(line) for line in run("info", out, "--json").stdout.splitlines()]
    assert [row["input"] for row in rows] == [str(out / "0.vq"), str(out / "2.vq")]
    assert rows[0]["width"] == 16 and list(rows[1]) == ["input", "error"]


def test_a_single_file_that_is_damaged(tmp_path: Path) -> None:
    (tmp_path / "x.vq").write_bytes(b"damaged")
    result = run("info", tmp_path / "x.vq", "--json")
    assert result.exit_code == 1 and list(json.loads(result.stdout)) == ["input", "error"] and len(result.stderr.splitlines()) == 1


def test_help_tells_of_no_output_folder() -> None:
    help_text = run("info", "--help").stdout
    assert "--recursive" in help_text and "output" not in help_text
