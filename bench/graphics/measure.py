"""What the codec makes of the drawings, beside WebP and AVIF in as many bytes, as Pillow writes them where no option but quality is set."""

import math
from collections.abc import Iterable, Sequence
from dataclasses import asdict, dataclass
from io import BytesIO
from typing import Any, Final

import click
import numpy as np
import PIL
from numpy.typing import NDArray
from PIL import Image, features

import vqcodec
from bench.graphics import GRAPHICS
from bench.images import write_result
from vqcodec.codec.loaded import Codec, open_model
from vqcodec.errors import VqcodecError
from vqcodec.images.metrics import psnr_db

QUALITIES: Final = (10, 30, 50, 70, 90)
"""Qualities of vqcodec that are measured."""
OTHERS_QUALITIES: Final = (0, 4, 8, 15, 25, 35, 50, 65, 75, 85, 95, 100)
"""Qualities of WebP and of AVIF whose files make their curves."""
EXACT_DB: Final = 99.0
"""What counts as the PSNR of a picture that came back unchanged; none is higher."""
BLOCK_PX: Final = 64
"""Side of the blocks whose mean colours are compared."""
BLOCKS_FROM_QUALITY: Final = 30
"""Quality from which the means of blocks should be right."""
MARGIN_DB: Final = -1.0
"""Least margin that a picture should have."""
WORST_SHOWN: Final = 10


@dataclass(frozen=True)
class File:
    """Size and PSNR of a file of another format."""

    num_bytes: int
    psnr_db: float


@dataclass(frozen=True)
class GraphicsRow:
    """One drawing at one quality.

    Attributes:
        picture: name of the drawing.
        quality: quality of vqcodec.
        bytes: size of its file.
        psnr_db: its PSNR, `EXACT_DB` where the picture came back unchanged.
        webp_db: PSNR of WebP in as many bytes, with loss or without; None where it has no file of so few bytes.
        avif_db: that of AVIF.
        lossless_webp_bytes: size of the WebP file without loss.
        lossless: whether the picture came back unchanged.
        flat_error: largest error of a sample in levels, where the whole picture has one colour; None elsewhere.
        block_error: largest error of the mean of a block of `BLOCK_PX` x `BLOCK_PX` pixels in a channel, in levels.
    """

    picture: str
    quality: int
    bytes: int
    psnr_db: float
    webp_db: float | None
    avif_db: float | None
    lossless_webp_bytes: int
    lossless: bool
    flat_error: int | None
    block_error: float

    @property
    def margin_db(self) -> float | None:
        """Returns how far the PSNR is above the better of WebP and AVIF; None where neither has a file of so few bytes."""
        others = [value for value in (self.webp_db, self.avif_db) if value is not None]
        return self.psnr_db - max(others) if others else None


