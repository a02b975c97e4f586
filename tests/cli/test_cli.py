"""Checks what the commands `encode`, `decode`, `info`, `compare` and `models` print and return."""

import json
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from tests.cli.conftest import encoded, run
from tests.conftest import make_picture
from vqcodec.errors import DesyncError


def test_encode_json(picture: Path, small_model: str) -> None:
    result = run("encode", picture, "-m", small_model, "--json", "--verify")
    (line,) = result.stdout.splitlines()
    row = json.loads(line)
    assert set(row) == {"input", "output", "source_bytes", "target_bytes", "num_bytes", "bpp", "encode_s"}
    assert row["num_bytes"] == row["target_bytes"] == Path(row["output"]).stat().st_size and row["source_bytes"] == picture.stat().st_size
    assert row["bpp"] == pytest.approx(8 * row["num_bytes"] / (200 * 180), abs=1e-6)


def test_info_json_and_text(picture: Path, small_model: str) -> None:
    path = encoded(picture, small_model, "--no-layers")
    info = json.loads(run("info", path, "--json").stdout)
    assert info["input"] == str(path)
    assert list(info)[1:] == ["format_version", "model", "width", "height", "mode", "num_bytes", "bpp", "layers", "metadata_bytes", "maps"]
    assert [entry["name"] for entry in info["maps"]] == ["top", "bottom", "refine_1", "refine_2"]
    keys = ["name", "height", "width", "num_codes", "num_bytes", "bits_per_code", "coder", "sharpness"]
    assert all(list(entry) == keys for entry in info["maps"])
    top = info["maps"][0]
    assert (top["height"], top["width"], top["num_codes"]) == (23, 25, 575)
    assert info["num_bytes"] - sum(entry["num_bytes"] for entry in info["maps"]) < 70
    text = run("info", path).stdout
    assert "200x180 RGB" in text and "25x23 codes" in text


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


def test_info_tells_what_metadata_takes(picture: Path, tmp_path: Path, small_model: str) -> None:
    with_alpha = tmp_path / "alpha.png"
    ramp = Image.open(picture)
    ramp.putalpha(Image.linear_gradient("L").resize(ramp.size))
    ramp.save(with_alpha)
    plain, transparent = (json.loads(run("info", encoded(path, small_model), "--json").stdout) for path in (picture, with_alpha))
    assert plain["metadata_bytes"] == 0 and "transparency" not in run("info", encoded(picture, small_model, "--force")).stdout
    maps = [sum(entry["num_bytes"] for entry in info["maps"]) for info in (plain, transparent)]
    assert transparent["metadata_bytes"] > 50
    assert transparent["num_bytes"] - maps[1] - transparent["metadata_bytes"] == pytest.approx(plain["num_bytes"] - maps[0], abs=4)


def test_verify_needs_no_installed_model(picture: Path, models_root: Path) -> None:
    model = models_root / "small-test"
    result = run("encode", picture, "-m", model, "--verify")
    ways = "run `vqcodec models add`, or set VQCODEC_MODELS to the folder that holds it"
    told = f"vqcodec: {model} is not installed: to decode its files, {ways}"
    assert result.exit_code == 0 and result.stderr.splitlines()[0] == told
    result = run("decode", picture.with_suffix(".vq"), "-o", picture.with_name("x.png"))
    assert result.exit_code == 1 and "not installed" in result.stderr


def test_a_failed_verify_leaves_the_old_file(picture: Path, small_model: str, monkeypatch: pytest.MonkeyPatch) -> None:
    target = picture.with_suffix(".vq")
    target.write_bytes(b"old")

    def disagree(*args: object, **kwargs: object) -> None:
        raise DesyncError("other codes")

    monkeypatch.setattr("vqcodec.cli.conversions.check_indices", disagree)
    result = run("encode", picture, "-m", small_model, "--verify", "--force")
    assert result.exit_code == 1 and "other codes" in result.stderr
    assert target.read_bytes() == b"old"


@pytest.mark.parametrize("coder", ["raw", "static", "prior"])
def test_coder_is_chosen(picture: Path, small_model: str, coder: str) -> None:
    path = encoded(picture, small_model, "--coder", coder)
    assert {entry["coder"] for entry in json.loads(run("info", path, "--json").stdout)["maps"]} == {coder}
    assert run("decode", path, "-o", picture.with_name(f"{coder}.png")).exit_code == 0


def test_cut_file(picture: Path, small_model: str) -> None:
    path = encoded(picture, small_model)
    path.write_bytes(path.read_bytes()[:-5])
    result = run("decode", path, "-o", picture.with_name("x.png"))
    assert result.exit_code == 1 and "cut or incomplete" in result.stderr and len(result.stderr.splitlines()) == 1
    assert not picture.with_name("x.png").exists()
    result = run("decode", path, "--allow-truncated", "-o", picture.with_name("x.png"))
    assert result.exit_code == 0 and "painted from 3 of 4 maps\n" in result.stderr
    result = run("decode", path, "--allow-truncated", "--fill", "mode", "-f", "-o", picture.with_name("x.png"))
    assert result.exit_code == 0 and "painted from 3 of 4 maps, the others filled in" in result.stderr


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
