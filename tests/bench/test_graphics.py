"""Drawings that are no photos, and what is measured of them."""

import json
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from PIL import Image, ImageDraw

from bench import images
from bench.graphics import GRAPHICS, captions, measure, tables
from bench.graphics.measure import (
    EXACT_DB,
    QUALITIES,
    File,
    GraphicsRow,
    block_error,
    measure_picture,
    psnr_at,
    run_graphics,
    seen,
    summary,
)
from bench.images import image_set, result_path, set_label
from bench.photos import photo
from tests.bench.test_tables import cells
from vqcodec.codec.loaded import open_model
from vqcodec.errors import VqcodecError
from vqcodec.models.registry import DEFAULT_MODEL

ROW = GraphicsRow("page", 50, 1000, 30.0, 29.0, 31.5, 2000, lossless=False, flat_error=None, block_error=1.5)


def square() -> Image.Image:
    picture = Image.new("RGB", (96, 64), "white")
    ImageDraw.Draw(picture).rectangle([20, 10, 60, 50], fill=(200, 30, 60))
    return picture


def disc() -> Image.Image:
    picture = Image.new("RGBA", (64, 64), (255, 0, 255, 0))
    ImageDraw.Draw(picture).ellipse([8, 8, 56, 56], fill=(0, 90, 180, 255))
    return picture


def flat() -> Image.Image:
    return Image.new("RGB", (64, 64), (0, 255, 0))


@pytest.mark.slow
def test_drawings_are_the_same_at_every_call(tmp_path: Path) -> None:
    paths = {path.stem: path for path in image_set("graphics", tmp_path)}
    assert paths.keys() == GRAPHICS.keys() and len(paths) >= 55
    modes = {}
    for name, draw in GRAPHICS.items():
        picture = draw()
        modes[name] = picture.mode
        assert np.array_equal(np.asarray(picture), np.asarray(Image.open(paths[name]))), name
        assert (picture.getcolors(1) is not None) == name.startswith("flat_"), name
    assert {*modes.values()} == {"L", "RGB", "RGBA"}
    assert {name for name, mode in modes.items() if mode == "RGBA"} == {name for name in GRAPHICS if name.startswith("logo")}


def test_results_of_graphics_are_named_once() -> None:
    assert set_label("graphics") == "graphics"
    assert result_path("graphics", "m", "graphics").name == "graphics-m.json"
    assert result_path("codes", "m", "graphics").name == "codes-m-graphics.json"
    assert result_path("codes", "m", "kodak").name == "codes-m.json"


def test_some_drawings_are_what_they_are_called() -> None:
    assert np.asarray(GRAPHICS["flat_orange"]())[7, 9].tolist() == [255, 128, 0]
    logo = np.asarray(GRAPHICS["logo"]())
    assert logo[0, 0].tolist() == [255, 0, 255, 0] and 0 < (logo[..., 3] % 255 > 0).mean() < 0.02
    assert set(np.unique(np.asarray(GRAPHICS["logo_hard"]())[..., 3])) == {0, 255}
    scene = np.asarray(GRAPHICS["sprites_8"]())
    assert np.array_equal(scene, scene[::8, ::8].repeat(8, axis=0).repeat(8, axis=1))
    assert set(np.unique(np.asarray(GRAPHICS["dither_1bit_china"]()))) == {0, 255}


def test_alpha_is_seen_over_black_and_over_white() -> None:
    pixels = np.zeros((1, 3, 4), np.uint8)
    pixels[0] = (200, 100, 0, 255), (200, 100, 0, 51), (200, 100, 0, 0)
    over_black, over_white = seen(Image.fromarray(pixels))
    assert over_black.tolist() == [[[200, 100, 0], [40, 20, 0], [0, 0, 0]]]
    assert over_white.tolist() == [[[200, 100, 0], [244, 224, 204], [255, 255, 255]]]
    assert seen(Image.new("L", (2, 1), 7)).tolist() == [[[[7, 7, 7], [7, 7, 7]]]]


def test_psnr_in_as_many_bytes() -> None:
    files = [File(400, 34.0), File(100, 30.0), File(250, 29.0), File(1000, EXACT_DB), File(2000, 50.0)]
    assert psnr_at(files, 99) is None
    assert [psnr_at(files, size) for size in (100, 200, 400, 999, 1000, 5000)] == [30.0, 32.0, 34.0, 34.0, EXACT_DB, EXACT_DB]
    assert psnr_at(files[:2], 5000) == 34.0


def test_the_worst_block_is_found_at_the_edge_too() -> None:
    original = np.full((1, 100, 130, 3), 100, np.uint8)
    decoded = original.copy()
    assert block_error(original, decoded) == 0
    decoded[0, 36:, 66:, 1] -= 8
    assert block_error(original, decoded) == 8
    assert block_error(original[:, :20, :30], original[:, :20, :30] + np.uint8(3)) == 3


@pytest.mark.slow
def test_small_pictures_are_measured() -> None:
    codec = open_model(DEFAULT_MODEL)
    rows = [
        row for name, draw in (("square", square), ("disc", disc), ("flat", flat)) for row in measure_picture(name, draw(), codec, (10, 50))
    ]
    assert [(row.picture, row.quality) for row in rows] == [(name, quality) for name in ("square", "disc", "flat") for quality in (10, 50)]
    for row in rows:
        assert row.bytes > 0 and 0 < row.lossless_webp_bytes < 400 and 5 < row.psnr_db <= EXACT_DB
        assert row.lossless == (row.psnr_db == EXACT_DB) and (row.block_error == 0 or not row.lossless)
        assert (row.flat_error is not None) == (row.picture == "flat")
        if row.bytes >= row.lossless_webp_bytes:
            assert row.webp_db == EXACT_DB and row.margin_db == row.psnr_db - EXACT_DB


