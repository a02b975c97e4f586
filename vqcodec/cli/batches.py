"""Conversion of many files in batches. A file that cannot be converted stops no other."""

import math
import os
import time
from abc import ABC, abstractmethod
from collections import deque
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from threading import Event
from typing import Final, Generic, TypeVar

from vqcodec.cli.files import STANDARD_STREAM, OutputError, OutputExistsError, input_name, is_same_file
from vqcodec.cli.jobs import Job
from vqcodec.cli.messages import message_of
from vqcodec.cli.overlap import Work, stop_all, wait_for, wait_until
from vqcodec.cli.progress import share_done
from vqcodec.cli.results import FileResult, Notice, Results
from vqcodec.errors import VqcodecError, is_lack_of_memory
from vqcodec.models.devices import MAX_BATCH_PIXELS
from vqcodec.nn.progress import OnProgress
from vqcodec.nn.threads import map_in_threads, sharing_threads

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

    @property
    def may_overlap(self) -> bool:
        """Whether two batches may be converted at a time, by two threads."""
        return False

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
    def convert(self, batch: list[Loaded], on_progress: OnProgress) -> list[Converted]:
        """Converts a batch. What is wrong with a single file is told by `write`.

        `on_progress` is told how many files, or which share of one, are done.
        """

    @abstractmethod
    def write(self, job: Job, loaded: Loaded, converted: Converted) -> FileResult:
        """Writes a job's output, or raises the error of its conversion."""


_AT_A_TIME: Final = 2
"""Batches in work at a time where they overlap."""
_MOST_UNTOLD: Final = 2
"""Batches that may be done, and keep their pictures, while an earlier one is still in work, whose results are told before."""

_Files = Sequence[tuple[Job, Loaded]]
"""Jobs, and what was read of each."""


@dataclass(frozen=True)
class _Batch(Generic[Loaded]):
    """Files that go through the networks together.

    Attributes:
        files: the files.
        has_large: whether one of their pictures has so many pixels that a batch ends with it.
    """

    files: _Files[Loaded]
    has_large: bool


def convert_files(jobs: Sequence[Job], conversion: Conversion[Loaded, Converted]) -> Results:
    """Converts files in batches, and yields a result for each job; a job that fails has its error there. Warnings are yielded before.

    A batch ends at the conversion's `batch_size` jobs, or with the job that brings it to `MAX_BATCH_PIXELS`. Where the conversion allows
    it, two batches are in work at a time, so that one is read, coded or written while the networks see the other; batches become smaller
    towards the end, so that both threads have work until then. The order of results is the same.

    Raises:
        VqcodecError: No job can be done, as the model cannot be loaded.
    """
    conversion.prepare()
    if conversion.may_overlap and len(jobs) > conversion.batch_size:
        yield from _convert_overlapping(_read_files(jobs, conversion, at_a_time=_AT_A_TIME), conversion)
        return
    for item in _read_files(jobs, conversion):
        yield from _convert_batch(item.files, conversion) if isinstance(item, _Batch) else [item]


def _read_files(
    jobs: Sequence[Job], conversion: Conversion[Loaded, Converted], *, at_a_time: int = 1
) -> Iterator[FileResult | Notice | _Batch[Loaded]]:
    """Reads files one by one, and yields the batches that they make, warnings, and the results of jobs that need no conversion or fail.

    Where several batches are in work at a time, each has a share of the jobs that are left which leaves as many for later.
    """
    claimed: dict[str, Job] = {}
    files: list[tuple[Job, Loaded]] = []
    sizes: list[int] = []
    most = conversion.batch_size
    for number, job in enumerate(jobs):
        if at_a_time > 1 and not files:
            most = min(conversion.batch_size, math.ceil((len(jobs) - number) / (2 * at_a_time)))
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
            loaded = conversion.read(job)
            files.append((job, loaded))
            sizes.append(conversion.num_pixels(loaded))
            claimed[real_target] = job
            if warning := conversion.warning(loaded):
                yield Notice(job, warning)
        except (VqcodecError, MemoryError, OSError) as error:
            yield _failed(job, error)
        if len(files) >= most or sum(sizes) >= MAX_BATCH_PIXELS:
            yield _Batch(files, max(sizes) >= MAX_BATCH_PIXELS)
            files, sizes = [], []
    if files:
        yield _Batch(files, max(sizes) >= MAX_BATCH_PIXELS)


def _is_finished(job: Job, conversion: Conversion[Loaded, Converted]) -> bool:
    """Returns whether a job's output is there already and is to be kept.

    Raises:
        OutputExistsError: There is a file that is not whole, and files are not to be overwritten.
    """
    if not conversion.skip_existing or job.target == STANDARD_STREAM or is_same_file(job.target, job.source):
        return False
    if not os.path.isfile(job.target):  # noqa: PTH113 (raises nothing)
        return False
    try:
        conversion.check_finished(job.target)
    except VqcodecError as error:
        if conversion.force:
            return False
        reason = str(error).removeprefix(f"{job.target}: ")
        raise OutputExistsError(f"{job.target}: exists already, but is not whole: {reason}; use --force to overwrite it") from error
    return True


