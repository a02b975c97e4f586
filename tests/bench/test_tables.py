"""Tables for the documents."""

import json
from pathlib import Path

import click
import pytest

from bench import figures, rd, tables
from tests.unit.compare.test_rows import row
from vqcodec.compare.ours import Vqcodec
from vqcodec.compare.rows import Row, append_row


@pytest.fixture
def results(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    for module in (rd, tables):
        monkeypatch.setattr(module, "RESULTS", tmp_path)
    return tmp_path


def write_rows(results: Path, rows: list[Row]) -> None:
    for item in rows:
        append_row(results / "rd-kodak.jsonl", item)
    (results / "rd-kodak.json").write_text(json.dumps({item.codec: {"version": item.version} for item in rows}), encoding="utf-8")


def curve(codec: str, factor: float, points: tuple[tuple[float, float], ...] = ((0.1, 25), (0.2, 28), (0.4, 31), (0.8, 34))) -> list[Row]:
    return [row(codec=codec, setting=f"q{number}", bpp=factor * bpp, psnr_db=psnr_db) for number, (bpp, psnr_db) in enumerate(points)]


def cells(text: str) -> list[list[str]]:
    return [line.strip("| ").split(" | ") for line in text.splitlines() if not line.startswith("|---")]


def test_a_table_is_markdown() -> None:
    assert tables.table(["a", "b"], [["1", "2"], ["3", ""]]) == "| a | b |\n|---|---|\n| 1 | 2 |\n| 3 |  |"


def test_bd_rates_are_in_order_and_without_codecs_that_share_nothing(results: Path) -> None:
    far = curve("webp", 1, ((0.1, 50), (0.2, 51), (0.4, 52), (0.8, 53)))
    write_rows(results, [*curve("jpeg", 1), *curve("avif", 0.5), *curve("heic", 0.75), *far])
    assert [line[:2] for line in cells(tables.bd_rates())[1:]] == [["avif", "-50%"], ["heic", "-25%"], ["jpeg", "+0%"]]
    assert [line[0] for line in cells(tables.bd_rates_short())] == ["codec", "avif", "heic", "jpeg"]
    assert [line[0] for line in cells(tables.bd_rates(["jpeg", "heic", "vvc"]))] == ["codec", "heic", "jpeg"]


def test_the_spot_is_interpolated_and_never_extrapolated(results: Path) -> None:
    write_rows(results, [*curve("jpeg", 0.39 / 0.2), *curve("avif", 0.39 / 0.4), *curve("webp", 10)])
    assert [line[:2] for line in cells(tables.spot())[1:]] == [["avif", "31.00"], ["jpeg", "28.00"]]


def test_a_fall_along_the_dial_is_told(results: Path) -> None:
    sizes = {"a": ((60, 20.0), (900, 21.0), (900, 22.0)), "b": ((500, 25.0), (900, 24.5), (2000, 26.0))}
    write_rows(
        results,
        [
            row(codec="vqcodec-dial" if quality == 5 else "vqcodec", setting=f"q{quality}", image=image, bytes=size, psnr_db=psnr_db)
            for image, points in sizes.items()
            for quality, (size, psnr_db) in zip((1, 5, 10), points, strict=True)
        ],
    )
    assert cells(tables.dial_steps())[1:] == [
        ["qualities measured", "3", "3"],
        ["steps at which the mean rises", "2", "2"],
        ["largest fall of one photo at a step", "0.0%", "2.0%"],
    ]


def test_realism_is_told_against_the_first_row(results: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    codecs = tuple(Vqcodec(f"half-{level}", realism=level, settings=(50,)) for level in (0, 0.5))
    monkeypatch.setattr(tables, "REALISM", {"iq": codecs})
    of_level = [row(codec=f"half-{level}", psnr_db=30 - level, lpips_alex=0.2 - level / 5, lpips_vgg=0.4) for level in (0, 0.5)]
    write_rows(results, of_level)
    assert cells(tables.realism())[1:] == [
        ["`--tune iq`, 0.500 bpp", "0", "30.00 (+0.00)", "0.2000 (+0%)", "0.4000 (+0%)"],
        ["`--tune iq`, 0.500 bpp", "0.5", "29.50 (-0.50)", "0.1000 (-50%)", "0.4000 (+0%)"],
    ]


def test_a_block_of_another_name_is_told(tmp_path: Path) -> None:
    path = tmp_path / "page.md"
    path.write_text("<!-- figures:none-such -->\n<!-- end -->\n", encoding="utf-8")
    with pytest.raises(click.ClickException, match="no table is called 'none-such'; known are bd-rates-short"):
        figures.filled(path)
