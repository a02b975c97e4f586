"""Weights files as arrays. Imports no torch."""

import hashlib
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from textwrap import shorten
from typing import Any, Final

import numpy as np
import safetensors
import safetensors.numpy
from numpy.typing import NDArray

from vqcodec.errors import ModelError, WeightsMismatchError, is_lack_of_memory
from vqcodec.models.config import CONFIG_NAME

MAX_WEIGHTS_BYTES: Final = 1 << 30
"""Largest weights file that is read."""

_LARGEST_NUMBER: Final = 1 << 31
"""Largest absolute value of a number of a tensor."""
_EXPONENT_OF_HALF: Final = 0x7C00
"""Exponent bits of float16, all of which are set in infinite numbers and in those that are none."""

_LONGEST_MESSAGE: Final = 300

Tensors = Mapping[str, NDArray[Any]]
"""Tensors of a weights file by name; the arrays cannot be written to."""


def read_weights(path: Path, sha256: str) -> Tensors:
    """Reads a weights file of this digest.

    Raises:
        ModelError: It cannot be read, is no weights file, or holds numbers that are not finite.
        WeightsMismatchError: Its digest is another.
        MemoryError: Memory does not hold it.
    """
    try:
        size = path.stat().st_size
        if not path.is_file() or size > MAX_WEIGHTS_BYTES:
            raise ModelError(f"{path}: expected a weights file of {MAX_WEIGHTS_BYTES} bytes at most, found one of {size}")
        data = path.read_bytes()
    except OSError as error:
        raise ModelError(f"{path}: cannot be read: {error.strerror}") from error
    digest = hashlib.sha256(data).hexdigest()
    if digest != sha256:
        raise WeightsMismatchError(f"{path}: sha256 is {digest}, expected {sha256}")
    with misfits_told(path):
        tensors: Tensors = safetensors.numpy.load(data)
        for name, values in tensors.items():
            _check_numbers(name, values)
    return tensors


def _check_numbers(name: str, values: NDArray[Any]) -> None:
    """Checks that a tensor holds numbers with which networks can compute.

    Raises:
        ValueError: It does not.
    """
    if values.dtype.kind not in "fiu":
        raise ValueError(f"tensor {name} is {values.dtype}, expected numbers")
    if values.dtype == np.float16:  # by its bits, since it is compared slowly
        is_finite = (values.view(np.uint16) & _EXPONENT_OF_HALF).max(initial=0) < _EXPONENT_OF_HALF
    else:
        is_finite = -_LARGEST_NUMBER <= values.min(initial=0) <= values.max(initial=0) <= _LARGEST_NUMBER
    if not is_finite:
        raise ValueError(f"tensor {name} has numbers that are not finite, or beyond {_LARGEST_NUMBER}")


@contextmanager
def misfits_told(path: Path) -> Iterator[None]:
    """Tells errors that tensors cause which are missing or unfit as those of a weights file.

    Raises:
        ModelError: A tensor does not fit.
        MemoryError: Memory does not hold what is made of the tensors.
    """
    try:
        yield
    except (safetensors.SafetensorError, KeyError, OverflowError, RuntimeError, TypeError, ValueError) as error:
        if is_lack_of_memory(error):
            raise MemoryError(f"not enough memory for the model {path.parent}") from error
        raise ModelError(f"{path}: does not fit {CONFIG_NAME}: {shorten(str(error), _LONGEST_MESSAGE)}") from error


def with_prefix(tensors: Tensors, prefix: str) -> dict[str, NDArray[Any]]:
    """Returns the tensors whose names begin with a prefix, under their names without it."""
    return {name.removeprefix(prefix): values for name, values in tensors.items() if name.startswith(prefix)}
