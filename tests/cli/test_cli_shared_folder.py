"""Checks commands beside others: two runs into one folder, readers that go away, and terminals."""

import io
import os
import subprocess
import sys
from pathlib import Path

import pytest

from tests.cli.conftest import run, save_pictures
from vqcodec.cli.files import OutputError, refuse_overwrite

QUICK = ("-q", "1", "--no-layers", "--coder", "raw")


@pytest.mark.slow
def test_two_runs_may_share_a_folder(tmp_path: Path, small_model: str) -> None:
    source, alone, shared = save_pictures(tmp_path / "in", 6, 60, 40), tmp_path / "alone", tmp_path / "shared"
    assert run("encode", source, "-o", alone, "-m", small_model, *QUICK).exit_code == 0
    command = [
        sys.executable,
        "-m",
        "vqcodec",
        "encode",
        source,
        "-o",
        shared,
        "-m",
        small_model,
        *QUICK,
        "--skip-existing",
        "--batch-size",
        "1",
    ]
    runs = [subprocess.Popen(command, stderr=subprocess.PIPE, text=True) for _ in range(2)]
    for process in runs:
        _, told = process.communicate(timeout=300)
        assert process.returncode == 0, told
    assert {path.name: path.read_bytes() for path in shared.iterdir()} == {path.name: path.read_bytes() for path in alone.iterdir()}


@pytest.mark.slow
@pytest.mark.skipif(os.name == "nt", reason="pipes are those of POSIX")
def test_a_reader_that_goes_away_leaves_whole_files(tmp_path: Path, small_model: str) -> None:
    source, out = save_pictures(tmp_path / "in", 3, 60, 40), tmp_path / "out"
    reader, writer = os.pipe()
    os.close(reader)
    command = [sys.executable, "-m", "vqcodec", "encode", source, "-o", out, "-m", small_model, *QUICK, "--json", "--batch-size", "1"]
    done = subprocess.run(command, stdout=writer, stderr=subprocess.PIPE, text=True, check=False)
    os.close(writer)
    assert done.returncode == 1 and "Traceback" not in done.stderr
    assert all(not path.name.startswith(".") for path in out.iterdir())
    result = run("encode", source, "-o", out, "-m", small_model, *QUICK, "--skip-existing")
    assert result.exit_code == 0 and len(list(out.iterdir())) == 3


def test_a_file_is_not_written_to_a_terminal(monkeypatch: pytest.MonkeyPatch) -> None:
    terminal = io.TextIOWrapper(io.BytesIO())
    monkeypatch.setattr(terminal, "isatty", lambda: True, raising=False)
    monkeypatch.setattr("sys.stdout", terminal)
    with pytest.raises(OutputError, match="standard output is a terminal"):
        refuse_overwrite(Path("-"), force=False)
    refuse_overwrite(Path("-"), force=True)


def test_a_read_only_folder_is_told_before_the_work(picture: Path, small_model: str, monkeypatch: pytest.MonkeyPatch) -> None:
    (locked := picture.parent / "locked").mkdir()
    access = os.access
    monkeypatch.setattr("os.access", lambda path, mode: Path(path) != locked and access(path, mode))
    monkeypatch.setattr("vqcodec.models.registry.find_model", lambda *_: pytest.fail("the model was looked for"))
    result = run("encode", picture, "-o", locked / "new" / "photo.vq", "-m", small_model)
    told = f"vqcodec: {locked / 'new'}: cannot be written: {locked} is a folder that cannot be written to\n"
    assert result.exit_code == 1 and result.stderr == told and not list(locked.iterdir())


def test_a_read_only_folder_of_an_input_is_told_before_the_work(picture: Path, small_model: str, monkeypatch: pytest.MonkeyPatch) -> None:
    folder, access = picture.parent, os.access
    monkeypatch.setattr("os.access", lambda path, mode: Path(path) != folder and access(path, mode))
    monkeypatch.setattr("vqcodec.cli.conversions.read_picture", lambda *_, **__: pytest.fail("the picture was read"))
    result = run("encode", folder, "-m", small_model)
    told = f"vqcodec: {folder / 'photo.vq'}: cannot be written: {folder} is a folder that cannot be written to"
    assert result.exit_code == 1 and result.stderr.splitlines()[0] == told
