"""The chunks of a file's metadata (FORMAT.md, section 5), and its colour profile, EXIF and XMP without the rest of the file."""

import zlib
from collections.abc import Mapping
from dataclasses import dataclass
from typing import BinaryIO, Final

from vqcodec.errors import FormatError
from vqcodec.format.chunks import find_chunks, known_bodies
from vqcodec.format.container import MAX_EXIF_BYTES, MAX_ICC_BYTES, MAX_XMP_BYTES

ALPHA_CHUNK: Final = b"ALPH"
ICC_CHUNK: Final = b"iCCP"
EXIF_CHUNK: Final = b"eXIF"
XMP_CHUNK: Final = b"xMPP"


@dataclass(frozen=True)
class Tags:
    """What a file says of its picture beside pixels.

    Attributes:
        icc_profile: colour profile of the pixels, or None.
        exif: EXIF as a TIFF structure, or None.
        xmp: XMP packet, or None.
    """

    icc_profile: bytes | None = None
    exif: bytes | None = None
    xmp: bytes | None = None


def inflated_tags(bodies: Mapping[bytes, bytes]) -> Tags:
    """Returns profile, EXIF and XMP, given the bodies of chunks by their types.

    Raises:
        FormatError: One is no zlib stream, is cut or too large, or is followed by something.
    """
    return Tags(
        _inflated(bodies.get(ICC_CHUNK), "colour profile", MAX_ICC_BYTES),
        _inflated(bodies.get(EXIF_CHUNK), "EXIF", MAX_EXIF_BYTES),
        _inflated(bodies.get(XMP_CHUNK), "XMP", MAX_XMP_BYTES),
    )


def find_tags(file: BinaryIO, start: int, num_bytes: int) -> Tags:
    """Reads profile, EXIF and XMP from a file whose metadata begin at `start`; an alpha plane is skipped and not read.

    Raises:
        FormatError: The metadata are damaged, or the file ends before them.
    """
    kinds = ICC_CHUNK, EXIF_CHUNK, XMP_CHUNK
    return inflated_tags(known_bodies(find_chunks(file, start, num_bytes, kinds, "metadata"), kinds, "metadata"))


def _inflated(body: bytes | None, name: str, limit: int) -> bytes | None:
    if body is None:
        return None
    try:
        inflater = zlib.decompressobj()
        data = inflater.decompress(body, limit)
    except zlib.error as error:
        raise FormatError(f"{name} cannot be inflated: {error}") from error
    if inflater.unused_data:
        raise FormatError(f"{name} is followed by {len(inflater.unused_data)} bytes, expected none")
    if not inflater.eof:
        raise FormatError(f"{name} is cut or larger than {limit} bytes")
    return data
