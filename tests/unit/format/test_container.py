"""Checks the exact bytes of the container, and that every way in which a file can be wrong is told."""

import struct
import zlib
from dataclasses import replace
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from vqcodec.errors import (
    BadMagicError,
    ChecksumMismatchError,
    FormatError,
    LimitExceededError,
    TruncatedError,
    UnsupportedVersionError,
)
from vqcodec.format.chunks import Chunk, chunks_length
from vqcodec.format.container import (
    MAX_SIDE_PX,
    CoderKind,
    ColourMode,
    Container,
    Header,
    MapEntry,
    bits_per_pixel,
    crc16,
    map_name,
    map_scale,
    map_size,
    read_container,
    write_container,
)


def entry(payload: bytes, coder: CoderKind = CoderKind.STATIC) -> MapEntry:
    return MapEntry(coder, len(payload), crc16(payload), 0x0102)


def make_container(
    payloads: tuple[bytes, ...] = (b"top!", b"bottom"),
    chunks: tuple[Chunk, ...] = (),
    width: int = 300,
    height: int = 200,
    mode: ColourMode = ColourMode.RGB,
) -> Container:
    header = Header(1, b"\xaa\xbb\xcc\xdd", width, height, mode, tuple(map(entry, payloads)), chunks_length(chunks))
    return Container(header, payloads, chunks)


def sealed(body: bytes) -> bytes:
    """Returns `body` with a correct header CRC behind it."""
    return body + struct.pack("<I", zlib.crc32(body))


def with_layers(payload: bytes = b"") -> tuple[Container, bytes]:
    """Returns parts and bytes of a file of two layers and metadata."""
    layers, metadata = (Chunk(b"aaaa", b"first"), Chunk(b"bbbb", b"second")), (Chunk(b"iCCP", b"profile"),)
    parts = make_container((payload,), metadata)
    parts = replace(parts, header=replace(parts.header, layers_bytes=chunks_length(layers)), layers=layers)
    return parts, write_container(parts)


def test_layers_stand_before_payloads() -> None:
    parts, data = with_layers(b"top!")
    assert read_container(data) == parts and data[4] & 0xC0 == 0xC0
    assert data.index(b"first") < data.index(b"second") < data.index(b"top!") < data.index(b"profile")


@pytest.mark.parametrize("payload", [b"", b"top!"])
def test_a_file_that_ends_in_its_layers_is_refused(payload: bytes) -> None:
    """Where codes take no bytes, the first map is complete as soon as its layers are."""
    parts, data = with_layers(payload)
    start = len(data) - chunks_length(parts.metadata) - len(payload)
    for length in range(1, start):
        with pytest.raises(TruncatedError):
            read_container(data[:length], allow_truncated=True)
    cut = read_container(data[: start + len(payload)], allow_truncated=True)
    assert cut.layers == parts.layers and cut.payloads == (payload,) and cut.is_truncated and cut.metadata == ()
    with pytest.raises(TruncatedError, match="before its layers are complete"):
        read_container(data[: start - 1], allow_truncated=True)


def test_crc16_of_the_usual_digits() -> None:
    assert crc16(b"123456789") == 0x29B1


def test_exact_bytes() -> None:
    data = write_container(make_container((b"top!",), (Chunk(b"iCCP", b"xy"),)))
    header = bytes.fromhex("89565104 50 01 aabbccdd ac02 c801") + bytes([4 << 2 | 1])
    header += struct.pack("<HH", crc16(b"top!"), 0x0102) + bytes([11])
    chunk = b"iCCP\x02xy"
    assert data == sealed(header) + b"top!" + sealed(chunk)


def test_exact_bytes_with_a_sharpened_prior() -> None:
    parts = make_container((b"top!", b"bottom"))
    entries = replace(entry(b"top!", CoderKind.PRIOR), sharpness=24), entry(b"bottom", CoderKind.PRIOR)
    parts = replace(parts, header=replace(parts.header, maps=entries))
    header = bytes.fromhex("89565105 11 01 aabbccdd ac02 c801") + bytes([4 << 2 | 3]) + struct.pack("<HHB", crc16(b"top!"), 0x0102, 24)
    header += bytes([6 << 2 | 2]) + struct.pack("<HH", crc16(b"bottom"), 0x0102)
    data = sealed(header) + b"top!bottom"
    assert write_container(parts) == data and read_container(data) == parts and parts.header.version == 5


