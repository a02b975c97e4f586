"""Checks that files with damaged layers, all checksums of which are right, raise `VqcodecError` and nothing else, or give a picture."""

from collections import Counter
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

import vqcodec
from vqcodec.decoding.files import open_file
from vqcodec.format.chunks import Chunk, chunks_length
from vqcodec.format.container import read_container, write_container
from vqcodec.format.layers import AVIF_LAYER, COLOUR_LAYER, EXACT_LAYER, Layers, Patch, read_layers, write_layers

GOLDEN = Path(__file__).parents[1] / "golden" / "v4"
SEEDS = ("exact-patch", "exact-no-codes", "exact-grey-alpha", "avif", "avif-exact-patch", "colour-layer", "colour-layer-exact-patch")
NUMBERS = (0, 1, 2, 63, 100, 120, 127, 128, 255, 16383, 16384, (1 << 20) - 1, (1 << 28) - 1)
"""Values of fields at which something changes."""

Damage = Callable[[np.random.Generator, bytes], bytes]


def flip(rng: np.random.Generator, data: bytes) -> bytes:
    """Returns data in which a few bytes are others, are missing, or are new."""
    out = bytearray(data)
    for _ in range(int(rng.integers(1, 5))):
        place = int(rng.integers(len(out) + 1))
        how = rng.integers(4)
        if how == 0:
            out[place : place + int(rng.integers(1, 9))] = b""
        elif how == 1:
            out[place:place] = rng.bytes(int(rng.integers(1, 9)))
        else:
            out[place : place + 1] = bytes([int(rng.integers(256))])
    return bytes(out)


def damaged_patch(rng: np.random.Generator, patch: Patch) -> Patch:
    number = int(rng.choice(NUMBERS))
    sides = int(rng.choice(NUMBERS)) - 1 & 0x3FFF | (number - 1 & 0x3FFF) << 14
    changes = (
        {"left": number},
        {"top": number},
        {"num_exact": number},
        {"num_exact": patch.num_exact + 1},
        {"bitstream": b"\x2f" + sides.to_bytes(4, "little") + patch.bitstream[5:]},
        {"bitstream": patch.bitstream[:5] + flip(rng, patch.bitstream[5:])},
        {"bitstream": patch.bitstream[: int(rng.integers(len(patch.bitstream)))]},
        {"bitstream": flip(rng, patch.bitstream)},
    )
    return replace(patch, **changes[rng.integers(len(changes))])


def damaged_avif(rng: np.random.Generator, data: bytes) -> bytes:
    size, stream = data.index(b"ispe") + 8, data.index(b"mdat") + 4
    how = rng.integers(4)
    if how == 0:
        sides = [int(rng.choice(NUMBERS)).to_bytes(4, "big") for _ in range(2)]
        return data[:size] + b"".join(sides) + data[size + 8 :]
    if how == 1:
        return flip(rng, data[:stream]) + data[stream:]
    if how == 2:
        head = stream + int(rng.integers(4, 24))
        return data[:stream] + flip(rng, data[stream:head]) + data[head:]
    return data[:stream] + flip(rng, data[stream:])


def damaged_tint(rng: np.random.Generator, body: bytes) -> bytes:
    how = rng.integers(4)
    if how == 0:
        place = int(rng.integers(5))
        return body[:place] + bytes([int(rng.choice((0, 1, 2, 3, 4, 5, 6, 7, 8, 31, 32, 33, 100, 255)))]) + body[place + 1 :]
    if how == 1:
        return body[: int(rng.integers(len(body)))]
    if how == 2:
        return body[:5] + rng.bytes(int(rng.integers(len(body))))
    return body[:5] + flip(rng, body[5:])


def damaged(rng: np.random.Generator, data: bytes) -> bytes:
    """Returns a file in which one thing is damaged, and all checksums are right."""
    container = read_container(data)
    chunks, header = list(container.layers), container.header
    place = int(rng.integers(len(chunks)))
    chunk, how = chunks[place], rng.integers(10)
    if how == 0:
        chunks[place] = Chunk(chunk.kind, flip(rng, chunk.body))
    elif how == 1:
        chunks[place] = Chunk([EXACT_LAYER, AVIF_LAYER, COLOUR_LAYER, b"QQQQ", b"qqqq"][rng.integers(5)], chunk.body)
    elif how == 2:
        chunks.append(chunk)
    elif how == 3:
        header = replace(header, **{str(rng.choice(["width", "height"])): int(rng.choice((1, 50, 99, 100, 101, 119, 121, 16384)))})
    elif chunk.kind == AVIF_LAYER:
        chunks[place] = Chunk(chunk.kind, damaged_avif(rng, chunk.body))
    elif chunk.kind == COLOUR_LAYER:
        chunks[place] = Chunk(chunk.kind, damaged_tint(rng, chunk.body))
    else:
        patches = list(read_layers([chunk], header.width, header.height).patches)
        patches = [damaged_patch(rng, patches[0]), *patches[1:]] if how < 9 else patches * int(rng.integers(2, 9))
        (chunks[place],) = write_layers(Layers(tuple(patches)))
    header = replace(header, layers_bytes=chunks_length(chunks))
    return write_container(replace(container, header=header, layers=tuple(chunks)))


@pytest.fixture(autouse=True)
def golden_models(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("VQCODEC_MODELS", str(GOLDEN))


def test_400_damaged_files(capfd: pytest.CaptureFixture[str]) -> None:
    seeds = [(GOLDEN / f"{name}.vq").read_bytes() for name in SEEDS]
    model = open_file(seeds[0]).model
    rng = np.random.default_rng(0)
    outcomes: Counter[str] = Counter()
    for number in range(400):
        try:
            open_file(damaged(rng, seeds[number % len(seeds)]), model=model)
            outcomes["opened"] += 1
        except vqcodec.VqcodecError as error:
            assert str(error) and "\n" not in str(error)
            outcomes[type(error).__name__] += 1
    assert {"opened", "FormatError", "TruncatedError", "LimitExceededError", "DesyncError"} == outcomes.keys()
    assert outcomes["opened"] < 120 and outcomes["FormatError"] > 120 and outcomes["DesyncError"] > 20, outcomes
    assert capfd.readouterr() == ("", "")
