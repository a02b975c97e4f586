"""The command line: what is printed, written and returned."""

import json
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from click.testing import CliRunner, Result
from PIL import Image

from tests.conftest import make_picture
from vqcodec.cli import main
from vqcodec.container import read_container


def run(*args: object, stdin: bytes | None = None) -> Result:
    result = CliRunner().invoke(main, [str(arg) for arg in args], input=stdin)
    assert result.exception is None or isinstance(result.exception, SystemExit), result.exception
    return result


@pytest.fixture
def picture(tmp_path: Path) -> Path:
    path = tmp_path / "photo.png"
    Image.fromarray(make_picture(200, 180)).save(path)
    return path


def encoded(picture: Path, model: str, *options: object) -> Path:
    assert run("encode", picture, "-m", model, "-q", 100, "-f", *options).exit_code == 0
    return picture.with_suffix(".vq")


def test_encode_json(picture: Path, small_model: str) -> None:
    result = run("encode", picture, "-m", small_model, "--json", "--verify")
    (line,) = result.stdout.splitlines()
    row = json.loads(line)
    assert set(row) == {"input", "output", "num_bytes", "bpp", "encode_s"}
    assert row["num_bytes"] == Path(row["output"]).stat().st_size
    assert row["bpp"] == pytest.approx(8 * row["num_bytes"] / (200 * 180), abs=1e-6)


def test_info_json_and_text(picture: Path, small_model: str) -> None:
    path = encoded(picture, small_model)
    info = json.loads(run("info", path, "--json").stdout)
    assert list(info) == ["format_version", "model", "width", "height", "mode", "num_bytes", "bpp", "maps"]
    assert [level["name"] for level in info["maps"]] == ["top", "bottom", "refine_1", "refine_2"]
    keys = ["name", "height", "width", "num_codes", "num_bytes", "bits_per_code", "coder"]
    assert all(list(level) == keys for level in info["maps"])
    top = info["maps"][0]
    assert (top["height"], top["width"], top["num_codes"]) == (23, 25, 575)
    assert info["num_bytes"] - sum(level["num_bytes"] for level in info["maps"]) < 70
    assert "200x180 RGB" in run("info", path).stdout


def test_decode_and_compare(picture: Path, small_model: str) -> None:
    path = encoded(picture, small_model)
    out = picture.with_name("back.png")
    assert run("decode", path, "-o", out).exit_code == 0
    direct = json.loads(run("compare", picture, out, "--json").stdout)
    by_file = json.loads(run("compare", path, picture, "--json").stdout)
    assert set(direct) == {"psnr_db", "ms_ssim"} and set(by_file) == {"psnr_db", "ms_ssim", "num_bytes", "bpp"}
    assert direct["psnr_db"] == pytest.approx(by_file["psnr_db"])
    assert by_file["num_bytes"] == path.stat().st_size
    a, b = (np.asarray(Image.open(name)).astype(float) for name in (picture, out))
    assert direct["psnr_db"] == pytest.approx(10 * np.log10(255**2 / np.square(a - b).mean()))
    small = picture.with_name("small.png")
    Image.fromarray(make_picture(20, 20)).save(small)
    result = run("compare", picture, small)
    assert result.exit_code == 1 and "expected equal sizes" in result.stderr


def test_nothing_is_overwritten_without_force(picture: Path, small_model: str) -> None:
    target = picture.with_suffix(".vq")
    target.write_bytes(b"precious")
    result = run("encode", picture, "-m", small_model)
    assert result.exit_code == 1 and "--force" in result.stderr
    assert target.read_bytes() == b"precious"
    assert run("encode", picture, "-m", small_model, "--force").exit_code == 0
    result = run("decode", target)
    assert result.exit_code == 1 and f"{picture}: exists already" in result.stderr


def test_folder_with_a_bad_file(tmp_path: Path, small_model: str) -> None:
    source, target = tmp_path / "in", tmp_path / "out"
    source.mkdir()
    for name in ("a", "c"):
        Image.fromarray(make_picture(30, 20)).save(source / f"{name}.png")
    (source / "b.jpg").write_text("no picture")
    (source / "notes.txt").write_text("left alone")
    result = run("encode", source, "-o", target, "-m", small_model, "--json")
    assert result.exit_code == 1
    assert [Path(json.loads(line)["output"]).name for line in result.stdout.splitlines()] == ["a.vq", "c.vq"]
    assert "b.jpg: not a picture" in result.stderr and "1 of 3 files failed" in result.stderr
    assert sorted(path.name for path in target.iterdir()) == ["a.vq", "c.vq"]
    result = run("decode", target, "-o", tmp_path / "back")
    assert result.exit_code == 0
    assert sorted(path.name for path in (tmp_path / "back").iterdir()) == ["a.png", "c.png"]


