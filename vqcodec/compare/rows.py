"""The data of a rate-distortion benchmark: one row a codec, setting and image; their means; curves that others published.

Rows are kept as JSON lines, so that a run which is killed loses no more than the line it was writing.
"""

import json
import math
import os
from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass, field, fields
from pathlib import Path
from typing import Final

from vqcodec.errors import VqcodecError


@dataclass(frozen=True)
class Row:
    """What one codec at one setting did to one image.

    Attributes:
        codec: name, unique among the codecs of a benchmark.
        version: of the codec.
        setting: what was asked of the codec, such as "q50".
        image: name of the image.
        image_sha256: of its pixels, the first 16 hexadecimal digits: names are not unique.
        bytes: size of the file.
        bpp: 8 * bytes / pixels of the image.
        psnr_db: infinite where the image came back unchanged.
        ms_ssim: None where not measured, as the metrics below.
        lpips_alex: LPIPS by AlexNet.
        lpips_vgg: LPIPS by VGG.
        ssimulacra2: SSIMULACRA 2, 100 for equal images.
        encode_s: seconds.
        decode_s: seconds.
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
    encode_s: float
    decode_s: float


@dataclass(frozen=True)
class Point:
    """One point of a rate-distortion curve: means over images, None where unknown.

    Attributes:
        setting: of the codec; may be empty for a published point.
        bpp: bits a pixel.
        num_images: over which the means were taken.
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
    num_images: int | None = None


@dataclass(frozen=True)
class Published:
    """A curve that was not measured here.

    Attributes:
        name: of the codec or model.
        source: where the numbers are from: a reference or an address.
        points: in order of bpp.
    """

    name: str
    source: str
    points: Sequence[Point] = field(default_factory=tuple)


@dataclass(frozen=True)
class Metric:
    """A measure of distortion.

    Attributes:
        key: the attribute of `Row` and `Point` that holds it.
        title: as shown.
        unit: as shown; empty for a number without unit.
        larger_is_better: whether the best images have the largest values.
        decimals: to show.
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
        """What an axis shows and which way is better."""
        unit = "−10 log₁₀(1 − x), dB" if self.drawn_in_db else self.unit
        better = "larger" if self.larger_is_better else "smaller"
        return f"{self.title}{f' ({unit})' if unit else ''}, {better} is better"

    def of(self, item: Row | Point) -> float | None:
        """The value of a row or a point."""
        value: float | None = getattr(item, self.key)
        return value

    def drawn(self, item: Row | Point) -> float | None:
        """The height of a point in a plot; None where there is none to draw, such as that of a lossless setting in dB."""
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
)

_ROW_START: Final = b'{"codec": "'
_MEANS: Final = (*(metric.key for metric in METRICS), "encode_s", "decode_s")


def read_rows(path: Path) -> list[Row]:
    """The rows of a file; the beginning of one without a line break at the end, left by a killed run, is ignored.

    Raises:
        OSError: the file cannot be read.
        VqcodecError: a line is not a row.
    """
    names = {item.name for item in fields(Row)}
    rows = []
    *lines, remainder = path.read_bytes().split(b"\n")
    if not (remainder.startswith(_ROW_START) or _ROW_START.startswith(remainder)):
        raise VqcodecError(f"{path}: ends in something else than a row of a benchmark")
    for number, line in enumerate(lines, start=1):
        try:
            values = json.loads(line)
            if not isinstance(values, dict) or set(values) != names:
                raise ValueError("other keys than those of a row")
        except ValueError as error:
            raise VqcodecError(f"{path}, line {number}: not a row of a benchmark: {error}") from error
        rows.append(Row(**values))
    return rows


def append_row(path: Path, row: Row) -> None:
    """Adds a row to a file, which is created if absent; a last line without a line break is cut off first.

    Raises:
        OSError: the file cannot be written.
    """
    with path.open("ab+") as file:
        if file.tell() and file.seek(-1, os.SEEK_END) >= 0 and file.read() != b"\n":
            file.seek(0)
            file.truncate(file.read().rfind(b"\n") + 1)
        file.write(json.dumps(asdict(row)).encode() + b"\n")


def rows_of(rows: Iterable[Row], versions: Mapping[str, str], images: Collection[str] | None = None) -> list[Row]:
    """The rows of these versions of these codecs, and of these images by `image_sha256`: a file may hold those of other runs too."""
    return [row for row in rows if versions.get(row.codec) == row.version and (images is None or row.image_sha256 in images)]


def mean_curves(rows: Iterable[Row]) -> dict[str, list[Point]]:
    """Arithmetic means over the same images, for each codec in order of appearance, one point a setting in order of bpp.

    The images are those that every codec has, but for those that lack a metric which most of them have. A metric that any of them lacks has
    no mean, and a setting that lacks any of them is left out: its mean would be that of other images. Images are told apart by their
    pixels; of rows of the same codec, setting and image the last counts.
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
    """Of images by `image_sha256`, those that have each metric which more than half of them have."""
    lacking = {metric: images & {row.image_sha256 for row in rows if metric.of(row) is None} for metric in METRICS}
    return images.difference(*(few for few in lacking.values() if 2 * len(few) < len(images)))


def num_lacking(metric: Metric, rows: Iterable[Row]) -> int:
    """How many images a metric was not measured of."""
    return len({row.image_sha256 for row in rows if metric.of(row) is None})


def _mean_point(setting: str, rows: list[Row]) -> Point:
    means = {key: _mean([getattr(row, key) for row in rows]) for key in _MEANS}
    return Point(setting, math.fsum(row.bpp for row in rows) / len(rows), **means, num_images=len(rows))


def _mean(values: list[float | None]) -> float | None:
    present = [value for value in values if value is not None]
    return math.fsum(present) / len(present) if len(present) == len(values) else None
