"""Warnings of other packages, ignored by several threads at once, for which `warnings.catch_warnings` alone is not made."""

import warnings
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from threading import Lock
from typing import Final


class _Silence:
    """Filters of Python's warnings that the first of several users sets and the last one takes back."""

    def __init__(self) -> None:
        self._lock, self._filters, self._users = Lock(), ExitStack(), 0

    def enter(self) -> None:
        with self._lock:
            if self._users == 0:
                self._filters.enter_context(warnings.catch_warnings())
                warnings.simplefilter("ignore")
            self._users += 1

    def leave(self) -> None:
        with self._lock:
            self._users -= 1
            if self._users == 0:
                self._filters.close()


_SILENCE: Final = _Silence()


@contextmanager
def warnings_ignored() -> Iterator[None]:
    """Ignores all warnings of Python, those of other threads too, and afterwards leaves the filters of warnings as they were.

    It may be entered by several threads, and again within itself.
    """
    _SILENCE.enter()
    try:
        yield
    finally:
        _SILENCE.leave()