def test_hidden_colours_do_not_count() -> None:
    shown, hidden = disc(), np.array(disc())
    hidden[hidden[..., 3] == 0, :3] = 0
    assert np.array_equal(seen(shown), seen(Image.fromarray(hidden)))


@pytest.mark.slow
def test_the_command_prints_and_writes(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    monkeypatch.setattr(images, "RESULTS", tmp_path)
    monkeypatch.setattr(measure, "GRAPHICS", {"square": square, "flat": flat})
    with pytest.raises(VqcodecError, match="no drawing is called 'cube'; known are square, flat"):
        run_graphics(DEFAULT_MODEL, ["cube"])
    run_graphics(DEFAULT_MODEL, ["flat"])
    assert "largest error of a flat colour" in capsys.readouterr().out and not [*tmp_path.iterdir()]
    run_graphics(DEFAULT_MODEL)
    lines = capsys.readouterr().out.splitlines()
    assert [line.split()[0] for line in lines[1:3]] == ["square", "flat"]
    result = json.loads((tmp_path / f"graphics-{DEFAULT_MODEL}.json").read_text(encoding="utf-8"))
    assert result["versions"].keys() == {"vqcodec", "pillow", "webp", "avif"} and len(result["rows"]) == 2 * len(QUALITIES)
    header, *rows = cells(tables.graphics())
    assert header == ["dB at quality", "10", "30", "50", "70", "90", "bytes at 50", "lossless WebP"]
    assert [row[0] for row in rows] == ["square", "flat"]
    assert [row[0] for row in cells(tables.graphics_summary())] == ["quality", "10", "30", "50", "70", "90"]


def test_margins_are_those_over_the_better_rival() -> None:
    assert ROW.margin_db == -1.5
    assert replace(ROW, avif_db=None).margin_db == 1.0
    assert replace(ROW, webp_db=None, avif_db=None).margin_db is None


def test_the_summary_tells_the_worst() -> None:
    rows = [
        ROW,
        replace(ROW, picture="sky", quality=10, block_error=9.0, webp_db=None, avif_db=None),
        replace(ROW, picture="green", psnr_db=20.0, flat_error=7, block_error=2.25),
    ]
    assert summary(rows) == [
        "2 of 2 compared are below -1 dB; 1 have fewer bytes than any file of WebP or AVIF",
        "  green at 50: -11.50 dB, 1000 bytes",
        "  page at 50: -1.50 dB, 1000 bytes",
        "worst mean of a block at quality 30 and up: 2.25 levels, green at 50",
        "largest error of a flat colour: 7 levels, green at 50",
    ]


def test_tables_of_rows(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(images, "RESULTS", tmp_path)
    page = [replace(ROW, quality=quality, bytes=quality * 10) for quality in QUALITIES]
    page[0] = replace(page[0], webp_db=None, avif_db=None)
    green = [
        replace(row, picture="green", psnr_db=EXACT_DB, avif_db=EXACT_DB, lossless=True, flat_error=0, block_error=0.0) for row in page
    ]
    rows = [*page, *green]
    result_path("graphics", DEFAULT_MODEL, "graphics").write_text(json.dumps({"rows": [row.__dict__ for row in rows]}), encoding="utf-8")
    assert cells(tables.graphics())[1:] == [
        ["page", "–", "-1.5", "-1.5", "-1.5", "-1.5", "500", "2000"],
        ["green", "+0.0", "+0.0", "+0.0", "+0.0", "+0.0", "500", "2000"],
    ]
    assert cells(tables.graphics_summary())[1:3] == [["10", "0 of 1", "1", "0", "1.5 (page)"], ["30", "1 of 2", "1", "0", "1.5 (page)"]]


@pytest.mark.slow
def test_a_caption_costs_about_its_own_bytes(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(captions, "QUALITIES", (50,))
    (row,) = captions.measure_captions("coffee", photo("coffee").resize((300, 200)), open_model(DEFAULT_MODEL))
    assert row.photo_bytes < row.bytes and row.share <= 1
    assert row.box_db is None or row.box_db > 30


def test_captions_are_summed_up_by_quality(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    rows = [captions.CaptionRow(f"image {number}", 50, 1500 + 100 * number, 1000, 500, 40.0 if number else None) for number in range(2)]
    monkeypatch.setattr(images, "RESULTS", tmp_path)
    result_path("captions", DEFAULT_MODEL, "captions").write_text(json.dumps({"rows": [vars(row) for row in rows]}), encoding="utf-8")
    monkeypatch.setattr(captions, "QUALITIES", (50,))
    assert cells(captions.captions())[-1] == ["50", "1 of 2", "40.0 dB", "105% (image 1)"]


@pytest.mark.slow
@pytest.mark.parametrize("name", ["logo", "logo_blurred"])
def test_logos_with_soft_edges_keep_their_colours(name: str) -> None:
    """Their alpha planes take more bytes than their colours."""
    (row,) = measure_picture(name, GRAPHICS[name](), open_model(), [10])
    assert row.margin_db is not None and row.margin_db > -1
