"""Which files a command means, and where their outputs go."""

import os
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path

from vqcodec.cli.files import STANDARD_STREAM, OutputError, output_path
from vqcodec.format.container import SUFFIX


@dataclass(frozen=True)
class Job:
    """One input file and its output, either of which may be the standard stream `-`."""

    source: Path
    target: Path


def plan_jobs(inputs: Sequence[Path], output: str | None, *, input_suffixes: Iterable[str], output_suffix: str) -> list[Job]:
    """Pairs every input with its output.

    Args:
        inputs: files, `-`, and folders. A folder stands for the files in it, but not for those in folders below it. An input that is named
            twice counts once.
        output: a file for a single input, or a folder: one that exists, or a name that ends in a separator. Several inputs need a folder;
            a new one may be named without the separator, unless its suffix is that of a picture. Without it, outputs are beside inputs.
        input_suffixes: suffixes of the files that a folder stands for.
        output_suffix: suffix of outputs that are not named, `.vq` or `.png`.

    Raises:
        OutputError: A folder holds no fitting file, or several inputs would go into one file.
    """
    suffixes = frozenset(input_suffixes)
    sources = [source for path in inputs for source in _files_meant(path, suffixes)]
    sources = list({_place(source): source for source in reversed(sources)}.values())[::-1]
    is_many = len(sources) > 1 or any(_is_dir(path) for path in inputs)
    target = None if output is None else Path(output)
    if is_many and target is not None and not _can_be_folder(target, is_named_one=str(output).endswith(os.sep)):
        raise OutputError(f"{output}: several inputs need a folder as output")
    into_folder = target is not None and (is_many or _is_dir(target) or str(output).endswith(os.sep))
    return [Job(source, _target(source, target, into_folder, output_suffix)) for source in sources]


def _files_meant(path: Path, suffixes: frozenset[str]) -> list[Path]:
    """Returns the files that an input stands for: itself, or those in a folder."""
    if not _is_dir(path):
        return [path]
    try:
        inside = sorted(file for file in path.iterdir() if file.suffix.lower() in suffixes and not _is_dir(file))
    except OSError:
        return [path]  # so that it is reported like a file that cannot be read
    if not inside:
        raise OutputError(f"{path}: holds no file ending in {', '.join(sorted(suffixes))}")
    return inside


def _can_be_folder(path: Path, *, is_named_one: bool) -> bool:
    from vqcodec.images.picture import IMAGE_SUFFIXES

    if path == STANDARD_STREAM:
        return False
    return _is_dir(path) if path.exists() else is_named_one or path.suffix.lower() not in IMAGE_SUFFIXES | {SUFFIX}


def _place(path: Path) -> Path:
    """Returns one path for all names of the same entry of a folder. Links beside their targets stay entries of their own."""
    return path if path == STANDARD_STREAM else Path(os.path.realpath(path.parent), path.name)


def _is_dir(path: Path) -> bool:
    try:
        return path.is_dir()
    except OSError:
        return False


def _target(source: Path, output: Path | None, into_folder: bool, suffix: str) -> Path:
    if output is not None and not into_folder:
        return output_path(str(output))
    if source == STANDARD_STREAM:
        return STANDARD_STREAM if output is None else output / f"stdin{suffix}"
    return (source.parent if output is None else output) / f"{source.stem}{suffix}"
