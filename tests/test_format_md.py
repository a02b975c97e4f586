"""Compares FORMAT.md with the code: its tables, its limits, its examples."""

import re
from pathlib import Path

import numpy as np

from tests.rans import rans_encode
from vqcodec.coding.coders import decode_raw, encode_static
from vqcodec.coding.maps import index_crc
from vqcodec.format import chunks, container, layers
from vqcodec.format.container import CoderKind, ColourMode, read_container
from vqcodec.format.octaves import OCTAVES
from vqcodec.images.layers import decode_patch
from vqcodec.images.metadata import ALPHA_CHUNK, EXIF_CHUNK, ICC_CHUNK, XMP_CHUNK

TEXT = (Path(__file__).parent.parent / "FORMAT.md").read_text(encoding="utf-8")


def numbered_rows(heading: str) -> dict[int, str]:
    table = TEXT.split(heading)[1].split("\n\n")[1] if heading in TEXT else ""
    return {int(number): name for number, name in re.findall(r"^\| (\d+) \| (\w[\w ]*) \|", table, re.MULTILINE)}


def example(marker: str) -> bytes:
    block = TEXT.split(marker)[1].split("\n\n")[1]
    return bytes.fromhex(" ".join(block.split()))


def test_tables_of_numbers() -> None:
    assert numbered_rows("Colour modes:") == {mode.value: mode.name for mode in ColourMode}
    assert numbered_rows("## 4. Payloads") == {kind.value: kind.name.lower() for kind in CoderKind} | {3: "sharpened prior"}


def test_constants_and_limits() -> None:
    assert f"| magic | 3 bytes | `{container.MAGIC.hex(' ')}` |" in TEXT
    assert f"| version | u8 | `{container.PLAIN_VERSION:02d}`, or `{container.FORMAT_VERSION:02d}` if a map is of coder kind 3 |" in TEXT
    assert f"| side | {container.MAX_SIDE_PX} pixels |" in TEXT
    assert f"| pixels | {container.MAX_PIXELS} |" in TEXT
    assert f"| maps | {container.MAX_MAPS} |" in TEXT
    assert f"| payload, chunk | {container.MAX_PAYLOAD_BYTES} bytes |" in TEXT
    for name, limit in [("ICC profile", container.MAX_ICC_BYTES), ("EXIF", container.MAX_EXIF_BYTES), ("XMP", container.MAX_XMP_BYTES)]:
        assert f"| inflated {name} | {limit} bytes |" in TEXT
    assert container.MAX_PAYLOAD_BYTES == chunks.MAX_CHUNK_BYTES
    assert f"| side of an exact patch | {layers.MAX_PATCH_SIDE_PX} pixels |" in TEXT
    for kind in (layers.EXACT_LAYER, layers.AVIF_LAYER, layers.COLOUR_LAYER, ALPHA_CHUNK, ICC_CHUNK, EXIF_CHUNK, XMP_CHUNK):
        assert f"| `{kind.decode()}` |" in TEXT


def test_static_example() -> None:
    freqs = [8388608, 4194304, 2097152, 2097152]
    codes = [0, 1, 2, 3, 0, 0, 1, 0]
    payload = example("*Example.* For K = 4")
    assert encode_static(np.array(codes), np.array(freqs)) == payload
    assert rans_encode(codes, [freqs] * len(codes)) == payload


def test_octaves() -> None:
    block = TEXT.split("OCTAVES[i] is 2^30")[1].split("\n\n")[1]
    assert tuple(map(int, block.split())) == OCTAVES


def test_whole_file_example() -> None:
    parsed = read_container(example("A whole file:"))
    header = parsed.header
    assert (header.width, header.height, header.mode, header.model_number) == (16, 8, ColourMode.L, 1)
    assert header.weights_digest == bytes([0, 1, 2, 3])
    (entry,) = header.maps
    assert entry.coder is CoderKind.RAW
    codes = decode_raw(parsed.payloads[0], 2, 512)
    assert codes.tolist() == [5, 300] and index_crc(codes) == entry.index_crc


def test_example_of_a_file_with_a_layer() -> None:
    parsed = read_container(example("A file with a layer:"))
    found = layers.read_layers(parsed.layers, parsed.header.width, parsed.header.height)
    (patch,) = found.patches
    assert (patch.left, patch.top, patch.size, patch.num_exact) == (4, 2, (6, 3), 18)
    rgb, mask = decode_patch(patch)
    assert mask.all() and (rgb == (0, 255, 0)).all()
    assert parsed.payloads == (b"",) and parsed.header.mode is ColourMode.RGB
