"""Reading and writing the .vq container, bytes <-> frozen dataclasses, as FORMAT.md specifies it.

No code and no pixel is decoded here, and only the standard library is used. Sections that are named are those of FORMAT.md.
"""

import struct
import zlib
from binascii import crc_hqx
from collections.abc import Iterable
from dataclasses import dataclass
from enum import IntEnum
from typing import Final

from vqcodec.errors import (
    BadMagicError,
    ChecksumMismatchError,
    FormatError,
    LimitExceededError,
    TruncatedError,
    UnsupportedVersionError,
)
from vqcodec.format.integers import ByteReader, varint_bytes

MAGIC: Final = b"\x89VQ"
FORMAT_VERSION: Final = 3
SUFFIX: Final = ".vq"
MAX_MODEL_NUMBER: Final = (1 << 28) - 1
MAX_SIDE_PX: Final = 1 << 20
MAX_PIXELS: Final = 1 << 27
MAX_MAPS: Final = 16
MAX_PAYLOAD_BYTES: Final = 1 << 30
MAX_CHUNK_BYTES: Final = 1 << 30
MAX_FILE_BYTES: Final = 1 << 30
MAX_ICC_BYTES: Final = 16 << 20
MAX_EXIF_BYTES: Final = 16 << 20
MAX_XMP_BYTES: Final = 16 << 20
DIGEST_BYTES: Final = 4
TOP_TILE_CODES: Final = 32
"""Side in codes of the top map's tiles (section 4); the tiles of other maps are `map_scale` times as wide and high."""

_CHUNKS_FLAG: Final = 0x40
_RESERVED_FLAG: Final = 0x80


class ColourMode(IntEnum):
    """The colour mode of a decoded image (section 2)."""

    L = 0
    RGB = 1
    LA = 2
    RGBA = 3

    @property
    def has_alpha(self) -> bool:
        """Whether the image has an alpha plane, and the file an ALPH chunk."""
        return self in (ColourMode.LA, ColourMode.RGBA)


class CoderKind(IntEnum):
    """The way in which a payload holds its index map (section 4)."""

    RAW = 0
    STATIC = 1
    PRIOR = 2


@dataclass(frozen=True)
class MapEntry:
    """The header's entry of one index map.

    Attributes:
        coder: coder of the payload.
        num_bytes: length of the payload in bytes.
        payload_crc: CRC-16 of the payload.
        index_crc: CRC-16 of the decoded indices, row by row, each as a little-endian u16.
    """

    coder: CoderKind
    num_bytes: int
    payload_crc: int
    index_crc: int


@dataclass(frozen=True)
class Header:
    """The header of a file, which stands before the payloads (section 2).

    Attributes:
        model_number: permanent number of the model.
        weights_digest: first 4 bytes of the SHA-256 of the model's weights file.
        width, height: size of the image in pixels, before padding.
        mode: colour mode of the decoded image.
        maps: entries of the index maps in the order of dependence, top first.
        chunks_bytes: length of the metadata in bytes, 0 where there is none.
    """

    model_number: int
    weights_digest: bytes
    width: int
    height: int
    mode: ColourMode
    maps: tuple[MapEntry, ...]
    chunks_bytes: int

    @property
    def payload_bytes(self) -> int:
        """The length of all payloads together in bytes."""
        return sum(entry.num_bytes for entry in self.maps)


@dataclass(frozen=True)
class Chunk:
    """A piece of metadata (section 5): a type of four ASCII letters, and a body."""

    kind: bytes
    body: bytes

    @property
    def is_critical(self) -> bool:
        """Whether a reader that does not know this type must refuse the file."""
        return not self.kind[0] & 0x20


@dataclass(frozen=True)
class Container:
    """The parts of a file.

    Attributes:
        header: the header.
        payloads: the complete payloads. There are fewer than `header.maps` only where a truncated file was allowed.
        chunks: metadata in the order of the file.
        is_truncated: whether the file ends before the length that its header promises.
    """

    header: Header
    payloads: tuple[bytes, ...]
    chunks: tuple[Chunk, ...]
    is_truncated: bool = False


def map_name(number: int) -> str:
    """Returns the name of map `number`: top, bottom, refine_1, refine_2, ..."""
    return ("top", "bottom")[number] if number < 2 else f"refine_{number - 1}"


def map_scale(number: int) -> int:
    """Returns how many codes of map `number` lie along each side of one top code (section 3): 1 for the top, 2 for all other maps."""
    return 1 if number == 0 else 2


