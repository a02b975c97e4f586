"""Giving memory back to the system where the C library would keep it, and the other way round."""

import ctypes
import sys
from collections.abc import Callable
from functools import cache
from typing import Final

_TRIM_THRESHOLD: Final = -1, 1 << 30
_MMAP_THRESHOLD: Final = -3, 32 << 20
"""Numbers of glibc's parameters, and their values in bytes; the latter is the largest that it takes."""


def give_back_memory() -> None:
    """Gives freed memory back to the system, where the C library is glibc; elsewhere nothing is done.

    glibc keeps what is freed in blocks of up to 32 MiB, since the next of about that size is likely to need it. The tensors of large images
    have ever other sizes, so that hundreds of MiB pile up unused.
    """
    trim = _trim()
    if trim is not None:
        trim(0)


def keep_memory() -> None:
    """Lets the C library keep what is freed, where it is glibc; elsewhere nothing is done.

    It suits a process that does the same with images of one size again and again. There glibc would give back the memory of each temporary
    array and ask for it anew, and the system clears every page of it.
    """
    if sys.platform == "linux" and (mallopt := getattr(ctypes.CDLL(None), "mallopt", None)):
        for parameter, value in (_TRIM_THRESHOLD, _MMAP_THRESHOLD):
            mallopt(parameter, value)


@cache
def _trim() -> Callable[[int], int] | None:
    return getattr(ctypes.CDLL(None), "malloc_trim", None) if sys.platform == "linux" else None  # musl has none
