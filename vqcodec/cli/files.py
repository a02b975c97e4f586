"""Reading and writing whole files and standard streams. A file is written completely or not at all."""

import os
import sys
from pathlib import Path
from typing import Final

from vqcodec.cli.messages import errors_name
from vqcodec.errors import LimitExceededError, VqcodecError
from vqcodec.format.limits import read_to_end
from vqcodec.storage import write_file

STANDARD_STREAM: Final = Path("-")
"""Path that stands for standard input or output."""
_STANDARD_OUTPUTS: Final = ("/dev/stdout", "/dev/fd/1")


class OutputError(VqcodecError):
    """An output that cannot be written, or that would overwrite a file."""


class OutputExistsError(OutputError):
    """An output that exists already."""


def output_path(name: str) -> Path:
    """Returns the path of an output, `-` for all names of standard output."""
    return STANDARD_STREAM if name in _STANDARD_OUTPUTS else Path(name)


def is_folder_name(name: str) -> bool:
    """Returns whether a name ends as that of a folder does."""
    return name.endswith(("/", os.sep))


def picture_output(name: str, *, force: bool, source: Path | None = None) -> tuple[Path, str]:
    """Returns path and suffix of an output that is to be an RGB picture, `.png` for standard output.

    Raises:
        OutputError: It cannot be written (`refuse_overwrite`), or the name is that of a folder.
        ImageError: No RGB picture can be written with this suffix.
    """
    import numpy as np

    from vqcodec.images.picture import Picture
    from vqcodec.images.writing import write_picture

    if is_folder_name(name):
        raise OutputError(f"{name}: is the name of a folder, expected that of a picture file")
    target = output_path(name)
    refuse_overwrite(target, force=force, source=source)
    suffix = ".png" if target == STANDARD_STREAM else target.suffix
    with errors_name(name):
        write_picture(Picture(np.zeros((1, 1, 3), np.uint8)), suffix)
    return target, suffix


def input_name(path: Path) -> str:
    """Returns the name of an input in messages."""
    return "standard input" if path == STANDARD_STREAM else str(path)


def is_stream(path: Path) -> bool:
    """Returns whether an input can only be read from its beginning to its end: standard input, a FIFO or a device."""
    try:
        return path == STANDARD_STREAM or (path.exists() and not path.is_file() and not path.is_dir())
    except OSError:
        return False


def file_length(path: Path) -> int:
    """Returns the length of a file in bytes, 0 where it is gone."""
    try:
        return path.stat().st_size
    except OSError:
        return 0


def read_bytes(path: Path) -> bytes:
    """Returns the bytes of a file, or of standard input.

    Raises:
        VqcodecError: It cannot be read, or has more than `MAX_FILE_BYTES` bytes.
    """
    if path == STANDARD_STREAM and sys.stdin is None:
        raise VqcodecError("standard input is closed")
    try:
        with sys.stdin.buffer if path == STANDARD_STREAM else path.open("rb") as file:
            return read_to_end(file)
    except OSError as error:
        raise VqcodecError(f"{input_name(path)}: {(error.strerror or str(error)).lower()}") from error
    except LimitExceededError as error:
        raise VqcodecError(f"{input_name(path)}: {error}") from error


def write_bytes(path: Path, data: bytes, *, force: bool) -> None:
    """Writes a file completely or not at all, or writes to standard output.

    Missing folders are made. Of a link, the target is replaced. Devices and pipes are written to. A file that is replaced passes on its
    permissions.

    Raises:
        OutputExistsError: The file exists and `force` is not set, even if it has appeared only just now (`replacing_file`).
        OutputError: It cannot be written.
    """
    if path == STANDARD_STREAM:
        _write_standard_output(data)
        return
    refuse_overwrite(path, force=force)
    try:
        if path.exists() and not path.is_file():
            path.write_bytes(data)
        else:
            Path(os.path.realpath(path)).parent.mkdir(parents=True, exist_ok=True)
            write_file(path, data, replace=force)
    except FileExistsError as error:
        raise _exists(path) from error
    except OSError as error:
        raise _cannot_be_written(path, error) from error


def check_standard_output() -> None:
    """Checks that standard output is there for what a command is to print.

    Raises:
        OutputError: It is closed.
    """
    if sys.stdout is None:
        raise OutputError("standard output is closed")


def _write_standard_output(data: bytes) -> None:
    check_standard_output()
    try:
        sys.stdout.buffer.write(data)
        sys.stdout.buffer.flush()
    except OSError as error:
        raise _cannot_be_written("standard output", error) from error


def _cannot_be_written(output: Path | str, error: OSError) -> OutputError:
    return OutputError(f"{output}: cannot be written: {(error.strerror or str(error)).lower()}")


def _exists(path: Path) -> OutputExistsError:
    return OutputExistsError(f"{path}: exists already; use --force to overwrite it")


def is_same_file(path: Path, other: Path) -> bool:
    """Returns whether two paths lead to one file that is there; one that cannot be looked at does not."""
    try:
        return path.samefile(other)
    except OSError:
        return False


def refuse_overwrite(path: Path, *, force: bool, source: Path | None = None) -> None:
    """Checks that an output may be written.

    Raises:
        OutputExistsError: The file exists and `force` is not set.
        OutputError: It is `source` itself, or a folder, or cannot be looked at, its folder cannot be written to, or it is a terminal and
            `force` is not set.
    """
    if path == STANDARD_STREAM:
        if not force and sys.stdout is not None and sys.stdout.isatty():
            raise OutputError("standard output is a terminal, which cannot show a file; name an output with -o, or use --force")
        return
    try:
        exists = path.exists()
    except OSError as error:
        raise _cannot_be_written(path, error) from error
    if source is not None and is_same_file(path, source):
        raise OutputError(f"{path}: is the input itself; name another output")
    if path.is_dir():
        raise OutputError(f"{path}: is a folder, expected the name of a file")
    if exists and not force and path.is_file():
        raise _exists(path)
    if not exists or path.is_file():
        check_folder(Path(os.path.realpath(path)).parent, output=path)


def check_folder(folder: Path, *, output: Path | None = None) -> None:
    """Checks that files can be made in a folder, or that the folder can be made.

    Args:
        folder: the folder.
        output: what is named in the message, the folder by default.

    Raises:
        OutputError: The folder, or the nearest one above it that exists, is no folder or cannot be written to.
    """
    try:
        there = next(path for path in (folder, *folder.absolute().parents) if path.exists())
        if not there.is_dir():
            raise OutputError(f"{output or folder}: cannot be written: {there} is no folder")
    except OSError as error:
        raise _cannot_be_written(output or folder, error) from error
    if not os.access(there, os.W_OK | os.X_OK):
        raise OutputError(f"{output or folder}: cannot be written: {there} is a folder that cannot be written to")
