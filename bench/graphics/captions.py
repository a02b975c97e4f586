"""What a caption costs: files of photos with one, beside those of the photos and of the caption alone."""

from dataclasses import asdict, dataclass
from io import BytesIO
from typing import Final

import click
import numpy as np
from PIL import Image, ImageDraw

from bench.graphics.canvas import WHITE, font
from bench.graphics.measure import QUALITIES
from bench.images import opened_set, read_json, result_path, write_result
from bench.tables import table
from vqcodec.codec.loaded import Codec, open_model
from vqcodec.images.metrics import psnr_db
from vqcodec.models.registry import DEFAULT_MODEL

KIND: Final = "captions"
SET: Final = "wheels"
"""The images that are measured where no others are asked for."""
MARGIN: Final = 1.05
"""Factor of the bytes of the caption alone."""
_HEIGHT_PX: Final = 48
_BACKGROUND: Final = (24, 26, 38)
_LINES: Final = ("The harbour at noon, before the ferry came in.", "Photo: A. Nobody, all rights shared; taken with a phone, 10 px")


@dataclass(frozen=True)
class CaptionRow:
    """One photo at one quality.

    Attributes:
        image: name of the photo.
        quality: quality of vqcodec.
        bytes: size of the file of the photo with a caption.
        photo_bytes: size of that of the photo.
        box_bytes: size of a lossless WebP file of the caption alone.
        box_db: PSNR of the caption after decoding; None where it is unchanged.
    """

    image: str
    quality: int
    bytes: int
    photo_bytes: int
    box_bytes: int
    box_db: float | None

    @property
    def share(self) -> float:
        """The file's size as a share of what it should have at most: the photo's, and 1.05 times the caption's."""
        return self.bytes / (self.photo_bytes + MARGIN * self.box_bytes)


def run_captions(set_name: str, model_id: str) -> None:
    """Measures the photos of a set, prints a line each, and writes bench/results/captions-MODEL.json."""
    codec = open_model(model_id)
    rows: list[CaptionRow] = []
    with opened_set(set_name) as images:
        for path in images:
            with Image.open(path) as opened:
                rows += measure_captions(path.stem, opened.convert("RGB"), codec)
            shares = "".join(f"{row.share:8.2f}" for row in rows[-len(QUALITIES) :])
            click.echo(f"{path.stem:16}{shares}")
    write_result(KIND, codec.model.config, KIND if set_name == SET else set_name, {"rows": [asdict(row) for row in rows]})


def measure_captions(name: str, photo: Image.Image, codec: Codec) -> list[CaptionRow]:
    """Returns the rows of a photo, one a quality."""
    captioned = with_caption(photo)
    box = captioned.crop((0, photo.height - _HEIGHT_PX, *photo.size))
    lossless = BytesIO()
    box.save(lossless, "WEBP", lossless=True)
    rows = []
    for quality in QUALITIES:
        data = codec.encode(captioned, quality=quality)
        decoded = np.asarray(codec.decode(data))[-_HEIGHT_PX:]
        is_exact = np.array_equal(decoded, np.asarray(box))
        box_db = None if is_exact else round(psnr_db(np.asarray(box), decoded), 2)
        rows.append(CaptionRow(name, quality, len(data), len(codec.encode(photo, quality=quality)), lossless.tell(), box_db))
    return rows


def with_caption(photo: Image.Image) -> Image.Image:
    """Returns a photo whose lowest 48 rows are two lines of text of 14 and 10 pixels, bright on dark."""
    picture = photo.copy()
    draw = ImageDraw.Draw(picture)
    top = picture.height - _HEIGHT_PX
    draw.rectangle([0, top, *picture.size], fill=_BACKGROUND)
    draw.text((10, top + 6), _LINES[0], fill=WHITE, font=font(14))
    draw.text((10, top + 28), _LINES[1], fill=(190, 194, 204), font=font(10))
    return picture


def captions() -> str:
    """Returns the table of the documents."""
    rows = [CaptionRow(**values) for values in read_json(result_path(KIND, DEFAULT_MODEL, KIND))["rows"]]
    lines = []
    for quality in QUALITIES:
        own = [row for row in rows if row.quality == quality]
        worst = max(own, key=lambda row: row.share)
        lowest = min((row.box_db for row in own if row.box_db is not None), default=None)
        exact = sum(row.box_db is None for row in own)
        cells = [f"{exact} of {len(own)}", "–" if lowest is None else f"{lowest:.1f} dB", f"{100 * worst.share:.0f}% ({worst.image})"]
        lines.append([str(quality), *cells])
    return table(["quality", "captions unchanged", "lowest PSNR of the others", "most bytes"], lines)
