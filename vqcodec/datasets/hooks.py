"""Hooks by which other libraries decode .vq files to code maps."""

from collections.abc import Callable

import numpy as np
from numpy.typing import NDArray

from vqcodec.datasets.reading import CodeReader
from vqcodec.format.container import SUFFIX


def decode_vq(data: bytes, *, maps: int | None = None) -> list[NDArray[np.uint16]]:
    """Decodes the code maps of a .vq file. No pixel is painted, and no network is loaded but the priors of these maps.

    Args:
        data: bytes of the file.
        maps: number of first maps; None for all that the file holds.

    Returns:
        uint16 [h, w] each, top first.

    Raises:
        VqcodecError: The bytes are not an intact .vq file, it holds fewer maps, or its model is not installed.
        TypeError, ValueError: An argument is not as described.
    """
    (codes,) = CodeReader(maps).read([data])
    if codes.error is not None:
        raise codes.error
    return codes.maps


def decoder(*, maps: int | None = None) -> Callable[[str, bytes], list[NDArray[np.uint16]] | None]:
    """Returns a handler for `webdataset.WebDataset(...).decode(...)` that decodes the .vq files of samples to their code maps.

    Args:
        maps: number of first maps; None for all that a file holds.

    Raises:
        TypeError, ValueError: maps is no whole number, or below 1.
    """
    return _Handler(CodeReader(maps).maps)


class _Handler:
    """A handler of WebDataset, which is a class so that it can be sent to other processes."""

    def __init__(self, maps: int | None) -> None:
        self.maps = maps

    def __call__(self, key: str, data: bytes) -> list[NDArray[np.uint16]] | None:
        """Decodes a member whose extension is that of a .vq file; others are left to other handlers."""
        return decode_vq(data, maps=self.maps) if f".{key}".lower().endswith(SUFFIX) else None
