"""Files and folders that are written whole or not at all, so that neither a kill nor a full disk leaves half of one.

New content is written beside the old under a hidden name, forced to the disk, and only then renamed over the old. A killed process may
leave a hidden file or folder `.vqcodec-...` behind, which nothing reads. Only the standard library is used here, so that commands which
need no torch can write by the same rules.
"""

import json
import os
import re
import secrets
import tempfile
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any, BinaryIO, Final

_HIDDEN_PREFIX: Final = ".vqcodec-"


@contextmanager
def replacing_file(path: Path) -> Iterator[BinaryIO]:
    """Opens a new file that takes the place of `path` when the block ends without an error.

    Permissions of an existing file are kept. A link's target is replaced, not the link.

    Raises:
        OSError: The file cannot be written; what was at `path` is untouched.
    """
    path = Path(os.path.realpath(path))
    partial = path.with_name(_HIDDEN_PREFIX + secrets.token_hex(8))
    try:
        with partial.open("xb") as file:
            yield file
            file.flush()
            os.fsync(file.fileno())
        if path.exists():
            partial.chmod(path.stat().st_mode & 0o777)
        partial.replace(path)
    except BaseException:
        partial.unlink(missing_ok=True)
        raise


def write_file(path: Path, data: bytes) -> None:
    """Writes `data` to `path` by the rules of `replacing_file`."""
    with replacing_file(path) as file:
        file.write(data)


@contextmanager
def replacing_files(folder: Path, *, last: str, stale: Sequence[str] = ()) -> Iterator[Path]:
    """Gives an empty folder whose files move into `folder` together when the block ends without an error.

    Where the block raises, `folder` stays as it was, or absent. A kill during the moves can leave old and new files side by side, so `last`
    is to be the file by which a reader finds and checks the others.

    Args:
        folder: folder that the files move into; it is made where it is absent.
        last: name of the file that is moved after all others.
        stale: patterns of the names of old files in `folder` that are removed before the moves, in this order.

    Raises:
        OSError: A file or folder cannot be written.
    """
    folder = Path(os.path.realpath(folder))
    folder.parent.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(dir=folder if folder.is_dir() else folder.parent, prefix=_HIDDEN_PREFIX) as name:
        new = Path(name)
        yield new
        paths = sorted(new.iterdir(), key=lambda path: path.name == last)
        for path in paths:
            with path.open("r+b") as file:
                os.fsync(file.fileno())
        folder.mkdir(exist_ok=True)
        for pattern in stale:
            for old in folder.glob(pattern):
                old.unlink()
        for path in paths:
            path.replace(folder / path.name)


def to_json(values: dict[str, Any]) -> bytes:
    """Returns indented JSON in which lists of numbers stay on one line."""
    text = json.dumps(values, indent=1)
    lists_of_numbers = re.compile(r"\[[\s\d.,e+-]+\]")
    return lists_of_numbers.sub(lambda found: " ".join(found[0].split()).replace("[ ", "[").replace(" ]", "]"), text).encode() + b"\n"
