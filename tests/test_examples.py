"""The programs of `examples` run to their end."""

import re
import subprocess
import sys
from pathlib import Path

import pytest
from PIL import Image

import vqcodec
from tests.conftest import make_picture
from vqcodec.datasets import CodeMaps

EXAMPLES = Path(__file__).parent.parent / "examples"

pytestmark = pytest.mark.slow


def run(name: str, *arguments: object, code: int = 0) -> subprocess.CompletedProcess[str]:
    done = subprocess.run([sys.executable, EXAMPLES / name, *map(str, arguments)], capture_output=True, text=True, check=False)
    assert done.returncode == code, done.stderr
    return done


def test_a_classifier_learns_from_codes(tmp_path: Path) -> None:
    for number, colour in enumerate(((200, 40, 40), (40, 40, 200))):
        (tmp_path / f"class-{number}").mkdir()
        for piece in range(16):
            Image.new("RGB", (64, 80), (*colour[:2], colour[2] + piece)).save(tmp_path / f"class-{number}" / f"{piece}.png")
    printed = run("train_on_codes.py", tmp_path, "--epochs", 12, "--workers", 0).stdout
    assert "24 pictures to train on, 8 to validate with, classes: class-0, class-1" in printed
    assert float(re.search(r"trained on: ([\d.]+)%", printed)[1]) == 100
    assert len(re.findall(r"pictures a second by 0 workers", printed)) == 3


def test_a_folder_is_encoded_by_ray_and_completed(small_model: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    pytest.importorskip("ray", reason="ray (extra `ray`) is not installed")
    monkeypatch.setenv("RAY_USAGE_STATS_ENABLED", "0")
    source = tmp_path / "photos" / "cat"
    source.mkdir(parents=True)
    for number in range(4):
        Image.fromarray(make_picture(40, 32, number)).save(source / f"{number}.PNG")
    (source / "bad.jpg").write_bytes(b"photo")
    (source / "notes.txt").write_text("no picture")
    finished = tmp_path / "out/cat/1.PNG.vq"
    finished.parent.mkdir(parents=True)
    finished.write_bytes(vqcodec.encode(source / "3.PNG", layers=False))  # of another picture, to be told from a new one
    kept = finished.read_bytes()
    (tmp_path / "out/cat/2.PNG.vq").write_bytes(kept[:-1])
    done = run("ray_encode.py", tmp_path / "photos", tmp_path / "out", "--codes-alone", code=1)
    assert "3 pictures encoded, 1 failed" in done.stderr and "bad.jpg: " in done.stderr
    assert CodeMaps(tmp_path / "out").paths == [f"cat/{number}.PNG.vq" for number in range(4)]
    assert (tmp_path / "out/cat/2.PNG.vq").read_bytes() == vqcodec.encode(source / "2.PNG", layers=False)
    assert finished.read_bytes() == kept
