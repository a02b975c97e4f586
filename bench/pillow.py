"""What Pillow needs to open a large .vq file, and for thumbnails of a folder of files."""

import json
import sys
import time
import zlib
from collections.abc import Callable, Sequence
from pathlib import Path
from statistics import fmean, median
from tempfile import TemporaryDirectory
from typing import Any, Final

import click
import numpy as np
from numpy.typing import NDArray
from PIL import Image

import vqcodec.pillow
from bench.images import RESULTS, read_json, write_result
from bench.photos import PHOTOS, photo
from bench.processes import measure_process
from bench.tables import table
from vqcodec.codec.loaded import open_model
from vqcodec.format.chunks import Chunk, chunks_length
from vqcodec.format.container import CoderKind, ColourMode, Container, Header, MapEntry, crc16, map_size, write_container
from vqcodec.format.metadata import EXIF_CHUNK
from vqcodec.images.metrics import psnr_db
from vqcodec.models.config import ModelConfig
from vqcodec.models.registry import DEFAULT_MODEL, find_model

LARGE: Final = (12248, 8168)
"""Width and height of the large file, 100 megapixels."""
PHOTO: Final = (1536, 1024)
THUMBNAIL: Final = (128, 128)
QUALITIES: Final = (50, 75)
_OPENS: Final = 5
"""Processes that open the large file."""

_OPEN: Final = """
import json, sys, time, warnings
from PIL import Image
import vqcodec.pillow
warnings.simplefilter("ignore")  # Pillow's about its number of pixels
started, used = time.perf_counter(), time.process_time()
with Image.open(sys.argv[1]) as image:
    size = image.size
print(json.dumps([time.perf_counter() - started, time.process_time() - used, "torch" in sys.modules or "numpy" in sys.modules, size]))
"""


