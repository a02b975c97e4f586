"""The calibration of quality 1..100 of a model, which measures files over maps and lambda and picks from them a dial that rises.

Mean bytes and mean PSNR of held-out crops make a curve for each number of maps. The dial goes along the curves, and over to one more map
where that loses least without the bytes or the PSNR of a crop falling by more than a little. There it leaps, far where a model was not
trained for few bits a code. Apart from that the points are evenly spaced in the logarithm of the bytes. For the perceptual decoder, LPIPS
in decibels takes the place of PSNR.
"""

import json
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Final

import numpy as np
from numpy.typing import NDArray

from vqcodec.decoding.files import decode_codes, open_file
from vqcodec.decoding.painting import paint
from vqcodec.encoding.pictures import encode_pictures
from vqcodec.errors import ModelError
from vqcodec.images.lpips import Lpips
from vqcodec.images.metrics import psnr_db
from vqcodec.images.picture import Picture
from vqcodec.models.config import CONFIG_NAME, FAITHFUL_DIAL_KEY, PERCEPTUAL_DIAL_KEY, ModelConfig
from vqcodec.models.dial import QUALITIES, Dial, OperatingPoint
from vqcodec.models.model import Model
from vqcodec.rate.choice import max_single_rate_weight
from vqcodec.rate.options import LayerOptions
from vqcodec.storage import to_json, write_file

RATE_WEIGHTS: Final = tuple(float(value) for value in np.geomspace(24, 0.025, 18).round(4))
"""Lambdas that files are measured at, largest first; for files of one map `max_single_rate_weight` is the largest."""
_FINE: Final = 600
"""Number of points that a measured curve is interpolated at."""
_LEAST_SLOPE: Final = 0.5
"""Least slope of the way to the point where a curve is entered, as a share of the steepest way to that curve."""
_LEAST_DB: Final = 1.0
"""Most decibels that the smallest file may lie below the best one of one map: with fewer bits, quality falls off a cliff."""
_DB_A_NAT: Final = 5.0
"""Decibels that e times as many bytes gain, about."""
_SLACK: Final = 0.01
"""Share by which bytes and PSNR of a single crop may fall further along the dial; those of larger pictures fall by less."""
_SLACK_LPIPS_DB: Final = 0.3
"""Decibels by which LPIPS of a single crop may fall further along the dial, which are about 1 % of a usual PSNR, too."""


@dataclass(frozen=True)
class RateCurve:
    """The measured files of one number of maps.

    Attributes:
        rate_weights: [L], lambdas, largest first.
        num_bytes: [L, P], bytes of the files of P pictures.
        quality_db: [L, P], PSNR, or LPIPS in decibels.
        is_lpips: whether quality is LPIPS.
    """

    rate_weights: NDArray[np.float64]
    num_bytes: NDArray[np.float64]
    quality_db: NDArray[np.float64]
    is_lpips: bool = False

    def refined(self) -> "RateCurve":
        """Returns the curve at `_FINE` points, interpolated over the logarithm of lambda."""
        known, wanted = np.log(self.rate_weights[::-1]), np.linspace(np.log(self.rate_weights[0]), np.log(self.rate_weights[-1]), _FINE)

        def over(values: NDArray[np.float64]) -> NDArray[np.float64]:
            return np.stack([np.interp(wanted, known, column[::-1]) for column in values.T], axis=1)

        return RateCurve(np.exp(wanted), np.exp(over(np.log(self.num_bytes))), over(self.quality_db), self.is_lpips)

    def part(self, start: int, stop: int) -> "RateCurve":
        """Returns the part of the curve from point `start` up to and without `stop`."""
        return RateCurve(self.rate_weights[start:stop], self.num_bytes[start:stop], self.quality_db[start:stop], self.is_lpips)

    @property
    def least_db(self) -> NDArray[np.float64]:
        """The quality [L, P] that no picture may fall below where the dial goes on from a point."""
        return self.quality_db - _SLACK_LPIPS_DB if self.is_lpips else (1 - _SLACK) * self.quality_db

    @property
    def least_bytes(self) -> NDArray[np.float64]:
        """The bytes [L, P] that no picture may fall below where the dial goes on from a point."""
        return (1 - _SLACK) * self.num_bytes

    def is_steady(self) -> NDArray[np.bool_]:
        """Tells of each point, [L], whether no picture's bytes or quality fall from there on along the curve."""
        falls = (_least_from(self.num_bytes) < self.least_bytes) | (_least_from(self.quality_db) < self.least_db)
        of_some: NDArray[np.bool_] = falls.max(axis=1)
        return ~np.logical_or.accumulate(of_some[::-1])[::-1]