class _Running(Work[FileResult], Generic[Loaded, Converted]):
    """A batch that is converted by a thread of its own."""

    def __init__(self, files: _Files[Loaded], conversion: Conversion[Loaded, Converted], on_end: Callable[[], None]) -> None:
        super().__init__(self._results, on_end)
        self._files, self._conversion = files, conversion

    def _results(self, on_progress: OnProgress) -> Iterator[FileResult]:
        with sharing_threads(_AT_A_TIME):
            yield from _convert_together(self._files, self._conversion, on_progress)

    def taken(self, others: Sequence[Work[FileResult]]) -> Iterator[FileResult]:
        """Yields the results, once the work is over; where memory did not hold the batch beside others, it is converted after them."""
        yield from self.results
        if isinstance(self.error, MemoryError | RuntimeError):
            for other in others:
                wait_for(other)
            yield from _convert_batch(self._files, self._conversion)
        elif self.error is not None:
            raise self.error


def _convert_overlapping(
    found: Iterator[FileResult | Notice | _Batch[Loaded]], conversion: Conversion[Loaded, Converted]
) -> Iterator[FileResult | Notice]:
    """Converts batches by two threads, while this one reads the next batch. A batch with a large picture is converted alone."""
    waiting: deque[FileResult | Notice | _Running[Loaded, Converted]] = deque()
    has_news = Event()

    def begun() -> list[_Running[Loaded, Converted]]:
        return [one for one in waiting if isinstance(one, _Running)]

    def running() -> list[_Running[Loaded, Converted]]:
        return [one for one in begun() if not one.is_over]

    def can_go_on(first: _Running[Loaded, Converted], most_running: int) -> bool:
        return first.is_over or (len(running()) <= most_running and len(begun()) <= most_running + _MOST_UNTOLD)

    def results(most_running: int) -> Iterator[FileResult | Notice]:
        """Yields what there is to be told in its order, and waits until no more than so many batches are in work."""
        while waiting:
            first = waiting[0]
            if isinstance(first, _Running) and not first.is_over:
                if can_go_on(first, most_running):
                    return
                wait_until(partial(can_go_on, first, most_running), begun(), has_news)
            else:
                waiting.popleft()  # not before it is over, so that it is stopped where the wait is ended
                yield from first.taken(running()) if isinstance(first, _Running) else [first]

    try:
        for item in found:
            if not isinstance(item, _Batch):
                waiting.append(item)
            elif item.has_large:
                yield from results(0)
                yield from _convert_batch(item.files, conversion)
            else:
                yield from results(_AT_A_TIME - 1)
                waiting.append(batch := _Running(item.files, conversion, has_news.set))
                batch.start()
            yield from results(_AT_A_TIME)
        yield from results(0)
    except KeyboardInterrupt:
        stop_all(running())
        for one in waiting:
            yield from one.results if isinstance(one, _Running) else [one]
        raise
    finally:
        stop_all(running())


def _convert_batch(files: _Files[Loaded], conversion: Conversion[Loaded, Converted]) -> Iterator[FileResult]:
    """Converts and writes a batch, or one job at a time where memory does not hold the batch."""
    try:
        yield from _convert_together(files, conversion, share_done)
    except (MemoryError, RuntimeError) as error:
        if len(files) == 1:
            yield _failed(files[0][0], error)
            return
        for single in files:
            yield from _convert_batch([single], conversion)


def _convert_together(files: _Files[Loaded], conversion: Conversion[Loaded, Converted], on_progress: OnProgress) -> Iterator[FileResult]:
    """Converts and writes a batch.

    Raises:
        MemoryError, RuntimeError: It could not be converted, perhaps as memory does not hold it; nothing is written.
    """
    started = time.perf_counter()
    converted = conversion.convert([loaded for _, loaded in files], on_progress)
    seconds = (time.perf_counter() - started) / len(files)

    def write(job: Job, loaded: Loaded, result: Converted) -> FileResult:
        try:
            return replace(conversion.write(job, loaded, result), seconds=seconds)
        except (VqcodecError, MemoryError, RuntimeError, OSError) as error:
            return _failed_to_write(job, error, conversion)

    writes = [(job, loaded, result) for (job, loaded), result in zip(files, converted, strict=True)]
    writers = min(conversion.writers, len(writes))
    yield from map_in_threads(lambda one: write(*one), writes, writers) if writers > 1 else (write(*one) for one in writes)


def _failed_to_write(job: Job, error: Exception, conversion: Conversion[Loaded, Converted]) -> FileResult:
    """Returns the result of a job whose output was not written, perhaps as another program has just finished the same one."""
    try:
        if isinstance(error, OutputExistsError) and _is_finished(job, conversion):
            return FileResult(job, is_kept=True)
    except VqcodecError as not_whole:
        error = not_whole
    return _failed(job, error)


def _failed(job: Job, error: Exception) -> FileResult:
    if not isinstance(error, VqcodecError):
        told = "" if isinstance(error, RuntimeError) and is_lack_of_memory(error) else " ".join(message_of(error).split())
        reason = told or "not enough memory"
        error = VqcodecError(f"{input_name(job.source)}: cannot be converted: {reason}")
    return FileResult(job, error=error)
