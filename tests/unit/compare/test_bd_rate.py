"""BD-rates of curves whose answer is known."""

import pytest

pytest.importorskip("bjontegaard", reason="the package bjontegaard (extra `bench`) is not installed")

from vqcodec.compare.bd_rate import bd_rate, bd_tables
from vqcodec.compare.rows import METRICS, Point

PSNR = METRICS[0]
LPIPS = next(metric for metric in METRICS if not metric.larger_is_better)
RATES = [0.1, 0.2, 0.4, 0.8, 1.6]


def psnr_curve(scale: float = 1.0, offset: float = 0.0) -> list[Point]:
    """Returns a curve of 3 dB more for twice the rate; all rates are times `scale`."""
    return [Point(f"q{number}", rate * scale, psnr_db=25 + 3 * number + offset) for number, rate in enumerate(RATES)]


@pytest.mark.parametrize("scale", [0.5, 0.8, 1.25])
def test_the_same_quality_for_a_constant_share_of_the_rate(scale: float) -> None:
    result = bd_rate(PSNR, psnr_curve(), psnr_curve(scale), "other")
    assert result.bd_rate_percent == pytest.approx(100 * (scale - 1), abs=1e-6)


def test_three_decibels_are_half_the_rate() -> None:
    result = bd_rate(PSNR, psnr_curve(), psnr_curve(offset=3.0), "other")
    assert result.bd_rate_percent == pytest.approx(-50, abs=1e-6)


def test_smaller_is_better_for_distances() -> None:
    anchor = [Point("", rate, lpips_alex=0.4 - 0.08 * number) for number, rate in enumerate(RATES)]
    other = [Point("", 0.7 * point.bpp, lpips_alex=point.lpips_alex) for point in anchor]
    assert bd_rate(LPIPS, anchor, other, "other").bd_rate_percent == pytest.approx(-30, abs=1e-6)


def test_nothing_is_extrapolated() -> None:
    far = bd_rate(PSNR, psnr_curve(), psnr_curve(offset=40.0), "far")
    assert far.bd_rate_percent is None and far.note == "curves do not overlap"
    near = bd_rate(PSNR, psnr_curve(), psnr_curve(offset=11.0), "near")
    assert near.bd_rate_percent is None and "overlap by 4% only" in near.note
    assert bd_rate(PSNR, psnr_curve(), psnr_curve()[:2], "short").note == "2 points, at least 3 are needed"


def test_nothing_is_interpolated_over_a_gap() -> None:
    points = psnr_curve(0.9)
    gappy = bd_rate(PSNR, psnr_curve(), [*points[:1], *points[2:]], "gappy")
    assert gappy.bd_rate_percent is None and gappy.note == "gappy has no point over a factor of 4.0 in rate"
    below = [Point("q-", 0.01, psnr_db=20), *points]
    assert bd_rate(PSNR, psnr_curve(), below, "other").bd_rate_percent == pytest.approx(-10, abs=0.5)


def test_points_that_nobody_would_use_are_left_out() -> None:
    bent = [*psnr_curve(0.7), Point("", 2.0, psnr_db=30.0)]
    assert bd_rate(PSNR, psnr_curve(), bent, "bent").bd_rate_percent == pytest.approx(-30, abs=1e-6)
    falling = [Point("", rate, psnr_db=30 - rate) for rate in RATES]
    assert bd_rate(PSNR, psnr_curve(), falling, "falling").note == "1 points, at least 3 are needed"


def test_tables_of_anchors_that_were_measured() -> None:
    curves = {"a": psnr_curve(), "worse": psnr_curve(1.5), "better": psnr_curve(0.5), "far": psnr_curve(offset=40.0)}
    (table,) = [table for table in bd_tables(curves, ["a", "absent"]) if table.metric == PSNR.key]
    assert table.anchor == "a" and [row.codec for row in table.rows] == ["better", "worse", "far"]
