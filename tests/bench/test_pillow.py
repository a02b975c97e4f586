"""What `python -m bench pillow` measures."""

import json
from pathlib import Path

import pytest
from PIL import Image

import vqcodec
from bench import pillow
from vqcodec.models.registry import find_model


def test_the_large_file_is_one_and_opens_without_heavy_modules(small_model: str, tmp_path: Path) -> None:
    path = tmp_path / "large.vq"
    path.write_bytes(pillow.large_file(find_model(small_model), (520, 264)))
    with Image.open(path) as image:
        image.verify()
    info = vqcodec.read_info(path.read_bytes())
    assert (info.width, info.height, len(info.maps)) == (520, 264, 4) and {of.coder for of in info.maps} == {"raw"}
    opened = pillow.measure_open(path)
    assert (opened["width"], opened["height"], opened["heavy_modules"]) == (520, 264, False)
    assert 0 < opened["open_ms"] <= opened["open_worst_ms"] and 5 < opened["peak_mib"] < 60


@pytest.mark.usefixtures("no_avif")
def test_thumbnails_are_measured_and_shown(small_model: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(pillow, "PHOTOS", ("coffee", "chelsea"))
    row = pillow.measure_thumbnails(tmp_path, small_model, 90, 3, (528, 528))
    assert len(list(tmp_path.iterdir())) == 3 and row["maps"] == [4, 4]
    assert row["whole_psnr_db"] >= row["thumbnail_psnr_db"] > 10 and row["mean_bytes"] > 1000
    monkeypatch.setattr(pillow, "RESULTS", tmp_path)
    opened = {
        "width": 2000,
        "height": 1000,
        "bytes": 3_400_000,
        "open_ms": 1.23,
        "open_worst_ms": 2.0,
        "process_cpu_s": 0.1,
        "peak_mib": 20.4,
    }
    result = {"open": {**opened, "heavy_modules": False}, "rows": [{**row, "maps": [4, 4], "thumbnail_cpu_s": 0.5, "whole_cpu_s": 3.0}]}
    (tmp_path / "pillow-photo-v5.json").write_text(json.dumps(result), encoding="utf-8")
    assert pillow.pillow_opens().splitlines()[2] == "| 2 megapixels, 3 MB | 1.2 ms (2.0 ms) | 0.10 s | 20 MiB | no |"
    assert pillow.pillow_thumbnails().splitlines()[2].startswith("| 90 | 4 | 0.50 s | 3.00 s | 6.0 | ")
