"""Compiled kernels for the work between the products of matrices on a CPU: optional, faster, and with the same numbers.

The source is `kernels.c` beside this file; whoever builds the package with a C compiler gets a library for each set of instructions that
is worth it (`hatch_build.py`). Where there is none, torch and NumPy do the same work.
"""

import ctypes
from functools import cache
from pathlib import Path
from typing import Final

VERSION: Final = 2
"""Version of the kernels' arguments, which `kernels.c` states, too."""

FOLDER: Final = Path(__file__).parent
"""Folder of the source and of the compiled libraries."""

_POINTER, _COUNT, _NUMBER = ctypes.c_void_p, ctypes.c_int64, ctypes.c_float
_PLACES: Final = (_COUNT,) * 7
_TYPED: Final = {
    "activations": (_POINTER, _COUNT, _POINTER),
    "taps": (_POINTER, *_PLACES, _POINTER),
    "push": (_POINTER, _POINTER, _POINTER, *_PLACES, _POINTER),
    "sums": (_POINTER, _POINTER, _POINTER, _POINTER, _NUMBER, _NUMBER, _COUNT, _COUNT, _POINTER),
    "gated": (_POINTER, _POINTER, _POINTER, _COUNT, _COUNT, _COUNT, _POINTER),
    "attend": (*(_POINTER,) * 6, *(_COUNT,) * 5, _POINTER, _POINTER),
}
_UNTYPED: Final = {
    "shares": (_POINTER, _POINTER, *(_COUNT,) * 3, _POINTER, _POINTER),
}


def library_names() -> list[str]:
    """Returns the names of the libraries that this processor could run, the fastest first."""
    import torch

    capability = torch.backends.cpu.get_cpu_capability().lower()
    instructions = {"avx512": ["avx512", "avx2"], "avx2": ["avx2"]}.get(capability, [])
    return [f"kernels-{name}.so" for name in [*instructions, "generic"]]


def built_libraries() -> list[Path]:
    """Returns the libraries that were built, whether or not this processor can run them. Needs no torch."""
    return sorted(FOLDER.glob("kernels-*.so"))


@cache
def library() -> ctypes.CDLL | None:
    """Returns the kernels with their arguments declared.

    None stands for a package without kernels for this processor, or with kernels of another version only.
    """
    loaded = (_load(FOLDER / name) for name in library_names())
    return next((kernels for kernels in loaded if kernels is not None), None)


def constant(kernels: ctypes.CDLL, name: str) -> int:
    """Returns an integer constant that the kernels define."""
    return ctypes.c_int64.in_dll(kernels, name).value


def _load(path: Path) -> ctypes.CDLL | None:
    try:
        loaded = ctypes.CDLL(str(path))
        if constant(loaded, "version") != VERSION:
            return None
        typed = {f"{name}_{suffix}": arguments for suffix in ("int8", "float32") for name, arguments in _TYPED.items()}
        for name, arguments in {**typed, **_UNTYPED}.items():
            function = getattr(loaded, name)
            function.argtypes, function.restype = arguments, None
    except (OSError, AttributeError, ValueError):
        return None
    return loaded
