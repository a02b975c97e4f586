"""Checks how the command line starts, and how it ends if something is wrong."""

import importlib
import importlib.util
import os
import shutil
import struct
import subprocess
import sys
from pathlib import Path

import pytest
from PIL import Image

import vqcodec
from tests.cli.conftest import run
from tests.conftest import make_picture
from vqcodec.models.devices import needs_torch
from vqcodec.models.registry import DEFAULT_MODEL
from vqcodec.nn import kernels

GOLDEN = Path(__file__).parents[1] / "golden" / "v4"
CONFORMANCE = Path(__file__).parents[1] / "conformance"


def test_console_script_runs() -> None:
    script = Path(sys.executable).with_name("vqcodec")
    done = subprocess.run([script, "--version"], capture_output=True, text=True, check=True)
    assert done.stdout.startswith("vqcodec, version")


def test_what_pillow_logs_is_no_second_line(tmp_path: Path) -> None:
    """Pillow logs the number of samples before it refuses this TIFF."""
    path = tmp_path / "samples.tif"
    Image.new("RGB", (4, 4)).save(path)
    data = path.read_bytes()
    path.write_bytes(data.replace(struct.pack("<HHIH", 277, 3, 1, 3), struct.pack("<HHIH", 277, 3, 1, 2048)))
    assert path.read_bytes() != data
    done = subprocess.run([sys.executable, "-m", "vqcodec", "encode", path], capture_output=True, text=True, check=False)
    assert done.returncode == 1 and done.stderr.startswith("vqcodec: ") and done.stderr.count("\n") == 1


LOADED = """
import sys
from vqcodec.cli import main
try:
    main(sys.argv[1:])
finally:
    print(*sorted(sys.modules.keys() & {"PIL", "numpy", "torch"}), file=sys.stderr)
"""


@pytest.mark.parametrize(
    ("args", "told"),
    [
        (["--version"], "vqcodec, version"),
        (["--help"], "  bench    Compare codecs"),
        (["encode", "--help"], "--target-bpp"),
        (["models"], DEFAULT_MODEL),
        (["info", str(GOLDEN / "rgba-prior.vq")], "refine_1"),
        (["info", str(GOLDEN / "exact-all.vq")], "100.0% of the picture"),
        (["info", str(GOLDEN / "avif-exact-patch.vq")], "AVIF picture"),
    ],
)
def test_commands_that_start_at_once_load_little(args: list[str], told: str) -> None:
    done = subprocess.run([sys.executable, "-c", LOADED, *args], capture_output=True, text=True, check=False)
    assert done.returncode == 0 and told in done.stdout and not done.stderr.split()


def imports_of(*args: Path | str, **environment: str) -> set[str]:
    """Returns the names of the modules that a command imports."""
    command = [sys.executable, "-X", "importtime", "-m", "vqcodec", *args]
    done = subprocess.run(command, capture_output=True, text=True, check=True, env={**os.environ, **environment})
    return {line.split("|")[-1].strip() for line in done.stderr.splitlines()}


@pytest.mark.skipif(importlib.util.find_spec("openvino") is None, reason="the extra fast is not installed")
@pytest.mark.parametrize(
    "options",
    [
        ["decode"],
        ["decode", "--region", "8,8,40,30"],
        ["decode", "--max-maps", "1", "--realism", "0.5"],
        ["encode"],
        ["encode", "--verify", "--max-bytes", "300"],
        ["encode", "--coder", "static", "--lambda", "2"],
    ],
)
def test_files_are_encoded_and_decoded_without_torch(tmp_path: Path, options: list[str]) -> None:
    if kernels.library() is None:
        pytest.skip("there are no compiled kernels")
    Image.fromarray(make_picture(72, 56)).save(tmp_path / "photo.png")
    source, target = (CONFORMANCE / "maps-3/file.vq", "out.png") if options[0] == "decode" else (tmp_path / "photo.png", "out.vq")
    args = (*options, source, "-o", tmp_path / target, "--device", "cpu")
    imported = imports_of(*args)
    assert "openvino._pyopenvino" in imported and "torch" not in imported
    if len(options) == 1:
        assert "torch" in imports_of(*args, "-f", VQCODEC_RUNTIME="torch")


