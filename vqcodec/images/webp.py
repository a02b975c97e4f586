"""Lossless WebP bitstreams (RFC 9649, section 3), which exact patches and alpha planes are stored as."""

import warnings
from io import BytesIO
from typing import Final

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from vqcodec.errors import FormatError

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

    Raises:
        FormatError: It is damaged, or has another size.
    """
    chunk = b"VP8L" + len(bitstream).to_bytes(4, "little") + bitstream + b"\0" * (len(bitstream) % 2)
    return decode_still(b"RIFF" + (4 + len(chunk)).to_bytes(4, "little") + b"WEBP" + chunk, "WEBP", size, name)


def decode_still(data: bytes, file_format: str, size: tuple[int, int], name: str) -> NDArray[np.uint8]:
    """Decodes a still picture of a known size into uint8 [H, W, 4].

    Args:
        data: bytes of the file.
        file_format: its format, as Pillow calls it.
        size: its width and height in pixels.
        name: what it is called in messages.

    Raises:
        FormatError: It cannot be decoded, has another size, or several frames.
    """
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            with Image.open(BytesIO(data), formats=(file_format,)) as image:
                if image.size != size or getattr(image, "n_frames", 1) != 1:
                    found = f"{image.width}x{image.height} pixels and {getattr(image, 'n_frames', 1)} frames"
                    raise FormatError(f"an {name} of {found}, expected {size[0]}x{size[1]} and one")
                return np.asarray(image.convert("RGBA"))
    except (FormatError, MemoryError):
        raise
    except Exception as error:  # a damaged picture makes Pillow raise almost anything
        raise FormatError(f"an {name} that cannot be decoded") from error
