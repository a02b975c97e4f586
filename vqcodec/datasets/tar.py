"""Samples in tar shards, by the convention of WebDataset: members that follow each other with one name up to the first dot.

Nothing is ever written to disk, and no link is followed. Only the standard library is used.
"""

import json
import re
import tarfile
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from vqcodec.errors import FormatError, VqcodecError
from vqcodec.format.container import MAGIC, MAX_FILE_BYTES, SUFFIX

LABEL_EXTENSION: Final = "cls"
"""Extension of the member that holds the number of a sample's class."""
ABOUT_EXTENSION: Final = "json"
"""Extension of the member that holds what else is known of a sample."""
NO_LABEL: Final = -1
_MAX_ABOUT_BYTES: Final = 1 << 20
_LABELS: Final = 1 << 63
_OTHERS: Final = {b"PAR1": "a Parquet file", MAGIC: "a .vq file", b"\x1f\x8b": "compressed by gzip", b"PK": "a zip file"}
"""What files may be taken for shards, by how they begin."""


@dataclass(frozen=True)
class Sample:
    """A .vq file in a shard or in a folder, before its codes are decoded.

    Attributes:
        name: name of the file: that of its source if the shard tells it, or of the member.
        source: where it lies, for messages.
        label: number of its class, or `NO_LABEL`.
        data: its bytes, or what is wrong with the member.
    """

    name: str
    source: str
    label: int
    data: bytes | VqcodecError


def read_shard(path: Path, is_wanted: Callable[[], bool] = lambda: True) -> Iterator[Sample]:
    """Yields the samples of a tar shard, one for each member that ends in .vq.

    Args:
        path: the shard.
        is_wanted: function that is called for every sample, and says whether it is read and yielded.

    Raises:
        FormatError: The shard is no tar file, holds other files alone, or ends early; samples before that were yielded.
        OSError: It cannot be read.
    """
    num_members = num_files = 0
    for group in _groups(path):
        files = [member for member in group if f".{member.extension}".lower().endswith(SUFFIX)]
        num_members, num_files = num_members + len(group), num_files + len(files)
        about = {member.extension: member for member in group if member.extension in (LABEL_EXTENSION, ABOUT_EXTENSION)}
        for member in files:
            if is_wanted():
                yield _sample(path, member, about, is_doubled=[other.name for other in group].count(member.name) > 1)
    if num_members and not num_files:
        raise FormatError(f"{path}: holds no member ending in {SUFFIX}, but {num_members} of other names; expected .vq files")


@dataclass(frozen=True)
class _Member:
    name: str
    extension: str
    info: tarfile.TarInfo
    tar: tarfile.TarFile

    def read(self, most: int) -> bytes:
        """Returns the bytes of a regular file.

        Raises:
            FormatError: It is something else, or too large.
        """
        if not self.info.isreg() or self.info.issparse():  # a sparse file may be far larger than its shard
            raise FormatError("is a link, a sparse file or no file, expected a regular file")
        if self.info.size > most:
            raise FormatError(f"has {self.info.size} bytes, expected {most} at most")
        file = self.tar.extractfile(self.info)
        assert file is not None
        data = file.read()
        if len(data) < self.info.size:
            raise FormatError(f"ends after {len(data)} of {self.info.size} bytes: the shard is cut or incomplete")
        return data


def _sample(path: Path, member: _Member, about: dict[str, _Member], *, is_doubled: bool) -> Sample:
    source = f"{path}: {member.name}"
    name, label = member.name, NO_LABEL
    try:
        if is_doubled:
            raise FormatError("occurs twice in its sample")
        if LABEL_EXTENSION in about:
            label = _label(about[LABEL_EXTENSION])
        if ABOUT_EXTENSION in about:
            name = _name(about[ABOUT_EXTENSION]) or name
        return Sample(name, source, label, member.read(MAX_FILE_BYTES))
    except (FormatError, tarfile.TarError) as error:
        return Sample(name, source, label, error if isinstance(error, FormatError) else FormatError(str(error)))