def _least_from(values: NDArray[np.float64]) -> NDArray[np.float64]:
    """Returns for each row of [L, P] the least values of it and the rows after it."""
    least: NDArray[np.float64] = np.minimum.accumulate(values[::-1])[::-1]
    return least


def measured_rate_weights(config: ModelConfig, num_maps: int) -> tuple[float, ...]:
    """Returns the lambdas that files of so many maps are measured at."""
    if num_maps > 1:
        return RATE_WEIGHTS
    largest = max_single_rate_weight(config)
    return (largest, *(value for value in RATE_WEIGHTS if value < largest))


def measure_curves(
    model: Model, pictures: Sequence[Picture], on_progress: Callable[[], None] = lambda: None, *, perceptual: bool = False
) -> list[RateCurve]:
    """Measures a curve for each number of maps, of files without layers, which come and go along a curve.

    Args:
        model: model to be calibrated.
        pictures: held-out pictures.
        on_progress: function that is called after each lambda.
        perceptual: whether quality is that of the perceptual decoder, -10 log10 of LPIPS (VGG), instead of PSNR of the model's own.

    Raises:
        ImportError: LPIPS is not installed.
        ModelError: The model has no perceptual decoder.
    """
    lpips = Lpips("vgg", model.device) if perceptual else None

    def quality_db(original: NDArray[np.uint8], decoded: NDArray[np.uint8]) -> float:
        return psnr_db(original, decoded) if lpips is None else -10 * np.log10(lpips.of_images(original, decoded))

    curves = []
    for num_maps in range(1, model.config.num_maps + 1):
        num_bytes, quality = [], []
        rate_weights = measured_rate_weights(model.config, num_maps)
        for rate_weight in rate_weights:
            files = encode_pictures(pictures, model, point=OperatingPoint(num_maps, rate_weight), options=LayerOptions(layers=False))
            decoded = decode_codes([open_file(file.data, model=model) for file in files])
            painted = paint([file.or_raise() for file in decoded], realism=float(perceptual))
            num_bytes.append([len(file.data) for file in files])
            quality.append([quality_db(picture.rgb, other.rgb) for picture, other in zip(pictures, painted, strict=True)])
            on_progress()
        curves.append(RateCurve(np.array(rate_weights), np.array(num_bytes, float), np.array(quality), perceptual))
    return curves


def _mean_bytes(curve: RateCurve) -> NDArray[np.float64]:
    means: NDArray[np.float64] = np.maximum.accumulate(curve.num_bytes.mean(axis=1))
    return means


def fit_dial(curves: list[RateCurve]) -> Dial:
    """Returns a dial that goes along measured curves.

    Raises:
        ModelError: The files do not grow with quality.
    """
    segments = _segments([curve.refined() for curve in curves])
    logs = [np.log(_mean_bytes(segment)) for segment in segments]
    lengths = np.array([log[-1] - log[0] for log in logs])
    if not lengths.sum() > 0:
        raise ModelError("the files of these crops do not grow with quality; larger crops, or other photos, are needed")
    for name in ("num_bytes", "quality_db"):
        means = np.array([getattr(segment, name).mean(axis=1)[[0, -1]] for segment in segments])
        if (means[1:, 0] < means[:-1, 1]).any():
            raise ModelError(f"{name} of these crops falls where one more map is stored; larger or other crops are needed")
    counts = np.diff(np.round(np.cumsum([0.0, *lengths]) / lengths.sum() * QUALITIES)).astype(int)
    points: list[OperatingPoint] = []
    for num_maps, (segment, log, count) in enumerate(zip(segments, logs, counts, strict=True), start=1):
        wanted = np.linspace(log[0], log[-1], count) if num_maps == 1 else np.linspace(log[0], log[-1], count + 1)[1:]
        rate_weights = np.exp(np.interp(wanted, log, np.log(segment.rate_weights)))
        points += [OperatingPoint(num_maps, float(f"{rate_weight:.4g}")) for rate_weight in rate_weights]
    return Dial(tuple(points))


