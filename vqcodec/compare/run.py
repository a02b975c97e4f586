"""Measures codecs x images x settings: real files, decoded again, one row each. A run that was killed goes on where it stopped."""

import hashlib
import multiprocessing
import os
import subprocess
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from concurrent.futures import ProcessPoolExecutor
from concurrent.futures.process import BrokenProcessPool
from contextlib import suppress
from dataclasses import dataclass, field, replace
from functools import cache, lru_cache
from pathlib import Path
from typing import Any, Final, Self

import numpy as np

from vqcodec.compare.codecs import ImageCodec, Pixels
from vqcodec.compare.quality import Quality
from vqcodec.compare.report import ORIGINAL
from vqcodec.compare.rows import Row, append_row, read_rows
from vqcodec.compare.selection import Selection
from vqcodec.compare.views import keep_view, view_path
from vqcodec.errors import VqcodecError
from vqcodec.format.container import bits_per_pixel
from vqcodec.images.formats import IMAGE_SUFFIXES, open_image
from vqcodec.images.picture import read_picture
from vqcodec.nn.memory import keep_memory
from vqcodec.nn.threads import threads_of_new_processes
from vqcodec.storage import LITTER_PREFIXES

_DIGITS: Final = 6
"""Decimals of rates and metrics in rows."""
_DIGEST_DIGITS: Final = 16

Key = tuple[str, str, str, str]
"""Codec, version, label of the setting, and digest of the image: what a row is known by."""


@dataclass(frozen=True)
class Scope:
    """How much is measured of each image.

    Attributes:
        max_side_px: most width and height of what is compared, the middle of an image; None for whole images.
        metrics: metrics that are measured beside PSNR and MS-SSIM; None for all.
    """

    max_side_px: int | None = None
    metrics: tuple[str, ...] | None = None

    def pixels(self, image: Path) -> Pixels:
        """Reads what is compared of an image, uint8 [H, W, 3]."""
        pixels = read_picture(image).rgb
        if self.max_side_px is None:
            return pixels
        height, width = pixels.shape[:2]
        rows, columns = min(height, self.max_side_px), min(width, self.max_side_px)
        top, left = (height - rows) // 2, (width - columns) // 2
        return np.ascontiguousarray(pixels[top : top + rows, left : left + columns])

    def measurable(self, height: int, width: int) -> set[str]:
        """Returns the metrics that are measured of pictures of this size."""
        possible = _quality().measurable(height, width)
        return possible if self.metrics is None else possible & {"psnr_db", "ms_ssim", *self.metrics}


WHOLE: Final = Scope()
"""Whole images by all metrics."""
QUICK: Final = Scope(480, ("ssimulacra2",))
"""The middle of images by the metrics that take little time."""
_PROBE_PX: Final = 256
"""Side of the pictures by which time is estimated."""
_START_S: Final = 10.0
"""About how many seconds pass, where there are several processes, until each has loaded its packages and its networks."""
_LEAST_S: Final = 0.02
"""About how many seconds a measurement takes however small the picture is."""


@dataclass(frozen=True)
class Task:
    """One codec at one setting on one image.

    Attributes:
        version: version of the codec, for the row.
        view: file to keep the middle of the decoded picture in, or None.
        scope: how much is measured.
    """

    codec: ImageCodec
    version: str
    setting: float
    image: Path
    view: Path | None
    scope: Scope = WHOLE


@dataclass
class RunFailures:
    """The tasks that a run could not measure.

    Attributes:
        lines: one line a failed task, with the reason.
        codecs: names of the codecs that failed on some task.
    """

    lines: list[str] = field(default_factory=list)
    codecs: set[str] = field(default_factory=set)

    def __iadd__(self, other: Self) -> Self:
        """Adds those of another run."""
        self.lines += other.lines
        self.codecs |= other.codecs
        return self


def find_images(folder: Path) -> list[Path]:
    """Returns the pictures in a folder, ordered by name; FIFOs, devices and what systems leave beside files are passed over.

    Raises:
        VqcodecError: It is no folder, or holds no picture.
    """
    if not folder.is_dir():
        raise VqcodecError(f"{folder}: not a folder")
    images = sorted(
        path
        for path in folder.iterdir()
        if path.suffix.lower() in IMAGE_SUFFIXES and path.is_file() and not path.name.startswith(LITTER_PREFIXES)
    )
    if not images:
        raise VqcodecError(f"{folder}: holds no picture")
    return images