def map_size(width: int, height: int, number: int) -> tuple[int, int]:
    """Returns (height, width) in codes of map `number` of an image of `width` x `height` pixels (section 3)."""
    scale = map_scale(number)
    return scale * -(-height // 8), scale * -(-width // 8)


def bits_per_pixel(num_bytes: int, width: int, height: int) -> float:
    """Returns 8 * num_bytes / (width * height), where the size is that of the image in pixels, before padding."""
    return 8 * num_bytes / (width * height)


def crc16(data: bytes) -> int:
    """Computes the CRC-16/IBM-3740 of bytes (section 1)."""
    return crc_hqx(data, 0xFFFF)


def write_container(container: Container) -> bytes:
    """Returns the bytes of a complete file. The CRCs in the header are taken as given.

    Raises:
        ValueError: A field is out of its range, or payloads or chunks do not have the lengths in the header.
    """
    header = container.header
    chunks = b"".join(_chunk_bytes(chunk) for chunk in container.chunks)
    if [len(payload) for payload in container.payloads] != [entry.num_bytes for entry in header.maps]:
        raise ValueError("payloads do not have the lengths in the header")
    if len(chunks) != header.chunks_bytes:
        raise ValueError(f"chunks take {len(chunks)} bytes, expected the {header.chunks_bytes} of the header")
    return write_header(header) + b"".join(container.payloads) + chunks


def read_container(data: bytes, *, allow_truncated: bool = False, max_pixels: int = MAX_PIXELS) -> Container:
    """Takes a file apart, and checks all checksums except those of the indices.

    Args:
        data: the whole file, as bytes or as an object with a buffer, such as a memoryview.
        allow_truncated: whether a file is accepted that was cut after its first payload.
        max_pixels: largest number of pixels of images that are accepted.

    Raises:
        FormatError: The file is not valid; the subclass says why.
        TypeError: data holds no bytes.
    """
    data = _as_bytes(data)
    header, position = read_header(data, max_pixels=max_pixels)
    promised = position + header.payload_bytes + header.chunks_bytes
    is_truncated = len(data) < promised
    if is_truncated and not allow_truncated:
        raise TruncatedError(f"file ends after {len(data)} of {promised} bytes (cut or incomplete)")
    if len(data) > promised:
        raise FormatError(f"{len(data) - promised} bytes after the end of the file's {promised}")
    payloads: list[bytes] = []
    for number, entry in enumerate(header.maps):
        payload = data[position : position + entry.num_bytes]
        if len(payload) < entry.num_bytes:
            break
        if crc16(payload) != entry.payload_crc:
            raise ChecksumMismatchError(f"payload of map {map_name(number)} is damaged (its CRC differs)")
        payloads.append(payload)
        position += entry.num_bytes
    if not payloads:
        raise TruncatedError(f"file ends after {len(data)} bytes, before its first map is complete")
    chunks = () if is_truncated else tuple(_read_chunks(data[position:]))
    return Container(header, tuple(payloads), chunks, is_truncated)


def write_header(header: Header) -> bytes:
    """Returns the bytes of a header with its CRC (section 2).

    Raises:
        ValueError: A field is out of its range.
    """
    _check_range("width", header.width, 1, MAX_SIDE_PX)
    _check_range("height", header.height, 1, MAX_SIDE_PX)
    _check_range("number of pixels", header.width * header.height, 1, MAX_PIXELS)
    _check_range("number of maps", len(header.maps), 1, MAX_MAPS)
    _check_range("model_number", header.model_number, 1, MAX_MODEL_NUMBER)
    _check_range("digest length", len(header.weights_digest), DIGEST_BYTES, DIGEST_BYTES)
    layout = (len(header.maps) - 1) | header.mode << 4 | (_CHUNKS_FLAG if header.chunks_bytes else 0)
    out = bytearray(MAGIC + bytes([FORMAT_VERSION, layout]))
    out += varint_bytes(header.model_number)
    out += header.weights_digest
    out += varint_bytes(header.width) + varint_bytes(header.height)
    for entry in header.maps:
        _check_range("payload length", entry.num_bytes, 0, MAX_PAYLOAD_BYTES)
        out += varint_bytes(entry.num_bytes << 2 | entry.coder)
        out += struct.pack("<HH", entry.payload_crc, entry.index_crc)
    if header.chunks_bytes:
        out += varint_bytes(header.chunks_bytes)
    out += struct.pack("<I", zlib.crc32(bytes(out)))
    return bytes(out)


def _as_bytes(data: object) -> bytes:
    """Returns the bytes of an object with a buffer, such as a memory-mapped file."""
    try:
        return bytes(memoryview(data))  # type: ignore[arg-type]
    except TypeError:
        raise TypeError(f"data must be the bytes of a .vq file, not {type(data).__name__}") from None


def read_header(data: bytes, *, max_pixels: int = MAX_PIXELS) -> tuple[Header, int]:
    """Reads the header of a file; returns it and its length in bytes.

    Raises:
        FormatError: The header is not valid; the subclass says why.
    """
    if data[: len(MAGIC)] != MAGIC[: len(data)] or not data:
        raise BadMagicError(f"not a .vq file: starts with {data[:4].hex(' ') or 'nothing'}, expected {MAGIC.hex(' ')}")
    reader = ByteReader(data, len(MAGIC))
    version = reader.byte()
    if version != FORMAT_VERSION:
        raise UnsupportedVersionError(f"format version {version}, expected {FORMAT_VERSION}")
    layout = reader.byte()
    model_number = reader.varint()
    weights_digest = reader.take(DIGEST_BYTES)
    width, height = reader.varint(), reader.varint()
    entries = []
    for _ in range((layout & 0x0F) + 1):
        length = reader.varint(max_bytes=5)
        entries.append((length >> 2, length & 3, reader.u16(), reader.u16()))
    chunks_bytes = reader.varint(max_bytes=5) if layout & _CHUNKS_FLAG else 0
    computed = zlib.crc32(data[: reader.position])
    if reader.u32() != computed:
        raise ChecksumMismatchError("header is damaged (its CRC differs)")
    # The bytes are now known to be those that were written, so that what is wrong is the writer's fault, or new in a later format.
    if layout & _RESERVED_FLAG:
        raise FormatError("reserved bit of the layout byte is set")
    if not (1 <= width <= MAX_SIDE_PX and 1 <= height <= MAX_SIDE_PX):
        raise FormatError(f"image size {width}x{height}, expected sides of 1..{MAX_SIDE_PX}")
    if width * height > max_pixels:
        raise LimitExceededError(f"image of {width}x{height} pixels, expected {max_pixels} at most")
    if layout & _CHUNKS_FLAG and chunks_bytes == 0:
        raise FormatError("metadata is announced but empty")
    maps = tuple(_map_entry(number, *entry) for number, entry in enumerate(entries))
    mode = ColourMode(layout >> 4 & 3)
    return Header(model_number, weights_digest, width, height, mode, maps, chunks_bytes), reader.position


def _map_entry(number: int, num_bytes: int, coder: int, payload_crc: int, index_crc: int) -> MapEntry:
    try:
        kind = CoderKind(coder)
    except ValueError as error:
        raise FormatError(f"map {map_name(number)}: coder kind {coder}, expected one of {', '.join(map(str, CoderKind))}") from error
    if num_bytes > MAX_PAYLOAD_BYTES:
        raise LimitExceededError(f"map {map_name(number)}: payload of {num_bytes} bytes, expected {MAX_PAYLOAD_BYTES} at most")
    return MapEntry(kind, num_bytes, payload_crc, index_crc)


def _read_chunks(region: bytes) -> Iterable[Chunk]:
    reader = ByteReader(region, name="metadata")
    while reader.position < len(region):
        start = reader.position
        kind = reader.take(4)
        body = reader.take(reader.varint(max_bytes=5))
        computed = zlib.crc32(region[start : reader.position])
        if reader.u32() != computed:
            raise ChecksumMismatchError("metadata is damaged (its CRC differs)")
        if not (kind.isascii() and kind.isalpha()):
            raise FormatError(f"metadata type {kind.hex(' ')}, expected four ASCII letters")
        yield Chunk(kind, body)


def chunks_length(chunks: Iterable[Chunk]) -> int:
    """Returns the length in bytes of the metadata that consists of these chunks."""
    return sum(len(_chunk_bytes(chunk)) for chunk in chunks)


def _chunk_bytes(chunk: Chunk) -> bytes:
    if len(chunk.kind) != 4 or not (chunk.kind.isascii() and chunk.kind.isalpha()):
        raise ValueError(f"chunk type must be four ASCII letters, not {chunk.kind!r}")
    _check_range("chunk length", len(chunk.body), 0, MAX_CHUNK_BYTES)
    covered = chunk.kind + varint_bytes(len(chunk.body)) + chunk.body
    return covered + struct.pack("<I", zlib.crc32(covered))


def _check_range(name: str, value: int, low: int, high: int) -> None:
    if not low <= value <= high:
        raise ValueError(f"{name} must be in {low}..{high}, not {value}")
