"""Compiled kernels for what a CPU spends its time on between products of matrices: optional, and nothing but faster.

The source is `kernels.c` beside this file; whoever builds the package with a C compiler gets them (`hatch_build.py`). Where they are
missing, torch and NumPy do the same work and give the same numbers.
"""

import ctypes
from functools import cache
from pathlib import Path
from typing import Final

VERSION: Final = 1
LIBRARY_NAME: Final = "kernels.so"
QUERIES: Final = 4
"""How many queries attention weighs keys for together."""
BLOCK: Final = 32
"""What the places of keys, and the room for a value, are a multiple of."""

_POINTER, _COUNT, _NUMBER = ctypes.c_void_p, ctypes.c_int64, ctypes.c_float
_PLACES: Final = (_COUNT,) * 7
_TYPED: Final = {
    "activations": (_POINTER, _COUNT, _POINTER),
    "taps": (_POINTER, *_PLACES, _POINTER),
    "push": (_POINTER, _POINTER, _POINTER, *_PLACES, _POINTER),
    "sums": (_POINTER, _POINTER, _POINTER, _POINTER, _NUMBER, _NUMBER, _COUNT, _COUNT, _POINTER),
    "gated": (_POINTER, _POINTER, _POINTER, _COUNT, _COUNT, _COUNT, _POINTER),
    "attend": (*(_POINTER,) * 6, *(_COUNT,) * 6, _POINTER, _POINTER),
}
_UNTYPED: Final = {
    "shares": (_POINTER, _POINTER, *(_COUNT,) * 3, _POINTER, _POINTER),
}


@cache
def library() -> ctypes.CDLL | None:
    """The kernels, arguments declared; None where they were not built, not for this system, or from another version of their source."""
    try:
        loaded = ctypes.CDLL(str(Path(__file__).with_name(LIBRARY_NAME)))
        loaded.version.restype = _COUNT
        if loaded.version() != VERSION:
            return None
        typed = {f"{name}_{suffix}": arguments for suffix in ("int8", "float32") for name, arguments in _TYPED.items()}
        for name, arguments in {**typed, **_UNTYPED}.items():
            function = getattr(loaded, name)
            function.argtypes, function.restype = arguments, None
    except (OSError, AttributeError):
        return None
    return loaded
