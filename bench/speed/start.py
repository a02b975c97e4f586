"""Seconds of single commands from the start of a process to its end, which are mostly those of imports and of loading."""

import os
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any, Final

import numpy as np

from bench.images import ROOT
from bench.processes import MeasuredProcess, measure_process
from bench.speed.ours import photo

RUNS: Final = 7
"""Runs that a median is taken of, after one that compiles modules."""

SIZE: Final = (768, 512)
"""Width and height in pixels of the photo, those of a Kodak photo."""

_COUNT_MODULES: Final = """
import sys
arguments = sys.argv[1:]
if arguments:
    from vqcodec.cli import main
    main(arguments, standalone_mode=False)
else:
    import vqcodec
print(len(sys.modules), int("torch" in sys.modules), file=sys.stderr)
"""


def measure_start(folder: Path, other: Path | None) -> list[dict[str, Any]]:
    """Measures median seconds of a process, the modules that it imports, and whether torch is one of them.

    Args:
        folder: folder for the files that the commands read and write.
        other: another checkout to measure in turns; None for none.
    """
    picture, file = folder / "photo.png", folder / "photo.vq"
    photo(SIZE).save(picture)
    subprocess.run([sys.executable, "-m", "vqcodec", "encode", picture, "-o", file], check=True, capture_output=True)
    commands: dict[str, list[Path | str]] = {
        "import vqcodec": [],
        "--version": ["--version"],
        "--help": ["--help"],
        "info FILE": ["info", file],
        "decode FILE": ["decode", file, "-o", folder / "back.png", "--force"],
        "encode PICTURE": ["encode", picture, "-o", folder / "new.vq", "--force"],
    }
    return [_measured(name, [str(argument) for argument in arguments], other) for name, arguments in commands.items()]


def _measured(name: str, arguments: Sequence[str], other: Path | None) -> dict[str, Any]:
    checkouts = [ROOT] if other is None else [ROOT, other]
    seconds = [[vqcodec_process(arguments, checkout).seconds for checkout in checkouts] for _ in range(1 + RUNS)]
    own, *others = (round(float(median), 3) for median in np.median(seconds[1:], axis=0))
    counted = subprocess.run([sys.executable, "-c", _COUNT_MODULES, *arguments], check=True, capture_output=True, text=True)
    modules, has_torch = map(int, counted.stderr.splitlines()[-1].split())
    row = {"command": name, "seconds": own, "modules": modules, "torch": bool(has_torch)}
    return row | ({"other_seconds": others[0]} if others else {})


def vqcodec_process(arguments: Sequence[str], checkout: Path) -> MeasuredProcess:
    """Measures a command of vqcodec, or the import of the package where there are no arguments."""
    command = [sys.executable, "-m", "vqcodec", *arguments] if arguments else [sys.executable, "-c", "import vqcodec"]
    return measure_process(command, checkout_environment(checkout))


def checkout_environment(checkout: Path) -> dict[str, str]:
    """Returns the environment of a process that takes vqcodec from a checkout and compiles its modules, as an installation does."""
    environment = {**os.environ, "PYTHONPATH": str(checkout), "PYTHONSAFEPATH": "1"}  # "-m" would take the package of the working folder
    environment.pop("PYTHONDONTWRITEBYTECODE", None)
    return environment
