"""Checks the checksums of tile groups: when they are written, and that wrong ones are refused."""

import pytest

from vqcodec.errors import FormatError
from vqcodec.format.chunks import Chunk
from vqcodec.format.container import CoderKind, ColourMode, Header, MapEntry
from vqcodec.format.groups import SUMS_CHUNK, num_groups, read_sums, write_sums

SUMS = [[(group, 7 * group) for group in range(20)], [(9, group) for group in range(20)]]


def header(*coders: CoderKind, width: int = 2560, height: int = 2048) -> Header:
    return Header(1, b"1234", width, height, ColourMode.RGB, tuple(MapEntry(coder, 9, 0, 0) for coder in coders))


def test_sums_come_back_by_map() -> None:
    chunks = write_sums(SUMS, 1 << 20)
    assert read_sums((Chunk(b"TINT", b""), *chunks), header(CoderKind.PRIOR, CoderKind.PRIOR)) == dict(enumerate(SUMS))
    assert read_sums(chunks, header(CoderKind.PRIOR, CoderKind.RAW, CoderKind.PRIOR)) == {0: SUMS[0], 2: SUMS[1]}
    assert read_sums((), header(CoderKind.PRIOR)) == {}
    assert chunks[0].body[:8] == bytes([0, 0, 0, 0, 1, 0, 7, 0]) and not chunks[0].is_critical


def test_small_pictures_and_small_files_have_none() -> None:
    assert num_groups(2560, 2048) == 20 and num_groups(2048, 2048) == 16 and num_groups(2049, 1) == 5 and num_groups(1, 1) == 1
    assert write_sums([of_map[:16] for of_map in SUMS], 1 << 20) == () == write_sums([], 1 << 20)
    assert write_sums(SUMS, 100 * 160) == () != write_sums(SUMS, 100 * 160 + 1)


@pytest.mark.parametrize("body", [b"", bytes(159), bytes(161), bytes(80)])
def test_sums_of_another_number_of_groups_are_refused(body: bytes) -> None:
    with pytest.raises(FormatError, match=f"in {len(body)} bytes, expected 160"):
        read_sums((Chunk(SUMS_CHUNK, body),), header(CoderKind.PRIOR, CoderKind.PRIOR))
