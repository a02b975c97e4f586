import gzip
import tarfile
from pathlib import Path

import pytest

from tests.unit.datasets.conftest import header, link, pax, write_shard
from vqcodec.datasets import CodeMaps, tar
from vqcodec.datasets.tar import Sample, read_shard
from vqcodec.errors import FormatError


def folder_member() -> tarfile.TarInfo:
    info = tarfile.TarInfo("")
    info.type = tarfile.DIRTYPE
    return info


def test_samples_are_members_of_one_name(tmp_path: Path) -> None:
    path = write_shard(
        tmp_path / "shard.tar",
        [
            ("cat", folder_member()),
            ("cat/0.vq", b"zero"),
            ("cat/0.cls", b"3"),
            ("cat/0.json", b'{"path": "k\xc3\xa4tzchen.vq"}'),
            ("readme.txt", b"hello"),
            ("dog/0.cls", b"4"),
            ("dog/0.VQ", b"one"),
            (".vq", b"hidden"),
        ],
    )
    assert list(read_shard(path)) == [
        Sample("kätzchen.vq", f"{path}: cat/0.vq", 3, b"zero"),
        Sample("dog/0.VQ", f"{path}: dog/0.VQ", 4, b"one"),
    ]


def broken(path: Path) -> dict[str, str]:
    return {sample.name: str(sample.data) for sample in read_shard(path) if isinstance(sample.data, FormatError)}


