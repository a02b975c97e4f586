"""Checks the command line with standard streams that are pipes, files, full or closed."""

import os
import shlex
import subprocess
import sys
from pathlib import Path

import pytest

from tests.cli.conftest import encoded, run
from vqcodec.format.container import read_container


def test_standard_streams(picture: Path, small_model: str) -> None:
    result = run("encode", "-", "-m", small_model, stdin=picture.read_bytes())
    assert result.exit_code == 0
    assert read_container(result.stdout_bytes).header.width == 200
    back = run("decode", "-", stdin=result.stdout_bytes)
    assert back.stdout_bytes.startswith(b"\x89PNG")


def test_full_standard_output_is_told_in_one_line(picture: Path, small_model: str) -> None:
    command = [sys.executable, "-m", "vqcodec", "encode", str(picture), "-o", "-", "-m", small_model]
    with Path("/dev/full").open("wb") as full:
        result = subprocess.run(command, stdout=full, stderr=subprocess.PIPE, text=True, check=False)
    assert result.returncode == 1 and result.stderr.splitlines() == ["vqcodec: standard output: cannot be written: no space left on device"]


def test_a_version_that_cannot_be_shown() -> None:
    with Path("/dev/full").open("wb") as full:
        command = [sys.executable, "-m", "vqcodec", "--version"]
        result = subprocess.run(command, stdout=full, stderr=subprocess.PIPE, text=True, check=False)
    assert result.returncode == 1 and result.stderr.splitlines() == ["vqcodec: no space left on device"]


def test_names_that_standard_output_cannot_encode_are_escaped(picture: Path, small_model: str) -> None:
    path = encoded(picture, small_model)
    path.rename(named := picture.with_name("写é.vq"))
    command = [sys.executable, "-m", "vqcodec", "info", str(named), str(named.parent)]
    result = subprocess.run(command, capture_output=True, env={**os.environ, "PYTHONIOENCODING": "cp1252"}, check=True)
    assert result.stdout.decode("cp1252").startswith(f"{named.parent}{os.sep}\\u5199é.vq: 200x180 RGB  ")


def test_standard_input_is_called_so(picture: Path) -> None:
    result = run("compare", "-", picture, stdin=b"no picture")
    assert result.exit_code == 1 and result.stderr.startswith("vqcodec: standard input: not a picture of a known format")


@pytest.mark.slow
@pytest.mark.skipif(not Path("/dev/stdout").exists(), reason="there is no /dev/stdout")
def test_a_pipe_under_a_name(picture: Path, small_model: str) -> None:
    command = [sys.executable, "-m", "vqcodec", "encode", str(picture), "-m", small_model, "--json", "-o", "/dev/stdout"]
    expected = encoded(picture, small_model, "-q", 50).read_bytes()
    assert subprocess.run(command, capture_output=True, check=True).stdout == expected
    with (picture.with_name("appended")).open("w+b") as file:
        file.write(b"before")
        file.flush()
        subprocess.run(command, stdout=file, check=True)
        file.seek(0)
        assert file.read() == b"before" + expected


@pytest.mark.skipif(os.name == "nt", reason="needs a shell that closes streams")
def test_closed_standard_output(picture: Path, small_model: str) -> None:
    """It is told where something is to be printed, before any work is done."""
    path = encoded(picture, small_model)
    for arguments in (["info", path], ["models"], ["compare", path, picture], ["encode", picture, "-o", "x.vq", "--json"]):
        command = shlex.join([sys.executable, "-m", "vqcodec", *map(str, arguments)])
        result = subprocess.run(f"{command} >&-", shell=True, cwd=picture.parent, stderr=subprocess.PIPE, text=True, check=False)
        assert (result.returncode, result.stderr) == (1, "vqcodec: standard output is closed\n")
    assert not picture.with_name("x.vq").exists()
    command = shlex.join([sys.executable, "-m", "vqcodec", "encode", str(picture), "-o", "x.vq", "-m", small_model])
    assert subprocess.run(f"{command} >&-", shell=True, cwd=picture.parent, check=False).returncode == 0


@pytest.mark.skipif(os.name == "nt", reason="needs a shell that closes streams")
def test_closed_standard_error(picture: Path, small_model: str) -> None:
    other = picture.with_name("b.png")
    other.write_bytes(picture.read_bytes())
    command = shlex.join([sys.executable, "-m", "vqcodec", "encode", str(picture), str(other), "-m", small_model])
    assert subprocess.run(f"{command} 2>&-", shell=True, check=False).returncode == 0
    assert picture.with_suffix(".vq").read_bytes() == other.with_suffix(".vq").read_bytes()
