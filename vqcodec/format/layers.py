"""Layers: pixels that stand above or in place of what the codes paint (FORMAT.md, section 5). No pixel is decoded here."""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Final, Self

from vqcodec.errors import FormatError, LimitExceededError
from vqcodec.format.avif import check_avif_size
from vqcodec.format.chunks import Chunk, known_bodies
from vqcodec.format.container import Part
from vqcodec.format.integers import ByteReader, varint_bytes

EXACT_LAYER: Final = b"EXCT"
AVIF_LAYER: Final = b"AVIF"
COLOUR_LAYER: Final = b"TINT"
_SIDE_BITS: Final = 14
MAX_PATCH_SIDE_PX: Final = 1 << _SIDE_BITS
"""Longest side of a patch in pixels, that of WebP."""

WEBP_SIGNATURE: Final = b"\x2f"
"""First byte of a lossless WebP bitstream (RFC 9649, section 3.4)."""
_HEADER_BYTES: Final = 5


@dataclass(frozen=True)
class Patch:
    """A rectangle of the picture, some or all of whose pixels are said exactly.

    Attributes:
        left, top: place of its upper left pixel in the picture.
        num_exact: number of its opaque pixels, which are the exact ones.
        bitstream: lossless WebP bitstream of the rectangle (RFC 9649, section 3).
    """

    left: int
    top: int
    num_exact: int
    bitstream: bytes

    @property
    def size(self) -> tuple[int, int]:
        """Width and height in pixels, as the bitstream says.

        Raises:
            FormatError: It is not the beginning of a lossless WebP bitstream.
        """
        if len(self.bitstream) < _HEADER_BYTES or self.bitstream[:1] != WEBP_SIGNATURE:
            raise FormatError(f"an exact patch starts with {self.bitstream[:1].hex() or 'nothing'}, expected {WEBP_SIGNATURE.hex()}")
        sides = int.from_bytes(self.bitstream[1:_HEADER_BYTES], "little")
        return (sides & (1 << _SIDE_BITS) - 1) + 1, (sides >> _SIDE_BITS & (1 << _SIDE_BITS) - 1) + 1


@dataclass(frozen=True)
class Layers:
    """The layers of a file.

    Attributes:
        patches: exact patches, in the order in which they are pasted.
        avif: AVIF file of the whole picture that stands in place of the painted one; None where the codes are painted.
        tint: body of the colour layer, which is added to what codes paint; None where there is none.
    """

    patches: tuple[Patch, ...] = ()
    avif: bytes | None = None
    tint: bytes | None = None

    @property
    def num_exact(self) -> int:
        """The number of exact pixels."""
        return sum(patch.num_exact for patch in self.patches)

    def within(self, part: Part) -> Self:
        """Returns the layers that can be seen in a part of the picture."""
        rows, columns = part
        seen = []
        for patch in self.patches:
            width, height = patch.size
            if (
                patch.top < rows.stop
                and rows.start < patch.top + height
                and patch.left < columns.stop
                and columns.start < patch.left + width
            ):
                seen.append(patch)
        return replace(self, patches=tuple(seen))


NO_LAYERS: Final = Layers()
"""The layers of a file of codes alone."""


def write_layers(layers: Layers) -> tuple[Chunk, ...]:
    """Returns the chunks of layers."""
    chunks = []
    if layers.tint is not None:
        chunks.append(Chunk(COLOUR_LAYER, layers.tint))
    if layers.avif is not None:
        chunks.append(Chunk(AVIF_LAYER, layers.avif))
    if layers.patches:
        chunks.append(Chunk(EXACT_LAYER, b"".join(map(_patch_bytes, layers.patches))))
    return tuple(chunks)


def read_layers(chunks: Sequence[Chunk], width: int, height: int) -> Layers:
    """Reads the layers of a picture of width x height pixels.

    Raises:
        FormatError: A layer occurs twice, is critical and unknown, holds a patch that is not within the picture, or an AVIF file of
            another size; the subclass `LimitExceededError` where patches have more pixels than the picture.
    """
    bodies = known_bodies(chunks, (EXACT_LAYER, AVIF_LAYER, COLOUR_LAYER), "layers")
    patches = []
    if EXACT_LAYER in bodies:
        reader = ByteReader(bodies[EXACT_LAYER], name="exact layer")
        while reader.position < len(reader.data):
            fields = (reader.varint(), reader.varint(), reader.varint())
            patches.append(Patch(*fields, reader.take(reader.varint(max_bytes=5))))
        _check_patches(patches, width, height)
    if AVIF_LAYER in bodies:
        check_avif_size(bodies[AVIF_LAYER], width, height)
    return Layers(tuple(patches), bodies.get(AVIF_LAYER), bodies.get(COLOUR_LAYER))


def _check_patches(patches: Sequence[Patch], width: int, height: int) -> None:
    if not patches:
        raise FormatError("an exact layer without patches")
    pixels = 0
    for patch in patches:
        own_width, own_height = patch.size
        if patch.left + own_width > width or patch.top + own_height > height:
            place = f"{own_width}x{own_height} pixels at {patch.left},{patch.top}"
            raise FormatError(f"an exact patch of {place}, expected one within {width}x{height}")
        if not 1 <= patch.num_exact <= own_width * own_height:
            raise FormatError(f"an exact patch with {patch.num_exact} exact pixels, expected 1..{own_width * own_height}")
        pixels += own_width * own_height
    if pixels > width * height:
        raise LimitExceededError(f"exact patches of {pixels} pixels in all, expected {width * height} at most, those of the picture")


def _patch_bytes(patch: Patch) -> bytes:
    fields = map(varint_bytes, (patch.left, patch.top, patch.num_exact, len(patch.bitstream)))
    return b"".join(fields) + patch.bitstream