def readable_images(images: Sequence[Path], scope: Scope = WHOLE) -> tuple[dict[str, Path], list[str]]:
    """Returns the images that can be read, by the digest of what is compared (the first of copies), and a line for each that cannot."""
    readable: dict[str, Path] = {}
    failures = []
    for image in images:
        try:
            readable.setdefault(pixels_digest(scope.pixels(image)), image)
        except (VqcodecError, OSError) as error:
            failures.append(str(error))
    return readable, failures


def run_benchmark(
    images: Sequence[Path],
    selection: Selection,
    out: Path,
    *,
    jobs: int = 1,
    views: Path | None = None,
    num_viewed: int = 0,
    scope: Scope = WHOLE,
    on_row: Callable[[int], None] = lambda _: None,
) -> RunFailures:
    """Measures what `out` does not hold yet of these versions of the codecs.

    Args:
        images: files that `read_picture` reads.
        selection: codecs to measure.
        out: file of JSON lines, one a `Row`, which is added to.
        jobs: tasks at a time, each on an equal share of the cores. With one, seconds are those of a machine that does nothing else.
        views: folder for the middles of decoded pictures, or None.
        num_viewed: how many of the first images have their views kept.
        scope: how much is measured of each image.
        on_row: function that is told how many more of `num_tasks` are done.

    Raises:
        VqcodecError: `out` holds something else than rows, or one of several processes was killed.
    """
    known = {_key(row): row for row in read_rows(out)} if out.exists() else {}
    tasks: list[Task] = []
    for number, image in enumerate(images):
        tasks += _tasks_of(image, selection, known, views if number < num_viewed else None, scope)
    on_row(num_tasks(images, selection) - len(tasks))
    failures = RunFailures()
    for task, result in zip(tasks, _run(tasks, jobs), strict=True):
        if isinstance(result, Row):
            if _key(result) not in known:
                append_row(out, result)
        else:
            failures.lines.append(result)
            failures.codecs.add(task.codec.name)
        on_row(1)
    return failures


def num_tasks(images: Sequence[Path], selection: Selection) -> int:
    """Returns the number of rows of a complete run."""
    return len(images) * sum(len(codec.settings) for codec in selection.codecs)


