"""Rows of a benchmark: files that survive a kill, means, what a plot shows."""

import dataclasses
import json
import math
from pathlib import Path

import pytest

from vqcodec.compare.rows import METRICS, Point, Row, append_row, mean_curves, num_lacking, read_rows
from vqcodec.errors import VqcodecError

ROW = Row(
    codec="jpeg",
    version="1.2",
    setting="q50",
    image="kodim01",
    image_sha256="0123456789abcdef",
    bytes=1000,
    bpp=0.5,
    psnr_db=30.0,
    ms_ssim=0.9,
    lpips_alex=0.2,
    lpips_vgg=None,
    ssimulacra2=-3.5,
    encode_s=0.25,
    decode_s=0.125,
)
METRIC = {metric.key: metric for metric in METRICS}


def row(**changes: object) -> Row:
    """Returns `ROW` with changes; other images have other pixels."""
    return dataclasses.replace(ROW, **{"image_sha256": changes.get("image", ROW.image_sha256), **changes})  # type: ignore[arg-type]


def test_rows_round_trip(tmp_path: Path) -> None:
    path = tmp_path / "rows.jsonl"
    rows = [ROW, row(codec="naïve\n</script>", psnr_db=math.inf), row(image="b")]
    for item in rows:
        append_row(path, item)
    assert read_rows(path) == rows
    assert path.read_bytes().count(b"\n") == 3


def test_rows_from_before_dists_are_read(tmp_path: Path) -> None:
    path = tmp_path / "rows.jsonl"
    values = dataclasses.asdict(ROW)
    del values["dists"]
    path.write_text(json.dumps(values) + "\n")
    assert read_rows(path) == [ROW] and ROW.dists is None
    append_row(path, row(image="b", dists=0.1))
    assert [item.dists for item in read_rows(path)] == [None, 0.1]
    assert mean_curves(read_rows(path))["jpeg"][0].dists is None


@pytest.mark.parametrize("torn", [b"{", b'{"codec": "jp', json.dumps(dataclasses.asdict(ROW)).encode()])
def test_a_torn_last_line_is_ignored_and_cut_off_by_the_next_row(tmp_path: Path, torn: bytes) -> None:
    path = tmp_path / "rows.jsonl"
    append_row(path, ROW)
    whole = path.read_bytes()
    path.write_bytes(whole + torn)
    assert read_rows(path) == [ROW]
    append_row(path, row(image="b"))
    assert read_rows(path) == [ROW, row(image="b")]
    path.write_bytes(torn)
    assert read_rows(path) == []
    append_row(path, ROW)
    assert path.read_bytes() == whole


@pytest.mark.parametrize("line", [b"{", b"[]", b"{}", b"\xff", b'{"codec": "jpeg"}'])
def test_a_damaged_line_is_named(tmp_path: Path, line: bytes) -> None:
    path = tmp_path / "rows.jsonl"
    append_row(path, ROW)
    path.write_bytes(path.read_bytes() + line + b"\n")
    with pytest.raises(VqcodecError, match="line 2: not a row"):
        read_rows(path)


def test_means_are_arithmetic_and_in_order_of_bpp() -> None:
    curves = mean_curves(
        [
            row(setting="q90", bpp=2.0, psnr_db=40.0),
            row(setting="q50", bpp=0.5, psnr_db=30.0, ms_ssim=0.9),
            row(setting="q50", bpp=0.7, psnr_db=31.0, ms_ssim=0.8, image="b", decode_s=0.375),
            row(setting="q90", bpp=1.0, psnr_db=math.inf, image="b"),
            row(codec="webp"),
            row(codec="webp", image="b"),
        ]
    )
    assert list(curves) == ["jpeg", "webp"]
    low, high = curves["jpeg"]
    assert (low.setting, low.num_images, low.bpp, low.psnr_db, low.decode_s) == ("q50", 2, 0.6, 30.5, 0.25)
    assert low.ms_ssim == pytest.approx(0.85)
    assert low.lpips_vgg is None
    assert (high.setting, high.bpp, high.psnr_db) == ("q90", 1.5, math.inf)
    assert curves["webp"] == [
        Point("q50", 0.5, psnr_db=30.0, ms_ssim=0.9, lpips_alex=0.2, ssimulacra2=-3.5, encode_s=0.25, decode_s=0.125, num_images=2)
    ]


def test_a_setting_that_lacks_images_is_left_out() -> None:
    rows = [row(), row(image="b"), row(setting="q90"), row(codec="webp", setting="q90"), row(codec="webp", setting="q90", image="b")]
    curves = mean_curves(rows)
    assert [point.setting for point in curves["jpeg"]] == ["q50"]
    assert [point.setting for point in curves["webp"]] == ["q90"]


def test_codecs_are_compared_over_the_images_that_all_of_them_have() -> None:
    curves = mean_curves([row(bpp=1.0), row(bpp=3.0, image="b"), row(codec="webp"), row(codec="webp", image="c")])
    assert [(point.bpp, point.num_images) for points in curves.values() for point in points] == [(1.0, 1), (0.5, 1)]
    assert mean_curves([row(), row(codec="webp", image="b")]) == {"jpeg": [], "webp": []}
    assert mean_curves([]) == {}


def test_images_of_one_name_are_told_apart_by_their_pixels() -> None:
    (point,) = mean_curves([row(bpp=1.0), row(bpp=2.0, image_sha256="another"), row(bpp=2.0, image="renamed", image_sha256="another")])[
        "jpeg"
    ]
    assert (point.bpp, point.num_images) == (1.5, 2)


def test_a_metric_that_an_image_lacks_has_no_mean() -> None:
    rows = [row(), row(image="b", ms_ssim=None)]
    assert mean_curves(rows)["jpeg"][0].ms_ssim is None
    assert [num_lacking(METRIC[key], rows) for key in ("psnr_db", "ms_ssim", "lpips_vgg")] == [0, 1, 2]


def test_an_image_that_lacks_what_most_have_is_left_out() -> None:
    (point,) = mean_curves([row(bpp=1.0), row(bpp=2.0, image="b"), row(bpp=6.0, image="c", ms_ssim=None)])["jpeg"]
    assert (point.bpp, point.ms_ssim, point.num_images) == (1.5, 0.9, 2)


def test_of_rows_measured_twice_the_last_counts() -> None:
    (point,) = mean_curves([row(psnr_db=1.0), row(psnr_db=2.0)])["jpeg"]
    assert (point.psnr_db, point.num_images) == (2.0, 1)


def test_metrics_are_attributes_of_rows_and_points() -> None:
    for metric in METRICS:
        assert metric.of(ROW) == getattr(ROW, metric.key)
        assert metric.of(Point("", 1.0)) is None
    assert [metric.key for metric in METRICS if not metric.larger_is_better] == ["lpips_alex", "lpips_vgg", "dists"]


def test_ms_ssim_is_drawn_in_db_and_nothing_infinite_is_drawn() -> None:
    assert METRIC["ms_ssim"].drawn(row(ms_ssim=0.99)) == pytest.approx(20.0)
    assert METRIC["ms_ssim"].drawn(row(ms_ssim=1.0)) is None
    assert METRIC["psnr_db"].drawn(row(psnr_db=math.inf)) is None
    assert METRIC["psnr_db"].drawn(ROW) == 30.0
    assert METRIC["ssimulacra2"].drawn(ROW) == -3.5
