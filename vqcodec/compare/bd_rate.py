"""BD-rates of measured curves against an anchor.

Source: Bjontegaard 2001, "Calculation of average PSNR differences between RD-curves" (VCEG-M33), with Akima interpolation, by the package
`bjontegaard` (Herglotz et al. 2022, "Beyond Bjontegaard: Limits of Video Compression Performance Comparisons").
"""

from collections.abc import Mapping, Sequence
from typing import Final

import numpy as np

from vqcodec.compare.report import BdRate, BdTable
from vqcodec.compare.rows import METRICS, Metric, Point
from vqcodec.silence import warnings_ignored

MIN_OVERLAP: Final = 0.25
"""Least share of quality that two curves must have in common, relative to what they cover together."""

MIN_POINTS: Final = 3
"""Fewest points of a curve that is interpolated."""

MAX_STEP: Final = 2.5
"""Largest ratio of the rates of neighbouring points within the shared range.

Interpolation over a wider gap would tell what nobody measured.
"""


def bd_tables(curves: Mapping[str, Sequence[Point]], anchors: Sequence[str]) -> list[BdTable]:
    """Returns a table for each metric that has curves and each anchor that was measured, the best codec first."""
    tables = []
    for metric in METRICS:
        if all(metric.of(point) is None for points in curves.values() for point in points):
            continue
        for anchor in anchors:
            if anchor in curves:
                rows = [bd_rate(metric, curves[anchor], points, codec) for codec, points in curves.items() if codec != anchor]
                rows.sort(key=lambda row: (row.bd_rate_percent is None, row.bd_rate_percent or 0.0))
                tables.append(BdTable(metric.key, anchor, rows))
    return tables


def bd_rate(metric: Metric, anchor: Sequence[Point], points: Sequence[Point], codec: str) -> BdRate:
    """Returns the mean difference in rate at equal quality; None, with the reason, where the curves share too little of it."""
    import bjontegaard

    try:
        anchor_rate, anchor_quality = _curve(metric, anchor)
        rate, quality = _curve(metric, points)
    except ValueError as error:
        return BdRate(codec, None, str(error))
    shared = min(anchor_quality[-1], quality[-1]) - max(anchor_quality[0], quality[0])
    overlap = shared / (max(anchor_quality[-1], quality[-1]) - min(anchor_quality[0], quality[0]))
    if overlap < MIN_OVERLAP:
        return BdRate(codec, None, "curves do not overlap" if shared <= 0 else f"curves overlap by {overlap:.0%} only")
    for name, rates, qualities in ((codec, rate, quality), ("the anchor", anchor_rate, anchor_quality)):
        step = _widest_step(rates, qualities, max(anchor_quality[0], quality[0]), min(anchor_quality[-1], quality[-1]))
        if step > MAX_STEP:
            return BdRate(codec, None, f"{name} has no point over a factor of {step:.1f} in rate")
    with warnings_ignored():
        percent = bjontegaard.bd_rate(
            anchor_rate, anchor_quality, rate, quality, method="akima", require_matching_points=False, min_overlap=0.0
        )
    return BdRate(codec, float(percent), f"over {overlap:.0%} of both ranges")


def _widest_step(rate: np.ndarray, quality: np.ndarray, low: float, high: float) -> float:
    """Returns the largest ratio of neighbouring rates whose qualities reach into low..high."""
    return max((b / a for a, b, p, q in zip(rate, rate[1:], quality, quality[1:], strict=False) if q > low and p < high), default=1.0)


def _curve(metric: Metric, points: Sequence[Point]) -> tuple[np.ndarray, np.ndarray]:
    """Returns rates and qualities, both rising. Points that are no better than one of fewer bytes are left out: nobody would use them.

    Raises:
        ValueError: Too few points are left.
    """
    drawn = [(point.bpp, metric.drawn(point)) for point in points]
    known = [(bpp, value if metric.larger_is_better else -value) for bpp, value in drawn if value is not None]
    best: list[tuple[float, float]] = []
    for bpp, value in sorted(known, key=lambda point: (point[0], -point[1])):
        if not best or value > best[-1][1]:
            best.append((bpp, value))
    if len(best) < MIN_POINTS:
        raise ValueError(f"{len(best)} points, at least {MIN_POINTS} are needed")
    rate, quality = np.array(best).T
    return rate, quality