def expected_seconds(images: Mapping[str, Path], selection: Selection, out: Path, scope: Scope, jobs: int) -> float:
    """Estimates roughly how long a run takes, by one measurement of each codec on a small part of the first image, and by its reading.

    Args:
        images: images that can be read, by the digest of what is compared.
        out: file of the rows that are there already, or the name of none.
        selection: codecs to measure.
        scope: how much is measured of each image.
        jobs: tasks at a time.
    """
    known = {_key(row) for row in read_rows(out)} if out.exists() else set()
    paths = list(images.values())
    started = time.perf_counter()
    probe = replace(scope, max_side_px=_PROBE_PX).pixels(paths[0])
    reading = time.perf_counter() - started
    sizes = [_size(image) for image in paths]
    compared = sum(min(width, scope.max_side_px or width) * min(height, scope.max_side_px or height) for width, height in sizes)
    growth = compared / len(paths) / (probe.size / 3)
    seconds = 0.0
    if jobs > 1:
        _set_threads(max(1, (os.cpu_count() or 1) // jobs))
    for codec in selection.codecs:
        keys = [
            (codec.name, selection.versions[codec.name], codec.label(setting), digest) for setting in codec.settings for digest in images
        ]
        num_missing = len(known.union(keys)) - len(known)
        if not num_missing:
            continue
        _load(codec)
        for is_timed in (False, True):  # the first time, networks are loaded
            started = time.perf_counter()
            setting = codec.settings[len(codec.settings) // 2]
            with suppress(Exception):  # what a codec cannot do is told by its measurements
                _quality().measure(probe, codec.decode(codec.encode(probe, setting)), scope.metrics)
            if is_timed:
                seconds += max(_LEAST_S, (time.perf_counter() - started) * growth) * num_missing
    readings = 2 * sum(width * height for width, height in sizes) / (sizes[0][0] * sizes[0][1])  # to find what is there, and to measure
    return reading * readings + (_START_S if jobs > 1 and seconds else 0.0) + seconds / jobs


def _size(image: Path) -> tuple[int, int]:
    with open_image(image, lambda *_: None) as opened:
        return opened.size


def pixels_digest(pixels: Pixels) -> str:
    """Returns the digest of a picture that `Row.image_sha256` holds."""
    return hashlib.sha256(np.ascontiguousarray(pixels).data).hexdigest()[:_DIGEST_DIGITS]


def _tasks_of(image: Path, selection: Selection, known: dict[Key, Row], views: Path | None, scope: Scope) -> Iterator[Task]:
    """Yields what is to be measured of an image: rows that are absent or lack a metric, which `known` then holds no more, and views."""
    pixels = scope.pixels(image)
    digest, measurable = pixels_digest(pixels), scope.measurable(*pixels.shape[:2])
    if views is not None:
        keep_view(view_path(views, image.name, ORIGINAL, "", "", digest), pixels)
    for codec in selection.codecs:
        version = selection.versions[codec.name]
        for setting in codec.settings:
            label = codec.label(setting)
            view = None if views is None else view_path(views, image.name, codec.name, label, version, digest)
            key = codec.name, version, label, digest
            is_measured = key in known and all(getattr(known[key], name) is not None for name in measurable)
            if not is_measured:
                known.pop(key, None)
            if not is_measured or (view is not None and not view.exists()):
                yield Task(codec, version, setting, image, view, scope)


def _key(row: Row) -> Key:
    return row.codec, row.version, row.setting, row.image_sha256


def _run(tasks: Sequence[Task], jobs: int) -> Iterator[Row | str]:
    """Yields the row of each task, or a line that says why there is none."""
    if jobs == 1:
        yield from map(_measure_or_say_why, tasks)
        return
    threads = max(1, (os.cpu_count() or 1) // jobs)
    with threads_of_new_processes(threads), ProcessPoolExecutor(jobs, multiprocessing.get_context("spawn"), _prepare, (threads,)) as pool:
        try:
            yield from pool.map(_measure_or_say_why, tasks)
        except BrokenProcessPool as error:
            raise VqcodecError("a measuring process was killed, perhaps for memory; rows so far are kept, try fewer jobs") from error


def _prepare(threads: int) -> None:
    """Prepares a process that measures."""
    _set_threads(threads)
    keep_memory()


def _set_threads(threads: int) -> None:
    import torch

    torch.set_num_threads(threads)


@cache
def _quality() -> Quality:
    return Quality()


@cache
def _load(codec: ImageCodec) -> None:
    """Loads, once a process, what a codec needs, so that no row's seconds include it."""
    codec.version()


@lru_cache(maxsize=1)
def _pixels(scope: Scope, image: Path) -> Pixels:
    """Reads what is compared of an image, once for all tasks of a process that follow each other."""
    return np.ascontiguousarray(scope.pixels(image))


def _measure_or_say_why(task: Task) -> Row | str:
    try:
        return _measure(task)
    except subprocess.CalledProcessError as error:
        why = (error.stderr or b"").decode(errors="replace")
    except Exception as error:  # noqa: BLE001 (codecs of others raise what they like, and the rest is to be measured)
        why = str(error) or type(error).__name__
    lines = why.strip().splitlines() or ["it failed without a message"]
    return f"{task.image.name}, {task.codec.name} {task.setting:g}: {lines[0]}"


def _measure(task: Task) -> Row:
    _load(task.codec)
    pixels = _pixels(task.scope, task.image)
    started = time.perf_counter()
    data = task.codec.encode(pixels, task.setting)
    encoded = time.perf_counter()
    decoded = task.codec.decode(data)
    finished = time.perf_counter()
    if task.view is not None:
        keep_view(task.view, decoded)
    height, width = pixels.shape[:2]
    measured = _quality().measure(pixels, decoded, task.scope.metrics)
    values: dict[str, Any] = {name: value and round(value, _DIGITS) for name, value in measured.items()}
    return Row(
        codec=task.codec.name,
        version=task.version,
        setting=task.codec.label(task.setting),
        image=task.image.name,
        image_sha256=pixels_digest(pixels),
        bytes=len(data),
        bpp=round(bits_per_pixel(len(data), width, height), _DIGITS),
        **values,
        encode_s=round(encoded - started, 4),
        decode_s=round(finished - encoded, 4),
    )
