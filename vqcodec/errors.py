"""Every error that a file, a model or a picture can cause.

The tree has one root, so that `except vqcodec.VqcodecError` catches all that bad input can raise. Caller mistakes (a wrong argument in
code) are `ValueError` or `TypeError` as usual and are not here.
"""

from typing import TypeVar

Result = TypeVar("Result")


class VqcodecError(Exception):
    """Root of all errors caused by what vqcodec was given to read. The message is one line, fit to be shown to a user."""


class ImageError(VqcodecError):
    """A picture that cannot be read, or that vqcodec refuses to encode because its colours would come out wrong."""


class FormatError(VqcodecError):
    """Bytes that are not a valid .vq file (FORMAT.md)."""


class BadMagicError(FormatError):
    """The first bytes are not those of a .vq file."""


class UnsupportedVersionError(FormatError):
    """A .vq file of a format version that this reader does not know."""


class TruncatedError(FormatError):
    """The bytes end before the length that the header promises."""


class ChecksumMismatchError(FormatError):
    """A stored CRC differs from the one computed: the file is damaged."""


class LimitExceededError(FormatError):
    """The file asks for more than a reader is willing to do (FORMAT.md, Limits)."""


class DesyncError(FormatError):
    """A payload is intact but decodes to other codes than were written: writer and reader disagree on the frequencies."""


class ModelError(VqcodecError):
    """A model cannot be found or used."""


class UnknownModelError(ModelError):
    """No installed model has this id."""


class WeightsMismatchError(ModelError):
    """The installed weights are not those that the file or the model's config names."""


class RateError(VqcodecError):
    """No file of the model is as small, or has as many maps, as was asked for."""


def or_raise(result: "Result | VqcodecError") -> "Result":
    """A result; raises the error that may be in its place."""
    if isinstance(result, VqcodecError):
        raise result
    return result
