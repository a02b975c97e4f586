"""Codecs are run over images, and what they do is measured."""

import os
import struct
import subprocess
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from PIL import Image, features

from vqcodec.compare import others, run
from vqcodec.compare.codecs import ImageCodec
from vqcodec.compare.others import OTHERS, PillowCodec, Vvc
from vqcodec.compare.report import ORIGINAL
from vqcodec.compare.rows import append_row, mean_curves, read_rows, rows_of
from vqcodec.compare.selection import codec_named, select_codecs
from vqcodec.compare.views import read_views
from vqcodec.errors import VqcodecError
from vqcodec.images.metrics import psnr_db
from vqcodec.images.picture import Picture, read_picture

JPEG = (replace(codec_named("jpeg"), settings=(6, 16, 40)),)
"""JPEG with fewer settings than are compared otherwise."""
SOON = run.Scope(None, ())
"""Whole images by the metrics that take no networks."""


@pytest.fixture
def folder(photo: np.ndarray, tmp_path: Path) -> Path:
    folder = tmp_path / "photos"
    folder.mkdir()
    Image.fromarray(photo[:176, :200]).save(folder / "a.png")
    Image.fromarray(photo[100:, 200:]).save(folder / "b.jpg", quality=95)
    (folder / "notes.txt").write_text("no picture")
    return folder


