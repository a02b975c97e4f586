"""The command line: what is printed, written and returned."""

import errno
import json
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from tests.cli.conftest import encoded, run
from tests.conftest import make_picture
from vqcodec import encoding
from vqcodec.errors import DesyncError
from vqcodec.format.container import read_container
from vqcodec.images.picture import Picture
from vqcodec.models.registry import DEFAULT_MODEL


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
    assert list(info) == ["format_version", "model", "width", "height", "mode", "num_bytes", "bpp", "metadata_bytes", "maps"]
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


def test_second_input_for_the_same_output_is_reported_and_skipped(tmp_path: Path, small_model: str) -> None:
    for name in ("a.bmp", "a.png", "b.png"):
        Image.fromarray(make_picture(30, 20)).save(tmp_path / name)
    (tmp_path / "b.jpg").write_text("no picture, takes no name")
    (tmp_path / "c.png").symlink_to("c.png")
    result = run("encode", tmp_path, "-o", tmp_path / "out", "-m", small_model)
    assert result.exit_code == 1 and f"is that of {tmp_path / 'a.bmp'}" in result.stderr
    assert sorted(path.name for path in (tmp_path / "out").iterdir()) == ["a.vq", "b.vq"]


def test_one_output_under_two_names_is_seen(tmp_path: Path, small_model: str) -> None:
    for folder in ("x", "y"):
        (tmp_path / folder).mkdir()
        Image.fromarray(make_picture(30, 20)).save(tmp_path / folder / "a.png")
    (tmp_path / "x" / "a.vq").symlink_to(tmp_path / "y" / "a.vq")
    result = run("encode", tmp_path / "x" / "a.png", tmp_path / "y" / "a.png", "-m", small_model, "--force")
    assert result.exit_code == 1 and "is that of" in result.stderr and "1 of 2 files failed" in result.stderr


@pytest.mark.parametrize("name", ["other.png", "OTHER.JPG"])
def test_a_picture_is_never_overwritten_by_an_encoded_file(picture: Path, small_model: str, name: str) -> None:
    other = picture.with_name(name)
    Image.fromarray(make_picture(30, 20)).save(other)
    before = other.read_bytes()
    result = run("encode", picture, "-m", small_model, "-o", other, "--force")
    assert result.exit_code == 1 and "is named like a picture; encoded files end in .vq" in result.stderr
    assert other.read_bytes() == before


def test_an_overwritten_file_keeps_its_permissions(picture: Path, small_model: str) -> None:
    path = encoded(picture, small_model)
    path.chmod(0o600)
    assert run("encode", picture, "-m", small_model, "--force").exit_code == 0
    assert path.stat().st_mode & 0o777 == 0o600


def test_info_tells_what_metadata_takes(picture: Path, tmp_path: Path, small_model: str) -> None:
    with_alpha = tmp_path / "alpha.png"
    ramp = Image.open(picture)
    ramp.putalpha(Image.linear_gradient("L").resize(ramp.size))
    ramp.save(with_alpha)
    plain, transparent = (json.loads(run("info", encoded(path, small_model), "--json").stdout) for path in (picture, with_alpha))
    assert plain["metadata_bytes"] == 0 and "transparency" not in run("info", encoded(picture, small_model, "--force")).stdout
    maps = [sum(level["num_bytes"] for level in info["maps"]) for info in (plain, transparent)]
    assert transparent["metadata_bytes"] > 50
    assert transparent["num_bytes"] - maps[1] - transparent["metadata_bytes"] == pytest.approx(plain["num_bytes"] - maps[0], abs=4)


def test_output_with_a_slash_is_a_folder(picture: Path, small_model: str) -> None:
    assert run("encode", picture, "-m", small_model, "-o", f"{picture.parent}/new/").exit_code == 0
    assert [path.name for path in (picture.parent / "new").iterdir()] == ["photo.vq"]
    assert run("decode", picture.parent / "new" / "photo.vq", "-o", f"{picture.parent}/back/").exit_code == 0
    assert [path.name for path in (picture.parent / "back").iterdir()] == ["photo.png"]


def test_input_is_never_overwritten(picture: Path, small_model: str) -> None:
    before = picture.read_bytes()
    result = run("encode", picture, "-m", small_model, "-o", picture, "--force")
    assert result.exit_code == 1 and "is the input itself" in result.stderr
    assert picture.read_bytes() == before


