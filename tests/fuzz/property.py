"""The property that all targets share: an input ends in a result or in a `VqcodecError`, in bounded memory and time."""

import resource
import sys
import time
import warnings
from collections.abc import Callable
from dataclasses import dataclass
from typing import Final

import vqcodec

MAX_SECONDS: Final = 10.0
"""Most CPU seconds that an input may take."""
MAX_BYTES: Final = 1 << 30
"""Most memory that an input may add to the peak of the process."""
OPENED: Final = "opened"
"""Outcome of an input that is no error."""
_BYTES_OF_UNIT: Final = 1 if sys.platform == "darwin" else 1024


class BrokenPropertyError(AssertionError):
    """An input that does not end as it must. It is no `VqcodecError`, and no error that the package expects."""


@dataclass(frozen=True)
class Outcome:
    """How an input ended.

    Attributes:
        name: `OPENED`, or the name of the `VqcodecError`.
        seconds: CPU seconds that it took.
    """

    name: str
    seconds: float


def peak_bytes() -> int:
    """Returns the largest resident memory of the process so far."""
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * _BYTES_OF_UNIT


def outcome_of(run: Callable[[bytes], object], data: bytes) -> Outcome:
    """Runs an input and returns how it ended.

    Raises:
        BrokenPropertyError: It ended in another error than a `VqcodecError`, in a message of several lines or none, or took more memory or
            time than it may. Warnings count as errors, but for those that are meant for the user.
    """
    started, peak = time.process_time(), peak_bytes()
    name = OPENED
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("error")
            warnings.simplefilter("ignore", UserWarning)
            run(data)
    except vqcodec.VqcodecError as error:
        name = type(error).__name__
        if not str(error) or "\n" in str(error):
            raise BrokenPropertyError(f"message {str(error)!r}, expected one line") from error
    except Exception as error:
        raise BrokenPropertyError(f"{type(error).__name__}: {error}, expected a VqcodecError") from error
    seconds, grown = time.process_time() - started, peak_bytes() - peak
    if seconds > MAX_SECONDS:
        raise BrokenPropertyError(f"{seconds:.1f} CPU seconds until {name}, expected {MAX_SECONDS:.0f} at most")
    if grown > MAX_BYTES:
        raise BrokenPropertyError(f"{grown >> 20} MiB more until {name}, expected {MAX_BYTES >> 20} at most")
    return Outcome(name, seconds)
