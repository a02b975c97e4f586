"""Compiled kernels for priors on a CPU: optional, faster, and with the same numbers. Imports no torch.

The sources are beside this file; whoever builds the package with a C compiler gets a library for each set of instructions that is worth it
(`hatch_build.py`). Where there is none, torch and NumPy do the same work.
"""

import ctypes
import os
from functools import cache
from pathlib import Path
from typing import Final

VERSION: Final = 7
"""Version of the kernels' arguments, which `kernels.c` states, too."""

FOLDER: Final = Path(__file__).parent
"""Folder of the sources and of the compiled libraries."""

VARIABLE: Final = "VQCODEC_INSTRUCTIONS"
"""Environment variable that names the one set of instructions to use, or `none` for no kernels at all."""

_SETS: Final = {"avx512vnni": 8, "avx512": 2, "avxvnni": 4, "avx2": 1, "dotprod": 16}
"""Sets of instructions beside "generic", the fastest first, and the bit that `instructions` in `processor.c` has for them."""

_POINTER, _COUNT = ctypes.c_void_p, ctypes.c_int64
_FUNCTIONS: Final = {
    "shares": (None, _POINTER, _POINTER, *(_COUNT,) * 3, _POINTER, _POINTER),
    "instructions": (_COUNT,),
    "prior_new": (_POINTER, _POINTER),
    "prior_free": (None, _POINTER),
    "prior_layer": (_COUNT, _POINTER, _COUNT, _POINTER, _POINTER, _POINTER, *(_COUNT,) * 8),
    "prior_table": (_COUNT, _POINTER, _COUNT, _POINTER),
    "prior_positions": (_COUNT, _POINTER, _POINTER),
    "prior_products": (_COUNT, _POINTER, _COUNT, _POINTER, _COUNT, _COUNT, _POINTER),
    "walk_run": (_COUNT, _POINTER, *(_COUNT,) * 3, _POINTER, _COUNT, *(_POINTER,) * 9),
    "rans_encode": (_COUNT, _POINTER, _COUNT, _POINTER),
}
"""Type of the result and types of the arguments."""


@cache
def instruction_sets() -> list[str]:
    """Returns the sets of instructions that kernels may use here, the fastest first; the last one, "generic", is for any processor."""
    generic = _load(_path_of("generic"))
    found = 0 if generic is None else generic.instructions()
    return [*(name for name, bit in _SETS.items() if found & bit), "generic"]


@cache
def library() -> ctypes.CDLL | None:
    """Returns the kernels with their arguments declared.

    None stands for a package without kernels for this processor, or with kernels of another version only.
    """
    asked = os.environ.get(VARIABLE)
    loaded = (library_for(name) for name in instruction_sets() if asked in (None, "", name))
    return next((kernels for kernels in loaded if kernels is not None), None)


def library_for(instructions: str) -> ctypes.CDLL | None:
    """Returns the kernels for a set of instructions that this processor has, or None where they were not built."""
    return _load(_path_of(instructions))


def constant(kernels: ctypes.CDLL, name: str) -> int:
    """Returns an integer constant that the kernels define."""
    return ctypes.c_int64.in_dll(kernels, name).value


def _path_of(instructions: str) -> Path:
    return FOLDER / f"kernels-{instructions}.so"


def _load(path: Path) -> ctypes.CDLL | None:
    try:
        loaded = ctypes.CDLL(str(path))
        if constant(loaded, "version") != VERSION:
            return None
        for name, (result, *arguments) in _FUNCTIONS.items():
            function = getattr(loaded, name)
            function.argtypes, function.restype = arguments, result
    except (OSError, AttributeError, ValueError):
        return None
    return loaded
