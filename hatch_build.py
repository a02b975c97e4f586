"""Builds vqcodec: adds the shipped models to a wheel, and compiles the kernels where there is a C compiler.

Without compiled kernels the package gives the same results, only more slowly.
"""

import ctypes
import os
import platform
import shlex
import shutil
import subprocess
import sysconfig
import tempfile
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

from hatchling.builders.hooks.plugin.interface import BuildHookInterface

KERNELS = "vqcodec/nn/kernels"
"""Folder of the kernels, in the source tree as in a wheel."""

FLAGS = (
    "-O3",
    "-shared",
    "-fPIC",
    "-pthread",
    "-fno-math-errno",
    "-fno-trapping-math",
    "-fno-signed-zeros",
    "-ffinite-math-only",
    "-Wno-psabi",
)
AVX2 = ("-mavx2", "-mfma")
AVX512 = (*AVX2, "-mavx512f", "-mavx512bw", "-mavx512dq", "-mavx512vl", "-mprefer-vector-width=512")
X86_SETS = {"avx512vnni": (*AVX512, "-mavx512vnni"), "avx512": AVX512, "avxvnni": (*AVX2, "-mavxvnni"), "avx2": AVX2, "generic": ()}
ARM_SETS = {"dotprod": ("-march=armv8.2-a+dotprod",), "generic": ()}
"""Compiler flags by set of instructions. "generic" is for every processor; compilers for Apple's know of dot products without a flag."""

MODEL_FILES = ("config.json", "*.safetensors", "MODEL_CARD.md")
"""Patterns of the files of a model folder that a wheel holds: what decoding needs, and the card with the licence of the weights."""


class BuildHook(BuildHookInterface):
    """The build hook that hatchling calls for wheels and editable installations."""

    def initialize(self, version: str, build_data: dict[str, Any]) -> None:
        """Adds models and kernels to a wheel; an editable installation gets the kernels beside their source and no copy of the models."""
        self.temporary = tempfile.mkdtemp(prefix="vqcodec-kernels-")
        if version == "editable":
            self._compile_kernels(Path(self.root, KERNELS))
            return
        build_data["force_include"].update(_model_files(Path(self.root, "models")))
        if libraries := self._compile_kernels(Path(self.temporary)):
            build_data["force_include"].update({str(library): f"{KERNELS}/{library.name}" for library in libraries})
            build_data["pure_python"] = False
            system = sysconfig.get_platform().replace("universal2", platform.machine())
            build_data["tag"] = "py3-none-" + system.replace("-", "_").replace(".", "_")

    def finalize(self, version: str, build_data: dict[str, Any], artifact_path: str) -> None:  # noqa: ARG002
        """Removes the temporary libraries, of which the wheel has copies."""
        shutil.rmtree(self.temporary, ignore_errors=True)

    def _compile_kernels(self, target: Path) -> list[Path]:
        """Compiles a library for each instruction set into a folder, warns of those that fail, and returns the others."""
        machine = platform.machine().lower()
        sets = X86_SETS if machine in ("x86_64", "amd64") else ARM_SETS if machine == "aarch64" else {"generic": ()}
        sources = sorted(Path(self.root, KERNELS).glob("*.c"))
        libraries = [target / f"kernels-{name}.so" for name in sets]
        with ThreadPoolExecutor() as pool:
            errors = list(pool.map(_compile, [sources] * len(sets), libraries, sets.values()))
        for name, error in zip(sets, errors, strict=True):
            if error:
                self.app.display_warning(f"vqcodec: no compiled kernels ({name}), decoding will be slower: {error}")
        return [library for library, error in zip(libraries, errors, strict=True) if not error]


def _model_files(models: Path) -> dict[str, str]:
    """Returns where in a wheel each file of the model folders in `models` belongs."""
    return {
        str(path): f"vqcodec/_models/{folder.name}/{path.name}"
        for folder in sorted(models.iterdir())
        for pattern in MODEL_FILES
        for path in sorted(folder.glob(pattern))
    }


def _compile(sources: list[Path], library: Path, flags: tuple[str, ...]) -> str:
    """Compiles a library and loads it once, to see that it works; returns the compiler's last complaint, empty if there is none.

    The library takes its name when it is whole, since two environments may be installed from one folder at the same time.
    """
    asked = os.environ.get("CC")
    error = ""
    library.unlink(missing_ok=True)
    unfinished = library.with_name(f"{os.getpid()}-{library.name}")
    for compiler in (asked,) if asked else (sysconfig.get_config_var("CC") or "cc", "cc"):
        try:
            command = [*shlex.split(compiler), *FLAGS, *flags, "-o", str(unfinished), *map(str, sources), "-lm"]
            done = subprocess.run(command, capture_output=True, text=True, check=False)
            if done.returncode == 0:
                ctypes.CDLL(str(unfinished))
                unfinished.replace(library)
                return ""
            error = (done.stderr.strip() or f"{command[0]} exited with {done.returncode}").splitlines()[0]
        except (OSError, ValueError) as problem:
            error = str(problem)
    unfinished.unlink(missing_ok=True)
    return error
