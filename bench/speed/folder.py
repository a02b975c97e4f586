"""Seconds of commands that encode and decode a folder of photos, and how much of them the cores have work."""

from pathlib import Path
from typing import Any, Final

import numpy as np
from PIL import Image

from bench.images import ROOT
from bench.large import ASPECT, large_photo
from bench.photos import PHOTOS, photo
from bench.speed.start import SIZE, vqcodec_process
from vqcodec.nn.threads import num_threads

RUNS: Final = 3
"""Runs that a median is taken of."""


def write_crops(folder: Path) -> None:
    """Writes 24 crops of the six photos that ship in wheels, as PNG: the corners of each, which is enlarged before, as all are smaller."""
    folder.mkdir()
    for name in PHOTOS:
        whole = photo(name)
        scale = 1.25 * max(side / own for side, own in zip(SIZE, whole.size, strict=True))
        large = whole.resize([round(scale * side) for side in whole.size], Image.Resampling.BICUBIC)
        right, lower = (own - side for own, side in zip(large.size, SIZE, strict=True))
        for number, (left, top) in enumerate([(0, 0), (right, 0), (0, lower), (right, lower)]):
            large.crop((left, top, left + SIZE[0], top + SIZE[1])).save(folder / f"{name}-{number}.png")


def write_large(folder: Path, megapixels: float) -> None:
    """Writes one picture of this size, as PNG."""
    folder.mkdir()
    height = round((megapixels * 1e6 / ASPECT) ** 0.5)
    Image.fromarray(large_photo(round(ASPECT * height), height)).save(folder / "large.png")


def measure_folder(photos: Path, work: Path, other: Path | None) -> list[dict[str, Any]]:
    """Measures the commands that encode a folder of photos, and that decode the files.

    Args:
        photos: the folder.
        work: folder for the files that the commands write.
        other: another checkout to measure in turns; None for none.

    Returns:
        For each command, and each checkout, medians of seconds, of CPU seconds and of MiB at their peak, and the share of the cores' time
        that they had work.
    """
    checkouts = {"this": ROOT} if other is None else {"this": ROOT, "other": other}
    rows = []
    for verb, source in (("encode", photos), ("decode", work / "encode-this")):
        options = {name: [verb, str(source), "-o", str(work / f"{verb}-{name}"), "--force", "--quiet"] for name in checkouts}
        runs = [[vqcodec_process(options[name], checkout) for name, checkout in checkouts.items()] for _ in range(RUNS)]
        for name, of_checkout in zip(checkouts, zip(*runs, strict=True), strict=True):
            seconds, cpu, peak = np.median([(run.seconds, run.cpu_seconds, run.peak_mib) for run in of_checkout], axis=0)
            busy = float(cpu / seconds / num_threads())
            rows.append({"command": verb, "checkout": name, "seconds": seconds, "cpu_seconds": cpu, "peak_mib": peak, "busy": busy})
    return rows
