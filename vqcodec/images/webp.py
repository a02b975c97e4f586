"""Lossless WebP bitstreams (RFC 9649, section 3), which exact patches and alpha planes are stored as."""

from collections.abc import Iterator
from contextlib import contextmanager
from io import BytesIO
from typing import Final

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from vqcodec.errors import FormatError, LimitExceededError
from vqcodec.silence import warnings_ignored

MAX_SIDE_PX: Final = (1 << 14) - 1
"""Longest side of pictures that are encoded, libwebp's own limit; that of the format is a pixel longer."""

_HEADERS_BYTES: Final = 20
"""Length of the headers of a WebP file before its bitstream."""


def encode_webp(pixels: NDArray[np.uint8]) -> bytes:
    """Encodes pixels, uint8 [H, W, 3] or [H, W, 4] with sides of at most `MAX_SIDE_PX`, as a lossless bitstream."""
    out = BytesIO()
    Image.fromarray(np.ascontiguousarray(pixels)).save(out, "WEBP", lossless=True, quality=100, method=4)
    data = out.getvalue()
    if data[12:16] != b"VP8L":
        raise AssertionError(f"WebP of kind {data[12:16]!r}, expected the simple lossless one")
    return data[_HEADERS_BYTES : _HEADERS_BYTES + int.from_bytes(data[16:20], "little")]


def decode_webp(bitstream: bytes, size: tuple[int, int], name: str) -> NDArray[np.uint8]:
    """Decodes a lossless bitstream of `size`, width and height, into uint8 [H, W, 4].

    Args:
        bitstream: the bitstream.
        size: its width and height in pixels.
        name: what it is called in messages.

    Raises:
        FormatError: It is damaged, or has another size, or more than twice the pixels of `Image.MAX_IMAGE_PIXELS`, which somebody lowered.
    """
    sides = int.from_bytes(bitstream[1:5], "little")
    check_still(((sides & MAX_SIDE_PX) + 1, (sides >> 14 & MAX_SIDE_PX) + 1), 1, size, name)
    chunk = b"VP8L" + len(bitstream).to_bytes(4, "little") + bitstream + b"\0" * (len(bitstream) % 2)
    data = b"RIFF" + (4 + len(chunk)).to_bytes(4, "little") + b"WEBP" + chunk
    with damage_told(name), warnings_ignored():
        try:
            with Image.open(BytesIO(data), formats=("WEBP",)) as image:
                check_still(image.size, getattr(image, "n_frames", 1), size, name)
                return np.asarray(image.convert("RGBA"))
        except Image.DecompressionBombError as error:
            most = f"2 * {Image.MAX_IMAGE_PIXELS} at most, by Image.MAX_IMAGE_PIXELS of Pillow"
            raise LimitExceededError(f"an {name} of {size[0]}x{size[1]} pixels, expected {most}") from error


def check_still(found: tuple[int, int], num_frames: int, size: tuple[int, int], name: str) -> None:
    """Checks that a picture, called `name` in messages, is a still one of the expected size, width and height in pixels.

    Raises:
        FormatError: It has another size, or several frames.
    """
    if found != size or num_frames != 1:
        raise FormatError(f"an {name} of {found[0]}x{found[1]} pixels and {num_frames} frames, expected {size[0]}x{size[1]} and one")


@contextmanager
def damage_told(name: str) -> Iterator[None]:
    """Turns what a decoder raises for a damaged picture, called `name` in messages, into a `FormatError`."""
    try:
        yield
    except (FormatError, MemoryError):
        raise
    except Exception as error:  # a damaged picture makes Pillow raise almost anything
        raise FormatError(f"an {name} that cannot be decoded") from error
