"""Checks --max-pixels, --first-frame, --output-quality and --output-lossless, and numbers that are far too large."""

from pathlib import Path

import pytest
from PIL import Image

from tests.cli.conftest import encoded, run
from vqcodec.format.container import CoderKind, ColourMode, Container, Header, MapEntry, crc16, write_container
from vqcodec.models.registry import find_model


def test_pixels_are_limited(picture: Path, small_model: str) -> None:
    path = encoded(picture, small_model)
    for command in (("encode", picture, "-m", small_model), ("decode", path)):
        result = run(*command, "--max-pixels", 35999, "-o", picture.parent / "out.png" if command[0] == "decode" else "-")
        assert result.exit_code == 1 and result.stderr.startswith(f"vqcodec: {command[1]}: ")
        assert "200x180 pixels, expected" in result.stderr and len(result.stderr.splitlines()) == 1
        assert not (picture.parent / "out.png").exists()
    assert run("decode", path, "--max-pixels", 36000, "-f").exit_code == 0
    assert run("decode", path, "--max-pixels", 100, "--region", "5,5,10,10", "-f").exit_code == 0


def test_a_few_bytes_of_many_pixels_are_refused(tmp_path: Path, small_model: str) -> None:
    config, entry = find_model(small_model), MapEntry(CoderKind.STATIC, 0, crc16(b""), 0)
    header = Header(config.number, config.weights_digest, 11585, 11585, ColourMode.RGB, (entry,))
    (tmp_path / "x.vq").write_bytes(write_container(Container(header, (b"",))))
    for command in (("decode", tmp_path / "x.vq"), ("compare", tmp_path / "x.vq", tmp_path / "x.vq")):
        result = run(*command)
        assert result.exit_code == 1 and "x.vq: image of 11585x11585 pixels in" in result.stderr and "--max-pixels" in result.stderr
    assert "11585x11585" in run("info", tmp_path / "x.vq").stdout and not (tmp_path / "x.png").exists()


def test_very_large_pictures_are_told_before_the_work(picture: Path, small_model: str, monkeypatch: pytest.MonkeyPatch) -> None:
    path = encoded(picture, small_model)
    monkeypatch.setattr("vqcodec.format.limits.MANY_PIXELS", 10000)

    def fail(*_: object, **__: object) -> None:
        raise RuntimeError("no work")

    for name in ("encode_controlled", "decode_codes"):
        monkeypatch.setattr(f"vqcodec.cli.conversions.{name}", fail)
    for source, command in ((picture, ("encode", picture, "-m", small_model, "-f")), (path, ("decode", path, "-f"))):
        first, second = run(*command).stderr.splitlines()
        assert first.startswith(f"vqcodec: {source}: 200x180 pixels take much time and memory; --max-pixels")
        assert second == f"vqcodec: {source}: cannot be converted: no work"
        for quieter in ("--quiet", "--max-pixels=99999"):
            assert run(*command, quieter).stderr == f"{second}\n"


@pytest.mark.parametrize("suffix", [".gif", ".webp"])
def test_the_first_frame(tmp_path: Path, small_model: str, suffix: str) -> None:
    path = tmp_path / f"moving{suffix}"
    frames = [Image.new("RGB", (16, 16), colour) for colour in ("white", "black")]
    frames[0].save(path, save_all=True, append_images=frames[1:])
    result = run("encode", path, "-m", small_model)
    assert result.exit_code == 1 and "2 frames, expected a still picture; --first-frame" in result.stderr
    assert run("encode", path, "-m", small_model, "--first-frame").exit_code == 0
    assert run("decode", path.with_suffix(".vq")).exit_code == 0
    assert Image.open(path.with_suffix(".png")).getextrema() == ((255, 255),) * 3


@pytest.mark.parametrize(
    ("command", "option", "value", "reason"),
    [
        (("encode", "."), "--max-bytes", 5000 * "9", "a number of 5000 characters, expected at most 50"),
        (("encode", "."), "--max-bytes", f".{5000 * '9'}", "a number of 5001 characters, expected at most 50"),
        (("bench", "."), "--jobs", 10**20, f"{10**20} is not in the range 1<=x<=256."),
        (("train", "dial", "--model", "."), "--threads", 10**20, f"{10**20} is not in the range 1<=x<=9999."),
    ],
    ids=["digits", "decimals", "jobs", "threads"],
)
def test_numbers_that_are_far_too_large_are_refused(command: tuple[str, ...], option: str, value: object, reason: str) -> None:
    result = run(*command, option, value)
    assert result.exit_code == 2 and result.stderr.splitlines()[-1] == f"Error: Invalid value for '{option}': {reason}"


def test_a_file_that_is_encoded_already(picture: Path, small_model: str) -> None:
    path = encoded(picture, small_model)
    for output in ((), ("-o", path.with_name("again.vq"))):
        result = run("encode", path, "-m", small_model, *output)
        assert result.exit_code == 1 and result.stderr == f"vqcodec: {path}: is encoded already: a .vq file, expected a picture\n"
    path.write_bytes(data := picture.read_bytes())
    assert run("encode", path, "-m", small_model, "-f").stderr == f"vqcodec: {path}: is the input itself; name another output\n"
    assert path.read_bytes() == data


def test_compression_of_outputs(picture: Path, small_model: str) -> None:
    path = encoded(picture, small_model)
    outputs = [picture.with_name(f"{quality}.jpg") for quality in (20, 90)]
    for output in outputs:
        result = run("decode", path, "-o", output, "--output-quality", output.stem)
        assert result.exit_code == 0 and str(output.stat().st_size) in result.stderr.replace(",", "")
    assert outputs[0].stat().st_size < outputs[1].stat().st_size
    for options, code, message in (
        (("-o", "x.jpg", "--output-lossless"), 1, "a .jpg file is not written without loss"),
        (("-o", "x.png", "--output-quality", 50), 1, "a .png file has no quality"),
        (("-o", "x.webp", "--output-quality", 50, "--output-lossless"), 2, "only one of them may be given"),
        (("-o", "x.webp", "--output-quality", 0), 2, "0 is not in the range 1<=x<=100"),
    ):
        result = run("decode", path, *options)
        assert result.exit_code == code and message in result.stderr
