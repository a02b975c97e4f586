"""Reading and writing the .vq container, bytes <-> frozen dataclasses, as FORMAT.md specifies it.

No code and no pixel is decoded here, and only the standard library is used. Sections that are named are those of FORMAT.md.
"""

import struct
import zlib
from binascii import crc_hqx
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
from vqcodec.format.chunks import Chunk, chunks_bytes, read_chunks
from vqcodec.format.integers import ByteReader, check_range, varint_bytes
from vqcodec.format.octaves import MAX_SHARPNESS, PLAIN_SHARPNESS

MAGIC: Final = b"\x89VQ"
FORMAT_VERSION: Final = 5
"""Version of files in which the prior of a map is sharpened."""
PLAIN_VERSION: Final = 4
"""Version of all other files."""
SUFFIX: Final = ".vq"
MIME_TYPE: Final = "image/x-vq"
MAX_HEADER_BYTES: Final = 512
"""No header is longer."""
MAX_MODEL_NUMBER: Final = (1 << 28) - 1
MAX_SIDE_PX: Final = 1 << 20
MAX_PIXELS: Final = 1 << 27
MAX_MAPS: Final = 16
MAX_PAYLOAD_BYTES: Final = 1 << 30
MAX_FILE_BYTES: Final = 1 << 30
MAX_ICC_BYTES: Final = 16 << 20
MAX_EXIF_BYTES: Final = 16 << 20
MAX_XMP_BYTES: Final = 16 << 20
DIGEST_BYTES: Final = 4
TOP_TILE_CODES: Final = 32
"""Side in codes of the top map's tiles (section 4); the tiles of other maps are `map_scale` times as wide and high."""
GROUP_TILES: Final = 2
"""Tiles along each side of a group (section 4)."""
GROUP_PX: Final = 8 * TOP_TILE_CODES * GROUP_TILES
"""Side in pixels of what a tile group shows."""

Part = tuple[slice, slice]
"""Rows and columns of a part of a picture, in pixels, with a beginning and an end."""

_METADATA_FLAG: Final = 0x40
_LAYERS_FLAG: Final = 0x80
_SHARPENED_KIND: Final = 3
"""Coder kind of a map whose prior is sharpened, which is `CoderKind.PRIOR` with a sharpness here."""


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
        sharpness: sixteenths by which the logits of the prior are multiplied, 1 to `MAX_SHARPNESS`; `PLAIN_SHARPNESS` for other coders.
    """

    coder: CoderKind
    num_bytes: int
    payload_crc: int
    index_crc: int
    sharpness: int = PLAIN_SHARPNESS


@dataclass(frozen=True)
class Header:
    """The header of a file, which stands before the payloads (section 2).

    Attributes:
        model_number: permanent number of the model.
        weights_digest: first 4 bytes of the SHA-256 of the model's weights file.
        width, height: size of the image in pixels, before padding.
        mode: colour mode of the decoded image.
        maps: entries of the index maps in the order of dependence, top first.
        metadata_bytes: length of the metadata in bytes, 0 where there is none.
        layers_bytes: length of the layers in bytes, 0 where there are none.
    """

    model_number: int
    weights_digest: bytes
    width: int
    height: int
    mode: ColourMode
    maps: tuple[MapEntry, ...]
    metadata_bytes: int = 0
    layers_bytes: int = 0

    @property
    def version(self) -> int:
        """The version of the format that the file is written in: the older one where nothing needs the newer one."""
        return PLAIN_VERSION if all(entry.sharpness == PLAIN_SHARPNESS for entry in self.maps) else FORMAT_VERSION

    @property
    def payload_bytes(self) -> int:
        """The length of all payloads together in bytes."""
        return sum(entry.num_bytes for entry in self.maps)


@dataclass(frozen=True)
class Container:
    """The parts of a file.

    Attributes:
        header: the header.
        payloads: the complete payloads. There are fewer than `header.maps` only where a truncated file was allowed.
        metadata: chunks of the metadata in the order of the file.
        layers: chunks of the layers in the order of the file.
        is_truncated: whether the file ends before the length that its header promises.
    """

    header: Header
    payloads: tuple[bytes, ...]
    metadata: tuple[Chunk, ...] = ()
    layers: tuple[Chunk, ...] = ()
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
        ValueError: A field is out of its range, or payloads, layers or metadata do not have the lengths in the header.
    """
    header = container.header
    layers, metadata = chunks_bytes(container.layers), chunks_bytes(container.metadata)
    if [len(payload) for payload in container.payloads] != [entry.num_bytes for entry in header.maps]:
        raise ValueError("payloads do not have the lengths in the header")
    if (len(layers), len(metadata)) != (header.layers_bytes, header.metadata_bytes):
        raise ValueError("layers or metadata do not have the lengths in the header")
    return write_header(header) + layers + b"".join(container.payloads) + metadata