def test_a_link_keeps_being_one(picture: Path, small_model: str) -> None:
    target, link = picture.with_name("real.vq"), picture.with_name("link.vq")
    target.write_bytes(b"old")
    link.symlink_to(target)
    assert run("encode", picture, "-m", small_model, "-o", link, "--force").exit_code == 0
    assert link.is_symlink() and read_container(target.read_bytes()).header.width == 200


def test_an_input_named_twice_counts_once(picture: Path, small_model: str) -> None:
    again = picture.parent / "." / ".." / picture.parent.name / picture.name
    result = run("encode", picture, picture, again, "-m", small_model, "-o", picture.parent / "out", "--json")
    assert result.exit_code == 0 and len(result.stdout.splitlines()) == 1


def test_links_to_pictures_are_pictures(picture: Path, small_model: str) -> None:
    folder = picture.parent / "folder"
    folder.mkdir()
    picture.rename(folder / "a.png")
    (folder / "b.png").symlink_to("a.png")
    assert run("encode", folder, "-m", small_model).exit_code == 0
    assert (folder / "a.vq").read_bytes() == (folder / "b.vq").read_bytes()


def test_several_inputs_need_a_folder(picture: Path, small_model: str) -> None:
    path, other = encoded(picture, small_model), picture.with_name("other.vq")
    other.write_bytes(path.read_bytes())
    for target in (picture, picture.with_name("new.png"), picture.with_name("new.VQ"), "-"):
        result = run("decode", path, other, "-o", target)
        assert result.exit_code == 1 and f"{target}: several inputs need a folder as output" in result.stderr
    for name in ("new", "new.2026", "named.png/"):
        assert run("decode", path, other, "-o", f"{picture.parent}/{name}").exit_code == 0
        assert {file.name for file in (picture.parent / name).iterdir()} == {"photo.png", "other.png"}


def test_an_unreadable_folder_does_not_stop_the_others(picture: Path, small_model: str, monkeypatch: pytest.MonkeyPatch) -> None:
    (locked := picture.parent / "locked").mkdir()

    def iterdir(self: Path) -> Iterator[Path]:
        raise PermissionError(errno.EACCES, "Permission denied", str(self))

    monkeypatch.setattr(Path, "iterdir", iterdir)
    result = run("encode", locked, picture, "-m", small_model, "-o", picture.parent / "out")
    assert result.exit_code == 1 and (picture.parent / "out" / "photo.vq").exists()
    line, last = result.stderr.splitlines()[0], result.stderr.splitlines()[-1]
    assert line.startswith(f"vqcodec: {locked}: cannot be read: ") and "Errno" not in line and last == "vqcodec: 1 of 2 files failed"


def test_verify_needs_no_installed_model(picture: Path, models_root: Path) -> None:
    model = models_root / "small-test"
    result = run("encode", picture, "-m", model, "--verify")
    told = f"vqcodec: {model} is not installed: to decode, name the folder that it is in by VQCODEC_MODELS"
    assert result.exit_code == 0 and result.stderr.splitlines()[0] == told
    result = run("decode", picture.with_suffix(".vq"), "-o", picture.with_name("x.png"))
    assert result.exit_code == 1 and "not installed" in result.stderr


def test_a_failed_verify_leaves_the_old_file(picture: Path, small_model: str, monkeypatch: pytest.MonkeyPatch) -> None:
    target = picture.with_suffix(".vq")
    target.write_bytes(b"old")

    def disagree(*args: object, **kwargs: object) -> None:
        raise DesyncError("other codes")

    monkeypatch.setattr("vqcodec.decoding.check_indices", disagree)
    result = run("encode", picture, "-m", small_model, "--verify", "--force")
    assert result.exit_code == 1 and "other codes" in result.stderr
    assert target.read_bytes() == b"old"


