"""Checks that commands say in one line where memory is limited too far for their libraries."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

from vqcodec.models.devices import needs_torch

LIMITED = """
import resource, sys
resource.setrlimit(resource.RLIMIT_AS, (int(sys.argv[1]) << 20, resource.RLIM_INFINITY))
from vqcodec.cli import main
main(sys.argv[2:])
"""


pytestmark = pytest.mark.skipif(sys.platform != "linux", reason="limits on memory are those of Linux")


def told(mib: int, *args: Path | str, **environment: str) -> str:
    """Returns what a command tells that fails within a limit of the address space."""
    command = [sys.executable, "-c", LIMITED, str(mib), *args]
    done = subprocess.run(command, capture_output=True, text=True, check=False, env={**os.environ, **environment})
    assert done.returncode == 1
    return done.stderr


@pytest.mark.parametrize(
    "args",
    [
        ["encode", "photo.png"],
        ["decode", "photo.vq"],
        ["decode", "photo.vq", "--fill", "mode"],
        ["compare", "a", "b"],
        ["sample", "-o", "x.png"],
    ],
)
def test_too_little_memory_for_torch_is_one_line(args: list[str]) -> None:
    expected = "vqcodec: out of memory: the limit of 500 MiB is too low, expected 700 MiB at least\n"
    assert told(500, *args, VQCODEC_RUNTIME="torch") == expected


@pytest.mark.parametrize("command", ["encode", "decode"])
def test_less_memory_is_enough_without_torch(command: str, tmp_path: Path) -> None:
    if needs_torch("cpu"):
        pytest.skip("the extra fast is not installed, or there are no kernels")
    args = command, tmp_path / ("photo.png" if command == "encode" else "photo.vq"), "--device", "cpu"
    assert told(400, *args) == "vqcodec: out of memory: the limit of 400 MiB is too low, expected 500 MiB at least\n"
    assert "no such file" in told(650, *args)


def test_a_file_takes_as_much_memory_as_it_is_long(tmp_path: Path) -> None:
    (tmp_path / "photo.vq").write_bytes(b"no file of vqcodec")
    assert "not a .vq file" in told(900, "decode", tmp_path / "photo.vq", "--device", "cpu")