@pytest.mark.parametrize(("coder", "sharpness"), [(CoderKind.PRIOR, 0), (CoderKind.PRIOR, 256), (CoderKind.STATIC, 17)])
def test_a_sharpness_out_of_range_is_not_written(coder: CoderKind, sharpness: int) -> None:
    parts = make_container((b"top!",))
    parts = replace(parts, header=replace(parts.header, maps=(replace(entry(b"top!", coder), sharpness=sharpness),)))
    with pytest.raises(ValueError, match="sharpness"):
        write_container(parts)


def test_version_5_may_have_no_sharpened_prior() -> None:
    data = write_container(make_container((b"top!",)))
    raised = data[:3] + b"\5" + data[4 : -len(b"top!") - 4]
    assert read_container(sealed(raised) + b"top!") == read_container(data)


def test_overhead_of_two_maps_is_at_most_32_bytes() -> None:
    payloads = (bytes(9_000), bytes(500_000))
    assert len(write_container(make_container(payloads, width=16383, height=8191))) - 509_000 == 32


chunk_kinds = st.from_regex(rb"[A-Za-z]{4}", fullmatch=True)


@given(
    payloads=st.lists(st.binary(max_size=300), min_size=1, max_size=16).map(tuple),
    chunks=st.lists(st.builds(Chunk, chunk_kinds, st.binary(max_size=300)), max_size=3).map(tuple),
    width=st.integers(1, 1 << 14),
    height=st.integers(1, 1 << 13),
    mode=st.sampled_from(ColourMode),
)
def test_round_trip(payloads: tuple[bytes, ...], chunks: tuple[Chunk, ...], width: int, height: int, mode: ColourMode) -> None:
    container = make_container(payloads, chunks, width, height, mode)
    container = replace(container, header=replace(container.header, layers_bytes=chunks_length(chunks[:2])), layers=chunks[:2])
    assert read_container(write_container(container)) == container


@given(st.binary(max_size=200))
def test_arbitrary_bytes_raise_only_format_errors(data: bytes) -> None:
    for prefix in (b"", b"\x89VQ\x04"):
        with pytest.raises(FormatError):
            read_container(prefix + data)


def test_what_is_no_bytes_is_a_type_error() -> None:
    for data in ("a.vq", 1, None, Path("a.vq")):
        with pytest.raises(TypeError, match="data must be the bytes of a .vq file, not (str|int|NoneType|PosixPath|WindowsPath)"):
            read_container(data)  # type: ignore[arg-type]


