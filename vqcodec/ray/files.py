"""Outputs of a run: .vq files that are written whole, and which pictures are there already."""

import os
from collections.abc import Iterable
from pathlib import Path, PurePosixPath

import pyarrow as pa

from vqcodec.datasets.tar import read_shard
from vqcodec.errors import FormatError, VqcodecError
from vqcodec.format.container import MAX_FILE_BYTES, SUFFIX, read_container
from vqcodec.ray.actors import ERROR
from vqcodec.storage import write_file


def target_of(folder: Path, name: object, root: str) -> Path:
    """Returns the .vq file of a picture: `photos/cat/1.jpg` below the root `photos` becomes `cat/1.jpg.vq` in the folder.

    Raises:
        VqcodecError: It would lie outside of the folder, or the name is null.
    """
    if name is None:
        raise VqcodecError("the name is null, expected the path of a picture")
    name = str(name)
    below = PurePosixPath(name)
    if root:
        try:
            below = below.relative_to(root)
        except ValueError:
            raise VqcodecError(f"{name}: lies outside of {root}") from None
    elif below.is_absolute():
        below = below.relative_to("/")
    if ".." in below.parts or not below.parts or "\0" in name:
        raise VqcodecError(f"{name!r}: is no path below a folder")
    return folder / below.parent / f"{below.name}{SUFFIX}"


def is_whole(path: Path) -> bool:
    """Returns whether a .vq file is there and its checksums hold."""
    try:
        with path.open("rb") as file:
            read_container(file.read(MAX_FILE_BYTES + 1))
    except (OSError, FormatError):
        return False
    return True


class FileWriter:
    """A stage that writes the .vq files of rows, and passes on all other columns; a file that cannot be written is an error of its row."""

    def __init__(self, folder: str, name: str, root: str) -> None:
        self.folder, self.name, self.root = Path(folder), name, root

    def __call__(self, table: pa.Table) -> pa.Table:
        """Writes the files of a batch."""
        errors, targets, sizes = table.column(ERROR).to_pylist(), [], []
        for number, (data, name) in enumerate(zip(table.column("vq").to_pylist(), table.column(self.name).to_pylist(), strict=True)):
            target, size = None, None
            if data is not None and errors[number] is None:
                try:
                    path = target_of(self.folder, name, self.root)
                    path.parent.mkdir(parents=True, exist_ok=True)
                    write_file(path, data)
                    target, size = str(path), len(data)
                except (VqcodecError, OSError) as error:
                    errors[number] = str(error)
            targets.append(target)
            sizes.append(size)
        kept = table.drop_columns(["vq", ERROR, *(name for name in ("target", "num_bytes") if name in table.column_names)])
        for column, values, kind in (("target", targets, pa.string()), ("num_bytes", sizes, pa.int64()), (ERROR, errors, pa.string())):
            kept = kept.append_column(pa.field(column, kind), pa.array(values, kind))
        return kept


class Pending:
    """A stage that drops the rows whose .vq files are whole, in a folder or by name."""

    def __init__(self, folder: str, name: str, root: str, done: frozenset[str]) -> None:
        self.folder, self.name, self.root, self.done = Path(folder), name, root, done

    def __call__(self, table: pa.Table) -> pa.Table:
        """Returns the rows of a batch that are still to be encoded."""
        return table.filter(pa.array([not self._is_done(name) for name in table.column(self.name).to_pylist()], pa.bool_()))

    def _is_done(self, name: object) -> bool:
        if str(name) in self.done:
            return True
        try:
            return is_whole(target_of(self.folder, name, self.root))
        except VqcodecError:
            return False


def packed_names(folder: Path, name: str) -> frozenset[str]:
    """Returns the names of the intact pictures in the tar and Parquet files of a folder.

    Args:
        folder: the folder, which may be absent.
        name: column of the names in Parquet files.

    Raises:
        VqcodecError: One of them is not whole.
    """
    names: set[str] = set()
    for path in sorted(folder.glob("*")):
        if path.suffix.lower() == ".tar":
            names.update(_intact((sample.name, sample.data) for sample in read_shard(path)))
        elif path.suffix.lower() == ".parquet":
            names.update(_intact(_rows(path, name)))
    return frozenset(names)


def _intact(files: Iterable[tuple[str, object]]) -> Iterable[str]:
    for name, data in files:
        try:
            if isinstance(data, bytes):
                read_container(data)
                yield name
        except FormatError:
            continue


def _rows(path: Path, name: str) -> Iterable[tuple[str, object]]:
    from pyarrow import parquet

    try:
        with parquet.ParquetFile(path) as file:
            for batch in file.iter_batches(columns=[name, "vq"]):
                yield from zip(map(str, batch.column(name).to_pylist()), batch.column("vq").to_pylist(), strict=True)
    except (pa.ArrowException, OSError, ValueError, KeyError) as error:
        raise VqcodecError(f"{os.fspath(path)}: not a whole Parquet file of .vq files: {' '.join(str(error).split())}") from error
