"""Many .vq files into few large ones: tar shards by the convention of WebDataset, or Parquet. The same files give the same bytes."""

import glob
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from vqcodec.datasets.reading import read_file
from vqcodec.datasets.recoding import recode
from vqcodec.datasets.shard_names import ShardNames
from vqcodec.datasets.writers import PackedFile, ShardWriter, writer_of
from vqcodec.errors import VqcodecError
from vqcodec.format.container import CoderKind, read_container
from vqcodec.storage import replacing_files

DEFAULT_SHARD_BYTES: Final = 256_000_000
_READ_TOGETHER: Final = 32
_READ_BYTES: Final = 64 << 20
"""Bytes of files at which those that are read together are enough."""


@dataclass(frozen=True)
class FileToPack:
    """A .vq file, and its name in the shards.

    Attributes:
        path: the file.
        name: its path below the packed folder, with "/" between its parts; the first of several parts is its class.
    """

    path: Path
    name: str

    @property
    def label(self) -> str | None:
        """Name of the file's class, or None where it lies in no folder."""
        folder, slash, _ = self.name.partition("/")
        return folder if slash else None


@dataclass(frozen=True)
class Shard:
    """A shard that was written.

    Attributes:
        path: the shard.
        files: number of files in it.
        num_bytes: its length.
    """

    path: Path
    files: int
    num_bytes: int


def pack(
    files: Sequence[FileToPack],
    output: Path,
    *,
    shard_bytes: int = DEFAULT_SHARD_BYTES,
    coder: CoderKind | None = None,
    replace: bool = False,
    on_broken: Callable[[VqcodecError], object] | None = None,
    on_progress: Callable[[int], object] = lambda _: None,
) -> list[Shard]:
    """Packs .vq files into shards, all of which are there in the end, or none.

    Args:
        files: the files; they are packed in the order of their names.
        output: a name that ends in .tar or .parquet, with a number in braces for several shards: `data-{000000..}.tar`.
        shard_bytes: bytes that a shard has at most, unless one file alone has more, where there are several shards.
        coder: coder by which the maps are coded anew (`recode`); None for files as they are.
        replace: whether shards that have such names are replaced, all of them.
        on_broken: function that is told of a broken file, which is then left out; None for an error.
        on_progress: function that is told how many files are done.

    Returns:
        The shards.

    Raises:
        VqcodecError: A file is broken, none is intact, or the output cannot be written or is there already.
        OSError: The output cannot be written.
    """
    names = ShardNames.parse(output)
    writer = writer_of(names.suffix, output)
    if (existing := names.existing()) and not replace:
        raise _exists(existing[0])
    if folders := [path for path in existing if path.is_dir()]:
        raise VqcodecError(f"{folders[0]}: is a folder, expected a file or nothing")
    stale = [glob.escape(path.name) for path in existing]
    try:
        with replacing_files(names.folder, last=names.name(0), stale=stale, replace=replace) as folder:
            shards = list(_written(_packed(files, coder, on_broken, on_progress), names, folder, writer, shard_bytes))
            if not shards:
                raise VqcodecError(f"{output}: none of {len(files)} files is intact")
            if (appeared := [path for path in names.existing() if path not in existing]) and not replace:
                raise _exists(appeared[0])
    except FileExistsError as error:
        raise _exists(Path(error.filename2 or error.filename)) from error
    return shards


def _exists(path: Path) -> VqcodecError:
    return VqcodecError(f"{path}: exists already; use --force to overwrite it")


def _written(files: Iterator[PackedFile], names: ShardNames, folder: Path, writer: type[ShardWriter], shard_bytes: int) -> Iterator[Shard]:
    """Writes shards into a folder, and yields each when it is done."""
    shard: ShardWriter | None = None
    number = 0
    try:
        for file in files:
            if shard is not None and names.first and shard.num_bytes + writer.bytes_of(file) > shard_bytes:
                yield _closed(shard, names, number)
                shard, number = None, number + 1
            if shard is None:
                shard = writer(folder / names.name(number))
            shard.add(file)
        if shard is not None:
            yield _closed(shard, names, number)
            shard = None
    finally:
        if shard is not None:
            shard.abandon()


def _closed(shard: ShardWriter, names: ShardNames, number: int) -> Shard:
    shard.close()
    return Shard(names.folder / names.name(number), shard.files, shard.path.stat().st_size)


def _packed(
    files: Sequence[FileToPack],
    coder: CoderKind | None,
    on_broken: Callable[[VqcodecError], object] | None,
    on_progress: Callable[[int], object],
) -> Iterator[PackedFile]:
    """Yields intact files in the order of their names, numbered."""
    classes = {label: number for number, label in enumerate(sorted({file.label for file in files if file.label is not None}))}
    number = done = 0
    for group in _groups(sorted(files, key=lambda file: file.name)):
        for (file, _), data in zip(group, _checked([data for _, data in group], coder), strict=True):
            done += 1
            if isinstance(data, VqcodecError):
                error = type(data)(f"{file.path}: {data}")
                if on_broken is None:
                    raise error
                on_broken(error)
            else:
                yield PackedFile(number, file.name, file.label, None if file.label is None else classes[file.label], data)
                number += 1
        on_progress(done)


def _groups(files: Sequence[FileToPack]) -> Iterator[list[tuple[FileToPack, bytes | VqcodecError]]]:
    """Yields files with their bytes, some at a time."""
    group: list[tuple[FileToPack, bytes | VqcodecError]] = []
    size = 0
    for file in files:
        data = read_file(file.path)
        group.append((file, data))
        size += len(data) if isinstance(data, bytes) else 0
        if len(group) == _READ_TOGETHER or size >= _READ_BYTES:
            yield group
            group, size = [], 0
    if group:
        yield group


def _checked(datas: Sequence[bytes | VqcodecError], coder: CoderKind | None) -> list[bytes | VqcodecError]:
    """Returns the bytes of each file, coded anew if that is wanted, or what is wrong with it."""
    if coder is not None:
        coded = iter(recode([data for data in datas if isinstance(data, bytes)], coder))
        return [next(coded) if isinstance(data, bytes) else data for data in datas]
    checked = list(datas)
    for number, data in enumerate(datas):
        if isinstance(data, bytes):
            try:
                read_container(data)
            except VqcodecError as error:
                checked[number] = error
    return checked
