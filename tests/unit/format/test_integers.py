"""Checks that integers come back from their bytes, and that each has one form alone."""

import pytest

from vqcodec.errors import FormatError, TruncatedError
from vqcodec.format.integers import ByteReader, varint_bytes


@pytest.mark.parametrize(
    ("value", "data"),
    [
        (0, "00"),
        (127, "7f"),
        (128, "8001"),
        ((1 << 14) - 1, "ff7f"),
        (1 << 14, "808001"),
        ((1 << 21) - 1, "ffff7f"),
        (1 << 21, "80808001"),
        ((1 << 28) - 1, "ffffff7f"),
    ],
)
def test_varints_at_the_limits_of_their_lengths(value: int, data: str) -> None:
    assert varint_bytes(value) == bytes.fromhex(data)
    reader = ByteReader(bytes.fromhex(data) + b"rest")
    assert reader.varint() == value and reader.take(4) == b"rest"


def test_a_varint_has_at_most_the_bytes_that_are_asked_for() -> None:
    data = varint_bytes(1 << 28)
    assert ByteReader(data).varint(max_bytes=5) == 1 << 28
    with pytest.raises(FormatError, match="an integer takes more than 4 bytes"):
        ByteReader(data).varint()


@pytest.mark.parametrize("data", [b"\x80\0", b"\xff\0", b"\x81\x80\0"])
def test_a_varint_longer_than_it_need_be_is_refused(data: bytes) -> None:
    with pytest.raises(FormatError, match="not stored in its shortest form"):
        ByteReader(data).varint()


def test_integers_of_fixed_width_are_little_endian() -> None:
    reader = ByteReader(bytes.fromhex("00 01 0203 04050607"), 1)
    assert (reader.byte(), reader.u16(), reader.u32()) == (1, 0x0302, 0x07060504)
    assert reader.position == 8


def test_bytes_that_end_too_early_are_told_and_not_skipped() -> None:
    reader = ByteReader(b"ab\x80", 2, name="payload")
    with pytest.raises(TruncatedError, match="payload ends after 3 bytes, expected at least 4"):
        reader.u16()
    assert reader.position == 2
    with pytest.raises(TruncatedError, match="payload ends after 3 bytes, expected at least 4"):
        reader.varint()