def read_container(data: bytes, *, allow_truncated: bool = False) -> Container:
    """Takes a file apart, and checks all checksums except those of the indices.

    Args:
        data: the whole file, as bytes or as an object with a buffer, such as a memoryview.
        allow_truncated: whether a file is accepted that was cut after its first payload.

    Raises:
        FormatError: The file is not valid; the subclass says why.
        TypeError: data holds no bytes.
    """
    data = _as_bytes(data)
    header, position = read_header(data)
    is_truncated = ends_early(len(data), header, position, allow_truncated=allow_truncated)
    if len(data) < position + header.layers_bytes:
        raise TruncatedError(f"file ends after {len(data)} bytes, before its layers are complete")
    payloads: list[bytes] = []
    layers = tuple(read_chunks(data[position : position + header.layers_bytes], "layers"))
    position += header.layers_bytes
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
    metadata = () if is_truncated else tuple(read_chunks(data[position:], "metadata"))
    return Container(header, tuple(payloads), metadata, layers, is_truncated)


def ends_early(num_bytes: int, header: Header, header_bytes: int, *, allow_truncated: bool = False) -> bool:
    """Checks the length of a file against the one that its header promises, and tells whether the file ends before.

    Args:
        num_bytes: length of the file in bytes.
        header: its header.
        header_bytes: length of the header in bytes.
        allow_truncated: whether a file is accepted that ends early.

    Raises:
        FormatError: It is longer; the subclass `TruncatedError` where it ends early, and that is not allowed.
    """
    promised = header_bytes + header.layers_bytes + header.payload_bytes + header.metadata_bytes
    if num_bytes < promised and not allow_truncated:
        raise TruncatedError(f"file ends after {num_bytes} of {promised} bytes (cut or incomplete)")
    if num_bytes > promised:
        raise FormatError(f"{num_bytes - promised} bytes after the end of the file's {promised}")
    return num_bytes < promised


def write_header(header: Header) -> bytes:
    """Returns the bytes of a header with its CRC (section 2).

    Raises:
        ValueError: A field is out of its range.
    """
    check_range("width", header.width, 1, MAX_SIDE_PX)
    check_range("height", header.height, 1, MAX_SIDE_PX)
    check_range("number of pixels", header.width * header.height, 1, MAX_PIXELS)
    check_range("number of maps", len(header.maps), 1, MAX_MAPS)
    check_range("model_number", header.model_number, 1, MAX_MODEL_NUMBER)
    check_range("digest length", len(header.weights_digest), DIGEST_BYTES, DIGEST_BYTES)
    regions = {_LAYERS_FLAG: header.layers_bytes, _METADATA_FLAG: header.metadata_bytes}
    layout = (len(header.maps) - 1) | header.mode << 4 | sum(flag for flag, length in regions.items() if length)
    out = bytearray(MAGIC + bytes([header.version, layout]))
    out += varint_bytes(header.model_number)
    out += header.weights_digest
    out += varint_bytes(header.width) + varint_bytes(header.height)
    for entry in header.maps:
        check_range("payload length", entry.num_bytes, 0, MAX_PAYLOAD_BYTES)
        sharpnesses = (1, MAX_SHARPNESS) if entry.coder is CoderKind.PRIOR else (PLAIN_SHARPNESS, PLAIN_SHARPNESS)
        check_range("sharpness", entry.sharpness, *sharpnesses)
        is_sharpened = entry.sharpness != PLAIN_SHARPNESS
        out += varint_bytes(entry.num_bytes << 2 | (_SHARPENED_KIND if is_sharpened else entry.coder))
        out += struct.pack("<HH", entry.payload_crc, entry.index_crc)
        out += bytes([entry.sharpness] if is_sharpened else [])
    for length in filter(None, regions.values()):
        out += varint_bytes(length)
    out += struct.pack("<I", zlib.crc32(bytes(out)))
    return bytes(out)


