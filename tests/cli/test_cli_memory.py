"""Checks that commands which need torch say so in one line where memory is limited too far."""

import subprocess
import sys
from pathlib import Path

import pytest

LIMITED = """
import resource, sys
resource.setrlimit(resource.RLIMIT_AS, (500 << 20, resource.RLIM_INFINITY))
from vqcodec.cli import main
main(sys.argv[1:])
"""


@pytest.mark.skipif(sys.platform != "linux", reason="limits on memory are those of Linux")
@pytest.mark.parametrize("args", [["encode", "photo.png"], ["decode", "photo.vq"], ["compare", "a", "b"], ["sample", "-o", "x.png"]])
def test_too_little_memory_is_one_line(args: list[str], tmp_path: Path) -> None:
    done = subprocess.run([sys.executable, "-c", LIMITED, *args], cwd=tmp_path, capture_output=True, text=True, check=False)
    assert done.returncode == 1
    assert done.stderr == "vqcodec: out of memory: the limit of 500 MiB is too low, expected 700 MiB at least\n"
