"""Files and folders that are written whole or not at all, so that neither a kill nor a full disk leaves half of one.

New content is written beside the old, without a name or under a hidden one, forced to the disk, and only then renamed over the old. A
killed process may leave a hidden file or folder `.vqcodec-...` behind, which nothing reads. Only the standard library is used here, so that
commands which need no torch can write by the same rules.
"""

import errno
import json
import os
import re
import secrets
import tempfile
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any, BinaryIO, Final

HIDDEN_PREFIX: Final = ".vqcodec-"
"""How the names of files and folders that are being written begin."""
_OPEN_FILE: Final = "/proc/self/fd/{}"
"""Name by which a process that has opened a file without a name can give it one."""
LITTER_PREFIXES: Final = ("._", HIDDEN_PREFIX)
"""How names of files begin that are passed over in folders: macOS's companions of files, and files that are being written."""


@contextmanager
def replacing_file(path: Path, *, replace: bool = True) -> Iterator[BinaryIO]:
    """Opens a new file that takes the place of `path` when the block ends without an error.

    Permissions of an existing file are kept. A link's target is replaced, not the link. Where files can be without a name, as on most file
    systems of Linux, even a killed process leaves nothing behind, but for a moment in which `replace` needs a hidden name.

    Args:
        path: name of the file.
        replace: whether a file that is there is replaced. Otherwise it stays, even if it appeared while the new one was being written. On
            file systems without hard links that is checked a moment before the new file gets its name, and not in the same instant.

    Raises:
        FileExistsError: There is a file, and `replace` is not set.
        OSError: The file cannot be written; what was at `path` is untouched.
    """
    path = Path(os.path.realpath(path))
    partial = path.with_name(HIDDEN_PREFIX + secrets.token_hex(8))
    try:
        nameless = _open_nameless(path.parent)
        with partial.open("xb") if nameless is None else nameless as file:
            yield file
            file.flush()
            os.fsync(file.fileno())
            if nameless is not None:
                number = file.fileno()
                # os.link follows links only if it is given a descriptor, which is not used for an absolute path.
                os.link(_OPEN_FILE.format(number), partial if replace else path, src_dir_fd=number)
        if replace:
            if path.exists():
                partial.chmod(path.stat().st_mode & 0o777)
            partial.replace(path)
        elif nameless is None:
            _move_to_free_name(partial, path)
    except BaseException:
        partial.unlink(missing_ok=True)
        raise


def _open_nameless(folder: Path) -> BinaryIO | None:
    """Opens a new file that has no name in its folder yet; None where the system or the file system has no such files."""
    if not hasattr(os, "O_TMPFILE") or not Path(_OPEN_FILE.format("")).is_dir():
        return None
    try:
        return os.fdopen(os.open(folder, os.O_TMPFILE | os.O_WRONLY, 0o666), "wb")
    except OSError as error:
        if error.errno in (errno.EOPNOTSUPP, errno.EISDIR, errno.ENOENT, errno.EINVAL) and folder.is_dir():
            return None
        raise


def _move_to_free_name(partial: Path, path: Path) -> None:
    try:
        os.link(partial, path)
    except FileExistsError:
        raise
    except OSError:
        if path.exists():
            raise FileExistsError(errno.EEXIST, os.strerror(errno.EEXIST), str(path)) from None
        partial.replace(path)
    else:
        partial.unlink()


def write_file(path: Path, data: bytes, *, replace: bool = True) -> None:
    """Writes `data` to `path` by the rules of `replacing_file`."""
    with replacing_file(path, replace=replace) as file:
        file.write(data)


@contextmanager
def replacing_files(folder: Path, *, last: str, stale: Sequence[str] = (), replace: bool = True) -> Iterator[Path]:
    """Gives an empty folder whose files move into `folder` together when the block ends without an error.

    Where the block raises, `folder` stays as it was, or absent. A kill during the moves can leave old and new files side by side, so `last`
    is to be the file by which a reader finds and checks the others.

    Args:
        folder: folder that the files move into; it is made where it is absent.
        last: name of the file that is moved after all others.
        stale: patterns of the names of old files in `folder` that are removed before the moves, in this order, unless they are replaced.
        replace: whether files of equal names are replaced.

    Raises:
        FileExistsError: A file of an equal name has appeared, and is not to be replaced; none of the new files is left then.
        OSError: A file or folder cannot be written.
    """
    folder = Path(os.path.realpath(folder))
    folder.parent.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(dir=folder if folder.is_dir() else folder.parent, prefix=HIDDEN_PREFIX) as name:
        new = Path(name)
        yield new
        paths = sorted(new.iterdir(), key=lambda path: path.name == last)
        for path in paths:
            with path.open("r+b") as file:
                os.fsync(file.fileno())
        folder.mkdir(exist_ok=True)
        replaced = {path.name for path in paths} - {last} if replace else set()
        for pattern in stale:
            for old in folder.glob(pattern):
                if old.name not in replaced:
                    old.unlink()
        moved: list[Path] = []
        try:
            for path in paths:
                if replace:
                    path.replace(folder / path.name)
                else:
                    _move_to_free_name(path, folder / path.name)
                    moved.append(folder / path.name)
        except FileExistsError:
            for path in moved:
                path.unlink()
            raise


def to_json(values: dict[str, Any]) -> bytes:
    """Returns indented JSON in which lists of numbers stay on one line."""
    text = json.dumps(values, indent=1)
    lists_of_numbers = re.compile(r"\[[\s\d.,e+-]+\]")
    return lists_of_numbers.sub(lambda found: " ".join(found[0].split()).replace("[ ", "[").replace(" ]", "]"), text).encode() + b"\n"
