"""Checks which pictures a report opens on."""

from vqcodec.compare.opening import opening_views
from vqcodec.compare.report import BdRate, BdTable
from vqcodec.compare.rows import Point

CURVES = {
    "vqcodec": [Point("q76", 0.5), Point("q7", 0.1), Point("q50", 0.2)],
    "vqcodec-psnr": [Point("q50", 0.2)],
    "jpeg": [Point("q6", 0.15), Point("q25", 0.6)],
    "avif": [Point("q22", 0.12), Point("q32", 0.25), Point("q44", 0.5)],
    "heic": [Point("q5", 0.1)],
}
TABLES = [
    BdTable("psnr_db", "jpeg", [BdRate("avif", -50.0), BdRate("vqcodec-psnr", -70.0), BdRate("heic", -60.0)]),
    BdTable("ms_ssim", "jpeg", [BdRate("avif", -50.0), BdRate("heic", -20.0)]),
]


def test_the_strongest_other_codec_stands_beside_vqcodec_in_about_as_many_bytes() -> None:
    assert opening_views(CURVES, TABLES) == [("avif", "q32"), ("vqcodec", "q50")]


def test_the_anchor_may_be_the_strongest() -> None:
    worse = [BdTable("psnr_db", "jpeg", [BdRate("avif", 10.0), BdRate("heic", None)])]
    assert opening_views(CURVES, worse)[0] == ("jpeg", "q6")


def test_nothing_where_one_side_was_not_measured() -> None:
    assert opening_views({"vqcodec": CURVES["vqcodec"]}, []) == []
    assert opening_views({"jpeg": CURVES["jpeg"], "vqcodec": []}, TABLES) == []
    assert opening_views({}, []) == []
