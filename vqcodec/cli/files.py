"""Files in, files out: which inputs a command means, where its outputs go, and writing that loses nothing.

Encoding and decoding of many files go on past a bad one; each file's outcome is reported by itself.
"""

import os
import sys
import tempfile
import time
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass, replace
from io import BytesIO
from pathlib import Path
from typing import TYPE_CHECKING, Final, TypeVar

from vqcodec.coding.tiles import MAX_BATCH_PIXELS
from vqcodec.errors import VqcodecError
from vqcodec.format.container import MAX_FILE_BYTES, SUFFIX, CoderKind

if TYPE_CHECKING:
    from vqcodec.coding.sampling import Fill
    from vqcodec.decoding import OpenedFile
    from vqcodec.models.config import ModelConfig
    from vqcodec.rate.control import RateControl

Loaded = TypeVar("Loaded")
Converted = TypeVar("Converted")

STANDARD_STREAM: Final = Path("-")
_STANDARD_OUTPUTS: Final = ("/dev/stdout", "/dev/fd/1")


class OutputError(VqcodecError):
    """An output that cannot be written, or that would overwrite a file."""


@dataclass(frozen=True)
class Job:
    """One input file and its output; `-` is the standard stream."""

    source: Path
    target: Path


@dataclass(frozen=True)
class Outcome:
    """What became of a job.

    Attributes:
        job: the job.
        error: what went wrong, or None.
        num_bytes: of the .vq side.
        width, height: of the image in pixels.
        seconds: the job's share of its batch's time.
        note: what the user should know of a job that went well, or nothing.
    """

    job: Job
    error: VqcodecError | None = None
    num_bytes: int = 0
    width: int = 0
    height: int = 0
    seconds: float = 0.0
    note: str = ""


def plan_jobs(inputs: Sequence[Path], output: str | None, *, input_suffixes: Iterable[str], output_suffix: str) -> list[Job]:
    """Pairs every input with its output.

    Args:
        inputs: files, `-`, and folders, which stand for the files in them, not for those in folders below; one named twice counts once.
        input_suffixes: of the files that a folder stands for.
        output: a file for a single input; a folder for several, or where it is one or ends in a
            separator; by default beside the input. A new folder for several may be named without the separator, but not like a picture.
        output_suffix: of inferred names, `.vq` or `.png`.

    Raises:
        OutputError: a folder without fitting files, or several inputs into one file.
    """
    suffixes = frozenset(input_suffixes)
    sources: list[Path] = []
    for path in inputs:
        if not _is_dir(path):
            sources.append(path)
            continue
        try:
            inside = sorted(file for file in path.iterdir() if file.suffix.lower() in suffixes and not _is_dir(file))
        except OSError:
            sources.append(path)  # so that it is reported like a file that cannot be read
            continue
        if not inside:
            raise OutputError(f"{path}: holds no file ending in {', '.join(sorted(suffixes))}")
        sources += inside
    sources = list({_place(source): source for source in reversed(sources)}.values())[::-1]
    is_many = len(sources) > 1 or any(_is_dir(path) for path in inputs)
    target = None if output is None else Path(output)
    if is_many and target is not None and not _can_be_folder(target, is_named_one=str(output).endswith(os.sep)):
        raise OutputError(f"{output}: several inputs need a folder as output")
    into_folder = target is not None and (is_many or _is_dir(target) or str(output).endswith(os.sep))
    return [Job(source, _target(source, target, into_folder, output_suffix)) for source in sources]


def _can_be_folder(path: Path, *, is_named_one: bool) -> bool:
    from vqcodec.images.picture import IMAGE_SUFFIXES

    if path == STANDARD_STREAM:
        return False
    return _is_dir(path) if path.exists() else is_named_one or path.suffix.lower() not in IMAGE_SUFFIXES | {SUFFIX}


def _place(path: Path) -> Path:
    """One path for all that name the same entry of a folder; links beside their targets stay entries of their own."""
    return path if path == STANDARD_STREAM else Path(os.path.realpath(path.parent), path.name)


def _is_dir(path: Path) -> bool:
    try:
        return path.is_dir()
    except OSError:
        return False


def _target(source: Path, output: Path | None, into_folder: bool, suffix: str) -> Path:
    if output is not None and not into_folder:
        return named_output(str(output))
    if source == STANDARD_STREAM:
        return STANDARD_STREAM if output is None else output / f"stdin{suffix}"
    return (source.parent if output is None else output) / f"{source.stem}{suffix}"


def named_output(name: str) -> Path:
    """The path of an output, `-` for all names of standard output."""
    return STANDARD_STREAM if name in _STANDARD_OUTPUTS else Path(name)