def large_file(config: ModelConfig, size: tuple[int, int]) -> bytes:
    """Returns a .vq file with right checksums, of random bytes as payloads and as EXIF: it opens and is verified, but does not decode."""
    rng, bits = np.random.default_rng(0), (config.network.codebook_size - 1).bit_length()
    payloads, entries = [], []
    for number in range(config.num_maps):
        payload = rng.bytes(int(np.prod(map_size(*size, number))) * bits // 8)
        payloads.append(payload)
        entries.append(MapEntry(CoderKind.RAW, len(payload), crc16(payload), 0))
    metadata = (Chunk(EXIF_CHUNK, zlib.compress(rng.bytes(20_000))),)
    header = Header(config.number, config.weights_digest, *size, ColourMode.RGB, tuple(entries), chunks_length(metadata))
    return write_container(Container(header, tuple(payloads), metadata))


def measure_open(path: Path) -> dict[str, Any]:
    """Opens a file by Pillow, in processes of their own, and asks for its size."""
    runs = [measure_process([sys.executable, "-c", _OPEN, str(path)]) for _ in range(_OPENS)]
    told = [json.loads(run.printed) for run in runs]
    return {
        "width": told[0][3][0],
        "height": told[0][3][1],
        "bytes": path.stat().st_size,
        "open_ms": round(1e3 * median(seconds for seconds, *_ in told), 2),
        "open_worst_ms": round(1e3 * max(seconds for seconds, *_ in told), 2),
        "open_cpu_ms": round(1e3 * median(seconds for _, seconds, *_ in told), 2),
        "process_cpu_s": round(median(run.cpu_seconds for run in runs), 3),
        "peak_mib": round(max(run.peak_mib for run in runs), 1),
        "heavy_modules": any(heavy for _, _, heavy, _ in told),
    }


def measure_thumbnails(folder: Path, model: str, quality: float, count: int, size: tuple[int, int]) -> dict[str, Any]:
    """Makes thumbnails of a folder of files by Pillow, from drafts and from whole pictures.

    Args:
        folder: folder for the files, of which `count` are written: the photos of wheels, enlarged to `size`, again and again.
        model: id of the model.
        quality: quality of the files.
        count: number of files; whole pictures are decoded of each photo once.
        size: width and height of the photos.
    """
    codec, originals = open_model(model), [photo(name).convert("RGB").resize(size, Image.Resampling.LANCZOS) for name in PHOTOS]
    files = [codec.encode(original, quality=quality) for original in originals]
    paths = [folder / f"{number:03}.vq" for number in range(count)]
    for number, path in enumerate(paths):
        path.write_bytes(files[number % len(files)])

    def from_draft(path: Path) -> Image.Image:
        with Image.open(path) as image:
            image.thumbnail(THUMBNAIL)
        return image

    def from_whole(path: Path) -> Image.Image:
        with Image.open(path) as image:
            image.load()
        image.thumbnail(THUMBNAIL)
        return image

    expected = []
    for original in originals:
        small = original.copy()
        small.thumbnail(THUMBNAIL)
        expected.append(np.asarray(small))
    draft_s, drafts = _timed(from_draft, paths)
    whole_s, wholes = _timed(from_whole, paths[: len(files)])
    return {
        "quality": quality,
        "maps": [len(vqcodec.read_info(file).maps) for file in files],
        "count": count,
        "mean_bytes": round(fmean(map(len, files))),
        "thumbnail_cpu_s": round(draft_s, 3),
        "whole_cpu_s": round(whole_s, 3),
        "thumbnail_psnr_db": round(fmean(map(psnr_db, drafts, expected)), 2),
        "whole_psnr_db": round(fmean(map(psnr_db, wholes, expected)), 2),
    }


def _timed(make: Callable[[Path], Image.Image], paths: Sequence[Path]) -> tuple[float, list[NDArray[np.uint8]]]:
    """Returns the mean CPU seconds a file, and what was made of the first files of all photos."""
    make(paths[0])
    started = time.process_time()
    made = [make(path) for path in paths]
    return (time.process_time() - started) / len(paths), [np.asarray(image) for image in made[: len(PHOTOS)]]


def run_pillow(model: str, count: int) -> None:
    """Measures both, and writes bench/results/pillow-MODEL.json."""
    config = find_model(model)
    with TemporaryDirectory() as place:
        path = Path(place) / "large.vq"
        path.write_bytes(large_file(config, LARGE))
        opened = measure_open(path)
        click.echo(json.dumps(opened))
        rows = []
        for quality in QUALITIES:
            rows.append(measure_thumbnails(Path(place), model, quality, count, PHOTO))
            click.echo(json.dumps(rows[-1]))
    write_result("pillow", config, "kodak", {"open": opened, "photo": PHOTO, "thumbnail": THUMBNAIL, "rows": rows})


def pillow_opens() -> str:
    """Returns what opening a large file takes, as a table."""
    found = read_json(RESULTS / f"pillow-{DEFAULT_MODEL}.json")["open"]
    megapixels = found["width"] * found["height"] / 1e6
    values = [
        f"{found['open_ms']:.1f} ms ({found['open_worst_ms']:.1f} ms)",
        f"{found['process_cpu_s']:.2f} s",
        f"{found['peak_mib']:.0f} MiB",
    ]
    row = [f"{megapixels:.0f} megapixels, {found['bytes'] / 1e6:.0f} MB", *values, "yes" if found["heavy_modules"] else "no"]
    return table(["file", "`Image.open(...).size` (worst)", "whole process, CPU", "its peak memory", "torch or NumPy is imported"], [row])


def pillow_thumbnails() -> str:
    """Returns what thumbnails take, as a table."""
    rows = []
    for row in read_json(RESULTS / f"pillow-{DEFAULT_MODEL}.json")["rows"]:
        maps = " to ".join(map(str, sorted({min(row["maps"]), max(row["maps"])})))
        seconds = [f"{row[key]:.2f} s" for key in ("thumbnail_cpu_s", "whole_cpu_s")]
        faster = f"{row['whole_cpu_s'] / row['thumbnail_cpu_s']:.1f}"
        psnr = [f"{row[key]:.1f} dB" for key in ("thumbnail_psnr_db", "whole_psnr_db")]
        rows.append([f"{row['quality']:g}", maps, *seconds, faster, *psnr])
    columns = ["quality", "maps", "thumbnail, CPU", "by the whole picture", "times faster", "PSNR of the thumbnail", "by the whole picture"]
    return table(columns, rows)
