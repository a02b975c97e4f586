"""Files of every format version so far: they decode to the same codes, bit for bit, and those codes are written to the same bytes."""

import json
from pathlib import Path

import numpy as np
import pytest

from tests.golden.generate import FOLDER, MODEL, SHIPPED
from vqcodec.decoding import decode_file, paint
from vqcodec.encoding import write_file

FILES = sorted(FOLDER.glob("*.vq"))


@pytest.fixture(autouse=True)
def golden_models(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("VQCODEC_MODELS", str(FOLDER))


def test_there_are_golden_files_of_every_coder() -> None:
    assert len(FILES) >= 6
    coders = {coded.entry.coder.name for path in FILES for coded in decode_file(path.read_bytes(), device="cpu").file.maps}
    assert coders == {"RAW", "STATIC", "PRIOR"}


def test_there_are_golden_files_of_every_layer() -> None:
    layers = [decode_file(path.read_bytes(), device="cpu").file.layers.layers for path in FILES]
    kinds = {(bool(one.patches), one.avif is not None) for one in layers}
    assert kinds == {(False, False), (True, False), (False, True), (True, True)}


@pytest.mark.parametrize("path", FILES, ids=lambda path: path.stem)
def test_codes_bytes_and_pixels(path: Path) -> None:
    data = path.read_bytes()
    expected = np.load(path.with_suffix(".npz"))
    decoded = decode_file(data, device="cpu")
    assert len(decoded.indices) == len(expected.files) - 1
    for number, indices in enumerate(decoded.indices):
        assert np.array_equal(indices, expected[f"map_{number}"])
    (picture,) = paint([decoded])
    assert picture.pixels.shape == expected["pixels"].shape
    assert np.abs(picture.pixels.astype(int) - expected["pixels"]).max() <= 1
    coders = {coded.entry.coder for coded in decoded.file.maps}
    layers = decoded.file.layers.layers
    assert write_file(picture, decoded.indices, decoded.file.model, coders.pop() if len(coders) == 1 else None, layers=layers) == data


def test_shipped_models_have_golden_files() -> None:
    assert set(SHIPPED) == {path.parent.name for path in (Path(__file__).parents[2] / "models").glob("*/config.json")}
    assert set(SHIPPED) < {path.stem for path in FILES}
    for name in SHIPPED:
        file = decode_file((FOLDER / f"{name}.vq").read_bytes(), device="cpu")
        assert file.file.model.config.id == name and {coded.entry.coder.name for coded in file.file.maps} == {"PRIOR"}


def test_the_model_is_the_one_that_was_committed() -> None:
    assert json.loads((MODEL / "config.json").read_text())["number"] == 1001