def read_bytes(path: Path) -> bytes:
    """The whole file, or standard input.

    Raises:
        VqcodecError: it cannot be read, or is larger than 1 GiB.
    """
    if path == STANDARD_STREAM and sys.stdin is None:
        raise VqcodecError("standard input is closed")
    try:
        with sys.stdin.buffer if path == STANDARD_STREAM else path.open("rb") as file:
            data = file.read(MAX_FILE_BYTES + 1)
    except OSError as error:
        raise VqcodecError(f"{path}: {(error.strerror or str(error)).lower()}") from error
    if len(data) > MAX_FILE_BYTES:
        raise VqcodecError(f"{path}: larger than {MAX_FILE_BYTES} bytes")
    return data


def write_bytes(path: Path, data: bytes, *, force: bool) -> None:
    """Writes a file whole or not at all, or to standard output; makes its folder. A link's target is written, a device written to.

    Raises:
        OutputError: the file exists and `force` is not set, or it cannot be written.
    """
    if path == STANDARD_STREAM:
        if sys.stdout is None:
            raise OutputError("standard output is closed")
        try:
            sys.stdout.buffer.write(data)
            sys.stdout.buffer.flush()
        except OSError as error:
            raise _cannot_be_written("standard output", error) from error
        return
    refuse_overwrite(path, force=force)
    named = path
    try:
        if path.exists() and not path.is_file():
            path.write_bytes(data)
            return
        path = Path(os.path.realpath(path))
        path.parent.mkdir(parents=True, exist_ok=True)
        with tempfile.NamedTemporaryFile(dir=path.parent, prefix=".vqcodec-", delete=False) as file:
            partial = Path(file.name)
            try:
                file.write(data)
                file.close()
                partial.chmod(path.stat().st_mode & 0o777 if path.exists() else 0o666 & ~_umask())
                partial.replace(path)
            except BaseException:
                partial.unlink(missing_ok=True)
                raise
    except OSError as error:
        raise _cannot_be_written(named, error) from error


def _cannot_be_written(output: Path | str, error: OSError) -> OutputError:
    return OutputError(f"{output}: cannot be written: {(error.strerror or str(error)).lower()}")


def refuse_overwrite(path: Path, *, force: bool, source: Path | None = None) -> None:
    """Raises OutputError where a file or folder `path` exists and `force` is not set, or is `source` itself, or cannot be looked at."""
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


def _umask() -> int:
    mask = os.umask(0)
    os.umask(mask)
    return mask


def encode_files(
    jobs: Sequence[Job],
    *,
    model: "ModelConfig",
    rate: "RateControl",
    coder: CoderKind | None,
    device: str,
    batch_size: int,
    force: bool,
    verify: bool,
) -> Iterator[Outcome]:
    """Encodes pictures into .vq files, `batch_size` at a time; `verify` decodes what will be written and compares the codes.

    Raises:
        ModelError, RateError: the model cannot be used or has too few maps; errors of single files are in their outcomes.
    """
    from vqcodec.decoding import check_indices
    from vqcodec.encoding import EncodedFile, encode_controlled
    from vqcodec.images.picture import IMAGE_SUFFIXES, Picture, read_picture
    from vqcodec.models.registry import load_model

    loaded = load_model(model, device)

    def read(job: Job) -> Picture:
        refuse_overwrite(job.target, force=force, source=job.source)
        if job.target.suffix.lower() in IMAGE_SUFFIXES:
            raise OutputError(f"{job.source}: its output {job.target} is named like a picture; encoded files end in .vq")
        if job.source == STANDARD_STREAM:
            return read_picture(BytesIO(read_bytes(job.source)), name="standard input")
        return read_picture(job.source)

    def write(job: Job, picture: Picture, file: EncodedFile | VqcodecError) -> Outcome:
        if isinstance(file, VqcodecError):
            raise type(file)(f"{job.source}: {file}")
        if verify:
            check_indices(file.data, file.indices, model=loaded)
        write_bytes(job.target, file.data, force=force)
        if verify and job.target != STANDARD_STREAM and job.target.is_file() and read_bytes(job.target) != file.data:
            raise OutputError(f"{job.target}: holds other bytes than were written")
        height, width = picture.pixels.shape[:2]
        return Outcome(job, num_bytes=len(file.data), width=width, height=height)

    def convert(pictures: list[Picture]) -> list[EncodedFile | VqcodecError]:
        return encode_controlled(pictures, loaded, rate=rate, coder=coder, batch_size=batch_size)

    def pixels(picture: Picture) -> int:
        height, width = picture.pixels.shape[:2]
        return int(height * width)

    yield from _run(jobs, batch_size, read, pixels, convert, write)