def _segments(curves: list[RateCurve]) -> list[RateCurve]:
    """Returns the part of each curve that the dial goes along."""
    segments = []
    smallest = curves[0].quality_db.mean(axis=1)
    start = int(((smallest >= smallest[-1] - _LEAST_DB) & curves[0].is_steady()).argmax())
    for curve, following in zip(curves, [*curves[1:], None], strict=True):
        stop, next_start = (len(curve.rate_weights), 0) if following is None else _crossing(curve, following, start)
        segments.append(curve.part(start, stop))
        start = next_start
    return segments


def _crossing(curve: RateCurve, following: RateCurve, start: int) -> tuple[int, int]:
    """Returns the end of the part of a curve that the dial goes along from `start`, and where it enters the curve of one more map.

    Of all such pairs, this is the one that loses least. What is lost is summed over the logarithm of bytes: the decibels of the curve that
    the dial does not go along, where it is the higher one, and those that bytes within the leap would have gained.
    """
    rates, rates_following = np.log(_mean_bytes(curve)), np.log(_mean_bytes(following))
    grid = np.linspace(rates[0], rates[-1], _FINE)
    lead = np.interp(grid, rates_following, following.quality_db.mean(axis=1), left=-np.inf) - np.interp(
        grid, rates, curve.quality_db.mean(axis=1)
    )
    step = grid[1] - grid[0]
    lost_before = np.cumsum(np.maximum(lead, 0.0)) * step
    lost_after = np.cumsum(np.where(np.isfinite(lead), np.maximum(-lead, 0.0), 0.0)[::-1])[::-1] * step
    best, losses = (len(rates), 0), np.inf
    for left in range(start + 1, len(rates)):
        entry, leap = _entry(curve, following, left)
        after = float(np.interp(rates_following[entry], grid, lost_after, right=0.0))
        lost = float(np.interp(rates[left], grid, lost_before)) + after + _DB_A_NAT * leap**2 / 2
        if lost < losses:
            best, losses = (left + 1, entry), lost
    return best


def _entry(curve: RateCurve, following: RateCurve, left: int) -> tuple[int, float]:
    """Returns where the curve of one more map is entered when `curve` is left at a point, and the leap to there in the logarithm of bytes.

    It is the first point at which no picture has fewer bytes or a lower PSNR than it had, nor will have further along, and to which the way
    is steep enough: at least half as steep as the steepest way to a point of the new curve. A part of the curve further below is hardly
    worth its bytes.
    """
    means = _mean_bytes(following)
    keeps = (following.num_bytes >= curve.least_bytes[left]) & (following.quality_db >= curve.least_db[left])
    steps, gains = np.log(means / _mean_bytes(curve)[left]), following.quality_db.mean(axis=1) - curve.quality_db[left].mean()
    usable = keeps.all(axis=1) & following.is_steady() & (steps > 0) & (gains > 0)
    slope = (gains[usable] / steps[usable]).max(initial=0.0)
    entries = np.flatnonzero(usable & (gains >= _LEAST_SLOPE * slope * steps))
    return (int(entries[0]), float(steps[entries[0]])) if len(entries) else (0, np.inf)


def write_dial(folder: Path, dial: Dial, *, perceptual: bool = False) -> None:
    """Writes a dial into the config of a model folder.

    Args:
        folder: the model folder.
        dial: the dial.
        perceptual: whether the dial is the one for the perceptual decoder.
    """
    path = folder / CONFIG_NAME
    values = json.loads(path.read_text(encoding="utf-8"))
    values[PERCEPTUAL_DIAL_KEY if perceptual else FAITHFUL_DIAL_KEY] = dial.to_json()
    write_file(path, to_json(values))
