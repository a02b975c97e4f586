"""Checks that freed memory goes back to the system, or that it does not where a process will need it again."""

import os
import platform
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from vqcodec.nn.memory import give_back_memory

_MIB = 1 << 20


def _resident_mib() -> float:
    return int(Path("/proc/self/statm").read_text(encoding="ascii").split()[1]) * os.sysconf("SC_PAGE_SIZE") / _MIB


@pytest.mark.skipif(sys.platform != "linux" or platform.libc_ver()[0] != "glibc", reason="only of glibc memory is asked back")
def test_freed_memory_is_given_back() -> None:
    small = _MIB // 16
    arrays = [np.ones(small, np.uint8) for _ in range(100 * 16)]
    kept, arrays = arrays[::16], []
    before = _resident_mib()
    give_back_memory()
    assert _resident_mib() < before - 50
    assert all(array[0] == 1 for array in kept)


def test_elsewhere_nothing_is_done(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("vqcodec.nn.memory._trim", lambda: None)
    give_back_memory()


@pytest.mark.skipif(sys.platform != "linux" or platform.libc_ver()[0] != "glibc", reason="only of glibc memory is kept")
@pytest.mark.parametrize("is_kept", [False, True])
def test_a_process_can_keep_its_memory(is_kept: bool) -> None:
    program = f"""if True:
        import numpy as np, resource
        from vqcodec.nn.memory import keep_memory
        if {is_kept}:
            keep_memory()
        def faults(count):
            before = resource.getrusage(resource.RUSAGE_SELF).ru_minflt
            for _ in range(count):
                arrays = [np.ones(3 << 20, np.uint8) for _ in range(10)]
                del arrays
            return resource.getrusage(resource.RUSAGE_SELF).ru_minflt - before
        faults(3)
        print(faults(4))
    """
    faults = int(subprocess.run([sys.executable, "-c", program], check=True, capture_output=True, text=True).stdout)
    pages = 4 * 10 * (3 << 20) // os.sysconf("SC_PAGE_SIZE")
    assert faults < pages // 20 if is_kept else faults > pages // 2
