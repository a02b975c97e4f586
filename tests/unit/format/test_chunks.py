"""Checks chunks: that they come back, and that every way in which a region can be wrong is told."""

import zlib
from contextlib import nullcontext
from io import BytesIO

import pytest

from vqcodec.errors import ChecksumMismatchError, FormatError, LimitExceededError, TruncatedError
from vqcodec.format.chunks import MAX_CHUNK_BYTES, Chunk, chunks_bytes, chunks_length, find_chunks, known_bodies, read_chunks
from vqcodec.format.integers import varint_bytes

CHUNKS = (Chunk(b"ABcd", b""), Chunk(b"efgH", b"x" * 200))


def test_chunks_come_back() -> None:
    region = chunks_bytes(CHUNKS)
    assert tuple(read_chunks(region, "layers")) == CHUNKS
    assert len(region) == chunks_length(CHUNKS) == (4 + 1 + 4) + (4 + 2 + 200 + 4)
    assert region[:9] == b"ABcd\0" + zlib.crc32(b"ABcd\0").to_bytes(4, "little")
    assert chunks_bytes(()) == b"" and not list(read_chunks(b"", "layers"))


def test_letters_say_what_is_critical() -> None:
    assert [chunk.is_critical for chunk in CHUNKS] == [True, False]


def test_every_cut_and_every_flipped_bit_is_told() -> None:
    region = chunks_bytes(CHUNKS)
    for length in set(range(1, len(region))) - {chunks_length(CHUNKS[:1])}:
        with pytest.raises(TruncatedError, match=r"^layers ends after \d+ bytes, expected at least \d+$"):
            list(read_chunks(region[:length], "layers"))
    for position in range(8 * len(region)):
        broken = bytearray(region)
        broken[position // 8] ^= 1 << position % 8
        with pytest.raises(FormatError):
            list(read_chunks(bytes(broken), "layers"))


def test_a_wrong_crc_names_the_region() -> None:
    region = chunks_bytes(CHUNKS)
    with pytest.raises(ChecksumMismatchError, match="^metadata of the file are damaged"):
        list(read_chunks(region[:-1] + bytes([region[-1] ^ 1]), "metadata"))


def test_bodies_by_type() -> None:
    assert known_bodies(CHUNKS, (b"ABcd",), "layers") == {b"ABcd": b"", b"efgH": b"x" * 200}
    with pytest.raises(FormatError, match="^layers of the unknown type ABcd, without which the file cannot be decoded$"):
        known_bodies(CHUNKS, (b"efgH",), "layers")
    for twice in CHUNKS:
        with pytest.raises(FormatError, match=f"^metadata of type {twice.kind.decode()} occur twice$"):
            known_bodies((*CHUNKS, twice), (b"ABcd",), "metadata")


@pytest.mark.parametrize("kind", [b"ABC", b"ABCDE", b"AB1D", b"AB D", "ÄBC".encode("latin-1") + b"D"])
def test_writer_refuses_other_types(kind: bytes) -> None:
    with pytest.raises(ValueError, match="chunk type must be four ASCII letters, not"):
        chunks_bytes([Chunk(kind, b"")])


def test_writer_refuses_bodies_that_are_too_long() -> None:
    class Long(bytes):
        def __len__(self) -> int:
            return MAX_CHUNK_BYTES + 1

    with pytest.raises(ValueError, match="chunk length must be in 0..1073741824, not 1073741825"):
        chunks_bytes([Chunk(b"ABCD", Long())])


def test_a_length_that_a_small_file_states_takes_no_memory() -> None:
    region = b"eXIF" + varint_bytes(1 << 34) + bytes(9)
    with pytest.raises(TruncatedError, match="file ends after 18 bytes, expected at least 17179869197"):
        list(find_chunks(BytesIO(region), 0, (1 << 35) - 1, (b"eXIF",), "metadata"))


def test_chunks_are_found_without_the_bodies_of_others() -> None:
    before = b"header"
    region = chunks_bytes((*CHUNKS, Chunk(b"last", b"end")))
    file = BytesIO(before + region.replace(b"x", b"?"))
    found = find_chunks(file, len(before), len(region), (b"ABcd", b"last"), "metadata")
    assert [chunk.kind for chunk in found] == [b"ABcd", b"last"]
    with pytest.raises(ChecksumMismatchError, match="^metadata of the file are damaged"):
        list(find_chunks(file, len(before), len(region), (b"efgH",), "metadata"))
    for length in range(1, len(region)):
        for data, num_bytes in ((region[:length], len(region)), (region, length)):
            if length in (chunks_length(CHUNKS[:1]), chunks_length(CHUNKS)) and num_bytes == length:
                continue  # a shorter region of whole chunks
            with pytest.raises(TruncatedError):
                list(find_chunks(BytesIO(data), 0, num_bytes, (b"last",), "metadata"))
    assert not list(find_chunks(BytesIO(b""), 0, 0, (b"last",), "metadata"))
    for count in (256, 257):
        region, told = chunks_bytes([Chunk(b"many", b"")] * count), nullcontext() if count == 256 else pytest.raises(LimitExceededError)
        with told:
            assert not list(find_chunks(BytesIO(region), 0, len(region), (b"last",), "metadata"))