def run_graphics(model_id: str, only: Sequence[str] = ()) -> None:
    """Measures the drawings, prints a line each and a summary, and writes bench/results/graphics-MODEL.json.

    Args:
        model_id: id or folder of the model.
        only: names of drawings, to measure these alone and to write nothing; none for all.

    Raises:
        VqcodecError: a name that no drawing has.
    """
    if unknown := [name for name in only if name not in GRAPHICS]:
        raise VqcodecError(f"no drawing is called {unknown[0]!r}; known are {', '.join(GRAPHICS)}")
    codec = open_model(model_id)
    rows: list[GraphicsRow] = []
    click.echo(f"{'margin in dB at quality':24}{''.join(f'{quality:8}' for quality in QUALITIES)}   bytes at 50, lossless WebP")
    for name in only or GRAPHICS:
        of_picture = measure_picture(name, GRAPHICS[name](), codec)
        margins = "".join(f"{'-' if row.margin_db is None else f'{row.margin_db:+.1f}':>8}" for row in of_picture)
        middle = of_picture[len(of_picture) // 2]
        click.echo(f"{name:24}{margins}   {middle.bytes:6d} {middle.lossless_webp_bytes:6d}")
        rows += of_picture
    for line in summary(rows):
        click.echo(line)
    if not only:
        libraries = {name: features.version(name) for name in ("webp", "avif")}
        versions = {"vqcodec": vqcodec.__version__, "pillow": PIL.__version__, **libraries}
        write_result("graphics", codec.model.config, "graphics", {"versions": versions, "rows": [asdict(row) for row in rows]})


def measure_picture(name: str, picture: Image.Image, codec: Codec, qualities: Sequence[int] = QUALITIES) -> list[GraphicsRow]:
    """Returns the rows of one drawing, one a quality."""
    original = seen(picture)
    lossless_webp = _file_of(picture, original, "WEBP", lossless=True)
    webp = [lossless_webp, *(_file_of(picture, original, "WEBP", quality=quality) for quality in OTHERS_QUALITIES)]
    avif = [_file_of(picture, original, "AVIF", quality=quality) for quality in OTHERS_QUALITIES]
    is_flat = bool((original == original[:1, :1, :1]).all())
    rows = []
    for quality in qualities:
        data = codec.encode(picture, quality=quality)
        decoded = _seen_like(picture, codec.decode(data))
        errors = np.abs(original.astype(np.int16) - decoded)
        rows.append(
            GraphicsRow(
                picture=name,
                quality=quality,
                bytes=len(data),
                psnr_db=_psnr_db(original, decoded),
                webp_db=psnr_at(webp, len(data)),
                avif_db=psnr_at(avif, len(data)),
                lossless_webp_bytes=lossless_webp.num_bytes,
                lossless=not errors.any(),
                flat_error=int(errors.max()) if is_flat else None,
                block_error=block_error(original, decoded),
            )
        )
    return rows


def seen(picture: Image.Image) -> NDArray[np.uint8]:
    """Returns what is seen of a picture, uint8 [N, H, W, 3]: the picture, or twice where it has alpha, over black and over white."""
    if not picture.has_transparency_data:
        return np.asarray(picture.convert("RGB"))[None]
    pixels = np.asarray(picture.convert("RGBA")).astype(np.int64)
    colours, alpha = pixels[..., :3], pixels[..., 3:]
    return np.stack([(colours * alpha + ground * (255 - alpha) + 127) // 255 for ground in (0, 255)]).astype(np.uint8)


def psnr_at(files: Iterable[File], num_bytes: int) -> float | None:
    """Returns the PSNR that a format reaches in so many bytes; None where all its files are larger.

    Files that are no better than one of fewer bytes are left out. Between two of the others, the PSNR is linear in the logarithm of the
    bytes. A file without loss counts from its own bytes on. Beyond the largest file nothing is gained.
    """
    best: list[File] = []
    for file in sorted(files, key=lambda file: (file.num_bytes, -file.psnr_db)):
        if not best or file.psnr_db > best[-1].psnr_db:
            best.append(file)
    below = [file for file in best if file.num_bytes <= num_bytes]
    if not below:
        return None
    before, after = below[-1], best[len(below) :]
    if not after or after[0].psnr_db == EXACT_DB:
        return before.psnr_db
    share = math.log(num_bytes / before.num_bytes) / math.log(after[0].num_bytes / before.num_bytes)
    return round(before.psnr_db + share * (after[0].psnr_db - before.psnr_db), 3)


def block_error(original: NDArray[np.uint8], decoded: NDArray[np.uint8]) -> float:
    """Returns the largest error of a block's mean in a channel, in levels, of pictures uint8 [N, H, W, 3].

    The blocks stand side by side from the top left. The last of a row or column ends at the edge, and overlaps the one before.
    """
    difference = original.astype(np.int16) - decoded
    _, height, width, _ = difference.shape
    blocks = (difference[:, y : y + BLOCK_PX, x : x + BLOCK_PX] for y in _starts(height) for x in _starts(width))
    return round(max(float(np.abs(block.mean(axis=(1, 2))).max()) for block in blocks), 3)


def summary(rows: Sequence[GraphicsRow]) -> list[str]:
    """Returns lines that say how many margins are too small, the worst of them, and the worst errors of colours."""
    compared = sorted(((row.margin_db, row) for row in rows if row.margin_db is not None), key=lambda pair: pair[0])
    low, rest = sum(margin < MARGIN_DB for margin, _ in compared), len(rows) - len(compared)
    lines = [f"{low} of {len(compared)} compared are below {MARGIN_DB:g} dB; {rest} have fewer bytes than any file of WebP or AVIF"]
    lines += [f"  {row.picture} at {row.quality}: {margin:+.2f} dB, {row.bytes} bytes" for margin, row in compared[:WORST_SHOWN]]
    if good := [row for row in rows if row.quality >= BLOCKS_FROM_QUALITY]:
        block = max(good, key=lambda row: row.block_error)
        worst = f"{block.block_error:.2f} levels, {block.picture} at {block.quality}"
        lines.append(f"worst mean of a block at quality {BLOCKS_FROM_QUALITY} and up: {worst}")
    flat = [(row.flat_error, row) for row in rows if row.flat_error is not None]
    if flat:
        error, row = max(flat, key=lambda pair: pair[0])
        lines.append(f"largest error of a flat colour: {error} levels, {row.picture} at {row.quality}")
    return lines


def read_row(values: dict[str, Any]) -> GraphicsRow:
    """Returns the row that a result file holds."""
    return GraphicsRow(**values)


def _starts(length: int) -> list[int]:
    """Returns where the blocks of a side begin."""
    return sorted({*range(0, length - BLOCK_PX + 1, BLOCK_PX), max(0, length - BLOCK_PX)})


def _seen_like(picture: Image.Image, decoded: Image.Image) -> NDArray[np.uint8]:
    """Returns what is seen of a decoded picture, over as many grounds as of the original."""
    pixels = seen(decoded)
    return pixels.repeat(2, axis=0) if picture.has_transparency_data and len(pixels) == 1 else pixels


def _file_of(picture: Image.Image, original: NDArray[np.uint8], file_format: str, **options: Any) -> File:
    """Returns size and PSNR of the file that Pillow writes; `original` is what is seen of the picture."""
    file = BytesIO()
    (picture if picture.mode == "RGBA" else picture.convert("RGB")).save(file, file_format, **options)
    with Image.open(file) as decoded:
        return File(len(file.getvalue()), _psnr_db(original, _seen_like(picture, decoded)))


def _psnr_db(original: NDArray[np.uint8], decoded: NDArray[np.uint8]) -> float:
    return round(min(EXACT_DB, psnr_db(original, decoded)), 3)