def _label(member: _Member) -> int:
    text = member.read(_MAX_ABOUT_BYTES).strip()
    label = int(text) if re.fullmatch(rb"-?\d{1,19}", text) else None
    if label is None or not -_LABELS <= label < _LABELS:
        raise FormatError(f"its label {text[:20]!r}, expected a whole number of 64 bits")
    return label


def _name(member: _Member) -> str | None:
    try:
        told = json.loads(member.read(_MAX_ABOUT_BYTES))
    except (ValueError, RecursionError):
        raise FormatError(f"its member {member.name}, expected JSON") from None
    path = told.get("path") if isinstance(told, dict) else None
    try:
        return path.encode("utf-8", "surrogateescape").decode("utf-8", "surrogateescape") if isinstance(path, str) else None
    except UnicodeEncodeError:
        raise FormatError(f"its member {member.name} with a path {path!r}, expected the name of a file") from None


def _groups(path: Path) -> Iterator[list[_Member]]:
    """Yields the members of each sample; they can be read until the next sample is asked for."""
    with _opened(path) as tar:
        key, group = "", list[_Member]()
        for info in _members(path, tar):
            folder, _, file = info.name.rpartition("/")
            stem, _, extension = file.partition(".")
            if info.isdir() or not stem:
                continue
            if f"{folder}/{stem}" != key:
                if group:
                    yield group
                key, group = f"{folder}/{stem}", []
            group.append(_Member(info.name, extension, info, tar))
        if group:
            yield group


@contextmanager
def _bad_headers_told(path: Path) -> Iterator[None]:
    """Turns whatever `tarfile` raises for the header of a member into an error of the shard.

    By headers alone it raises `ValueError`, `OverflowError`, `MemoryError`, `IndexError` and `RecursionError`, too.

    Raises:
        FormatError: A header is damaged.
        OSError: The shard cannot be read.
    """
    try:
        yield
    except (FormatError, OSError):
        raise
    except Exception as error:
        raise FormatError(f"{path}: not a whole tar file: {' '.join(str(error).split()) or type(error).__name__}") from error


def _opened(path: Path) -> tarfile.TarFile:
    """Opens a tar file.

    Raises:
        FormatError: It does not begin with the header of a member, or with the end.
        OSError: It cannot be read.
    """
    with _bad_headers_told(path):
        try:
            return tarfile.open(path, "r:")
        except tarfile.ReadError as error:
            with path.open("rb") as file:
                start = file.read(4)
            kind = next((f" and is {name}" for signature, name in _OTHERS.items() if start.startswith(signature)), "")
            found = f"{error}, starts with {start.hex(' ') or 'nothing'}{kind}"
            raise FormatError(f"{path}: not a whole tar file: {found}, expected the header of an uncompressed tar file") from error


def _members(path: Path, tar: tarfile.TarFile) -> Iterator[tarfile.TarInfo]:
    """Yields the members of a tar file.

    Raises:
        FormatError: A header is damaged; or the file does not end with a block of zeros, so that members may be missing.
        OSError: It cannot be read.
    """
    end = 0
    while (info := _next(path, tar)) is not None:
        if tar.offset <= end:  # by a size below 0, so that the same headers would be read for ever
            raise FormatError(f"{path}: not a whole tar file: a member that begins at byte {end} and ends at byte {tar.offset}")
        end = tar.offset
        yield info
        tar.members.clear()  # type: ignore[attr-defined]
    if tar.offset != end:  # some versions of `tarfile` end there without a word
        raise FormatError(f"{path}: not a whole tar file: a damaged header at byte {end}")
    assert tar.fileobj is not None
    tar.fileobj.seek(tar.offset)
    if tar.fileobj.read(tarfile.BLOCKSIZE) != bytes(tarfile.BLOCKSIZE):
        raise FormatError(f"{path}: not a whole tar file: expected a header or the end at byte {tar.offset}")


def _next(path: Path, tar: tarfile.TarFile) -> tarfile.TarInfo | None:
    """Returns the next member of a tar file, or None at its end; the errors are those of `_bad_headers_told`."""
    with _bad_headers_told(path):
        return tar.next()
