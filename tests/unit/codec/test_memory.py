"""Checks that too little memory is a `MemoryError`, and never another picture."""

import subprocess
import sys
from pathlib import Path

import pytest

from tests.golden.generate import MODEL

SIDE_PX = 900

SETUP = f"""
import hashlib, os, resource, sys
import numpy as np
import vqcodec
import vqcodec.encoding.pictures

codec = vqcodec.open_model({str(MODEL)!r}, device="cpu")
pixels = np.random.default_rng(0).integers(0, 256, ({SIDE_PX}, {SIDE_PX}, 3), np.uint8) // 8 + 100
small = codec.encode(pixels[:64, :64], layers=False)
codec.decode(small)

def told(run):
    try:
        result = run()
    except MemoryError as error:
        assert str(error) and "\\n" not in str(error), error
        return "MemoryError"
    return hashlib.sha256(result if isinstance(result, bytes) else result.tobytes()).hexdigest()

def size():
    with open("/proc/self/status") as file:
        return next(int(line.split()[1]) << 10 for line in file if line.startswith("VmSize"))
"""
"""What both processes begin with: a model that has encoded and decoded a small picture."""

WHOLE = """
data = codec.encode(pixels, num_maps=1, layers=False)
with open(sys.argv[1], "wb") as file:
    file.write(data)
print(told(lambda: data), told(lambda: codec.decode(data)))
"""

LIMITED = """
with open(sys.argv[1], "rb") as file:
    data = file.read()
outcomes = []
for mib in map(int, sys.argv[2:]):
    resource.setrlimit(resource.RLIMIT_AS, (size() + (mib << 20), resource.RLIM_INFINITY))
    outcomes += [told(lambda: codec.encode(pixels, num_maps=1, layers=False)), told(lambda: codec.decode(data))]
print(*outcomes, flush=True)
os._exit(0)
"""


@pytest.mark.skipif(sys.platform != "linux", reason="limits on memory are those of Linux")
def test_too_little_memory_is_one_error(tmp_path: Path) -> None:
    """Encoding may go on to fail when there is memory again, since oneDNN remembers the convolutions that it could not prepare."""

    def run(code: str, *args: str) -> list[str]:
        done = subprocess.run(
            [sys.executable, "-c", SETUP + code, tmp_path / "whole.vq", *args], capture_output=True, text=True, check=False
        )
        assert done.returncode == 0, done.stderr
        return done.stdout.split()

    encoded, decoded = run(WHOLE)
    found = run(LIMITED, "2", "40", "2000")
    assert found[0] == found[1] == "MemoryError" and found[-1] == decoded
    assert set(found[::2]) <= {"MemoryError", encoded} and set(found[1::2]) <= {"MemoryError", decoded}
