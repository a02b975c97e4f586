"""The alpha plane, the colour profile, EXIF and XMP of a picture as chunks of metadata (FORMAT.md, section 5)."""

import zlib
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from vqcodec.errors import FormatError
from vqcodec.format.chunks import Chunk, known_bodies
from vqcodec.format.container import Container
from vqcodec.format.metadata import ALPHA_CHUNK, EXIF_CHUNK, ICC_CHUNK, XMP_CHUNK, inflated_tags
from vqcodec.images.alpha import decode_alpha, encode_alpha
from vqcodec.images.picture import Picture


@dataclass(frozen=True)
class Metadata:
    """What the chunks of a file hold.

    Attributes:
        alpha: alpha plane, uint8 [H, W], or None.
        icc_profile: colour profile of the pixels, or None.
        exif: EXIF as a TIFF structure, or None.
        xmp: XMP packet, or None.
    """

    alpha: NDArray[np.uint8] | None = None
    icc_profile: bytes | None = None
    exif: bytes | None = None
    xmp: bytes | None = None


def write_metadata(picture: Picture) -> tuple[Chunk, ...]:
    """Returns the chunks of a picture."""
    chunks = []
    if picture.alpha is not None:
        chunks.append(Chunk(ALPHA_CHUNK, encode_alpha(picture.alpha)))
    for kind, data in ((ICC_CHUNK, picture.icc_profile), (EXIF_CHUNK, picture.exif), (XMP_CHUNK, picture.xmp)):
        if data is not None:
            chunks.append(Chunk(kind, zlib.compress(data, 9)))
    return tuple(chunks)


def read_metadata(container: Container) -> Metadata:
    """Returns the metadata of a file.

    The alpha plane that a cut file has lost is opaque.

    Raises:
        FormatError: A chunk contradicts the header, occurs twice, is damaged, or is critical and of an unknown type.
    """
    header = container.header
    bodies = known_bodies(container.metadata, (ALPHA_CHUNK,), "metadata")
    if (ALPHA_CHUNK in bodies) != header.mode.has_alpha and not container.is_truncated:
        raise FormatError(f"colour mode {header.mode.name} with{'' if ALPHA_CHUNK in bodies else 'out'} an alpha plane")
    alpha = None
    if ALPHA_CHUNK in bodies:
        alpha = decode_alpha(bodies[ALPHA_CHUNK], width=header.width, height=header.height)
    elif header.mode.has_alpha:
        alpha = np.full((header.height, header.width), 255, np.uint8)
    tags = inflated_tags(bodies)
    return Metadata(alpha, tags.icc_profile, tags.exif, tags.xmp)
