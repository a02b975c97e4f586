"""Measures codecs x images x settings: real files, decoded again, one row each. A run that was killed goes on where it stopped."""

import hashlib
import multiprocessing
import os
import subprocess
import time
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ProcessPoolExecutor
from concurrent.futures.process import BrokenProcessPool
from contextlib import contextmanager
from dataclasses import dataclass, field
from functools import cache
from pathlib import Path
from typing import Any, Final

import numpy as np

from vqcodec.compare.codecs import ImageCodec, Pixels
from vqcodec.compare.quality import Quality
from vqcodec.compare.report import ORIGINAL
from vqcodec.compare.rows import Row, append_row, read_rows
from vqcodec.compare.selection import Selection
from vqcodec.compare.views import keep_view, view_path
from vqcodec.errors import VqcodecError
from vqcodec.format.container import bits_per_pixel
from vqcodec.images.formats import IMAGE_SUFFIXES
from vqcodec.images.picture import read_picture

_DIGITS: Final = 6
"""Decimals of rates and metrics in rows."""
_DIGEST_DIGITS: Final = 16

Key = tuple[str, str, str, str]
"""Codec, version, label of the setting, and digest of the image: what a row is known by."""


@dataclass(frozen=True)
class Task:
    """One codec at one setting on one image.

    Attributes:
        version: version of the codec, for the row.
        view: file to keep the middle of the decoded picture in, or None.
    """

    codec: ImageCodec
    version: str
    setting: float
    image: Path
    view: Path | None


@dataclass
class RunFailures:
    """The tasks that a run could not measure.

    Attributes:
        lines: one line a failed task, with the reason.
        codecs: names of the codecs that failed on some task.
    """

    lines: list[str] = field(default_factory=list)
    codecs: set[str] = field(default_factory=set)


def find_images(folder: Path) -> list[Path]:
    """Returns the pictures in a folder, ordered by name.

    Raises:
        VqcodecError: It is no folder, or holds no picture.
    """
    if not folder.is_dir():
        raise VqcodecError(f"{folder}: not a folder")
    images = sorted(path for path in folder.iterdir() if path.suffix.lower() in IMAGE_SUFFIXES)
    if not images:
        raise VqcodecError(f"{folder}: holds no picture")
    return images


def readable_images(images: Sequence[Path]) -> tuple[dict[str, Path], list[str]]:
    """Returns the images that can be read, by the digest of their pixels (the first of copies), and a line for each that cannot."""
    readable: dict[str, Path] = {}
    failures = []
    for image in images:
        try:
            readable.setdefault(pixels_digest(read_picture(image).rgb), image)
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
        on_row: function that is told how many more of `num_tasks` are done.

    Raises:
        VqcodecError: `out` holds something else than rows, or one of several processes was killed.
    """
    known = {_key(row): row for row in read_rows(out)} if out.exists() else {}
    tasks: list[Task] = []
    for number, image in enumerate(images):
        tasks += _tasks_of(image, selection, known, views if number < num_viewed else None)
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


def pixels_digest(pixels: Pixels) -> str:
    """Returns the digest of a picture that `Row.image_sha256` holds."""
    return hashlib.sha256(np.ascontiguousarray(pixels).data).hexdigest()[:_DIGEST_DIGITS]


def _tasks_of(image: Path, selection: Selection, known: dict[Key, Row], views: Path | None) -> Iterator[Task]:
    """Yields what is to be measured of an image: rows that are absent or lack a metric, which `known` then holds no more, and views."""
    pixels = read_picture(image).rgb
    digest, measurable = pixels_digest(pixels), _quality().measurable(*pixels.shape[:2])
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
                yield Task(codec, version, setting, image, view)


def _key(row: Row) -> Key:
    return row.codec, row.version, row.setting, row.image_sha256


def _run(tasks: Sequence[Task], jobs: int) -> Iterator[Row | str]:
    """Yields the row of each task, or a line that says why there is none."""
    if jobs == 1:
        yield from map(_measure_or_say_why, tasks)
        return
    threads = max(1, (os.cpu_count() or 1) // jobs)
    with _limited_threads(threads), ProcessPoolExecutor(jobs, multiprocessing.get_context("spawn"), _set_threads, (threads,)) as pool:
        try:
            yield from pool.map(_measure_or_say_why, tasks)
        except BrokenProcessPool as error:
            raise VqcodecError("a measuring process was killed, perhaps for memory; rows so far are kept, try fewer jobs") from error


@contextmanager
def _limited_threads(threads: int) -> Iterator[None]:
    """Sets the number of threads that processes started meanwhile read when they import numerical libraries."""
    before = os.environ.get("OMP_NUM_THREADS")
    os.environ["OMP_NUM_THREADS"] = str(threads)
    try:
        yield
    finally:
        if before is None:
            del os.environ["OMP_NUM_THREADS"]
        else:
            os.environ["OMP_NUM_THREADS"] = before


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
    pixels = np.ascontiguousarray(read_picture(task.image).rgb)
    started = time.perf_counter()
    data = task.codec.encode(pixels, task.setting)
    encoded = time.perf_counter()
    decoded = task.codec.decode(data)
    finished = time.perf_counter()
    if task.view is not None:
        keep_view(task.view, decoded)
    height, width = pixels.shape[:2]
    values: dict[str, Any] = {name: value and round(value, _DIGITS) for name, value in _quality().measure(pixels, decoded).items()}
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
