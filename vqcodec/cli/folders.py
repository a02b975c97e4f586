"""What a folder stands for: the files in it that a command converts, and what of its contents is left alone."""

import os
from collections import Counter
from collections.abc import Callable, Collection, Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final

from vqcodec.cli.files import STANDARD_STREAM, OutputError
from vqcodec.storage import HIDDEN_PREFIX, LITTER_PREFIXES

_LITTER: Final = frozenset({".ds_store", ".localized", "desktop.ini", "ehthumbs.db", "thumbs.db"})
"""Names, in lower case, of files that systems leave in folders of pictures."""
_LITTER_FOLDERS: Final = frozenset({"$recycle.bin", "@eadir", "__macosx", "system volume information"})
"""Names, in lower case, of folders that hold no pictures of people's own. Hidden folders are passed over, too."""
_MOST_SUFFIXES: Final = 5


@dataclass(frozen=True)
class FoundFile:
    """A file that is to be converted.

    Attributes:
        path: the file.
        below: its path in the folder that was named, or in the deepest one that holds all, where trees of several folders were; its name
            where it was named itself.
    """

    path: Path
    below: Path


@dataclass
class Found:
    """What the inputs of a command stand for.

    Attributes:
        files: the files, each once, in the order of the inputs and of their names.
        folders_left: folders that were not looked into.
        specials_left: FIFOs, devices and sockets, which are never opened.
        left: suffixes in lower case, with the number of files in folders that end so and are left alone.
        empty: folders in which there was no fitting file.
        of_folder: whether a folder was among the inputs.
        recursive: whether folders below a folder were looked into, but for hidden ones and links.
    """

    files: list[FoundFile] = field(default_factory=list)
    folders_left: int = 0
    specials_left: int = 0
    left: Counter[str] = field(default_factory=Counter)
    empty: list[Path] = field(default_factory=list)
    of_folder: bool = False
    recursive: bool = False

    def notes(self) -> list[str]:
        """Returns lines that tell of folders without fitting files, and of everything that is left alone."""
        parts = []
        if self.folders_left and self.recursive:
            parts.append(counted(self.folders_left, "hidden folder or link to a folder", "hidden folders and links to folders"))
        elif self.folders_left:
            parts.append(f"{counted(self.folders_left, 'folder')} (--recursive looks into folders)")
        by_count = sorted(self.left.items(), key=lambda item: (-item[1], item[0]))
        for suffix, count in by_count[:_MOST_SUFFIXES]:
            parts.append(f"{counted(count, 'file')} {f'ending in {suffix}' if suffix else 'without a suffix'}")
        if others := sum(count for _, count in by_count[_MOST_SUFFIXES:]):
            parts.append(counted(others, "other file"))
        if self.specials_left:
            parts.append(counted(self.specials_left, "entry that is no file", "entries that are no files"))
        empty = [f"{folder}: holds no file to convert" for folder in self.empty]
        return [*empty, *([f"left alone: {', '.join(parts)}"] if parts else [])]


def find_files(inputs: Sequence[Path], suffixes: Collection[str], *, recursive: bool = False) -> Found:
    """Finds the files that inputs stand for. An input that is named twice counts once.

    Args:
        inputs: files, folders and `-`. Files that are named are taken whatever their suffix is.
        suffixes: suffixes, in lower case, of the files that are taken from folders.
        recursive: whether folders below a folder are looked into. Links to folders are not, since they may lead in circles.

    Raises:
        OutputError: There is a folder among the inputs, and they stand for no file at all.
    """
    found = Found(recursive=recursive)
    seen: set[tuple[str, str]] = set()
    real_parents: dict[Path, str] = {}
    folders = {path: os.path.abspath(path) for path in inputs if is_dir(path)}  # noqa: PTH100 - resolves "..", but no links
    found.of_folder = bool(folders)
    holds_all = _common_folder(tuple(folders.values())) if recursive else ""
    for path in inputs:
        is_folder = path in folders
        is_empty = True
        for file in _files_in(path, found, suffixes, recursive) if is_folder else [FoundFile(path, Path(path.name))]:
            is_empty = False
            parent = file.path.parent
            if parent not in real_parents:
                real_parents[parent] = os.path.realpath(parent)
            place = ("", "-") if file.path == STANDARD_STREAM else (real_parents[parent], file.path.name)
            if place not in seen:
                seen.add(place)
                below = Path(os.path.relpath(folders[path], holds_all)) / file.below if holds_all and is_folder else file.below
                found.files.append(FoundFile(file.path, below))
        if is_empty:
            found.empty.append(path)
    if not found.files:
        told = f"; {notes[-1]}" if len(notes := found.notes()) > len(found.empty) else ""
        raise OutputError(f"{', '.join(map(str, found.empty))}: no file ending in {', '.join(sorted(suffixes))}{told}")
    return found


def _common_folder(folders: Collection[str]) -> str:
    """Returns the folder that holds all folders, or "" where none does: where there are none, and on Windows those of several drives."""
    try:
        return os.path.commonpath(folders)
    except ValueError:
        return ""


def _files_in(folder: Path, found: Found, suffixes: Collection[str], recursive: bool) -> Iterator[FoundFile]:
    """Yields the fitting files in a folder, and counts what is left alone."""
    waiting = [folder]
    while waiting:
        inside = waiting.pop()
        try:
            with os.scandir(inside) as listing:
                entries = sorted(listing, key=lambda entry: entry.name)
        except OSError:
            yield FoundFile(inside, inside.relative_to(folder))  # so that it is reported like a file that cannot be read
            continue
        below = []
        for entry in entries:
            name = entry.name.lower()
            path = inside / entry.name
            if _is(entry.is_dir):
                if name in _LITTER_FOLDERS or name.startswith(HIDDEN_PREFIX):
                    continue
                if recursive and not entry.is_symlink() and not name.startswith("."):
                    below.append(path)
                else:
                    found.folders_left += 1
            elif name in _LITTER or name.startswith(LITTER_PREFIXES):
                continue
            elif not _is(entry.is_file) and not _is_broken_link(entry):
                found.specials_left += 1
            elif path.suffix.lower() in suffixes:
                yield FoundFile(path, path.relative_to(folder))
            else:
                found.left[path.suffix.lower()] += 1
        waiting += reversed(below)


def is_dir(path: Path) -> bool:
    """Returns whether a path leads to a folder; one that cannot be looked at does not."""
    return _is(path.is_dir)


def _is(look: Callable[[], bool]) -> bool:
    try:
        return look()
    except OSError:
        return False


def _is_broken_link(entry: os.DirEntry[str]) -> bool:
    """Returns whether an entry is a link that leads nowhere, in circles or to what cannot be looked at."""
    return _is(entry.is_symlink) and not os.path.exists(entry)  # noqa: PTH110 (raises nothing)


def counted(number: int, one: str, many: str | None = None) -> str:
    """Returns a number of things in words, such as "1 file" and "2 files"."""
    return f"{number:,} {one if number == 1 else many or f'{one}s'}"