def test_two_inputs_for_one_output_are_refused_before_anything_is_written(tmp_path: Path, small_model: str) -> None:
    Image.fromarray(make_picture(30, 20)).save(tmp_path / "a.png")
    Image.fromarray(make_picture(30, 20)).save(tmp_path / "a.bmp")
    result = run("encode", tmp_path, "-m", small_model)
    assert result.exit_code == 1 and "both be written" in result.stderr
    assert not (tmp_path / "a.vq").exists()


def test_standard_streams(picture: Path, small_model: str) -> None:
    result = run("encode", "-", "-m", small_model, stdin=picture.read_bytes())
    assert result.exit_code == 0
    assert read_container(result.stdout_bytes).header.width == 200
    back = run("decode", "-", stdin=result.stdout_bytes)
    assert back.stdout_bytes.startswith(b"\x89PNG")


def test_cut_file(picture: Path, small_model: str) -> None:
    path = encoded(picture, small_model)
    path.write_bytes(path.read_bytes()[:-5])
    result = run("decode", path, "-o", picture.with_name("x.png"))
    assert result.exit_code == 1 and "cut or incomplete" in result.stderr and len(result.stderr.splitlines()) == 1
    assert not picture.with_name("x.png").exists()
    result = run("decode", path, "--allow-truncated", "-o", picture.with_name("x.png"))
    assert result.exit_code == 0 and "painted from 3 of 4 maps" in result.stderr


def test_failed_write_leaves_nothing(picture: Path, small_model: str) -> None:
    path = encoded(picture, small_model)
    before = set(picture.parent.iterdir())
    result = run("decode", path, "-o", picture.with_name("x.nosuchformat"))
    assert result.exit_code == 1 and "cannot write a picture as" in result.stderr
    blocked = picture / "below-a-file.png"
    assert run("decode", path, "-o", blocked).exit_code == 1
    assert set(picture.parent.iterdir()) == before


@pytest.mark.parametrize(
    "args", [["encode"], ["encode", "x", "-q", "0"], ["encode", "x", "-q", "101"], ["decode", "x", "--max-maps", "0"], ["nonsense"]]
)
def test_usage_errors_exit_with_2(args: list[str]) -> None:
    assert run(*args).exit_code == 2


@pytest.mark.parametrize(
    ("args", "message"),
    [
        (["info", "absent.vq"], "no such file"),
        (["encode", "absent.png"], "no such file"),
        (["encode", "absent.png", "-m", "photo-v999"], "no model 'photo-v999'"),
        (["decode", "absent.vq"], "no such file"),
    ],
)
def test_errors_are_one_line_and_exit_with_1(args: list[str], message: str) -> None:
    result = run(*args)
    assert result.exit_code == 1 and message in result.stderr and len(result.stderr.splitlines()) == 1


def test_models_json(small_model: str) -> None:
    rows = {row["id"]: row for row in map(json.loads, run("models", "--json").stdout.splitlines())}
    assert set(rows[small_model]) == {"id", "number", "parameters", "num_bytes", "weights_sha256", "folder"}
    assert rows["photo-v1"]["number"] == 1 and rows["photo-v1"]["parameters"] <= 8_000_000


def test_info_needs_no_torch(picture: Path, small_model: str) -> None:
    path = encoded(picture, small_model)
    program = "import sys; from vqcodec.cli import main; main(sys.argv[1:], standalone_mode=False); assert 'torch' not in sys.modules"
    done = subprocess.run([sys.executable, "-c", program, "info", str(path)], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    assert "top" in done.stdout


def test_console_script_runs() -> None:
    script = Path(sys.executable).with_name("vqcodec")
    done = subprocess.run([script, "--version"], capture_output=True, text=True, check=True)
    assert done.stdout.startswith("vqcodec, version")


def test_flipped_bits_give_one_line_exit_code_1_and_no_output(picture: Path, small_model: str) -> None:
    path = encoded(picture, small_model)
    data = path.read_bytes()
    out = picture.with_name("x.png")
    for position in range(0, 8 * len(data), 8 * len(data) // 60 + 1):
        broken = bytearray(data)
        broken[position // 8] ^= 1 << position % 8
        path.write_bytes(bytes(broken))
        result = run("decode", path, "-o", out)
        assert result.exit_code == 1 and len(result.stderr.splitlines()) == 1
        assert not out.exists()
