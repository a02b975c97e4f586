"""Writers of shards: tar by the convention of WebDataset, and Parquet.

Members of tar shards are called by numbers, since the convention ends a name at its first dot, and so that no file's name can do harm where
shards are unpacked. The file's own name is in a member `.json`.
"""

import io
import json
import tarfile
from abc import ABC, abstractmethod
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

from vqcodec.datasets.tar import ABOUT_EXTENSION, LABEL_EXTENSION
from vqcodec.errors import VqcodecError
from vqcodec.format.container import SUFFIX, read_header

_ROW_GROUP: Final = 256
"""Most files in a row group of Parquet, which are decoded together."""
_ROW_GROUP_BYTES: Final = 64 << 20
"""Bytes of files, about, from which on no more go into a row group."""


@dataclass(frozen=True)
class PackedFile:
    """A .vq file as it goes into a shard.

    Attributes:
        number: its number among all files.
        name: its path, with "/" between its parts.
        label: name of its class, or None.
        label_number: number of its class, or None.
        data: its bytes.
    """

    number: int
    name: str
    label: str | None
    label_number: int | None
    data: bytes

    @property
    def size(self) -> tuple[int, int]:
        """Width and height of the picture in pixels."""
        header, _ = read_header(self.data)
        return header.width, header.height


class ShardWriter(ABC):
    """A shard that is being written.

    Attributes:
        path: the shard.
        files: number of files in it.
        num_bytes: about how many bytes it has.
    """

    def __init__(self, path: Path) -> None:
        self.path = path
        self.files = 0
        self.num_bytes = 0

    @staticmethod
    @abstractmethod
    def bytes_of(file: PackedFile) -> int:
        """Returns how many bytes a file takes in a shard, about."""

    def add(self, file: PackedFile) -> None:
        """Adds a file."""
        self._add(file)
        self.files += 1
        self.num_bytes += self.bytes_of(file)

    @abstractmethod
    def _add(self, file: PackedFile) -> None: ...

    @abstractmethod
    def close(self) -> None:
        """Completes the shard."""

    @abstractmethod
    def abandon(self) -> None:
        """Closes a shard that is not to be completed."""


class TarWriter(ShardWriter):
    """A tar shard, whose members are the same on every machine and at any time."""

    def __init__(self, path: Path) -> None:
        super().__init__(path)
        self._tar = tarfile.open(path, "w", format=tarfile.USTAR_FORMAT)  # noqa: SIM115 (closed by `close`)
        self.num_bytes = 2 * tarfile.BLOCKSIZE + tarfile.RECORDSIZE  # the end, and what fills the last record

    @staticmethod
    def bytes_of(file: PackedFile) -> int:
        """Returns how many bytes the members of a file take."""
        return sum(tarfile.BLOCKSIZE * (1 + -(-len(data) // tarfile.BLOCKSIZE)) for _, data in _members(file))

    def _add(self, file: PackedFile) -> None:
        for extension, data in _members(file):
            info = tarfile.TarInfo(f"{file.number:09}.{extension}")
            info.size = len(data)
            self._tar.addfile(info, io.BytesIO(data))

    def close(self) -> None:
        """Completes the shard."""
        self._tar.close()

    def abandon(self) -> None:
        """Closes a shard that is not to be completed."""
        if self._tar.fileobj is not None:
            self._tar.fileobj.close()


def _members(file: PackedFile) -> list[tuple[str, bytes]]:
    """Returns extensions and contents of a file's members, in their order."""
    width, height = file.size
    about = {"height": height, "label": file.label, "path": file.name, "width": width}
    told = [(ABOUT_EXTENSION, json.dumps({key: value for key, value in about.items() if value is not None}).encode())]
    label = [] if file.label_number is None else [(LABEL_EXTENSION, str(file.label_number).encode())]
    return [*label, *told, (SUFFIX[1:], file.data)]


class ParquetWriter(ShardWriter):
    """A Parquet file with the columns path, label, width, height, bytes and codes.

    The codes of a map are a list of 16-bit numbers, row by row, and those of a file a list of maps, top first. The size of a map follows
    from that of the picture: a code for every 8x8 pixels in the first map, and for every 4x4 in the others.
    """

    def __init__(self, path: Path) -> None:
        super().__init__(path)
        import pyarrow as pa
        from pyarrow import parquet

        self._schema = pa.schema(
            [
                ("path", pa.string()),
                ("label", pa.string()),
                ("width", pa.int32()),
                ("height", pa.int32()),
                ("bytes", pa.binary()),
                ("codes", pa.list_(pa.list_(pa.uint16()))),
            ]
        )
        self._file = parquet.ParquetWriter(path, self._schema, compression="zstd")
        self._waiting: list[PackedFile] = []
        self._waiting_bytes = 0

    @staticmethod
    def bytes_of(file: PackedFile) -> int:
        """Returns how many bytes a file takes, about: its own, and those of its codes, which zstd packs to about as many as raw coding."""
        header, _ = read_header(file.data)
        codes = sum(4 if number else 1 for number in range(len(header.maps))) * -(-header.width // 8) * -(-header.height // 8)
        return len(file.data) + len(file.name) + codes * 9 // 8

    def _add(self, file: PackedFile) -> None:
        self._waiting.append(file)
        self._waiting_bytes += self.bytes_of(file)
        if len(self._waiting) == _ROW_GROUP or self._waiting_bytes >= _ROW_GROUP_BYTES:
            self._write()

    def _write(self) -> None:
        import pyarrow as pa

        from vqcodec.datasets.reading import CodeReader

        files, self._waiting, self._waiting_bytes = self._waiting, [], 0
        rows: list[dict[str, Any]] = []
        for file, codes in zip(files, CodeReader().read([file.data for file in files]), strict=True):
            if codes.error is not None:
                raise type(codes.error)(f"{file.name}: {codes.error}")
            maps = [indices.reshape(-1) for indices in codes.maps]
            label = None if file.label is None else _as_text(file.label)
            size = {"width": codes.width, "height": codes.height}
            rows.append({"path": _as_text(file.name), "label": label, **size, "bytes": file.data, "codes": maps})
        self._file.write_table(pa.Table.from_pylist(rows, schema=self._schema))

    def close(self) -> None:
        """Completes the file."""
        if self._waiting:
            self._write()
        self._file.close()

    def abandon(self) -> None:
        """Closes a file that is not to be completed."""
        self._file.close()


def _as_text(name: str) -> str:
    """Returns a name as Parquet holds it: bytes that are no UTF-8 are replaced."""
    return name.encode("utf-8", "surrogateescape").decode("utf-8", "replace")


def writer_of(suffix: str, output: Path) -> type[ShardWriter]:
    """Returns the writer of shards that have a suffix.

    Raises:
        VqcodecError: There is none, or what it needs is not installed.
    """
    if suffix == ".tar":
        return TarWriter
    if suffix != ".parquet":
        raise VqcodecError(f"{output}: ends in {suffix or 'nothing'}, expected .tar or .parquet")
    try:
        import pyarrow.parquet  # noqa: F401
    except ImportError as error:
        raise VqcodecError("Parquet needs pyarrow, of the extra [datasets]: pip install 'vqcodec[datasets]'") from error
    return ParquetWriter