@pytest.mark.parametrize("codec", OTHERS, ids=lambda codec: codec.name)
def test_bytes_and_quality_rise_with_the_setting(codec: ImageCodec, photo: np.ndarray) -> None:
    try:
        assert codec.version()
    except ImportError as error:
        pytest.skip(f"{codec.name} is not installed: {error}")
    pixels = np.ascontiguousarray(photo[100:247, 100:325])
    assert pixels.shape[0] % 8 and pixels.shape[1] % 8
    chosen = [codec.settings[0], codec.settings[len(codec.settings) // 2], codec.settings[-1]]
    files = [codec.encode(pixels, setting) for setting in chosen]
    decoded = [codec.decode(data) for data in files]
    assert all(picture.shape == pixels.shape and picture.dtype == np.uint8 for picture in decoded)
    assert len(files[0]) < len(files[1]) < len(files[2])
    quality = [psnr_db(pixels, picture) for picture in decoded]
    assert 18 < quality[0] < quality[1] < quality[2] and quality[2] > 31


def test_what_is_not_installed_is_skipped_by_name(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(features, "version", lambda _: None)

    def no_ffmpeg(*arguments: str, data: bytes = b"") -> bytes:
        raise ModuleNotFoundError("No module named 'imageio_ffmpeg'")

    monkeypatch.setattr(others, "_ffmpeg", no_ffmpeg)
    selection = select_codecs(["jpeg", "vvc"])
    assert selection.codecs == [] and set(selection.skipped) == {"jpeg", "vvc"}
    assert "imageio_ffmpeg" in selection.skipped["vvc"] and "libjpeg_turbo" in selection.skipped["jpeg"]
    monkeypatch.setattr(others, "_ffmpeg", lambda *_, **__: b"encoders: none")
    with pytest.raises(ImportError, match="without libvvenc"):
        Vvc().version()
    with pytest.raises(ValueError, match="no codec is called 'gif'; known are vqcodec"):
        select_codecs(["gif"])


def test_a_run_goes_on_where_it_stopped(folder: Path, tmp_path: Path) -> None:
    out, views = tmp_path / "rows.jsonl", tmp_path / "views"
    images, selection = run.find_images(folder), select_codecs(known=JPEG)
    assert [image.name for image in images] == ["a.png", "b.jpg"]
    assert run.run_benchmark(images, selection, out, views=views, num_viewed=1, scope=SOON).lines == []
    rows = read_rows(out)
    assert len(rows) == run.num_tasks(images, selection) == 6
    assert {(row.codec, row.version) for row in rows} == {("jpeg", selection.versions["jpeg"])}
    row = next(row for row in rows if row.setting == "q40" and row.image == "a.png")
    data = selection.codecs[0].encode(np.asarray(Image.open(images[0])), 40)
    assert row.bytes == len(data) and row.bpp == pytest.approx(8 * len(data) / (176 * 200), abs=1e-6)

    lines = out.read_bytes().splitlines(keepends=True)
    out.write_bytes(b"".join(lines[:2]) + lines[2][:40])
    (viewed,) = (views / "a.png").glob("jpeg=q6=*.avif")
    viewed.unlink()
    steps: list[int] = []
    run.run_benchmark(images, selection, out, views=views, num_viewed=1, scope=SOON, on_row=steps.append)
    assert sum(steps) == 6 and len(steps) == 1 + 5
    again = read_rows(out)
    assert len(again) == 6 and {(row.setting, row.image, row.bytes) for row in again} == {(r.setting, r.image, r.bytes) for r in rows}
    kept = read_views(views, again)
    assert kept[0].codec == ORIGINAL and len(kept) == 4 and {view.image for view in kept} == {"a.png"}
    others = [replace(row, version="another") for row in again]
    assert [view.codec for view in read_views(views, others)] == [ORIGINAL], "views of another version"


def test_a_metric_that_was_missing_is_measured_later(folder: Path, tmp_path: Path) -> None:
    out, images, selection = tmp_path / "rows.jsonl", run.find_images(folder), select_codecs(known=JPEG)
    run.run_benchmark(images, selection, out, scope=SOON)
    first = read_rows(out)
    out.unlink()
    for row in first:
        append_row(out, replace(row, ms_ssim=None) if row.image == "a.png" else row)
    run.run_benchmark(images, selection, out, scope=SOON)
    points = mean_curves(read_rows(out))["jpeg"]
    assert len(read_rows(out)) == 9 and len(points) == 3 and all(point.ms_ssim is not None for point in points)


def test_another_picture_of_the_same_name_is_measured_anew(folder: Path, tmp_path: Path) -> None:
    out, selection = tmp_path / "rows.jsonl", select_codecs(known=JPEG)
    other = tmp_path / "other"
    other.mkdir()
    Image.fromarray(np.asarray(Image.open(folder / "a.png"))[::-1]).save(other / "a.png")
    for images in ([folder / "a.png"], [other / "a.png"], [folder / "a.png"]):
        run.run_benchmark(images, selection, out, scope=SOON)
    rows = read_rows(out)
    assert len(rows) == 6 and {row.image for row in rows} == {"a.png"}
    readable, failures = run.readable_images([folder / "a.png", tmp_path / "absent.png"])
    assert len(rows_of(rows, selection.versions, readable)) == 3 == len({row.setting for row in rows})
    assert len(failures) == 1 and "absent.png" in failures[0]
    assert rows_of(rows, {"jpeg": "another version"}) == []


def test_a_codec_that_fails_is_named(folder: Path, tmp_path: Path) -> None:
    broken = PillowCodec("broken", "JPEG", "libjpeg_turbo", "q", (1, 2), lambda _: {"quality": "none such"}, "broken")
    failures = run.run_benchmark(run.find_images(folder), select_codecs(known=(broken,)), tmp_path / "rows.jsonl")
    assert len(failures.lines) == 4 and failures.lines[0].startswith("a.png, broken 1: ")
    assert failures.codecs == {"broken"}
    assert not (tmp_path / "rows.jsonl").exists()


def test_whatever_a_codec_raises_is_told_in_a_line(folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def fail(*_: object) -> bytes:
        raise subprocess.CalledProcessError(1, ["ffmpeg"], stderr=b"no such rate\nand more")

    monkeypatch.setattr(PillowCodec, "encode", fail)
    failures = run.run_benchmark(run.find_images(folder), select_codecs(["webp"]), tmp_path / "rows.jsonl")
    assert failures.lines[0] == "a.png, webp 0: no such rate"
    monkeypatch.setattr(PillowCodec, "encode", lambda *_: struct.pack("<H", 1 << 16))
    failures = run.run_benchmark(run.find_images(folder), select_codecs(["webp"]), tmp_path / "rows.jsonl")
    assert failures.lines[0].startswith("a.png, webp 0: ") and len(failures.lines) == 12


def test_the_middle_of_large_pictures_is_compared(folder: Path) -> None:
    whole = np.asarray(Image.open(folder / "a.png"))
    assert np.array_equal(run.WHOLE.pixels(folder / "a.png"), whole)
    middle = run.Scope(100).pixels(folder / "a.png")
    assert np.array_equal(middle, whole[(whole.shape[0] - 100) // 2 :, (whole.shape[1] - 100) // 2 :][:100, :100])
    assert run.readable_images([folder / "a.png"], run.Scope(100))[0].keys() == {run.pixels_digest(middle)}
    assert run.Scope(None, ()).measurable(300, 300) == {"psnr_db", "ms_ssim"}


def test_a_picture_is_read_once_for_all_that_is_measured_of_it(folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    read = []

    def noted(image: Path) -> Picture:
        read.append(image.name)
        return read_picture(image)

    monkeypatch.setattr(run, "read_picture", noted)
    run.run_benchmark(run.find_images(folder), select_codecs(known=JPEG), tmp_path / "rows.jsonl", scope=SOON)
    assert sorted(read) == ["a.png", "a.png", "b.jpg", "b.jpg"]  # once to find what is measured already


def test_time_is_estimated(folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    scope, out = run.Scope(100, ()), tmp_path / "rows.jsonl"
    (images, _), selection = run.readable_images(run.find_images(folder), scope), select_codecs(known=JPEG)
    assert 0 < run.expected_seconds(images, selection, out, scope, 1) < 60
    broken = PillowCodec("broken", "JPEG", "libjpeg_turbo", "q", (1, 2), lambda _: {"quality": "none such"}, "broken")
    assert run.expected_seconds(images, select_codecs(known=(broken,)), out, run.QUICK, 1) >= 0
    with monkeypatch.context() as patch:
        patch.setattr(run.time, "perf_counter", lambda: 0.0)  # measurements that take no time at all
        patch.setattr(run, "_set_threads", lambda _: None)
        least = run.expected_seconds(images, selection, out, scope, 1)
        assert least == pytest.approx(0.02 * run.num_tasks([*images.values()], selection))
        assert run.expected_seconds(images, selection, out, scope, 2) == pytest.approx(10 + least / 2)  # its processes have to start
    run.run_benchmark([*images.values()], selection, out, scope=scope)
    tried: list[object] = []
    monkeypatch.setattr(PillowCodec, "encode", lambda *arguments: tried.append(arguments))
    assert 0 < run.expected_seconds(images, selection, out, scope, 1) < 10
    assert tried == []  # since all of it is measured already


def test_folders_without_pictures(tmp_path: Path) -> None:
    with pytest.raises(VqcodecError, match="holds no picture"):
        run.find_images(tmp_path)
    with pytest.raises(VqcodecError, match="not a folder"):
        run.find_images(tmp_path / "absent")


def test_what_is_no_picture_file_is_passed_over(folder: Path) -> None:
    os.mkfifo(folder / "pipe.jpg")
    (folder / "._a.png").write_bytes(b"resource fork")
    (folder / "c.png").mkdir()
    assert [path.name for path in run.find_images(folder)] == ["a.png", "b.jpg"]
