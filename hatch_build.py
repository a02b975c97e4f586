"""Compiles the kernels of vqcodec where there is a C compiler; without one the package is as good, only slower."""

import os
import shlex
import subprocess
import sysconfig
from pathlib import Path
from typing import Any

from hatchling.builders.hooks.plugin.interface import BuildHookInterface

FLAGS = ("-O3", "-shared", "-fPIC", "-fno-math-errno", "-fno-trapping-math", "-fno-signed-zeros", "-ffinite-math-only", "-Wno-psabi")


class KernelsBuildHook(BuildHookInterface):
    """Adds `vqcodec/kernels/kernels.so` to a wheel, whose name then tells the system that it is for."""

    def initialize(self, version: str, build_data: dict[str, Any]) -> None:  # noqa: ARG002
        """Compiles, or says why not."""
        folder = Path(self.root, "vqcodec", "kernels")
        library = folder / "kernels.so"
        library.unlink(missing_ok=True)
        if error := _compile(folder / "kernels.c", library):
            self.app.display_warning(f"vqcodec: no compiled kernels, decoding will be slower: {error}")
            return
        build_data["artifacts"].append(f"/{library.relative_to(self.root).as_posix()}")
        build_data["pure_python"] = False
        build_data["tag"] = "py3-none-" + sysconfig.get_platform().replace("-", "_").replace(".", "_")


def _compile(source: Path, library: Path) -> str:
    """The last complaint, empty if all is well. A compiler that cannot make a function for several processors makes it for all of them."""
    asked = os.environ.get("CC")
    error = ""
    for compiler in (asked,) if asked else (sysconfig.get_config_var("CC"), "cc"):
        for clones in (("-DWITH_CLONES",), ()):
            command = [*shlex.split(compiler or "cc"), *FLAGS, *clones, "-o", str(library), str(source), "-lm"]
            try:
                done = subprocess.run(command, capture_output=True, text=True, check=False)
            except OSError as missing:
                error = str(missing)
                break
            if done.returncode == 0:
                return ""
            error = (done.stderr.strip() or f"{command[0]} exited with {done.returncode}").splitlines()[0]
    return error
