"""Chunks, of which the layers and the metadata of a file consist (FORMAT.md, section 5)."""

import struct
import zlib
from collections.abc import Collection, Iterable, Iterator
from dataclasses import dataclass
from os import SEEK_END
from typing import BinaryIO, Final

from vqcodec.errors import ChecksumMismatchError, FormatError, LimitExceededError, TruncatedError
from vqcodec.format.integers import ByteReader, check_range, varint_bytes

MAX_CHUNK_BYTES: Final = 1 << 30
_HEAD_BYTES: Final = 9
"""Most bytes of type and length."""
_CRC_BYTES: Final = 4
_MOST_CHUNKS: Final = 256
"""Most chunks that are looked through one by one for those that are wanted."""


@dataclass(frozen=True)
class Chunk:
    """A piece of a file: a type of four ASCII letters, and a body."""

    kind: bytes
    body: bytes

    @property
    def is_critical(self) -> bool:
        """Whether a reader that does not know this type must refuse the file."""
        return not self.kind[0] & 0x20


def read_chunks(region: bytes, name: str) -> Iterator[Chunk]:
    """Yields the chunks that fill a region of a file.

    Args:
        region: bytes of the region.
        name: name of the region in messages, "layers" or "metadata".

    Raises:
        FormatError: They do not fill it, one is damaged, or its type is no ASCII letters.
    """
    reader = ByteReader(region, name=name)
    while reader.position < len(region):
        start = reader.position
        kind = reader.take(4)
        length = reader.varint(max_bytes=5)
        if length > MAX_CHUNK_BYTES:
            raise LimitExceededError(f"{name} of {length} bytes in a chunk, expected {MAX_CHUNK_BYTES} at most")
        body = reader.take(length)
        computed = zlib.crc32(region[start : reader.position])
        if reader.u32() != computed:
            raise ChecksumMismatchError(f"{name} of the file are damaged (a CRC differs)")
        if not (kind.isascii() and kind.isalpha()):
            raise FormatError(f"{name} of type {kind.hex(' ')}, expected four ASCII letters")
        yield Chunk(kind, body)


def find_chunks(file: BinaryIO, start: int, num_bytes: int, kinds: Collection[bytes], name: str) -> Iterator[Chunk]:
    """Yields the chunks of some types from a region of a file; the bodies of others are not read.

    Args:
        file: file that is open for reading bytes and can seek.
        start: place of the region in the file.
        num_bytes: length of the region.
        kinds: types that are wanted.
        name: name of the region in messages.

    Raises:
        FormatError: The file ends before the region, what is read of it is damaged, or it consists of very many chunks.
    """
    position, end = start, start + num_bytes
    file.seek(0, SEEK_END)
    file_length = file.tell()
    for _ in range(_MOST_CHUNKS):
        if position == end:
            return
        file.seek(position)
        head = ByteReader(file.read(min(_HEAD_BYTES, end - position)), name=name)
        kind, length = head.take(4), head.varint(max_bytes=5)
        whole = head.position + length + _CRC_BYTES
        if whole > end - position:
            raise TruncatedError(f"{name} ends after {num_bytes} bytes, expected at least {position + whole - start}")
        if kind in kinds:
            if position + whole > file_length:
                raise TruncatedError(f"file ends after {file_length} bytes, expected at least {position + whole}")
            file.seek(position)
            yield from read_chunks(file.read(whole), name)
        position += whole
    if position < end:
        raise LimitExceededError(f"{name} of more than {_MOST_CHUNKS} chunks")


def known_bodies(chunks: Iterable[Chunk], known: Collection[bytes], name: str) -> dict[bytes, bytes]:
    """Returns the bodies of chunks by their types.

    Args:
        chunks: the chunks of a region.
        known: types that the reader knows.
        name: name of the region in messages.

    Raises:
        FormatError: A type occurs twice, or is critical and not known.
    """
    bodies: dict[bytes, bytes] = {}
    for chunk in chunks:
        if chunk.kind in bodies:
            raise FormatError(f"{name} of type {chunk.kind.decode()} occur twice")
        if chunk.is_critical and chunk.kind not in known:
            raise FormatError(f"{name} of the unknown type {chunk.kind.decode()}, without which the file cannot be decoded")
        bodies[chunk.kind] = chunk.body
    return bodies


def chunks_length(chunks: Iterable[Chunk]) -> int:
    """Returns the length in bytes of a region that consists of these chunks."""
    return len(chunks_bytes(chunks))


def chunks_bytes(chunks: Iterable[Chunk]) -> bytes:
    """Returns the bytes of a region that consists of these chunks.

    Raises:
        ValueError: A type is not four ASCII letters, or a body is too long.
    """
    return b"".join(map(_chunk_bytes, chunks))


def _chunk_bytes(chunk: Chunk) -> bytes:
    if len(chunk.kind) != 4 or not (chunk.kind.isascii() and chunk.kind.isalpha()):
        raise ValueError(f"chunk type must be four ASCII letters, not {chunk.kind!r}")
    check_range("chunk length", len(chunk.body), 0, MAX_CHUNK_BYTES)
    covered = chunk.kind + varint_bytes(len(chunk.body)) + chunk.body
    return covered + struct.pack("<I", zlib.crc32(covered))
