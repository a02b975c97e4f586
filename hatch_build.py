"""Compiles the kernels of vqcodec where there is a C compiler; without one the package is as good, only slower."""

import ctypes
import os
import platform
import shlex
import shutil
import subprocess
import sysconfig
import tempfile
from pathlib import Path
from typing import Any

from hatchling.builders.hooks.plugin.interface import BuildHookInterface

FLAGS = ("-O3", "-shared", "-fPIC", "-fno-math-errno", "-fno-trapping-math", "-fno-signed-zeros", "-ffinite-math-only", "-Wno-psabi")
X86_FLAGS = {
    "avx512": ("-mavx512f", "-mavx512bw", "-mavx512dq", "-mavx512vl", "-mavx2", "-mfma", "-mprefer-vector-width=512"),
    "avx2": ("-mavx2", "-mfma"),
}
"""With fewer instructions than these, torch is faster than the kernels."""


class KernelsBuildHook(BuildHookInterface):
    """Adds `vqcodec/nn/kernels/kernels-*.so` to a wheel, whose name then tells the system that it is for."""

    def initialize(self, version: str, build_data: dict[str, Any]) -> None:
        """Compiles, or says why not. An editable installation gets the libraries beside their source."""
        source = Path(self.root, "vqcodec", "nn", "kernels")
        self.temporary = tempfile.mkdtemp(prefix="vqcodec-kernels-")
        target = source if version == "editable" else Path(self.temporary)
        is_x86 = platform.machine().lower() in ("x86_64", "amd64")
        built = []
        for name, flags in (X86_FLAGS if is_x86 else {"generic": ()}).items():
            library = target / f"kernels-{name}.so"
            if error := _compile(source / "kernels.c", library, flags):
                self.app.display_warning(f"vqcodec: no compiled kernels ({name}), decoding will be slower: {error}")
            else:
                built.append(library)
        if built and version != "editable":
            build_data["force_include"].update({str(library): f"vqcodec/nn/kernels/{library.name}" for library in built})
            build_data["pure_python"] = False
            system = sysconfig.get_platform().replace("universal2", platform.machine())
            build_data["tag"] = "py3-none-" + system.replace("-", "_").replace(".", "_")

    def finalize(self, version: str, build_data: dict[str, Any], artifact_path: str) -> None:  # noqa: ARG002
        """Removes what the wheel has a copy of."""
        shutil.rmtree(self.temporary, ignore_errors=True)


def _compile(source: Path, library: Path, flags: tuple[str, ...]) -> str:
    """The last complaint, empty if all is well: the library is there and can be loaded."""
    asked = os.environ.get("CC")
    error = ""
    for compiler in (asked,) if asked else (sysconfig.get_config_var("CC") or "cc", "cc"):
        try:
            library.unlink(missing_ok=True)
            command = [*shlex.split(compiler), *FLAGS, *flags, "-o", str(library), str(source), "-lm"]
            done = subprocess.run(command, capture_output=True, text=True, check=False)
            if done.returncode == 0:
                ctypes.CDLL(str(library))
                return ""
            error = (done.stderr.strip() or f"{command[0]} exited with {done.returncode}").splitlines()[0]
        except (OSError, ValueError) as problem:
            error = str(problem)
    return error
