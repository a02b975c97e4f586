"""Codecs x images x settings: real files, decoded again and measured, one row each. A run that was killed goes on where it stopped."""

import hashlib
import multiprocessing
import os
import platform
import subprocess
import time
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ProcessPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime
from functools import cache
from importlib.metadata import version as package_version
from pathlib import Path
from typing import Any, Final

import numpy as np
from PIL import Image

from vqcodec.bench.codecs import Pixels, Selection, codec_named
from vqcodec.bench.machine import cpu_name
from vqcodec.bench.quality import Quality
from vqcodec.bench.report import ORIGINAL, View
from vqcodec.bench.rows import Row, append_row, read_rows
from vqcodec.errors import VqcodecError
from vqcodec.image import IMAGE_SUFFIXES, read_image
from vqcodec.metrics import bits_per_pixel

VIEW_SIDES: Final = (448, 336)
"""Longest width and height in pixels of the middle of a picture that is kept to look at."""

_DIGITS: Final = 6
_DIGEST_DIGITS: Final = 16


@dataclass(frozen=True)
class Task:
    """One codec at one setting on one image, and the folder to keep a view in, or None."""

    codec: str
    setting: float
    image: Path
    views: Path | None

    @property
    def view(self) -> Path | None:
        """The file that the view is kept in."""
        if self.views is None:
            return None
        return _view_path(self.views, self.image, self.codec, codec_named(self.codec).label(self.setting))


@dataclass
class Outcome:
    """What a run could not measure: a line each."""

    failures: list[str] = field(default_factory=list)


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
        images: files that `read_image` reads.
        selection: the codecs.
        out: JSON lines of `Row`, added to.
        jobs: tasks at a time, each on an equal share of the cores. With one, seconds are those of a machine that does nothing else.
        views: folder for the middles of decoded pictures, or None.
        num_viewed: of how many images, the first ones.
        on_row: told how many of `num_tasks` are done.
    """
    done = {_key(row) for row in read_rows(out)} if out.exists() else set()
    outcome = Outcome()
    tasks = []
    for number, image in enumerate(images):
        kept = views if number < num_viewed else None
        pixels = read_image(image).rgb
        if kept is not None:
            _keep_view(_view_path(kept, image, ORIGINAL, ""), pixels)
        digest = pixels_digest(pixels)
        for codec in selection.codecs:
            for setting in codec.settings:
                task = Task(codec.name, setting, image, kept)
                known = (codec.name, selection.versions[codec.name], codec.label(setting), digest) in done
                if not known or (task.view is not None and not task.view.exists()):
                    tasks.append(task)
    on_row(num_tasks(images, selection) - len(tasks))
    for result in _run(tasks, jobs):
        if isinstance(result, Row):
            if _key(result) not in done:
                append_row(out, result)
        else:
            outcome.failures.append(result)
        on_row(1)
    return outcome


def num_tasks(images: Sequence[Path], selection: Selection) -> int:
    """Rows of a complete run."""
    return len(images) * sum(len(codec.settings) for codec in selection.codecs)


def readable_images(images: Sequence[Path]) -> tuple[dict[Path, str], list[str]]:
    """The images that can be read, with the digests of their pixels, and a line for each that cannot."""
    digests: dict[Path, str] = {}
    failures = []
    for image in images:
        try:
            digests[image] = pixels_digest(read_image(image).rgb)
        except (VqcodecError, OSError) as error:
            failures.append(str(error))
    return digests, failures


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
    }


def read_views(folder: Path) -> list[View]:
    """The views that runs kept, originals first for each image."""
    views = []
    for of_image in sorted(path for path in folder.iterdir() if path.is_dir()):
        for path in sorted(of_image.glob("*.webp"), key=lambda path: (not path.stem.startswith(ORIGINAL), path.stem)):
            codec, _, setting = path.stem.partition("=")
            views.append(View(of_image.name, codec, setting, path.read_bytes(), "image/webp"))
    return views


def _view_path(views: Path, image: Path, codec: str, setting: str) -> Path:
    return views / image.name / f"{codec}={setting}.webp"


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
        yield from pool.map(_measure_or_say_why, tasks)


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
    except (VqcodecError, OSError, ValueError, RuntimeError, subprocess.CalledProcessError) as error:
        lines = str(error).splitlines() or [type(error).__name__]
        return f"{task.image.name}, {task.codec} {task.setting:g}: {lines[0]}"


def _measure(task: Task) -> Row:
    codec = codec_named(task.codec)
    version = _version(task.codec)
    pixels = np.ascontiguousarray(read_image(task.image).rgb)
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
