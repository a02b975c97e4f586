"""Conversion of many files in batches. A file that cannot be converted stops no other."""

import os
import time
import warnings
from abc import ABC, abstractmethod
from collections.abc import Iterator, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Generic, TypeVar

from vqcodec.cli.files import STANDARD_STREAM, OutputError, OutputExistsError, input_name
from vqcodec.cli.jobs import Job
from vqcodec.cli.results import FileResult, Notice
from vqcodec.coding.tiles import MAX_BATCH_PIXELS
from vqcodec.errors import VqcodecError, is_lack_of_memory

Loaded = TypeVar("Loaded")
Converted = TypeVar("Converted")


class Conversion(ABC, Generic[Loaded, Converted]):
    """One direction of conversion, in steps, each of which raises `VqcodecError` for what is wrong with a file.

    Attributes:
        batch_size: files that go through the networks together.
        force: whether files are overwritten.
        skip_existing: whether finished outputs are kept, and their inputs not converted.
    """

    batch_size: int
    force: bool
    skip_existing: bool

    @property
    def writers(self) -> int:
        """Number of threads that write the outputs of a batch."""
        return 1

    @abstractmethod
    def prepare(self) -> None:
        """Loads what every job needs, so that what is wrong with that is raised once."""

    @abstractmethod
    def check_finished(self, target: Path) -> None:
        """Checks that an output is whole, by what its format knows of checksums."""

    @abstractmethod
    def read(self, job: Job) -> Loaded:
        """Reads a job's input, and refuses an output that could not be written."""

    @abstractmethod
    def warning(self, loaded: Loaded) -> str:
        """Returns what is to be told of an input before it is converted; may be empty."""

    @abstractmethod
    def num_pixels(self, loaded: Loaded) -> int:
        """Returns the number of pixels of the picture."""

    @abstractmethod
    def convert(self, batch: list[Loaded]) -> list[Converted]:
        """Converts a batch. What is wrong with a single file is told by `write`."""

    @abstractmethod
    def write(self, job: Job, loaded: Loaded, converted: Converted) -> FileResult:
        """Writes a job's output, or raises the error of its conversion."""


def convert_files(jobs: Sequence[Job], conversion: Conversion[Loaded, Converted]) -> Iterator[FileResult | Notice]:
    """Converts files in batches, and yields a result for each job; a job that fails has its error there. Warnings are yielded before.

    A batch ends at the conversion's `batch_size` jobs, or with the job that brings it to `MAX_BATCH_PIXELS`.

    Raises:
        VqcodecError: No job can be done, as the model cannot be loaded.
    """
    conversion.prepare()
    claimed: dict[str, Job] = {}
    waiting: list[tuple[Job, Loaded]] = []
    for job in jobs:
        try:
            real_target = os.path.realpath(job.target)
            if job.target != STANDARD_STREAM and real_target in claimed:
                raise OutputError(
                    f"{job.source}: its output {job.target} is also that of {claimed[real_target].source}; convert it separately"
                )
            if _is_finished(job, conversion):
                claimed[real_target] = job
                yield FileResult(job, is_kept=True)
                continue
            waiting.append((job, conversion.read(job)))
            claimed[real_target] = job
            if warning := conversion.warning(waiting[-1][1]):
                yield Notice(job, warning)
        except (VqcodecError, MemoryError) as error:
            yield _failed(job, error)
        if len(waiting) >= conversion.batch_size or sum(conversion.num_pixels(loaded) for _, loaded in waiting) >= MAX_BATCH_PIXELS:
            yield from _convert_batch(waiting, conversion)
            waiting = []
    if waiting:
        yield from _convert_batch(waiting, conversion)


def _is_finished(job: Job, conversion: Conversion[Loaded, Converted]) -> bool:
    """Returns whether a job's output is there already and is to be kept.

    Raises:
        OutputExistsError: There is a file that is not whole, and files are not to be overwritten.
    """
    if not conversion.skip_existing or job.target == STANDARD_STREAM or not job.target.is_file():
        return False
    try:
        conversion.check_finished(job.target)
    except VqcodecError as error:
        if conversion.force:
            return False
        reason = str(error).removeprefix(f"{job.target}: ")
        raise OutputExistsError(f"{job.target}: exists already, but is not whole: {reason}; use --force to overwrite it") from error
    return True


def _convert_batch(batch: list[tuple[Job, Loaded]], conversion: Conversion[Loaded, Converted]) -> Iterator[FileResult]:
    """Converts and writes a batch, or one job at a time where memory does not hold the batch."""
    started = time.perf_counter()
    try:
        converted = conversion.convert([loaded for _, loaded in batch])
    except (MemoryError, RuntimeError) as error:
        if len(batch) == 1:
            yield _failed(batch[0][0], error)
            return
        for single in batch:
            yield from _convert_batch([single], conversion)
        return
    seconds = (time.perf_counter() - started) / len(batch)

    def write(job: Job, loaded: Loaded, result: Converted) -> FileResult:
        try:
            return replace(conversion.write(job, loaded, result), seconds=seconds)
        except (VqcodecError, MemoryError) as error:
            return _failed_to_write(job, error, conversion)

    writes = [(job, loaded, result) for (job, loaded), result in zip(batch, converted, strict=True)]
    writers = min(conversion.writers, len(writes))
    if writers < 2:
        yield from (write(*one) for one in writes)
        return
    from concurrent.futures import ThreadPoolExecutor

    pool = ThreadPoolExecutor(writers)
    try:
        with warnings.catch_warnings():  # here too, since those of several threads would leave behind what another one has set
            warnings.simplefilter("ignore")
            results = list(pool.map(write, *zip(*writes, strict=True)))
    finally:
        pool.shutdown(cancel_futures=True)
    yield from results


def _failed_to_write(job: Job, error: VqcodecError | MemoryError, conversion: Conversion[Loaded, Converted]) -> FileResult:
    """Returns the result of a job whose output was not written, perhaps as another program has just finished the same one."""
    try:
        if isinstance(error, OutputExistsError) and _is_finished(job, conversion):
            return FileResult(job, is_kept=True)
    except VqcodecError as not_whole:
        error = not_whole
    return _failed(job, error)


def _failed(job: Job, error: Exception) -> FileResult:
    if not isinstance(error, VqcodecError):
        told = "" if isinstance(error, RuntimeError) and is_lack_of_memory(error) else " ".join(str(error).split())
        reason = told or "not enough memory"
        error = VqcodecError(f"{input_name(job.source)}: cannot be converted: {reason}")
    return FileResult(job, error=error)
