"""Checks what the report and the plots hold as files, and that they hold nothing else."""

import base64
import json
import math
import re
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from tests.unit.compare.test_rows import ROW, row
from vqcodec.compare.plots import write_plots
from vqcodec.compare.report import ORIGINAL, BdRate, BdTable, View, report_data, report_html
from vqcodec.compare.rows import METRICS, Point, Published

HOSTILE = "</script><b>{{script}} & <!--"
ROWS = [
    row(codec=codec, setting=setting, bpp=bpp, lpips_vgg=0.5, dists=0.1, psnr_db=psnr_db)
    for codec in ("jpeg", "webp", HOSTILE)
    for setting, bpp, psnr_db in (("q10", 0.25, 28.0), ("q50", 0.5, 30.0), ("lossless", 9.0, math.inf))
]
PUBLISHED = [Published("mbt2018", "https://example.org/mbt2018", [Point("1", 0.25, psnr_db=29.5), Point("2", 0.5, psnr_db=32.0)])]
VIEWS = [View("kodim01", ORIGINAL, "", b"\x89PNG", "image/png"), View("kodim01", HOSTILE, "lossless", b"RIFF", "image/webp")]
BD_TABLES = [BdTable("psnr_db", "jpeg", [BdRate("webp", -12.5), BdRate("mbt2018", None, f"curves do not overlap {HOSTILE}")])]
ABOUT = {"CPU": HOSTILE, "Images": "1"}


@pytest.fixture
def report(tmp_path: Path) -> str:
    path = tmp_path / "report.html"
    path.write_text(report_html(iter(ROWS), PUBLISHED, VIEWS, title=HOSTILE, bd_tables=BD_TABLES, about=ABOUT), encoding="utf-8")
    return path.read_text(encoding="utf-8")


def embedded(report: str) -> Any:
    (blob,) = re.findall(r'<script type="application/json" id="data">(.*?)</script>', report, re.DOTALL)
    return json.loads(blob)


def test_data_round_trips(report: str) -> None:
    assert embedded(report) == report_data(ROWS, PUBLISHED, VIEWS, bd_tables=BD_TABLES, about=ABOUT)


def test_data_holds_every_codec_and_metric(report: str) -> None:
    data = embedded(report)
    assert [curve["name"] for curve in data["curves"]] == ["jpeg", "webp", HOSTILE, "mbt2018"]
    assert [curve["source"] for curve in data["curves"]] == [None, None, None, "https://example.org/mbt2018"]
    assert [(metric["key"], metric["has_curves"]) for metric in data["metrics"]] == [(metric.key, True) for metric in METRICS]
    first, _, lossless = data["curves"][0]["points"]
    assert (first["setting"], first["bpp"], first["ms_ssim"], first["drawn"]["ms_ssim"]) == ("q10", 0.25, 0.9, pytest.approx(10.0))
    assert (lossless["psnr_db"], lossless["drawn"]["psnr_db"]) == ("Infinity", None)
    assert data["bd_tables"][0]["rows"][1] == {"codec": "mbt2018", "bd_rate_percent": None, "note": f"curves do not overlap {HOSTILE}"}


def test_views_are_embedded_with_their_rows(report: str) -> None:
    original, decoded = embedded(report)["views"]
    assert original["address"] == "data:image/png;base64," + base64.b64encode(b"\x89PNG").decode()
    assert original["row"] is None
    assert (decoded["row"]["bytes"], decoded["row"]["psnr_db"]) == (1000, "Infinity")


def test_names_are_no_markup(report: str) -> None:
    assert "<b>" not in report
    assert report.count("<script") == report.count("</script>") == 2
    assert "<title>&lt;/script&gt;" in report


def test_nothing_is_loaded_from_elsewhere(report: str) -> None:
    page = report.replace(PUBLISHED[0].source, "").replace("http://www.w3.org/2000/svg", "")
    assert not re.search(r"https?://", page)
    assert "default-src 'none'" in page
    assert not re.search(r"@import|\burl\(|\bfetch\(|XMLHttpRequest|\bimport\(", page)


def test_metrics_without_values_are_not_offered() -> None:
    data = report_data([ROW], [], [], bd_tables=[], about={})
    assert [metric["key"] for metric in data["metrics"] if not metric["has_curves"]] == ["lpips_vgg", "dists"]


def test_a_view_must_be_an_image() -> None:
    with pytest.raises(ValueError, match="text/html"):
        View("a", "b", "c", b"", "text/html")


@pytest.fixture(scope="module")
def plots(tmp_path_factory: pytest.TempPathFactory) -> list[Path]:
    return write_plots(tmp_path_factory.mktemp("reports") / "plots", ROWS, PUBLISHED)


def test_plots_are_written_for_every_metric(plots: list[Path]) -> None:
    assert [path.name for path in plots] == [f"{metric.key}.svg" for metric in METRICS]
    assert all(b"<?xml" in path.read_bytes()[:100] for path in plots)


def test_svg_is_deterministic_and_has_no_date(plots: list[Path], tmp_path: Path) -> None:
    first, second = plots[0], write_plots(tmp_path, ROWS, PUBLISHED)[0]
    assert first.read_bytes() == second.read_bytes()
    assert b"<dc:date>" not in first.read_bytes()
    assert b"stroke-dasharray" in first.read_bytes()


@pytest.mark.parametrize("count", [0, 1, 2])
def test_metrics_without_values_of_two_codecs_are_not_plotted(tmp_path: Path, count: int) -> None:
    rows = [replace(row(lpips_alex=None, ms_ssim=1.0), codec=f"codec-{number}") for number in range(count)]
    expected = ["psnr_db", "ssimulacra2"] if count == 2 else []
    assert [path.stem for path in write_plots(tmp_path, rows, [])] == expected