def test_a_batch_that_memory_does_not_hold_is_converted_one_by_one(
    tmp_path: Path, small_model: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in "abc":
        Image.fromarray(make_picture(30 if name != "b" else 40, 20)).save(tmp_path / f"{name}.png")
    original = encoding.encode_pictures

    def small_memory(pictures: list[Picture], *args: object, **kwargs: object) -> list[encoding.EncodedFile]:
        if len(pictures) > 1 or pictures[0].pixels.shape[1] == 40:
            raise RuntimeError("not enough memory:\nyou tried")
        return original(pictures, *args, **kwargs)  # type: ignore[arg-type]

    monkeypatch.setattr(encoding, "encode_pictures", small_memory)
    result = run("encode", tmp_path, "-o", tmp_path / "out", "-m", small_model)
    assert result.exit_code == 1 and "b.png: cannot be converted: not enough memory: you tried" in result.stderr
    assert sorted(path.name for path in (tmp_path / "out").iterdir()) == ["a.vq", "c.vq"]


@pytest.mark.parametrize("coder", ["raw", "static", "prior"])
def test_coder_is_chosen(picture: Path, small_model: str, coder: str) -> None:
    path = encoded(picture, small_model, "--coder", coder)
    assert {level["coder"] for level in json.loads(run("info", path, "--json").stdout)["maps"]} == {coder}
    assert run("decode", path, "-o", picture.with_name(f"{coder}.png")).exit_code == 0


def test_a_broken_model_folder_does_not_hinder_the_others(picture: Path, models_root: Path, small_model: str) -> None:
    broken = models_root / "broken"
    broken.mkdir(exist_ok=True)
    (broken / "config.json").write_text("{}")
    path = encoded(picture, small_model)
    assert run("info", path).exit_code == 0
    result = run("encode", picture, "-m", "broken", "-f")
    assert result.exit_code == 1 and "not a model config" in result.stderr


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


def test_failed_write_leaves_nothing(picture: Path, small_model: str) -> None:
    path = encoded(picture, small_model)
    before = set(picture.parent.iterdir())
    result = run("decode", path, "-o", picture.with_name("x.nosuchformat"))
    assert result.exit_code == 1 and f"{path}: cannot write a picture as" in result.stderr
    blocked = picture / "below-a-file.png"
    assert run("decode", path, "-o", blocked).exit_code == 1
    assert set(picture.parent.iterdir()) == before


@pytest.mark.parametrize(
    "args",
    [
        ["encode"],
        ["encode", "x", "-q", "0"],
        ["encode", "x", "-q", "101"],
        ["encode", ""],
        ["encode", "x", "--lambda", "-1"],
        ["encode", "x", "--lambda", "nan"],
        ["encode", "x", "--lambda", "inf"],
        ["sample", "-o", "x.png", "--temperature", "nan"],
        ["sample", "-o", "x.png", "--size", f"{'9' * 5000}x1"],
        ["sample", "-o", ""],
        ["compare", "-", "-"],
        ["decode", "x", "--max-maps", "0"],
        ["nonsense"],
    ],
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
        (["info", "/"], "/: is a directory"),
        (["info", "/dev/zero"], "larger than"),
        (["compare", "absent.vq", "absent.png"], "no such file"),
    ],
)
def test_errors_are_one_line_and_exit_with_1(args: list[str], message: str) -> None:
    result = run(*args)
    assert result.exit_code == 1 and message in result.stderr and len(result.stderr.splitlines()) == 1


def test_models_json(small_model: str) -> None:
    rows = {row["id"]: row for row in map(json.loads, run("models", "--json").stdout.splitlines())}
    assert set(rows[small_model]) == {"id", "number", "parameters", "num_bytes", "weights_sha256", "folder"}
    assert rows[DEFAULT_MODEL]["number"] == 5 and rows[DEFAULT_MODEL]["parameters"] <= 8_000_000


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


def test_line_breaks_in_names_do_not_break_lines(picture: Path, small_model: str) -> None:
    odd = picture.rename(picture.with_name("two\nlines \x1b[31m\udcff.png"))
    result = run("encode", odd, "-m", small_model)
    assert result.exit_code == 0 and odd.with_suffix(".vq").is_file()
    (line,) = result.stderr.split("\n")[:-1]
    assert r"two\nlines \x1b[31m\udcff.png -> " in line
    result = run("encode", odd, "-m", small_model)
    (line,) = result.stderr.split("\n")[:-1]
    assert result.exit_code == 1 and r"two\nlines \x1b[31m\udcff.vq: exists already" in line
    result = run("info", odd)
    (line,) = result.stderr.split("\n")[:-1]
    assert result.exit_code == 1 and r"two\nlines \x1b[31m\udcff.png: not a .vq file" in line