def test_nothing_is_followed_or_written(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    secret = tmp_path / "secret.vq"
    secret.write_bytes(b"secret")
    members = [
        ("a.vq", b"a"),
        ("b.vq", link("../secret.vq")),
        ("c.vq", link("a.vq", tarfile.LNKTYPE)),
        ("/etc/d.vq", b"d"),
        ("../e.vq", b"e"),
    ]
    inside = tmp_path / "inside"
    inside.mkdir()
    path = write_shard(inside / "shard.tar", members)
    assert broken(path) == dict.fromkeys(("b.vq", "c.vq"), "is a link, a sparse file or no file, expected a regular file")
    assert [sample.data for sample in read_shard(path) if isinstance(sample.data, bytes)] == [b"a", b"d", b"e"]
    assert list(inside.iterdir()) == [path]


def test_sparse_members_are_refused(tmp_path: Path) -> None:
    """A member of GNU tar, in the old form, which says that it has 2**29 bytes, none of which is stored."""
    header = bytearray(tarfile.TarInfo("a.vq").tobuf(tarfile.GNU_FORMAT))
    header[156:157] = tarfile.GNUTYPE_SPARSE
    header[483:495] = b"%011o\0" % (1 << 29)
    header[148:156] = b" " * 8
    header[148:156] = b"%06o\0 " % sum(header)
    path = tmp_path / "shard.tar"
    path.write_bytes(bytes(header) + bytes(1024))
    assert broken(path) == {"a.vq": "is a link, a sparse file or no file, expected a regular file"}


def test_huge_members_are_not_read(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(tar, "MAX_FILE_BYTES", 100)
    path = write_shard(tmp_path / "shard.tar", [("a.vq", bytes(101)), ("b.vq", bytes(100))])
    assert broken(path) == {"a.vq": "has 101 bytes, expected 100 at most"}


def test_doubled_members_and_bad_labels_are_told(tmp_path: Path) -> None:
    path = write_shard(
        tmp_path / "shard.tar", [("a.vq", b"1"), ("a.vq", b"2"), ("b.vq", b""), ("b.cls", b"cat"), ("c.vq", b""), ("c.json", b"{")]
    )
    assert broken(path) == {
        "a.vq": "occurs twice in its sample",
        "b.vq": "its label b'cat', expected a whole number of 64 bits",
        "c.vq": "its member c.json, expected JSON",
    }


@pytest.mark.parametrize(
    ("text", "label"),
    [
        *[(b" 7\n", 7), (b"-1", -1), (b"9223372036854775807", (1 << 63) - 1)],
        *[(text, None) for text in (b"", b"1_0", b"1.0", b"+", b"9223372036854775808", b"1" * 30, "٣".encode())],
    ],
)
def test_labels_are_whole_numbers_that_a_tensor_holds(tmp_path: Path, text: bytes, label: int | None) -> None:
    path = write_shard(tmp_path / "shard.tar", [("a.vq", b"1"), ("a.cls", text)])
    (sample,) = read_shard(path)
    assert (sample.label == label) if label is not None else isinstance(sample.data, FormatError)


def test_a_name_that_no_file_can_have_is_told(tmp_path: Path) -> None:
    path = write_shard(
        tmp_path / "shard.tar", [("a.vq", b"1"), ("a.json", b'{"path": "\\ud800"}'), ("b.vq", b"2"), ("b.json", b'{"path": "\\udcff"}')]
    )
    assert broken(path) == {"a.vq": "its member a.json with a path '\\ud800', expected the name of a file"}
    assert [sample.name for sample in read_shard(path)] == ["a.vq", "\udcff"]


@pytest.mark.parametrize("length", [0, 100, 512, 1000, 1024, 1536, 2048, 2500])
def test_a_shard_that_was_cut_is_told(tmp_path: Path, length: int) -> None:
    whole = write_shard(tmp_path / "whole.tar", [("a.vq", b"a" * 600), ("b.vq", b"b" * 300)]).read_bytes()
    cut = tmp_path / "cut.tar"
    cut.write_bytes(whole[:length])
    with pytest.raises(FormatError, match=r"cut\.tar: not a whole tar file"):
        list(read_shard(cut))


def test_a_damaged_header_does_not_end_a_shard_silently(tmp_path: Path) -> None:
    path = write_shard(tmp_path / "shard.tar", [("a.vq", b"a"), ("b.vq", b"b"), ("c.vq", b"c")])
    data = bytearray(path.read_bytes())
    data[1024 + 150] ^= 1
    path.write_bytes(data)
    with pytest.raises(FormatError, match="expected a header or the end at byte 1024"):
        list(read_shard(path))


BAD_HEADERS = {
    "a map of holes": pax({"GNU.sparse.map": "a,b"}),
    "a sparse size": pax({"GNU.sparse.size": "x"}),
    "no map of holes": pax({"GNU.sparse.major": "1", "GNU.sparse.minor": "0"}),
    "half a sparse header": header("a.vq", 0, tarfile.GNUTYPE_SPARSE)[:482] + b"\1" + bytes(29),
    "a size beyond all files": pax({"size": "9" * 23}),
    "a binary size beyond all files": header("a.vq", 1 << 80),
    "a size below 0": header("a.vq", -(1 << 40)),
    "records below 0": header("pax", -512, tarfile.XHDTYPE),
    "records beyond memory": header("pax", 1 << 62, tarfile.XHDTYPE),
    "a name beyond memory": header("name", 1 << 62, tarfile.GNUTYPE_LONGNAME),
    "headers of headers": pax({"comment": "x"}) * 3000,
    "an endless loop": pax({"size": "-1536"}),
}
"""Headers for which `tarfile` raises something else than its own errors, or which it would read for ever."""


def with_checksum(data: bytes) -> bytes:
    """Returns the first header of a shard with its right checksum, and all that follows."""
    summed = data[:148] + b" " * 8 + data[156:512]
    return data[:148] + b"%06o\0 " % sum(summed) + data[156:]


@pytest.mark.parametrize("is_first", [True, False], ids=["first", "second"])
@pytest.mark.parametrize("bad", BAD_HEADERS.values(), ids=BAD_HEADERS)
def test_a_header_that_no_writer_writes_is_told(bad: bytes, is_first: bool, tmp_path: Path) -> None:
    path = tmp_path / "bad.tar"
    end = b"" if bad[156:157] == tarfile.GNUTYPE_SPARSE else header("b.vq") + bytes(1024)
    path.write_bytes((b"" if is_first else header("0.vq")) + with_checksum(bad) + end)
    samples = []
    with pytest.raises(FormatError, match=r"^\S*bad\.tar: not a whole tar file: \S.*$"):
        samples += [sample.name for sample in read_shard(path)]
    left_out = CodeMaps([path], broken="skip")
    assert list(left_out) == [] and left_out.left_out >= 1


@pytest.mark.parametrize("is_first", [True, False], ids=["first", "second"])
def test_a_header_that_newer_versions_of_tarfile_pass_over_is_told(is_first: bool, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """They refuse a size below 0 after they have moved on, and take it for the end."""
    block = tarfile.TarInfo._block

    def checked(info: tarfile.TarInfo, count: int) -> int:
        if count < 0:
            raise tarfile.InvalidHeaderError("invalid offset")
        return block(info, count)

    monkeypatch.setattr(tarfile.TarInfo, "_block", checked)
    path = tmp_path / "bad.tar"
    path.write_bytes((b"" if is_first else header("0.vq")) + with_checksum(BAD_HEADERS["an endless loop"]) + header("b.vq") + bytes(1024))
    with pytest.raises(FormatError, match="not a whole tar file"):
        list(read_shard(path))


@pytest.mark.parametrize(
    ("data", "found"),
    [
        (b"", "nothing"),
        (b"PAR1" + bytes(range(256)) * 4, "50 41 52 31 and is a Parquet file"),
        (b"\x89VQ\x04" + bytes(1000), "89 56 51 04 and is a .vq file"),
        (gzip.compress(b"shard"), "1f 8b 08 00 and is compressed by gzip"),
        (b"PK\x03\x04" + bytes(1000), "50 4b 03 04 and is a zip file"),
        (b"\xff\xd8" + bytes(range(256)) * 4, "ff d8 00 01"),
    ],
    ids=["empty", "Parquet", ".vq", "gzip", "zip", "JPEG"],
)
def test_other_files_are_told(data: bytes, found: str, tmp_path: Path) -> None:
    path = tmp_path / "shard.tar"
    path.write_bytes(data)
    with pytest.raises(FormatError) as told:
        list(read_shard(path))
    assert str(told.value).startswith(f"{path}: not a whole tar file: ")
    assert str(told.value).endswith(f", starts with {found}, expected the header of an uncompressed tar file")


def test_a_shard_of_other_files_alone_is_told(tmp_path: Path) -> None:
    path = write_shard(tmp_path / "shard.tar", [("a.jpg", b"a"), ("a.cls", b"1"), ("b.jpg", b"b")])
    with pytest.raises(FormatError, match=r"shard\.tar: holds no member ending in \.vq, but 3 of other names; expected \.vq files"):
        list(read_shard(path))
    assert not list(read_shard(write_shard(tmp_path / "empty.tar", [])))


def test_samples_that_are_not_wanted_are_not_read(tmp_path: Path) -> None:
    path = write_shard(tmp_path / "shard.tar", [(f"{number}.vq", b"data") for number in range(4)])
    turns = iter([True, False, False, True])
    assert [sample.name for sample in read_shard(path, lambda: next(turns))] == ["0.vq", "3.vq"]