def decode_files(
    jobs: Sequence[Job],
    *,
    max_maps: int | None,
    allow_truncated: bool,
    fill: "Fill | None",
    seed: int,
    realism: float,
    device: str,
    batch_size: int,
    force: bool,
) -> Iterator[Outcome]:
    """Decodes .vq files into pictures whose format follows the output's suffix.

    `fill` and `seed` are those of `fill_missing`, `realism` is that of `decode`.
    """
    from vqcodec.decoding import DecodedFile, OpenedFile, decode_codes, fill_missing, open_file, paint
    from vqcodec.images.picture import Picture, check_suffix, write_picture
    from vqcodec.models.registry import load_painter

    def read(job: Job) -> OpenedFile:
        refuse_overwrite(job.target, force=force, source=job.source)
        data = read_bytes(job.source)
        try:
            if job.target != STANDARD_STREAM:
                check_suffix(job.target.suffix)
            file = open_file(data, allow_truncated=allow_truncated, device=device)
            load_painter(file.model, realism)
            return file
        except VqcodecError as error:
            raise type(error)(f"{job.source}: {error}") from error

    def write(job: Job, file: OpenedFile, picture: Picture | VqcodecError) -> Outcome:
        if isinstance(picture, VqcodecError):
            raise type(picture)(f"{job.source}: {picture}")
        suffix = ".png" if job.target == STANDARD_STREAM else job.target.suffix
        try:
            encoded = write_picture(picture, suffix)
        except VqcodecError as error:
            raise type(error)(f"{job.source}: {error}") from error
        write_bytes(job.target, encoded, force=force)
        header = file.header
        note = _truncation_note(file, len(file.maps[:max_maps]), is_filled=fill is not None)
        return Outcome(job, num_bytes=file.num_bytes, width=header.width, height=header.height, note=note)

    def filled(file: DecodedFile | VqcodecError) -> DecodedFile | VqcodecError:
        if fill is None or isinstance(file, VqcodecError):
            return file
        try:
            return fill_missing(file, fill, seed=seed)
        except VqcodecError as error:
            return error

    def convert(files: list[OpenedFile]) -> list[Picture | VqcodecError]:
        decoded = [filled(file) for file in decode_codes(files, max_maps=max_maps)]
        pictures = iter(paint([file for file in decoded if isinstance(file, DecodedFile)], realism=realism, batch_size=batch_size))
        return [next(pictures) if isinstance(file, DecodedFile) else file for file in decoded]

    def pixels(file: OpenedFile) -> int:
        return file.header.width * file.header.height

    yield from _run(jobs, batch_size, read, pixels, convert, write)


def _truncation_note(file: "OpenedFile", painted: int, *, is_filled: bool) -> str:
    if not file.is_truncated:
        return ""
    lost = "; its transparency or colour profile is lost" if file.header.chunks_bytes else ""
    filled = ", the others filled in" if is_filled else ""
    return f"file is cut: painted from {painted} of {len(file.header.maps)} maps{filled}{lost}"


def _run(
    jobs: Sequence[Job],
    batch_size: int,
    read: Callable[[Job], Loaded],
    pixels: Callable[[Loaded], int],
    convert: Callable[[list[Loaded]], list[Converted]],
    write: Callable[[Job, Loaded, Converted], Outcome],
) -> Iterator[Outcome]:
    """Reads, converts and writes jobs in batches; a job that fails gives an outcome with its error and stops no other.

    A batch ends at `batch_size` jobs or with the one that brings it to `MAX_BATCH_PIXELS`.
    """
    claimed: dict[str, Path] = {}
    waiting: list[tuple[Job, Loaded]] = []
    for job in jobs:
        try:
            real_target = os.path.realpath(job.target)
            if job.target != STANDARD_STREAM and real_target in claimed:
                raise OutputError(f"{job.source}: its output {job.target} is that of {claimed[real_target]}, too; convert it by itself")
            waiting.append((job, read(job)))
            claimed[real_target] = job.source
        except VqcodecError as error:
            yield Outcome(job, error=error)
        if len(waiting) >= batch_size or sum(pixels(item) for _, item in waiting) >= MAX_BATCH_PIXELS:
            yield from _convert_batch(waiting, convert, write)
            waiting = []
    yield from _convert_batch(waiting, convert, write)


def _convert_batch(
    batch: list[tuple[Job, Loaded]], convert: Callable[[list[Loaded]], list[Converted]], write: Callable[[Job, Loaded, Converted], Outcome]
) -> Iterator[Outcome]:
    """Converts and writes a batch; where memory does not hold it, one job at a time."""
    started = time.perf_counter()
    try:
        converted = convert([item for _, item in batch])
    except (MemoryError, RuntimeError) as error:
        if len(batch) == 1:
            yield Outcome(batch[0][0], error=VqcodecError(f"{batch[0][0].source}: cannot be converted: {' '.join(str(error).split())}"))
            return
        for single in batch:
            yield from _convert_batch([single], convert, write)
        return
    for (job, item), result in zip(batch, converted, strict=True):
        try:
            seconds = (time.perf_counter() - started) / len(batch)
            yield replace(write(job, item, result), seconds=seconds)
        except VqcodecError as error:
            yield Outcome(job, error=error)
