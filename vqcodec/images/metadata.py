"""The alpha plane and the colour profile of a picture as chunks of metadata (FORMAT.md, section 5)."""

import zlib
from typing import Final

import numpy as np
from numpy.typing import NDArray

from vqcodec.errors import FormatError
from vqcodec.format.container import MAX_ICC_BYTES, Chunk, Container
from vqcodec.images.picture import Picture, alpha_from_png, alpha_to_png

ALPHA_CHUNK: Final = b"ALPH"
ICC_CHUNK: Final = b"iCCP"


def write_metadata(picture: Picture) -> tuple[Chunk, ...]:
    """Returns the chunks of a picture."""
    chunks = []
    if picture.alpha is not None:
        chunks.append(Chunk(ALPHA_CHUNK, alpha_to_png(picture.alpha)))
    if picture.icc_profile is not None:
        chunks.append(Chunk(ICC_CHUNK, zlib.compress(picture.icc_profile, 9)))
    return tuple(chunks)


def read_metadata(container: Container) -> tuple[NDArray[np.uint8] | None, bytes | None]:
    """Returns the alpha plane, uint8 [H, W], and the colour profile of a file, or None in place of each.

    The alpha plane that a cut file has lost is opaque.

    Raises:
        FormatError: A chunk contradicts the header, occurs twice, is damaged, or is critical and of an unknown type.
    """
    header = container.header
    bodies: dict[bytes, bytes] = {}
    for chunk in container.chunks:
        if chunk.kind in bodies:
            raise FormatError(f"metadata {chunk.kind.decode()} occurs twice")
        if chunk.is_critical and chunk.kind != ALPHA_CHUNK:
            raise FormatError(f"metadata of the unknown type {chunk.kind.decode()}, without which the file cannot be decoded")
        bodies[chunk.kind] = chunk.body
    if (ALPHA_CHUNK in bodies) != header.mode.has_alpha and not container.is_truncated:
        raise FormatError(f"colour mode {header.mode.name} with{'' if ALPHA_CHUNK in bodies else 'out'} an alpha plane")
    alpha = None
    if ALPHA_CHUNK in bodies:
        alpha = alpha_from_png(bodies[ALPHA_CHUNK], width=header.width, height=header.height)
    elif header.mode.has_alpha:
        alpha = np.full((header.height, header.width), 255, np.uint8)
    return alpha, _inflate_profile(bodies[ICC_CHUNK]) if ICC_CHUNK in bodies else None


def _inflate_profile(body: bytes) -> bytes:
    try:
        inflater = zlib.decompressobj()
        profile = inflater.decompress(body, MAX_ICC_BYTES)
    except zlib.error as error:
        raise FormatError(f"colour profile cannot be inflated: {error}") from error
    if inflater.unused_data:
        raise FormatError(f"colour profile is followed by {len(inflater.unused_data)} bytes, expected none")
    if not inflater.eof:
        raise FormatError(f"colour profile is cut or larger than {MAX_ICC_BYTES} bytes")
    return profile
