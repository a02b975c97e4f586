"""Checks which code maps are extracted, that damaged and missing files are told, and what is left after a failure."""

import shutil
from pathlib import Path

import numpy as np
import pytest

from vqcodec.errors import ModelError
from vqcodec.models.model import Model, load_model
from vqcodec.training.code_maps import extract_code_maps, open_code_maps
from vqcodec.training.data import PhotoSet


@pytest.fixture(scope="module")
def extracted(photos: PhotoSet, models_root: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("codes")
    extract_code_maps(load_model(models_root / "small-test", "cpu"), photos, folder)
    return folder


@pytest.fixture
def codes(extracted: Path, tmp_path: Path) -> Path:
    return Path(shutil.copytree(extracted, tmp_path / "codes"))


def test_photos_and_crops_of_them_are_encoded(photos: PhotoSet, model: Model, tmp_path: Path) -> None:
    extract_code_maps(model, photos, tmp_path / "codes", rate_weights=(0.0, 0.1), passes=2)
    codes = open_code_maps(tmp_path / "codes")
    assert len(codes.sizes) == 6 and codes.photo_map(5, 1).shape == (2 * codes.sizes.heights[5], 2 * codes.sizes.widths[5])
    encoded: list[int] = []
    extract_code_maps(model, photos, tmp_path / "crops", crop_size=48, passes=6, on_progress=encoded.append)
    crops = open_code_maps(tmp_path / "crops")
    assert encoded == [16, 2] and set(crops.sizes.heights) == set(crops.sizes.widths) == {6}
    assert len({crops.photo_map(3 * turn, 1).tobytes() for turn in range(6)}) > 3, "each pass takes another crop"


@pytest.mark.parametrize(
    ("crop_size", "message"),
    [(120, "no photo has 120x120 pixels; the shorter side of the largest has 60"), (50, "a multiple of 8, not 50")],
)
def test_crops_that_cannot_be(photos: PhotoSet, model: Model, codes: Path, crop_size: int, message: str) -> None:
    with pytest.raises(ModelError, match=message):
        extract_code_maps(model, photos, codes, crop_size=crop_size)
    assert len(open_code_maps(codes).sizes) == 3


def test_a_map_of_another_size(codes: Path) -> None:
    with (codes / "map_1.u16").open("ab") as file:
        file.write(b"more")
    with pytest.raises(ModelError, match="extract the code maps again"):
        open_code_maps(codes)


def test_maps_are_taken_by_their_number(codes: Path) -> None:
    maps = open_code_maps(codes)
    assert sorted(path.name for path in codes.glob("map_*")) == [f"map_{number}.u16" for number in range(4)]
    for number in range(4, 11):
        shutil.copyfile(codes / "map_3.u16", codes / f"map_{number}.u16")
    (codes / "map_10.u16").write_bytes(bytes(len((codes / "map_10.u16").read_bytes())))
    many = open_code_maps(codes)
    assert len(many.maps) == 11 and not many.maps[10].any() and np.array_equal(many.maps[2], maps.maps[2])
    for name in ("map_2.u16", "map_1.u16"):
        (codes / name).unlink()
        with pytest.raises(ModelError, match=f"holds no {name}; extract code maps"):
            open_code_maps(codes)


@pytest.mark.parametrize(
    ("name", "data"),
    [
        *(("maps.json", data) for data in (b"{", b"{}", b"[]", b'{"sizes":5}', b'{"sizes":[]}', b'{"sizes":[[1]]}', b'{"sizes":[[1,-1]]}')),
        ("maps.json", b'{"sizes":[[1,1e99]]}'),
        ("maps.json", b"[" * 100_000),
        ("maps.json", b"\xff"),
        *(("codebooks.npy", data) for data in (b"x", b"", b"\x93NUMPY\x01\x00\x04\x00{'a}")),
    ],
)
def test_damaged_code_maps(codes: Path, name: str, data: bytes) -> None:
    (codes / name).write_bytes(data)
    with pytest.raises(ModelError, match=rf"{name}: damaged \(.*\); extract the code maps again") as caught:
        open_code_maps(codes)
    assert "pickle" not in str(caught.value) and "\n" not in str(caught.value)


def test_codebooks_of_another_kind(codes: Path) -> None:
    np.save(codes / "codebooks.npy", np.zeros(3))
    with pytest.raises(ModelError, match=r"holds float64 \[3\], expected float32 of 3 axes"):
        open_code_maps(codes)


def test_code_maps_are_kept_until_new_ones_are_complete(photos: PhotoSet, model: Model, codes: Path) -> None:
    before = {path.name: path.read_bytes() for path in codes.iterdir()}

    def fail(_: int) -> None:
        raise OSError("disk full")

    with pytest.raises(OSError, match="disk full"):
        extract_code_maps(model, photos, codes, on_progress=fail)
    assert {path.name: path.read_bytes() for path in codes.iterdir()} == before
    extract_code_maps(model, photos, codes, num_maps=1)
    assert sorted(path.name for path in codes.iterdir()) == ["codebooks.npy", "map_0.u16", "maps.json"]
