"""Pictures to look at in a report: the middles of originals and of what codecs made of them, kept as files while a benchmark runs.

They are AVIF files of so little loss that it cannot be seen, which take a quarter of the bytes of files without loss.
"""

import zlib
from collections.abc import Iterable
from pathlib import Path
from typing import Any, Final

from PIL import Image

from vqcodec.compare.codecs import Pixels
from vqcodec.compare.report import ORIGINAL, View
from vqcodec.compare.rows import Row

VIEW_SIDES: Final = (448, 336)
"""Longest width and height in pixels of the middle of a picture that is kept."""

_OPTIONS: Final[dict[str, Any]] = {"quality": 92, "subsampling": "4:4:4", "speed": 8}


def view_path(views: Path, image: str, codec: str, setting: str, version: str, digest: str) -> Path:
    """Returns where the view of a picture is kept; the name tells versions and pixels apart, so that no view of others is shown."""
    return views / image / f"{codec}={setting}={zlib.crc32(f'{version} {digest}'.encode()):08x}.avif"


def keep_view(path: Path, pixels: Pixels) -> None:
    """Writes the middle of a picture."""
    height, width = pixels.shape[:2]
    columns, rows = (min(side, length) for side, length in zip(VIEW_SIDES, (width, height), strict=True))
    top, left = (height - rows) // 2, (width - columns) // 2
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.fromarray(pixels[top : top + rows, left : left + columns]).save(path, **_OPTIONS)


def read_views(folder: Path, rows: Iterable[Row]) -> list[View]:
    """Returns the views of these rows that runs kept, for each image the original first."""
    wanted = {}
    for row in rows:
        wanted[row.image, "", ""] = view_path(folder, row.image, ORIGINAL, "", "", row.image_sha256)
        wanted[row.image, row.codec, row.setting] = view_path(folder, row.image, row.codec, row.setting, row.version, row.image_sha256)
    return [
        View(image, codec or ORIGINAL, setting, path.read_bytes(), "image/avif")
        for (image, codec, setting), path in sorted(wanted.items())
        if path.exists()
    ]