@pytest.mark.skipif(importlib.util.find_spec("openvino") is None, reason="the extra fast is not installed")
@pytest.mark.parametrize(
    ("args", "output"),
    [
        (["sample", "-n", "1", "--size", "16x8", "--top-k", "9", "--device", "cpu"], "out.png"),
        (["inspect", str(CONFORMANCE / "maps-3/file.vq"), "--device", "cpu"], "out.png"),
        (["decode", str(CONFORMANCE / "maps-3/file.vq"), "--max-maps", "2", "--fill", "sample", "--device", "cpu"], "out.png"),
        (["pack", str(CONFORMANCE / "maps-3")], "out.tar"),
        (["pack", str(CONFORMANCE / "maps-3"), "--coder", "static"], "out.tar"),
    ],
)
def test_codes_are_drawn_weighed_and_packed_without_torch(tmp_path: Path, args: list[str], output: str) -> None:
    if needs_torch("auto"):
        pytest.skip("there are no compiled kernels, or there is a graphics processor")
    assert "torch" not in imports_of(*args, "-o", tmp_path / output) and (tmp_path / output).stat().st_size > 0


@pytest.mark.skipif(kernels.library() is None, reason="the package was built without a C compiler")
def test_version_tells_that_there_are_no_kernels_to_use(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Kernels of another version, as a checkout may hold that was updated and not installed anew, are as good as none."""
    shutil.copy(kernels.FOLDER / "kernels-generic.so", tmp_path)
    monkeypatch.setattr(kernels, "FOLDER", tmp_path)
    monkeypatch.setattr(kernels, "VERSION", kernels.VERSION + 1)
    for function in (kernels.library, kernels.instruction_sets):
        monkeypatch.setattr(kernels, function.__name__, function.__wrapped__)
    monkeypatch.setattr(importlib.import_module("vqcodec.cli.main"), "library", kernels.library)
    assert run("--version").stdout == f"vqcodec, version {vqcodec.__version__} (without compiled kernels)\n"
    monkeypatch.setattr(kernels, "VERSION", kernels.VERSION - 1)
    assert run("--version").stdout == f"vqcodec, version {vqcodec.__version__}\n"


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
        ["encode", "x", "--exact", "some"],
        ["encode", "x", "--exact", "all", "--no-layers"],
        ["encode", "x", "--exact", "all", "-q", "50"],
        ["encode", "x", "--exact", "all", "--lambda", "1"],
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
    ("args", "kind"), [(["encode", "x", "--maps", "nan"], "integer"), (["decode", "x", "--realism", "much"], "number")]
)
def test_what_is_no_number_is_told(args: list[str], kind: str) -> None:
    result = run(*args)
    assert result.exit_code == 2 and f"{args[-1]!r} is not a valid {kind}." in result.stderr


@pytest.mark.parametrize(
    ("args", "message"),
    [
        (["info", "absent.vq"], "no such file"),
        (["encode", "absent.png"], "no such file"),
        (["encode", "absent.png", "-m", "photo-v999"], "no model 'photo-v999'"),
        (["decode", "absent.vq"], "no such file"),
        (["info", "/"], "/: no file ending in .vq"),
        (["info", "/dev/zero"], "larger than"),
        (["compare", "absent.vq", "absent.png"], "no such file"),
        (["encode", "x", "-m", "tests"], "no model 'tests'; installed: photo-v5; the folder of this name holds no config.json"),
        (["pack", "-", "-o", "x.tar"], "standard input is not packed; name .vq files and folders"),
        (["sample", "-o", "x.png", "--max-maps", "5"], "5 maps were asked for; model photo-v5 has 4"),
        (["bench", "tests", "-o", "x.html", "--codecs", ","], "--codecs ',' names no codec"),
    ],
)
def test_errors_are_one_line_and_exit_with_1(args: list[str], message: str) -> None:
    result = run(*args)
    assert result.exit_code == 1 and message in result.stderr and len(result.stderr.splitlines()) == 1


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
