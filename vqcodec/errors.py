"""The errors that a file, a model or a picture can cause.

All of them are `VqcodecError`s. A wrong argument in code raises `ValueError` or `TypeError`, as usual.
"""

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Final

_NO_MEMORY: Final = (
    "can't allocate memory", "cannot allocate memory", "out of memory", "not enough memory",
    "could not create a primitive", "bad_alloc", "resource temporarily unavailable", "failed to map segment",
)  # fmt: skip
"""What libraries say where they get no memory: torch on Linux, of CUDA, and on Windows; oneDNN; OpenVINO; what loads libraries."""


class VqcodecError(Exception):
    """The root of all errors that input can cause. The message is one line for the user."""


class ImageError(VqcodecError):
    """A picture that cannot be read or written, or whose colours would come out wrong."""


class FormatError(VqcodecError):
    """Bytes that are not a valid .vq file (FORMAT.md)."""


class BadMagicError(FormatError):
    """A file whose first bytes are not those of a .vq file."""


class UnsupportedVersionError(FormatError):
    """A .vq file of a format version that this reader does not know."""


class TruncatedError(FormatError):
    """A file that ends before the length that its header promises."""


class ChecksumMismatchError(FormatError):
    """A damaged file, in which a stored CRC differs from the computed one."""


class LimitExceededError(FormatError):
    """A file that exceeds a limit of the format or of the reader (FORMAT.md, section 9)."""


class DesyncError(FormatError):
    """An intact payload that decodes to other codes than were written, since writer and reader disagree on frequencies."""


class RegionError(VqcodecError):
    """A region that does not lie within its picture."""


class ModelError(VqcodecError):
    """A model that cannot be found or used."""


class UnknownModelError(ModelError):
    """A model that is not installed."""


class WeightsMismatchError(ModelError):
    """Weights that are not those that a file or a model's config names."""


class TrainingError(VqcodecError):
    """A training run that cannot go on, since its numbers are not finite any more."""


class RateError(VqcodecError):
    """A size or a number of maps that no file of the model has."""


def is_lack_of_memory(error: BaseException) -> bool:
    """Returns whether an error says that there is too little memory: a `MemoryError`, or what libraries raise in its place."""
    return isinstance(error, MemoryError) or (
        isinstance(error, RuntimeError | ImportError) and any(sign in str(error).lower() for sign in _NO_MEMORY)
    )


@contextmanager
def lack_of_memory_told() -> Iterator[None]:
    """Tells too little memory by one error, whatever libraries raise in its place; for a context, or to decorate a function.

    Raises:
        MemoryError: There is too little memory.
    """
    try:
        yield
    except Exception as error:
        if not is_lack_of_memory(error) or (isinstance(error, MemoryError) and str(error)):
            raise
        raise MemoryError("not enough memory") from error
