"""Reading and writing whole files and standard streams. A file is written completely or not at all."""

import os
import sys
from pathlib import Path
from typing import Final

from vqcodec.errors import VqcodecError
from vqcodec.format.container import MAX_FILE_BYTES
from vqcodec.training.storage import write_file

STANDARD_STREAM: Final = Path("-")
"""Path that stands for standard input or output."""
_STANDARD_OUTPUTS: Final = ("/dev/stdout", "/dev/fd/1")


class OutputError(VqcodecError):
    """An output that cannot be written, or that would overwrite a file."""


def output_path(name: str) -> Path:
    """Returns the path of an output, `-` for all names of standard output."""
    return STANDARD_STREAM if name in _STANDARD_OUTPUTS else Path(name)


def input_name(path: Path) -> str:
    """Returns the name of an input in messages."""
    return "standard input" if path == STANDARD_STREAM else str(path)


def read_bytes(path: Path) -> bytes:
    """Returns the bytes of a file, or of standard input.

    Raises:
        VqcodecError: It cannot be read, or has more than `MAX_FILE_BYTES` bytes.
    """
    if path == STANDARD_STREAM and sys.stdin is None:
        raise VqcodecError("standard input is closed")
    try:
        with sys.stdin.buffer if path == STANDARD_STREAM else path.open("rb") as file:
            data = file.read(MAX_FILE_BYTES + 1)
    except OSError as error:
        raise VqcodecError(f"{input_name(path)}: {(error.strerror or str(error)).lower()}") from error
    if len(data) > MAX_FILE_BYTES:
        raise VqcodecError(f"{input_name(path)}: larger than {MAX_FILE_BYTES} bytes")
    return data


def write_bytes(path: Path, data: bytes, *, force: bool) -> None:
    """Writes a file completely or not at all, or writes to standard output.

    Missing folders are made. Of a link, the target is replaced. Devices and pipes are written to. A file that is replaced passes on its
    permissions.

    Raises:
        OutputError: The file exists and `force` is not set, or it cannot be written.
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
            write_file(path, data)
    except OSError as error:
        raise _cannot_be_written(path, error) from error


def _write_standard_output(data: bytes) -> None:
    if sys.stdout is None:
        raise OutputError("standard output is closed")
    try:
        sys.stdout.buffer.write(data)
        sys.stdout.buffer.flush()
    except OSError as error:
        raise _cannot_be_written("standard output", error) from error


def _cannot_be_written(output: Path | str, error: OSError) -> OutputError:
    return OutputError(f"{output}: cannot be written: {(error.strerror or str(error)).lower()}")


def refuse_overwrite(path: Path, *, force: bool, source: Path | None = None) -> None:
    """Checks that an output may be written.

    Raises:
        OutputError: The file or folder exists and `force` is not set, or it is `source` itself, or cannot be looked at.
    """
    if path == STANDARD_STREAM:
        return
    try:
        exists = path.exists()
        if exists and source is not None and source.exists() and path.samefile(source):
            raise OutputError(f"{path}: is the input itself; name another output")
    except OSError as error:
        raise _cannot_be_written(path, error) from error
    if exists and not force and (path.is_file() or path.is_dir()):
        raise OutputError(f"{path}: exists already; use --force to overwrite it")
