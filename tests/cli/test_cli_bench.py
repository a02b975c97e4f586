"""Checks what `vqcodec bench` measures, writes and refuses."""

import json
import re
from dataclasses import replace
from pathlib import Path

import pytest
from PIL import Image

from tests.cli.conftest import run, save_pictures
from tests.conftest import make_picture
from vqcodec.compare.names import ALL, USUAL
from vqcodec.compare.selection import select_codecs

pytest.importorskip("bjontegaard", reason="the package bjontegaard (extra `bench`) is not installed")


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    return save_pictures(tmp_path / "holiday", 2, 180, 170)


@pytest.mark.slow
def test_report_of_a_folder(folder: Path, tmp_path: Path) -> None:
    report = tmp_path / "out.html"
    result = run("bench", folder, "--codecs", "jpeg,webp", "-o", report, "--viewed", 1)
    assert result.exit_code == 0, result.output
    assert "24 measurements of 2 pictures" in result.stdout
    assert re.search(r"^2 pictures, 2 codecs, 24 measurements: about \d+ (s|min)$", result.stderr, re.MULTILINE)
    page = report.read_text(encoding="utf-8")
    assert "holiday" in page and '"webp"' in page and "data:image/avif" in page
    rows = [json.loads(line) for line in report.with_suffix(".jsonl").read_text().splitlines()]
    assert {row["codec"] for row in rows} == {"jpeg", "webp"}
    assert {path.name for path in tmp_path.iterdir()} == {"holiday", "out.html", "out.jsonl"}

    again = run("bench", folder, "--codecs", "jpeg", "-o", report)
    assert again.exit_code == 1 and "exists already; use --force" in again.stderr
    assert run("bench", folder, "--codecs", "jpeg", "-o", report, "--force", "--viewed", 0, "--jobs", 1).exit_code == 0
    assert len(report.with_suffix(".jsonl").read_text().splitlines()) == 24
    assert '"webp"' not in report.read_text(encoding="utf-8")


def test_help_names_the_codecs() -> None:
    text = " ".join(run("bench", "--help").stdout.split()).replace("- ", "-")
    assert ", ".join(ALL) in text and f"Default {', '.join(USUAL)}" in text


@pytest.mark.slow
@pytest.mark.usefixtures("small_trial")
def test_the_middle_is_compared_by_usual_codecs_and_the_report_opens_on_vqcodec(tmp_path: Path) -> None:
    folder = save_pictures(tmp_path / "large", 1, 500, 64)
    result = run("bench", folder, "-o", tmp_path / "out.html", "--jobs", 1, "--codecs", "vqcodec,jpeg", "--viewed", 0)
    assert result.exit_code == 0, result.output
    rows = [json.loads(line) for line in (tmp_path / "out.jsonl").read_text().splitlines()]
    assert {round(row["bytes"] * 8 / row["bpp"] / 100) for row in rows} == {round(480 * 64 / 100)}
    assert len([row for row in rows if row["codec"] == "vqcodec"]) == 5 and {row["lpips_alex"] for row in rows} == {None}
    page = (tmp_path / "out.html").read_text(encoding="utf-8")
    assert '"compared of each":"the middle, at most 480x480 pixels"' in page and "no curves of LPIPS" not in page
    data = json.loads(page.split('<script type="application/json" id="data">')[1].split("</script>")[0])
    assert [data["opens_on"][0][0], data["opens_on"][1]] == ["jpeg", ["vqcodec", "q50"]]


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (("{folder}", "--codecs", "gif"), "no codec is called 'gif'; known are vqcodec"),
        (("{folder}", "--anchor", "gif"), "no codec is called 'gif'; known are vqcodec"),
        (("{empty}",), "holds no picture"),
        (("{folder}/absent",), "not a folder"),
    ],
)
def test_mistakes(folder: Path, tmp_path: Path, arguments: tuple[str, ...], message: str) -> None:
    empty = tmp_path / "empty"
    empty.mkdir()
    result = run("bench", *(part.format(folder=folder, empty=empty) for part in arguments), "-o", tmp_path / "out.html")
    assert result.exit_code == 1 and message in result.stderr and len(result.stderr.splitlines()) == 1
    assert not (tmp_path / "out.html").exists()


