"""Prints every dependency of pyproject.toml, those of extras too, pinned to the lowest version that it allows.

Torch is left out: constraints.txt pins the version of which the index has a build for CPUs.
"""

import re
import sys
import tomllib
from pathlib import Path

project = tomllib.loads((Path(__file__).parents[1] / "pyproject.toml").read_text(encoding="utf-8"))["project"]
extras = [requirement for extra in project["optional-dependencies"].values() for requirement in extra]
for requirement in sorted({*project["dependencies"], *extras}):
    found = re.match(r"([\w.-]+)(?:\[\w+\])?>=([\w.]+)", requirement)
    if found and found[1] != "torch":
        sys.stdout.write(f"{found[1]}=={found[2]}\n")