def test_every_flipped_bit_is_refused() -> None:
    data = write_container(make_container(chunks=(Chunk(b"ALPH", b"alpha"), Chunk(b"iCCP", b"profile"))))
    for position in range(8 * len(data)):
        broken = bytearray(data)
        broken[position // 8] ^= 1 << position % 8
        for allow_truncated in (False, True):
            try:
                read_container(bytes(broken), allow_truncated=allow_truncated)
            except FormatError:
                continue
            pytest.fail(f"bit {position} flipped, file accepted (allow_truncated={allow_truncated})")


def test_cut_file_is_refused_and_read_as_far_as_it_goes_when_asked() -> None:
    container = make_container((b"top!", b"bottom", b"refine"), (Chunk(b"iCCP", b"xy"),))
    data = write_container(container)
    header_bytes = len(data) - 16 - chunks_length(container.metadata)
    for length in range(len(data)):
        with pytest.raises(FormatError):
            read_container(data[:length])
        complete = sum(length >= header_bytes + end for end in (4, 10, 16))
        if complete == 0:
            with pytest.raises(FormatError):
                read_container(data[:length], allow_truncated=True)
        else:
            cut = read_container(data[:length], allow_truncated=True)
            assert cut.is_truncated
            assert cut.payloads == container.payloads[:complete]
            assert cut.metadata == ()


HEAD = bytes.fromhex("89565104")
REST = bytes.fromhex("01 aabbccdd 08 08") + bytes([1]) + b"\xff\xff\0\0"


@pytest.mark.parametrize(
    ("data", "error", "message"),
    [
        (b"", BadMagicError, "nothing"),
        (b"\x89PNG\r\n", BadMagicError, "89 50 4e 47"),
        (b"\x89VQ", TruncatedError, "file ends after 3 bytes, expected at least 4"),
        (b"\x89VQ\x01", UnsupportedVersionError, "version 1"),
        (b"\x89VQ\x02", UnsupportedVersionError, "version 2"),
        (b"\x89VQ\x03", UnsupportedVersionError, "version 3"),
        (sealed(HEAD + b"\x80" + REST + b"\x00"), FormatError, "announced but empty"),
        (sealed(HEAD + b"\x80" + REST + b"\x04") + b"abcd", TruncatedError, "layers"),
        (sealed(HEAD + bytes.fromhex("00 8100 aabbccdd 08 08 01") + bytes(4)), FormatError, "shortest form"),
        (sealed(HEAD + bytes.fromhex("00 ffffffff7f aabbccdd 08 08 01") + bytes(4)), FormatError, "more than 4 bytes"),
        (sealed(HEAD + bytes.fromhex("00 01 aabbccdd 00 08 01") + bytes(4)), FormatError, "0x8"),
        (sealed(HEAD + bytes.fromhex("00 01 aabbccdd 818040 08 01") + bytes(4)), FormatError, str(MAX_SIDE_PX + 1)),
        (sealed(HEAD + bytes.fromhex("00 01 aabbccdd 808040 808001 01") + bytes(4)), LimitExceededError, "at most"),
        (sealed(HEAD + bytes.fromhex("00 01 aabbccdd 08 08 03") + bytes(4)), FormatError, "coder kind 3"),
        (sealed(HEAD + bytes.fromhex("00 01 aabbccdd 08 08 818080807f") + bytes(4)), LimitExceededError, "payload of"),
        (sealed(HEAD + b"\x40" + REST + b"\x00"), FormatError, "announced but empty"),
        (HEAD + b"\x00" + REST + bytes(4), ChecksumMismatchError, "header is damaged"),
        (sealed(HEAD + b"\x00" + REST) + b"!", FormatError, "1 bytes after the end"),
        (sealed(HEAD + b"\x40" + REST + b"\x09") + sealed(b"a1cd\x00"), FormatError, "four ASCII letters"),
        (sealed(HEAD + b"\x40" + REST + b"\x04") + b"abcd", TruncatedError, "metadata"),
    ],
)
def test_malformed(data: bytes, error: type[FormatError], message: str) -> None:
    with pytest.raises(error, match=message):
        read_container(data)


@pytest.mark.parametrize(
    ("broken", "message"),
    [
        (make_container(width=0), "width must be in 1..1048576, not 0"),
        (make_container(height=MAX_SIDE_PX + 1), "height must be in 1..1048576, not 1048577"),
        (make_container(payloads=()), "number of maps must be in 1..16, not 0"),
        (make_container(payloads=(b"",) * 17), "number of maps must be in 1..16, not 17"),
        (Container(make_container().header, (b"top!",), ()), "payloads do not have the lengths in the header"),
        (
            Container(make_container().header, (b"top!", b"bottom"), (Chunk(b"iCCP", b""),)),
            "layers or metadata do not have the lengths in the header",
        ),
    ],
)
def test_writer_refuses_what_the_format_cannot_hold(broken: Container, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        write_container(broken)


def test_bits_per_pixel() -> None:
    assert bits_per_pixel(49152, 768, 512) == 1.0


def test_maps_of_an_image() -> None:
    assert [map_name(number) for number in range(4)] == ["top", "bottom", "refine_1", "refine_2"]
    assert [map_scale(number) for number in range(4)] == [1, 2, 2, 2]
    assert [map_size(768, 512, number) for number in range(3)] == [(64, 96), (128, 192), (128, 192)]
    assert [map_size(1, 17, number) for number in range(2)] == [(3, 1), (6, 2)]
