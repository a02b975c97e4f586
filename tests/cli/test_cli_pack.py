"""Tests of `vqcodec pack`."""

import errno
import json
import os
import tarfile
from pathlib import Path

import numpy as np
import pytest

import vqcodec
from tests.cli.conftest import run, save_pictures


@pytest.fixture
def folder(tmp_path: Path, small_model: str) -> Path:
    root = tmp_path / "photos"
    root.mkdir()
    for name in ("cat", "dog"):
        save_pictures(root / name, 2, 40, 32)
    assert run("encode", root, "-r", "-m", small_model, "-q", 20, "--quiet").exit_code == 0
    return root


def test_a_folder_becomes_shards(folder: Path, tmp_path: Path) -> None:
    result = run("pack", folder, "-o", tmp_path / "out" / "data-{000..}.tar", "--shard-size", "1k", "--json")
    assert result.exit_code == 0, result.output
    shards = [json.loads(line) for line in result.stdout.splitlines()]
    assert [shard["files"] for shard in shards] == [1] * 4 and shards[-1]["output"].endswith("out/data-003.tar")
    assert "4 of 4 files packed; shards: 4" in result.stderr
    assert "left alone: 4 files ending in .png" in result.stderr
    again = run("pack", folder, "-o", tmp_path / "out" / "data-{000..}.tar")
    assert again.exit_code == 1 and again.stderr.splitlines()[-1].endswith("data-000.tar: exists already; use --force to overwrite it")
    forced = run("pack", folder, "-o", tmp_path / "out" / "data-{000..}.tar", "--force", "--coder", "keep", "--quiet")
    assert forced.exit_code == 0 and not forced.output
    assert [path.name for path in (tmp_path / "out").iterdir()] == ["data-000.tar"]


def test_tar_shards_are_coded_for_reading_and_parquet_is_not(folder: Path, tmp_path: Path) -> None:
    pq = pytest.importorskip("pyarrow.parquet", reason="pyarrow (extra `datasets`) is not installed")
    for name in ("data.tar", "kept.tar", "data.parquet"):
        assert run("pack", folder, "-o", tmp_path / name, *(["--coder", "keep"] if "kept" in name else [])).exit_code == 0
    packed, kept = (members(tmp_path / name) for name in ("data.tar", "kept.tar"))
    originals = [path.read_bytes() for path in sorted(folder.rglob("*.vq"))]
    assert kept == originals == pq.read_table(tmp_path / "data.parquet")["bytes"].to_pylist()
    for one, original in zip(packed, originals, strict=True):
        assert {of_map.coder for of_map in vqcodec.read_info(one).maps} == {"static"}
        assert all(map(np.array_equal, vqcodec.decode_indices(one), vqcodec.decode_indices(original)))


def members(shard: Path) -> list[bytes]:
    """Returns the .vq files of a tar shard."""
    with tarfile.open(shard) as tar:
        return [tar.extractfile(name).read() for name in tar.getnames() if name.endswith(".vq")]  # type: ignore[union-attr]


def test_broken_files_are_told(folder: Path, tmp_path: Path) -> None:
    broken = folder / "cat" / "1.vq"
    broken.write_bytes(b"photo")
    result = run("pack", folder, "-o", tmp_path / "data.tar")
    assert result.exit_code == 1 and result.stderr.splitlines()[-1].startswith(f"vqcodec: {broken}: not a .vq file")
    assert not (tmp_path / "data.tar").exists()
    result = run("pack", folder, "-o", tmp_path / "data.tar", "--skip-broken")
    assert result.exit_code == 0 and f"left out: {broken}" in result.stderr
    assert "3 of 4 files packed, 1 left out" in result.stderr


def test_what_cannot_be_packed_is_told(folder: Path, tmp_path: Path) -> None:
    (tmp_path / "empty").mkdir()
    for arguments, message in (
        ((tmp_path / "empty", "-o", tmp_path / "data.tar"), "no file ending in .vq"),
        ((folder, "-o", "-"), "shards are not written to standard output"),
        ((folder, "-o", tmp_path / "data.zip"), "ends in .zip, expected .tar or .parquet"),
        ((folder, "-o", folder / "cat" / "0.vq" / "data.tar"), "is no folder"),
    ):
        result = run("pack", *arguments)
        assert result.exit_code == 1 and message in result.stderr, result.output
        assert len(result.stderr.splitlines()) <= 2


def test_a_single_shard_takes_no_size(folder: Path, tmp_path: Path) -> None:
    result = run("pack", folder, "-o", tmp_path / "data.tar", "--shard-size", "256M")
    assert result.exit_code == 2 and "--shard-size is for several shards" in result.stderr and not (tmp_path / "data.tar").exists()


@pytest.mark.parametrize("name", ["data.tar", "data.parquet"])
def test_a_full_disk_is_told_by_the_name_of_the_output(folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, name: str) -> None:
    pytest.importorskip("pyarrow", reason="pyarrow (extra `datasets`) is not installed")

    def full(*_: object) -> None:
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    monkeypatch.setattr("vqcodec.storage.os.fsync", full)
    before = sorted(tmp_path.iterdir())
    result = run("pack", folder, "-o", tmp_path / name)
    assert result.exit_code == 1 and result.stderr.splitlines()[-1].endswith(f"{name}: cannot be written: no space left on device")
    assert sorted(tmp_path.iterdir()) == before
