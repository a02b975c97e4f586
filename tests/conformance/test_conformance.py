"""The package decodes the conformance set: exact codes, pictures within the peak error, metadata, and each error by its name."""

import sys
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

import vqcodec
from tests.conformance import check
from tests.conformance.generate import cases
from tests.reject_cases import CASES
from vqcodec.decoding.painting import decode_pictures
from vqcodec.format.container import ColourMode, read_container
from vqcodec.images.writing import write_picture

DECODER = f"{sys.executable} -m vqcodec decode {{file}} -o {{picture}}"


def decode(folder: Path, out: Path) -> list[str]:
    """Returns what is wrong with the codes and the picture of a file."""
    data, expected = (folder / "file.vq").read_bytes(), check.expected_of(folder)
    maps = vqcodec.decode_indices(data, device="cpu", allow_truncated=expected["is_cut"])
    (picture,) = decode_pictures([data], None, "cpu", allow_truncated=expected["is_cut"])
    out.write_bytes(write_picture(picture, ".png"))
    faults = check.code_faults(expected, b"".join(indices.astype("<u2").tobytes() for indices in maps))
    return faults + check.picture_faults(expected, folder / "picture.png", out)


@pytest.mark.parametrize("folder", check.accepted(), ids=lambda folder: folder.name)
def test_accepted(folder: Path, tmp_path: Path) -> None:
    assert decode(folder, tmp_path / "picture.png") == []
    expected = check.expected_of(folder)
    assert check.code_faults(expected, (folder / "codes.bin").read_bytes()) == []
    if expected["is_cut"]:
        with pytest.raises(vqcodec.errors.TruncatedError):
            vqcodec.decode((folder / "file.vq").read_bytes(), device="cpu")


@pytest.mark.parametrize(("file", "error"), check.refused().items(), ids=lambda value: getattr(value, "stem", ""))
def test_refused(file: Path, error: str) -> None:
    with pytest.raises(vqcodec.VqcodecError) as caught:
        vqcodec.decode(file.read_bytes(), device="cpu")
    assert type(caught.value).__name__ == error


def test_the_set_has_every_case_and_kind() -> None:
    names = {folder.name for folder in check.accepted()}
    assert cases().keys() <= names and len(names) == len(cases()) + 2
    assert {file.stem for file in check.refused()} == CASES.keys()
    files = [read_container((folder / "file.vq").read_bytes(), allow_truncated=True) for folder in check.accepted()]
    assert {len(file.header.maps) for file in files} == {1, 2, 3, 4}
    assert {file.header.mode for file in files} == set(ColourMode)
    assert {entry.coder.name for file in files for entry in file.header.maps} == {"RAW", "STATIC", "PRIOR"}
    assert {entry.sharpness for file in files for entry in file.header.maps} == {12, 16, 19, 24}
    assert {chunk.kind for file in files for chunk in file.layers} == {b"EXCT", b"AVIF", b"TINT"}
    assert {chunk.kind for file in files for chunk in file.metadata} == {b"ALPH", b"iCCP", b"eXIF", b"xMPP"}
    assert sum(path.stat().st_size for path in check.ROOT.glob("*/*.*")) < 400_000


def test_the_script_runs_the_command_line(capsys: pytest.CaptureFixture[str]) -> None:
    cut = DECODER.replace("decode {file}", "decode --allow-truncated {file}")
    assert check.main(["--decoder", DECODER, "--cut", cut, "exif-xmp", "cut-after-one-map", "payload-damaged"]) == 0
    assert capsys.readouterr().out.splitlines() == [
        "ok cut-after-one-map",
        "ok exif-xmp",
        "ok refused/payload-damaged (ChecksumMismatchError)",
        "3 files, 0 failed",
    ]


def test_the_script_finds_what_is_wrong(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    program = "import sys, shutil; shutil.copy(sys.argv[1], sys.argv[2]); open(sys.argv[3], 'wb').write(bytes(8))"
    wrong = check.ROOT / "maps-2" / "picture.png"
    decoder = f'{sys.executable} -c "{program}" {wrong} {{picture}} {{codes}}'
    assert check.main(["--decoder", decoder, "maps-1", "maps-2", "grey", "cut"]) == 1
    lines = capsys.readouterr().out.splitlines()
    assert lines[0].startswith("FAILED grey: RGB (96, 64), expected L (96, 64)")
    assert lines[1].startswith("FAILED maps-1: peak error ") and "codes of map 0 differ" in lines[1]
    assert lines[2].startswith("FAILED maps-2: codes of map 0 differ; codes of map 1 differ; 8 bytes of codes, expected 960")
    assert lines[3] == "FAILED refused/cut (TruncatedError): decodes, though it must be refused"
    assert lines[4] == "4 files, 4 failed"


def test_metadata_and_alpha_count(tmp_path: Path) -> None:
    for name in ("icc-profile", "exif-xmp"):
        reference = check.ROOT / name / "picture.png"
        with Image.open(reference) as image:
            Image.fromarray(np.asarray(image)).save(tmp_path / "bare.png")
        faults = check.picture_faults(check.expected_of(reference.parent), reference, tmp_path / "bare.png")
        assert faults == (["icc_profile differs"] if name == "icc-profile" else ["exif differs", "xmp differs"])
    reference = check.ROOT / "alpha" / "picture.png"
    with Image.open(reference) as image:
        pixels = np.array(image)
    hidden = pixels[:, :, 3] == 0
    assert hidden.any()
    pixels[hidden, :3] ^= 255
    Image.fromarray(pixels).save(tmp_path / "hidden.png")
    assert check.picture_faults(check.expected_of(reference.parent), reference, tmp_path / "hidden.png") == []
    pixels[0, 0, 3] ^= 1
    Image.fromarray(pixels).save(tmp_path / "alpha.png")
    assert check.picture_faults(check.expected_of(reference.parent), reference, tmp_path / "alpha.png") == ["peak error 255"]
