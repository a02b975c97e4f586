"""Data of a rate-distortion benchmark: one row a codec, setting and image; their means; curves that others published.

Rows are kept as JSON lines, so that a run which is killed loses no more than the line it was writing.
"""

import json
import math
import os
from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import MISSING, asdict, dataclass, field, fields
from pathlib import Path
from typing import Final

from vqcodec.errors import VqcodecError


@dataclass(frozen=True)
class Row:
    """One codec at one setting on one image. What was not measured is None.

    Attributes:
        codec: name of the codec, unique in a benchmark.
        version: version of the codec.
        setting: label of the setting, such as "q50".
        image: name of the image.
        image_sha256: first 16 hexadecimal digits of the SHA-256 of its pixels, since names are not unique.
        bytes: size of the file.
        bpp: 8 * bytes / pixels of the image.
        psnr_db: PSNR, infinite where the image came back unchanged.
        ms_ssim: MS-SSIM, 1 for equal images.
        lpips_alex: LPIPS by AlexNet, 0 for equal images.
        lpips_vgg: LPIPS by VGG, 0 for equal images.
        ssimulacra2: SSIMULACRA 2, 100 for equal images.
        encode_s: seconds to encode.
        decode_s: seconds to decode.
        dists: DISTS, 0 for equal images; rows of files from before it was measured have none.
    """

    codec: str
    version: str
    setting: str
    image: str
    image_sha256: str
    bytes: int
    bpp: float
    psnr_db: float
    ms_ssim: float | None
    lpips_alex: float | None
    lpips_vgg: float | None
    ssimulacra2: float | None
    encode_s: float | None
    decode_s: float | None
    dists: float | None = None


@dataclass(frozen=True)
class Point:
    """A point of a rate-distortion curve: means over images of what `Row` has, None where unknown.

    Attributes:
        setting: label of the setting; may be empty for a published point.
        bpp: bits a pixel.
        num_images: number of images that the means are over.
    """

    setting: str
    bpp: float
    psnr_db: float | None = None
    ms_ssim: float | None = None
    lpips_alex: float | None = None
    lpips_vgg: float | None = None
    ssimulacra2: float | None = None
    encode_s: float | None = None
    decode_s: float | None = None
    dists: float | None = None
    num_images: int | None = None


@dataclass(frozen=True)
class Published:
    """A curve that was not measured here.

    Attributes:
        name: name of the codec or model.
        source: reference or address that the numbers are from.
        points: points in order of bpp.
    """

    name: str
    source: str
    points: Sequence[Point] = field(default_factory=tuple)


@dataclass(frozen=True)
class Metric:
    """A measure of distortion.

    Attributes:
        key: attribute of `Row` and `Point` that holds it.
        title: name that is shown.
        unit: unit that is shown; empty for a number without unit.
        larger_is_better: whether the best images have the largest values.
        decimals: decimals that are shown.
        drawn_in_db: whether curves show -10 log10(1 - x) for the value x.
    """

    key: str
    title: str
    unit: str
    larger_is_better: bool
    decimals: int
    drawn_in_db: bool = False

    @property
    def axis_title(self) -> str:
        """Returns the title of an axis, which tells the unit and which way is better."""
        unit = "−10 log₁₀(1 − x), dB" if self.drawn_in_db else self.unit
        better = "larger" if self.larger_is_better else "smaller"
        return f"{self.title}{f' ({unit})' if unit else ''}, {better} is better"

    def of(self, item: Row | Point) -> float | None:
        """Returns the value of a row or a point."""
        value: float | None = getattr(item, self.key)
        return value

    def drawn(self, item: Row | Point) -> float | None:
        """Returns the height of a point in a plot; None where there is none to draw, such as for a lossless setting in dB."""
        value = self.of(item)
        if value is not None and self.drawn_in_db:
            value = -10 * math.log10(1 - value) if value < 1 else None
        return value if value is not None and math.isfinite(value) else None


METRICS: Final = (
    Metric("psnr_db", "PSNR", "dB", larger_is_better=True, decimals=2),
    Metric("ms_ssim", "MS-SSIM", "", larger_is_better=True, decimals=4, drawn_in_db=True),
    Metric("lpips_alex", "LPIPS (AlexNet)", "", larger_is_better=False, decimals=4),
    Metric("lpips_vgg", "LPIPS (VGG)", "", larger_is_better=False, decimals=4),
    Metric("ssimulacra2", "SSIMULACRA 2", "", larger_is_better=True, decimals=2),
    Metric("dists", "DISTS", "", larger_is_better=False, decimals=4),
)