@pytest.mark.slow
def test_what_cannot_be_read_is_skipped_and_told_once(folder: Path, tmp_path: Path) -> None:
    (folder / "0.jpg").write_bytes(b"no picture")
    (folder / "copy.png").write_bytes((folder / "0.png").read_bytes())
    result = run("bench", folder, "--codecs", "webp", "-o", tmp_path / "out.html", "--viewed", 0, "--jobs", 1)
    assert result.exit_code == 1 and "12 measurements of 2 pictures" in result.stdout
    page = (tmp_path / "out.html").read_text(encoding="utf-8")
    assert '"unreadable":' in page and "0.jpg" in page and '"images":"2"' in page
    lines = result.stderr.splitlines()
    assert sum("0.jpg" in line for line in lines) == 1 and any("the anchor jpeg is not among the codecs" in line for line in lines)
    for path in folder.glob("*.png"):
        path.unlink()
    nothing = run("bench", folder, "--codecs", "webp", "-o", tmp_path / "none.html")
    assert nothing.exit_code == 1 and "holds no picture that can be read" in nothing.stderr and not (tmp_path / "none.html").exists()


def test_a_report_has_the_name_of_a_web_page(folder: Path, tmp_path: Path) -> None:
    result = run("bench", folder, "--codecs", "jpeg", "-o", tmp_path / "rows.jsonl")
    assert result.exit_code == 1 and "must end in .html" in result.stderr


@pytest.mark.slow
def test_other_files_beside_the_report_are_left_alone(folder: Path, tmp_path: Path) -> None:
    report = tmp_path / "out.html"
    (tmp_path / "out.views").mkdir()
    (tmp_path / "out.views/notes.txt").write_text("mine", encoding="utf-8")
    report.with_suffix(".jsonl").write_text("mine, too", encoding="utf-8")
    result = run("bench", folder, "--codecs", "jpeg", "-o", report, "--viewed", 1)
    assert result.exit_code == 1 and "ends in something else than a row of a benchmark" in result.stderr
    assert report.with_suffix(".jsonl").read_text(encoding="utf-8") == "mine, too" and not report.exists()
    report.with_suffix(".jsonl").unlink()
    assert run("bench", folder, "--codecs", "jpeg", "-o", report, "--viewed", 1, "--jobs", 1).exit_code == 0
    assert (tmp_path / "out.views/notes.txt").read_text(encoding="utf-8") == "mine"


@pytest.mark.slow
def test_pictures_that_means_leave_out_are_told(folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    selection = select_codecs(["jpeg", "webp"])
    few = [replace(codec, settings=codec.settings[::3]) for codec in selection.codecs]
    monkeypatch.setattr("vqcodec.compare.folder.select_codecs", lambda _: replace(selection, codecs=few))
    Image.fromarray(make_picture(40, 40)).save(folder / "small.png")
    Image.fromarray(make_picture(20000, 1)).save(folder / "tall.png")
    result = run("bench", folder, "--codecs", "jpeg,webp", "-o", tmp_path / "out.html", "--viewed", 0, "--thorough")
    assert result.exit_code == 1 and "failed tall.png, webp" in result.stderr
    told = result.stderr.splitlines()
    assert "compared: 2 of 4 pictures, those that every codec coded and every metric is of" in told
    assert not [line for line in told if line.startswith("no curves of MS-SSIM")]
    page = (tmp_path / "out.html").read_text(encoding="utf-8")
    data = json.loads(page.split('<script type="application/json" id="data">')[1].split("</script>")[0])
    assert {point["num_images"] for curve in data["curves"] for point in curve["points"]} == {2}
    assert "ms_ssim" in {table["metric"] for table in data["bd_tables"]} and data["about"]["compared"] in result.stderr
    Image.fromarray(make_picture(50, 40)).save(folder / "small-2.png")
    (folder / "tall.png").unlink()
    result = run("bench", folder, "--codecs", "jpeg,webp", "-o", tmp_path / "out.html", "--viewed", 0, "--force", "--thorough", "--jobs", 1)
    told = result.stderr.splitlines()
    assert result.exit_code == 0 and not [line for line in told if line.startswith("compared")]
    assert "no curves of MS-SSIM: 2 of 4 pictures are too small or too large for it" in told


@pytest.mark.slow
def test_a_renamed_picture_is_known_and_shown(folder: Path, tmp_path: Path) -> None:
    report = tmp_path / "out.html"
    assert run("bench", folder, "--codecs", "jpeg", "-o", report, "--jobs", 1).exit_code == 0
    (folder / "0.png").rename(folder / "2.png")
    Image.fromarray(make_picture(180, 170, 7)).save(folder / "0.png")
    result = run("bench", folder, "--codecs", "jpeg", "-o", report, "--force", "--viewed", 3, "--jobs", 1)
    assert result.exit_code == 0 and "18 measurements of 3 pictures" in result.stdout
    assert len(report.with_suffix(".jsonl").read_text().splitlines()) == 18
    page = report.read_text(encoding="utf-8")
    data = json.loads(page.split('<script type="application/json" id="data">')[1].split("</script>")[0])
    assert [view["image"] for view in data["views"] if view["codec"] == "original"] == ["0.png", "1.png", "2.png"]
    assert {point["num_images"] for curve in data["curves"] for point in curve["points"]} == {3}
