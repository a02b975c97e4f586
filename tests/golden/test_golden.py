"""Files of every format version so far: they decode to the same codes, bit for bit, and those codes are written to the same bytes."""

import json
from pathlib import Path

import numpy as np
import pytest
import skimage.data

import vqcodec
from tests.golden.generate import FOLDER, MODEL, SHARPENED_FOLDER, SHIPPED, covered, sharpened
from vqcodec.decoding.files import decode_codes, decode_file, open_file
from vqcodec.decoding.painting import paint
from vqcodec.encoding.writing import write_file
from vqcodec.images.picture import Picture

FILES = sorted(FOLDER.parent.glob("v*/*.vq"))


@pytest.fixture(autouse=True)
def golden_models(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("VQCODEC_MODELS", str(FOLDER))


def test_there_are_golden_files_of_every_coder() -> None:
    assert len(FILES) >= 6
    coders = {coded.entry.coder.name for path in FILES for coded in decode_file(path.read_bytes(), device="cpu").file.maps}
    assert coders == {"RAW", "STATIC", "PRIOR"}


def test_there_are_golden_files_of_every_layer() -> None:
    layers = [decode_file(path.read_bytes(), device="cpu").file.layers.layers for path in FILES]
    kinds = {(bool(one.patches), one.avif is not None, one.tint is not None) for one in layers}
    assert {
        (False,) * 3,
        (True, False, False),
        (False, True, False),
        (False, False, True),
        (True, True, False),
        (True, False, True),
    } <= kinds


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
    sharpness = [coded.entry.sharpness for coded in decoded.file.maps]
    coder = coders.pop() if len(coders) == 1 else None
    assert write_file(picture, decoded.indices, decoded.file.model, coder, layers=layers, sharpness=sharpness) == data
    assert path.parent.name == f"v{decoded.file.header.version}"


@pytest.mark.parametrize("name", ["exact-patch", "exact-all", "avif", "avif-exact-patch", "colour-layer-exact-patch", *covered()])
def test_exact_pixels_are_those_of_the_picture(name: str) -> None:
    """Layers are bit for bit; what lies under AVIF or beside patches is not, and pixels that alpha hides may have any colour."""
    picture = covered().get(name) or Picture(skimage.data.chelsea()[40:140, 130:250])
    pixels, visible = picture.pixels, np.ones(picture.pixels.shape[:2], bool) if picture.alpha is None else picture.alpha > 0
    decoded = decode_file((FOLDER / f"{name}.vq").read_bytes(), device="cpu")
    (painted,) = paint([decoded])
    exact = np.zeros(pixels.shape[:2], bool)
    for patch, (_, mask) in zip(decoded.file.layers.layers.patches, decoded.file.layers.patches, strict=True):
        exact[patch.top : patch.top + mask.shape[0], patch.left : patch.left + mask.shape[1]] |= mask
    assert exact.mean() == (0 if name == "avif" else 0.15 if name.endswith("exact-patch") else 1)
    assert np.array_equal(painted.pixels[exact & visible], pixels[exact & visible])
    assert np.abs(painted.pixels.astype(int) - pixels)[visible].mean() < 10


def test_a_colour_layer_moves_what_is_not_exact() -> None:
    """Colour layers are at most 9 levels here, and exact pixels stand above them."""
    moved = {}
    for name in ("colour-layer", "colour-layer-exact-patch"):
        data = (FOLDER / f"{name}.vq").read_bytes()
        decoded = decode_file(data, device="cpu")
        assert decoded.file.tint is not None
        (with_layers,), (codes,) = paint([decoded]), paint(decode_codes([open_file(data, device="cpu", layers=False)]))
        assert np.abs(decoded.file.tint.added_to(codes.pixels).astype(int) - codes.pixels).max() == 9
        moved[name] = with_layers.pixels.astype(int) - codes.pixels
        if name == "colour-layer":
            assert np.array_equal(with_layers.pixels, decoded.file.tint.added_to(codes.pixels))
        else:
            ((_, mask),) = decoded.file.layers.patches
            exact = np.zeros(codes.pixels.shape[:2], bool)
            (patch,) = decoded.file.layers.layers.patches
            exact[patch.top : patch.top + mask.shape[0], patch.left : patch.left + mask.shape[1]] = mask
            assert np.array_equal(moved[name][~exact], moved["colour-layer"][~exact])


def test_codes_under_exact_pixels_take_no_bytes() -> None:
    for name in covered():
        decoded = decode_file((FOLDER / f"{name}.vq").read_bytes(), device="cpu")
        assert [(coded.payload, indices.any()) for coded, indices in zip(decoded.file.maps, decoded.indices, strict=True)] == [(b"", False)]


@pytest.mark.parametrize("name", sharpened())
def test_parts_of_files_with_sharpened_priors_are_read(name: str) -> None:
    path = SHARPENED_FOLDER / f"{name}.vq"
    whole = vqcodec.decode(path.read_bytes(), device="cpu")
    with vqcodec.open(path) as reader:
        left = max(0, reader.size[0] - 50)
        part = reader.read_region((left, 0), 0, (reader.size[0] - left, reader.size[1]))
    assert np.abs(np.asarray(part) - np.asarray(whole).astype(int)[:, left:]).max() <= 1


def test_shipped_models_have_golden_files() -> None:
    assert set(SHIPPED) == {path.parent.name for path in (Path(__file__).parents[2] / "models").glob("*/config.json")}
    assert set(SHIPPED) < {path.stem for path in FILES}
    for name in SHIPPED:
        file = decode_file((FOLDER / f"{name}.vq").read_bytes(), device="cpu")
        assert file.file.model.config.id == name and {coded.entry.coder.name for coded in file.file.maps} == {"PRIOR"}


def test_the_model_is_the_one_that_was_committed() -> None:
    assert json.loads((MODEL / "config.json").read_text())["number"] == 1001
