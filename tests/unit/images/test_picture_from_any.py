"""Checks what is taken for an image, and that anything else is refused with one line about what is taken."""

import subprocess
import sys
from io import BytesIO
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image

from tests.conftest import make_picture
from vqcodec.errors import ImageError
from vqcodec.images.picture import picture_from_any

RGB = make_picture(20, 12)
TENSOR = torch.from_numpy(RGB).permute(2, 0, 1)
TAKEN = (
    r"image must be a Pillow image, a uint8 array \[H, W\], \[H, W, 3\] or \[H, W, 4\], a torch uint8 tensor \[3, H, W\], "
    "a path or an open binary file, not "
)


@pytest.fixture
def path(tmp_path: Path) -> Path:
    path = tmp_path / "photo.png"
    Image.fromarray(RGB).save(path)
    return path


def test_arrays() -> None:
    assert picture_from_any(RGB).pixels is RGB
    assert picture_from_any(RGB[:, :, 0]).rgb.shape == (12, 20, 3)
    rgba = np.dstack([RGB, RGB[:, :, 1]])
    picture = picture_from_any(rgba)
    assert np.array_equal(picture.pixels, RGB) and picture.alpha is not None and np.array_equal(picture.alpha, RGB[:, :, 1])


def test_other_classes_of_arrays(tmp_path: Path) -> None:
    mapped = np.memmap(tmp_path / "pixels", np.uint8, "w+", shape=RGB.shape)
    mapped[:] = RGB
    assert np.array_equal(picture_from_any(mapped).pixels, RGB)


@pytest.mark.filterwarnings("ignore:the matrix subclass:PendingDeprecationWarning")
def test_other_arrays_are_refused() -> None:
    for array, given in [
        (RGB.astype(np.float32), r"a float32 array \[12, 20, 3\]"),
        (RGB > 128, r"a bool array \[12, 20, 3\]"),
        (RGB[:, :, :2], r"a uint8 array \[12, 20, 2\]"),
        (RGB[None], r"a uint8 array \[1, 12, 20, 3\]"),
        (RGB[0, 0], r"a uint8 array \[3\]"),
        (RGB[:0], r"a uint8 array \[0, 20, 3\]"),
        (np.matrix(RGB[:, :, 0]), r"a uint8 matrix \[12, 20\]"),
        (np.ma.masked_equal(RGB, 0), r"a uint8 MaskedArray \[12, 20, 3\]"),
    ]:
        with pytest.raises(TypeError, match=f"^{TAKEN}{given}$"):
            picture_from_any(array)  # type: ignore[arg-type]


def test_tensors() -> None:
    assert np.array_equal(picture_from_any(TENSOR).pixels, RGB)
    for tensor, given in [
        (TENSOR / 255, r"a float32 tensor \[3, 12, 20\]"),
        (torch.from_numpy(RGB), r"a uint8 tensor \[12, 20, 3\]"),
        (TENSOR[None], r"a uint8 tensor \[1, 3, 12, 20\]"),
        (TENSOR[:, :0], r"a uint8 tensor \[3, 0, 20\]"),
    ]:
        with pytest.raises(TypeError, match=f"^{TAKEN}{given}$"):
            picture_from_any(tensor)


def test_torch_is_not_needed(path: Path) -> None:
    program = "import sys; from vqcodec.images.picture import picture_from_any as f; f(sys.argv[1]); assert 'torch' not in sys.modules"
    done = subprocess.run([sys.executable, "-c", program, str(path)], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr


def test_paths_and_open_files(path: Path) -> None:
    assert np.array_equal(picture_from_any(path).pixels, RGB)
    assert np.array_equal(picture_from_any(str(path)).pixels, RGB)
    assert np.array_equal(picture_from_any(BytesIO(path.read_bytes())).pixels, RGB)
    with path.open("rb") as file:
        assert np.array_equal(picture_from_any(file).pixels, RGB)
        assert not file.closed
    reads_only = type("ReadsOnly", (), {"read": BytesIO(path.read_bytes()).read})()
    assert np.array_equal(picture_from_any(reads_only).pixels, RGB)
    path.write_bytes(b"no picture")
    with path.open("rb") as file, pytest.raises(ImageError, match="photo.png: not a picture of a known format"):
        picture_from_any(file)
    with pytest.raises(ImageError, match="^picture: not a picture of a known format"):
        picture_from_any(BytesIO(b"no picture"))
    with pytest.raises(ImageError, match="absent.png: no such file"):
        picture_from_any(path.with_name("absent.png"))


def test_other_objects_are_refused(path: Path) -> None:
    for value, name in [([[1]], "list"), (path.read_bytes(), "bytes"), (None, "NoneType")]:
        with pytest.raises(TypeError, match=f"^{TAKEN}an object of type {name}$"):
            picture_from_any(value)  # type: ignore[arg-type]
    with path.open(encoding="latin-1") as file, pytest.raises(TypeError, match="not an object of type TextIOWrapper"):
        picture_from_any(file)  # type: ignore[arg-type]


def test_closed_images_are_told(path: Path) -> None:
    with Image.open(path) as unloaded:
        pass
    with path.open("rb") as file:
        of_closed_file = Image.open(file)
    in_memory = Image.fromarray(RGB)
    in_memory.close()
    for image in (unloaded, of_closed_file, in_memory):
        with pytest.raises(ImageError, match="^the Pillow image is closed, expected an open one, or one that was loaded before$"):
            picture_from_any(image)
    with Image.open(path) as loaded:
        loaded.load()
    assert np.array_equal(picture_from_any(loaded).pixels, RGB)