_ROW_START: Final = b'{"codec": "'
"""Beginning of every row, by which an unfinished one is known from another file's text."""
_MEANS: Final = (*(metric.key for metric in METRICS), "encode_s", "decode_s")


def read_rows(path: Path) -> list[Row]:
    """Reads the rows of a file; a last line without a line break, which a killed run left, is ignored.

    Raises:
        OSError: The file cannot be read.
        VqcodecError: A line is not a row.
    """
    names = {item.name: item.default is MISSING for item in fields(Row)}
    required = {name for name, is_required in names.items() if is_required}
    rows = []
    *lines, remainder = path.read_bytes().split(b"\n")
    if not (remainder.startswith(_ROW_START) or _ROW_START.startswith(remainder)):
        raise VqcodecError(f"{path}: ends in something else than a row of a benchmark")
    for number, line in enumerate(lines, start=1):
        try:
            values = json.loads(line)
            if not isinstance(values, dict) or not required <= set(values) <= set(names):
                raise ValueError("its keys are not those of a row")
        except ValueError as error:
            raise VqcodecError(f"{path}, line {number}: not a row of a benchmark: {error}") from error
        rows.append(Row(**values))
    return rows


def append_row(path: Path, row: Row) -> None:
    """Appends a row to a file, which is created if absent; a last line without a line break is cut off first.

    Raises:
        OSError: The file cannot be written.
    """
    with path.open("ab+") as file:
        if file.tell() and file.seek(-1, os.SEEK_END) >= 0 and file.read() != b"\n":
            file.seek(0)
            file.truncate(file.read().rfind(b"\n") + 1)
        file.write(json.dumps(asdict(row)).encode() + b"\n")


def rows_of(rows: Iterable[Row], versions: Mapping[str, str], images: Collection[str] | None = None) -> list[Row]:
    """Returns the rows that are of these versions, by the codec's name, and of these images, by `image_sha256`; None for all images.

    A file may hold rows of other runs too.
    """
    return [row for row in rows if versions.get(row.codec) == row.version and (images is None or row.image_sha256 in images)]


def mean_curves(rows: Iterable[Row]) -> dict[str, list[Point]]:
    """Returns arithmetic means over the same images: for each codec in order of appearance, one point a setting in order of bpp.

    The images are those that every codec has. Those that lack a metric which most images have are left out. A metric that any image still
    lacks has no mean. A setting that lacks any of the images is left out, since its mean would be one of other images. Images are told
    apart by their pixels. Of rows of the same codec, setting and image the last counts.
    """
    rows = list(rows)
    codecs: dict[str, dict[str, dict[str, Row]]] = {}
    for row in rows:
        codecs.setdefault(row.codec, {}).setdefault(row.setting, {})[row.image_sha256] = row
    of_codecs = [{image for by_image in settings.values() for image in by_image} for settings in codecs.values()]
    shared = _with_common_metrics(set.intersection(*of_codecs) if of_codecs else set(), rows)
    curves = {}
    for codec, settings in codecs.items():
        complete = {setting: by_image for setting, by_image in settings.items() if shared and shared <= by_image.keys()}
        points = [_mean_point(setting, [by_image[image] for image in shared]) for setting, by_image in complete.items()]
        curves[codec] = sorted(points, key=lambda point: point.bpp)
    return curves


def _with_common_metrics(images: set[str], rows: Iterable[Row]) -> set[str]:
    """Returns the images, by `image_sha256`, that have each metric which more than half of them have."""
    lacking = {metric: images & {row.image_sha256 for row in rows if metric.of(row) is None} for metric in METRICS}
    return images.difference(*(few for few in lacking.values() if 2 * len(few) < len(images)))


def num_lacking(metric: Metric, rows: Iterable[Row]) -> int:
    """Returns how many images lack a metric."""
    return len({row.image_sha256 for row in rows if metric.of(row) is None})


def _mean_point(setting: str, rows: list[Row]) -> Point:
    means = {key: _mean([getattr(row, key) for row in rows]) for key in _MEANS}
    return Point(setting, math.fsum(row.bpp for row in rows) / len(rows), **means, num_images=len(rows))


def _mean(values: list[float | None]) -> float | None:
    present = [value for value in values if value is not None]
    return math.fsum(present) / len(present) if len(present) == len(values) else None
