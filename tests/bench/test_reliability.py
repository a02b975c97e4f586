"""Checks kills of encode and decode at random moments, full disks, and the commands that measure them."""

import os
import re
import subprocess
import sys
from pathlib import Path

import pytest
from PIL import Image

from tests.conftest import make_picture

pytestmark = [pytest.mark.slow, pytest.mark.skipif(not hasattr(os, "fork"), reason="processes cannot be forked here")]


def bench(models_root: Path, *args: object) -> str:
    command = [sys.executable, "-m", "bench", *map(str, args), "--model", "small-test"]
    done = subprocess.run(command, env={**os.environ, "VQCODEC_MODELS": str(models_root)}, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    return done.stdout


@pytest.mark.parametrize(("name", "count"), [("KILL", 8), ("TERM", 4), ("INT", 4)])
def test_kills_leave_nothing_half_done(models_root: Path, name: str, count: int) -> None:
    lines = bench(models_root, "kills", "--count", count, "--signal", name).splitlines()
    for line, command in zip(lines, ("encode", "decode"), strict=True):
        assert line.startswith(f"{command}: {count // 2} processes ended by SIG{name} with ") and "; 0 partial files, " in line
        if name != "KILL":
            assert ", 0 hidden files left; " in line


def test_memory_is_told(models_root: Path) -> None:
    lines = bench(models_root, "memory", "--count", 4, "--every", 2).splitlines()
    assert [line.split(":")[0] for line in lines] == ["2 pictures of 2 sizes", "4 pictures of 4 sizes"]
    assert all(50 < float(re.findall(r"(\d+) MiB", line)[0]) < 5000 for line in lines)


LIMITED = """
import resource, signal, sys
signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
resource.setrlimit(resource.RLIMIT_FSIZE, (int(sys.argv.pop(1)), resource.RLIM_INFINITY))
from vqcodec.cli import main
main(sys.argv[1:])
"""


def test_files_that_do_not_fit_are_told_and_leave_nothing(tmp_path: Path, models_root: Path) -> None:
    environment = {**os.environ, "VQCODEC_MODELS": str(models_root)}
    source, out = tmp_path / "in", tmp_path / "out"
    source.mkdir()
    for name, side in (("large", 200), ("small", 16)):
        Image.fromarray(make_picture(side, side)).save(source / f"{name}.png")

    def decode(limit: int) -> subprocess.CompletedProcess[str]:
        command = [sys.executable, "-c", LIMITED, str(limit), "decode", source, "-o", out, "--skip-existing", "--no-layers"]
        return subprocess.run(command, env=environment, capture_output=True, text=True, check=False)

    encode = [sys.executable, "-m", "vqcodec", "encode", source, "-m", "small-test", "-q", "5", "--no-layers"]
    subprocess.run(encode, env=environment, check=True, capture_output=True)
    done = decode(2000)
    assert done.returncode == 1 and f"{out / 'large.png'}: cannot be written: file too large" in done.stderr
    assert "1 of 2 files failed" in done.stderr and [path.name for path in out.iterdir()] == ["small.png"]
    assert decode(10**7).returncode == 0 and sorted(path.name for path in out.iterdir()) == ["large.png", "small.png"]
