"""Which files a command converts, and where their outputs go."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path

from vqcodec.cli.files import STANDARD_STREAM, OutputError, check_folder, is_folder_name, output_path
from vqcodec.cli.folders import FoundFile, find_files, is_dir
from vqcodec.format.container import SUFFIX


@dataclass(frozen=True)
class Job:
    """One input file and its output, either of which may be the standard stream `-`."""

    source: Path
    target: Path


@dataclass(frozen=True)
class Plan:
    """What a command is to do.

    Attributes:
        jobs: the files.
        is_batch: whether several files or a folder were named, so that the results are summed up.
        notes: what is left alone, a line each.
    """

    jobs: list[Job]
    is_batch: bool
    notes: list[str]

    @property
    def uses_streams(self) -> bool:
        """Whether a job reads or writes a standard stream."""
        return any(STANDARD_STREAM in (job.source, job.target) for job in self.jobs)


def plan_jobs(
    inputs: Sequence[Path], output: str | None, *, input_suffixes: Iterable[str], output_suffix: str, recursive: bool = False
) -> Plan:
    """Pairs every input with its output.

    Args:
        inputs: files, `-`, and folders (`find_files`).
        output: a file for a single input, or a folder: one that exists, or a name that ends in a separator. Several inputs need a folder;
            a new one may be named without the separator, unless its suffix is that of a picture. Without it, outputs are beside inputs.
        input_suffixes: suffixes of the files that a folder stands for.
        output_suffix: suffix of outputs that are not named, `.vq` or `.png`.
        recursive: whether folders below a folder are looked into; they are mirrored in the output folder, those of several folders by their
            places in the deepest folder that holds them all.

    Raises:
        OutputError: No folder holds a fitting file, several inputs would go into one file, or the output's folder cannot be written to.
    """
    found = find_files(inputs, frozenset(input_suffixes), recursive=recursive)
    is_batch = len(found.files) > 1 or found.of_folder
    target = None if output is None else Path(output)
    if is_batch and output is not None and output_path(output) == STANDARD_STREAM:
        raise OutputError(f"{output}: is standard output, which takes a single file; expected a folder, as several inputs or a folder need")
    if is_batch and target is not None and not _can_be_folder(target, is_named_one=is_folder_name(str(output))):
        raise OutputError(f"{output}: names a file, expected a folder, as a folder or several inputs need it; a new one has a / at its end")
    into_folder = target is not None and (is_batch or is_dir(target) or is_folder_name(str(output)))
    if target is not None and (into_folder or not target.exists() or target.is_file()) and output_path(str(output)) != STANDARD_STREAM:
        check_folder(target if into_folder else target.parent)
    jobs = [Job(file.path, _target(file, target, into_folder, output_suffix)) for file in found.files]
    return Plan(jobs, is_batch, found.notes())


def _can_be_folder(path: Path, *, is_named_one: bool) -> bool:
    from vqcodec.images.formats import IMAGE_SUFFIXES

    return is_dir(path) if path.exists() else is_named_one or path.suffix.lower() not in IMAGE_SUFFIXES | {SUFFIX}


def _target(file: FoundFile, output: Path | None, into_folder: bool, suffix: str) -> Path:
    if output is not None and not into_folder:
        return output_path(str(output))
    if file.path == STANDARD_STREAM:
        return STANDARD_STREAM if output is None else output / f"stdin{suffix}"
    return (file.path.parent if output is None else output / file.below.parent) / f"{file.path.stem}{suffix}"
