"""The target of weights files, which are of the format safetensors: a length, a header of JSON, and the tensors' bytes."""

import hashlib
import json
import struct
import tempfile
from pathlib import Path
from typing import Any, Final

import numpy as np
import skimage.data

import vqcodec
from tests.fuzz.config_mutations import RANGES
from tests.fuzz.mutations import cut, pick, scramble
from tests.golden.generate import MODEL
from vqcodec.errors import WeightsMismatchError
from vqcodec.models.config import CONFIG_NAME, WEIGHTS_NAME

_LENGTH_BYTES: Final = 8
"""Length of the field that holds the length of the header."""
_DTYPES: Final = ("F64", "F32", "F16", "BF16", "I64", "I32", "I16", "I8", "U8", "BOOL", "F8_E4M3", "C64", "Q9", 7)
_SIZES: Final = (0, 1, 2, 3, 7, 16, 17, -1, 1 << 16, 1 << 31, 1 << 62, 1 << 64, 0.5, "1")
_VALUES: Final = tuple(
    np.array(value, dtype).tobytes()
    for value, dtype in (
        (np.nan, "<f4"), (np.inf, "<f4"), (-np.inf, "<f4"), (3e38, "<f4"), (1e-44, "<f4"), (0, "<f4"), (32767, "<i2"), (-32768, "<i2"),
        (2**31 - 1, "<i4"), (-(2**31), "<i4"), (-1, "<i8"),
    )
)  # fmt: skip
"""Bytes of values that stand in place of others."""


def mutated_weights(rng: np.random.Generator, data: bytes) -> bytes:
    """Returns a weights file with other values, another header, or other bytes."""
    how = rng.integers(16)
    if how < 2 or len(data) < _LENGTH_BYTES:
        return (cut if how == 0 else scramble)(rng, data)
    size = min(struct.unpack("<Q", data[:_LENGTH_BYTES])[0], len(data) - _LENGTH_BYTES)
    head, values = data[_LENGTH_BYTES : _LENGTH_BYTES + size], data[_LENGTH_BYTES + size :]
    if how == 2:
        size = int(pick(rng, (0, 1, 2, max(0, size - 1), size + 1, len(data), 1 << 30, (1 << 64) - 1)))
    elif how == 3:
        head = scramble(rng, head)
    elif how < 9:
        values = _other_values(rng, values)
    else:
        try:
            header = json.loads(head)
            for _ in range(int(rng.integers(1, 3))):
                header = _other_header(rng, header)
        except (ValueError, TypeError, KeyError, AttributeError, RecursionError):
            return scramble(rng, data)
        head = json.dumps(header).encode()
        size = len(head)
    return struct.pack("<Q", size) + head + values


def _other_values(rng: np.random.Generator, values: bytes) -> bytes:
    """Returns the bytes of tensors with a run of one value among them, or all of them of one."""
    value = pick(rng, _VALUES)
    if rng.integers(8) == 0:
        return (value * (len(values) // len(value) + 1))[: len(values)]
    start = int(rng.integers(len(values) + 1)) // 8 * 8
    run = value * int(rng.integers(1, 200))
    return (values[:start] + run + values[start + len(run) :])[: len(values)]


def _other_header(rng: np.random.Generator, header: dict[str, Any]) -> dict[str, Any]:
    """Returns a header in which one tensor has another name, type, shape or place, is missing, or stands for two."""
    name = pick(rng, sorted(header))
    entry = dict(header[name])
    how = rng.integers(8)
    if how == 0:
        return {other: value for other, value in header.items() if other != name}
    if how == 1:
        return {other + pick(rng, ("", ".x", "\n")) if other == name else other: value for other, value in header.items()} | {"x": entry}
    if how == 2:
        entry["dtype"] = pick(rng, _DTYPES)
    elif how == 3:
        entry["shape"] = entry["shape"][::-1] if rng.integers(2) else [*entry["shape"], 1]
    elif how == 4:
        shape = list(entry["shape"])
        shape[int(rng.integers(len(shape)))] = pick(rng, _SIZES)
        entry["shape"] = shape
    elif how == 5:
        entry["data_offsets"] = [place + int(rng.integers(-8, 9)) for place in entry["data_offsets"]]
    elif how == 6:
        entry = dict(header[pick(rng, sorted(header))])
    else:
        other = pick(rng, sorted(header))
        return header | {name: header[other], other: header[name]}
    return header | {name: entry}


def load_weights(data: bytes) -> None:
    """Loads the small golden model with other weights, and encodes, decodes and paints by it; half of them compute in 8 bits.

    Raises:
        AssertionError: Weights are taken whose digest is not that of the config, or what was encoded does not decode.
    """
    config = json.loads((MODEL / CONFIG_NAME).read_text(encoding="utf-8"))
    digest = hashlib.sha256(data).hexdigest()
    if int(digest, 16) % 2:
        config |= RANGES
    with tempfile.TemporaryDirectory() as folder:
        (Path(folder) / WEIGHTS_NAME).write_bytes(data)
        (Path(folder) / CONFIG_NAME).write_text(json.dumps(config), encoding="utf-8")
        if digest != config["weights_sha256"]:
            try:
                vqcodec.open_model(folder, device="cpu")
            except WeightsMismatchError:
                pass
            else:
                raise AssertionError("weights of another digest are taken")
        (Path(folder) / CONFIG_NAME).write_text(json.dumps(config | {"weights_sha256": digest}), encoding="utf-8")
        codec = vqcodec.open_model(folder, device="cpu")
        maps = [np.zeros((size, size), np.int64) for size in (2, 4, 4, 4)]
        codec.paint(maps, (16, 16))
        encode_and_decode(codec)


def encode_and_decode(codec: vqcodec.Codec) -> None:
    """Encodes a small picture, and decodes it.

    Raises:
        AssertionError: What was encoded does not decode.
    """
    file = codec.encode(np.ascontiguousarray(skimage.data.chelsea()[60:72, 150:166]), layers=False)
    try:
        codec.decode(file)
    except vqcodec.VqcodecError as error:
        raise AssertionError(f"what was encoded does not decode: {error}") from error
