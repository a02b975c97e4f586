"""Runs a decoder, which is any command line, over the conformance set, and prints a line for each file. Needs NumPy and Pillow alone.

    python tests/conformance/check.py
    python tests/conformance/check.py --decoder "my-decoder {file} {picture}" --cut "my-decoder --cut {file} {picture}"

{file} stands for a .vq file, {picture} for the PNG that the decoder is to write, and {codes} for a file of codes as `codes.bin` holds them,
if it writes that too. README.md says what is compared. The exit code is 1 if a file differs.
"""

import argparse
import hashlib
import json
import shlex
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import Any, Final

import numpy as np
from PIL import Image

ROOT: Final = Path(__file__).resolve().parent
REFUSED: Final = "refused"
EXPECTED: Final = "expected.json"
TIME_LIMIT_S: Final = 300
_EXIF_PREFIX: Final = b"Exif\0\0"


def accepted(root: Path = ROOT) -> list[Path]:
    """Returns the folders of the files that must decode."""
    return sorted(path.parent for path in root.glob(f"*/{EXPECTED}") if path.parent.name != REFUSED)


def refused(root: Path = ROOT) -> dict[Path, str]:
    """Returns the files that must be refused, and the errors that this project's decoder names."""
    errors: dict[str, str] = json.loads((root / REFUSED / EXPECTED).read_text())
    return {root / REFUSED / f"{name}.vq": error for name, error in errors.items()}


def expected_of(folder: Path) -> dict[str, Any]:
    """Returns what is expected of a decoder."""
    expected: dict[str, Any] = json.loads((folder / EXPECTED).read_text())
    return expected


def code_faults(expected: dict[str, Any], codes: bytes) -> list[str]:
    """Returns how the codes of a decoder, 2 little-endian bytes each, map after map, differ from those that were written."""
    faults, position = [], 0
    for number, of_map in enumerate(expected["maps"]):
        length = 2 * of_map["rows"] * of_map["columns"]
        if hashlib.sha256(codes[position : position + length]).hexdigest() != of_map["sha256"]:
            faults.append(f"codes of map {number} differ")
        position += length
    if len(codes) != position:
        faults.append(f"{len(codes)} bytes of codes, expected {position}")
    return faults


def picture_faults(expected: dict[str, Any], reference: Path, picture: Path) -> list[str]:
    """Returns how a decoder's PNG differs from the reference. Colours under alpha 0 do not count."""
    with Image.open(reference) as of_set, Image.open(picture) as decoded:
        if decoded.size != (expected["width"], expected["height"]) or decoded.mode != expected["mode"]:
            return [f"{decoded.mode} {decoded.size}, expected {expected['mode']} {(expected['width'], expected['height'])}"]
        faults = [] if peak_error(of_set, decoded) <= expected["peak_error"] else [f"peak error {peak_error(of_set, decoded)}"]
        return faults + metadata_faults(expected, decoded)


def peak_error(first: Image.Image, second: Image.Image) -> int:
    """Returns the largest difference of a sample that can be seen, in levels. Alpha planes must be equal, else it is 255."""
    one, other = (np.asarray(image).astype(int).reshape(image.height, image.width, -1) for image in (first, second))
    if first.mode in ("LA", "RGBA"):
        if (one[:, :, -1] != other[:, :, -1]).any():
            return 255
        visible = one[:, :, -1:] > 0
        one, other = one[:, :, :-1] * visible, other[:, :, :-1] * visible
    return int(np.abs(one - other).max())


def metadata_faults(expected: dict[str, Any], image: Image.Image) -> list[str]:
    """Returns which of the colour profile, EXIF and XMP of a PNG differ."""
    image.load()
    found = {"icc_profile": image.info.get("icc_profile"), "exif": image.info.get("exif"), "xmp": image.info.get("xmp")}
    if found["exif"] is not None:
        found["exif"] = found["exif"].removeprefix(_EXIF_PREFIX)
    digests = {kind: None if value is None else hashlib.sha256(value).hexdigest() for kind, value in found.items()}
    return [f"{kind} differs" for kind, digest in digests.items() if digest != expected["metadata"][kind]]


def run_decoder(command: str, **paths: Path) -> subprocess.CompletedProcess[str]:
    """Runs a decoder on a file."""
    arguments = [part.format(**paths) for part in shlex.split(command)]
    return subprocess.run(arguments, capture_output=True, text=True, timeout=TIME_LIMIT_S, check=False)


def faults_of_accepted(folder: Path, commands: argparse.Namespace) -> list[str]:
    """Runs a decoder on a file that must decode, and returns what is wrong."""
    expected = expected_of(folder)
    with tempfile.TemporaryDirectory() as scratch:
        picture, codes = Path(scratch) / "picture.png", Path(scratch) / "codes.bin"
        done = run_decoder(commands.cut if expected["is_cut"] else commands.decoder, file=folder / "file.vq", picture=picture, codes=codes)
        if done.returncode != 0 or not picture.exists():
            return [f"exit code {done.returncode}: {last_line(done)}"]
        faults = picture_faults(expected, folder / "picture.png", picture)
        if codes.exists():
            faults += code_faults(expected, codes.read_bytes())
        return faults + (faults_of_refused(folder / "file.vq", commands) if expected["is_cut"] else [])


def faults_of_refused(file: Path, commands: argparse.Namespace) -> list[str]:
    """Runs a decoder on a file that must be refused, and returns what is wrong."""
    with tempfile.TemporaryDirectory() as scratch:
        picture, codes = Path(scratch) / "picture.png", Path(scratch) / "codes.bin"
        done = run_decoder(commands.decoder, file=file, picture=picture, codes=codes)
        if done.returncode == 0 or picture.exists():
            return ["decodes, though it must be refused"]
        return [f"ended by signal {-done.returncode}"] if done.returncode < 0 else []


def last_line(done: subprocess.CompletedProcess[str]) -> str:
    """Returns the last line that a decoder printed."""
    return (done.stderr.strip() or done.stdout.strip() or "no message").splitlines()[-1]


def main(arguments: list[str] | None = None) -> int:
    """Runs the decoder on all files, or on those that are named."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--decoder", default="vqcodec decode {file} -o {picture}", help="command that decodes a file")
    parser.add_argument("--cut", default="vqcodec decode --allow-truncated {file} -o {picture}", help="command for files that are cut")
    parser.add_argument("names", nargs="*", help="names of files; by default all")
    commands = parser.parse_args(arguments)
    checks = [(folder.name, folder, faults_of_accepted) for folder in accepted()]
    checks += [(f"{REFUSED}/{file.stem} ({error})", file, faults_of_refused) for file, error in refused().items()]
    chosen = [entry for entry in checks if not commands.names or entry[1].stem in commands.names]
    wrong = 0
    for name, path, faults_of in chosen:
        try:
            faults = faults_of(path, commands)
        except subprocess.TimeoutExpired:
            faults = [f"no end within {TIME_LIMIT_S} seconds"]
        print(f"{'FAILED' if faults else 'ok'} {name}{': ' if faults else ''}{'; '.join(faults)}", flush=True)
        wrong += bool(faults)
    print(f"{len(chosen)} files, {wrong} failed")
    return bool(wrong) or not chosen


if __name__ == "__main__":
    sys.exit(main())