def _as_bytes(data: object) -> bytes:
    """Returns the bytes of an object with a buffer, such as a memory-mapped file: a copy of them unless it is `bytes`."""
    if isinstance(data, bytes):
        return data
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
    if version not in (PLAIN_VERSION, FORMAT_VERSION):
        raise UnsupportedVersionError(f"format version {version}, expected {PLAIN_VERSION} or {FORMAT_VERSION}")
    layout = reader.byte()
    model_number = reader.varint()
    weights_digest = reader.take(DIGEST_BYTES)
    width, height = reader.varint(), reader.varint()
    entries = []
    for _ in range((layout & 0x0F) + 1):
        length = reader.varint(max_bytes=5)
        kind = length & 3
        crcs = reader.u16(), reader.u16()
        entries.append((length >> 2, kind, *crcs, reader.byte() if kind == _SHARPENED_KIND and version == FORMAT_VERSION else None))
    lengths = {flag: reader.varint(max_bytes=5) for flag in (_LAYERS_FLAG, _METADATA_FLAG) if layout & flag}
    computed = zlib.crc32(data[: reader.position])
    if reader.u32() != computed:
        raise ChecksumMismatchError("header is damaged (its CRC differs)")
    # The bytes are now known to be those that were written, so that what is wrong is the writer's fault, or new in a later format.
    if not (1 <= width <= MAX_SIDE_PX and 1 <= height <= MAX_SIDE_PX):
        raise FormatError(f"image size {width}x{height}, expected sides of 1..{MAX_SIDE_PX}")
    if width * height > max_pixels:
        raise LimitExceededError(f"image of {width}x{height} pixels, expected {max_pixels} at most")
    if 0 in lengths.values():
        raise FormatError("layers or metadata are announced but empty")
    maps = tuple(_map_entry(number, *entry) for number, entry in enumerate(entries))
    mode = ColourMode(layout >> 4 & 3)
    regions = (lengths.get(_METADATA_FLAG, 0), lengths.get(_LAYERS_FLAG, 0))
    return Header(model_number, weights_digest, width, height, mode, maps, *regions), reader.position


def _map_entry(number: int, num_bytes: int, coder: int, payload_crc: int, index_crc: int, sharpness: int | None) -> MapEntry:
    """Returns the entry of a map; `sharpness` is None where none is stored."""
    try:
        kind = CoderKind(coder if sharpness is None else CoderKind.PRIOR)
    except ValueError as error:
        raise FormatError(f"map {map_name(number)}: coder kind {coder}, expected one of {', '.join(map(str, CoderKind))}") from error
    if num_bytes > MAX_PAYLOAD_BYTES:
        raise LimitExceededError(f"map {map_name(number)}: payload of {num_bytes} bytes, expected {MAX_PAYLOAD_BYTES} at most")
    if sharpness in (0, PLAIN_SHARPNESS):
        raise FormatError(f"map {map_name(number)}: sharpness {sharpness}, expected 1..{MAX_SHARPNESS} without {PLAIN_SHARPNESS}")
    return MapEntry(kind, num_bytes, payload_crc, index_crc, PLAIN_SHARPNESS if sharpness is None else sharpness)
