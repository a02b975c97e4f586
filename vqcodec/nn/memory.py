"""Giving memory back to the system, where the C library would keep it."""

import ctypes
import sys
from collections.abc import Callable
from functools import cache


def give_back_memory() -> None:
    """Gives freed memory back to the system, where the C library is glibc; elsewhere nothing is done.

    glibc keeps what is freed in blocks of up to 32 MiB, since the next of about that size is likely to need it. The tensors of large images
    have ever other sizes, so that hundreds of MiB pile up unused.
    """
    trim = _trim()
    if trim is not None:
        trim(0)


@cache
def _trim() -> Callable[[int], int] | None:
    return getattr(ctypes.CDLL(None), "malloc_trim", None) if sys.platform == "linux" else None  # musl has none
