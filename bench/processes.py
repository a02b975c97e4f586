"""Seconds and peak memory of a process of its own."""

import json
import subprocess
import sys
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Final

_BETWEEN: Final = """
import json, resource, subprocess, sys, time
started = time.perf_counter()
done = subprocess.run(sys.argv[1:], capture_output=True, text=True)
seconds = time.perf_counter() - started
if done.returncode:
    sys.exit(done.stderr)
used = resource.getrusage(resource.RUSAGE_CHILDREN)
print(json.dumps([done.stdout, seconds, used.ru_utime + used.ru_stime, used.ru_maxrss / 1024]))
"""
"""Stands between, since a process counts the memory of the one that starts it as its own peak."""


@dataclass(frozen=True)
class MeasuredProcess:
    """What a process took.

    Attributes:
        printed: what it wrote to standard output.
        seconds: seconds from its start to its end.
        cpu_seconds: CPU seconds of all of its threads.
        peak_mib: its largest resident memory in MiB.
    """

    printed: str
    seconds: float
    cpu_seconds: float
    peak_mib: float


def measure_process(command: Sequence[str], environment: Mapping[str, str] | None = None) -> MeasuredProcess:
    """Runs a command to its end and measures it; its environment is that of this process by default.

    Raises:
        subprocess.CalledProcessError: It ended with another code than 0; its messages are on standard error.
    """
    done = subprocess.run([sys.executable, "-c", _BETWEEN, *command], check=True, stdout=subprocess.PIPE, text=True, env=environment)
    return MeasuredProcess(*json.loads(done.stdout))
