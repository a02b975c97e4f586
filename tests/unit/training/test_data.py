"""What training reads, photos and code maps: damaged files, files that are missing, and what is left after a failure."""

import gzip
import lzma
import shutil
import tarfile
from collections.abc import Callable
from io import BytesIO
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from tests.conftest import make_picture
from vqcodec.errors import ImageError, ModelError
from vqcodec.models.config import read_config
from vqcodec.models.model import load_model
from vqcodec.training.code_maps import extract_code_maps, open_code_maps
from vqcodec.training.data import PhotoSet, find_sources, load_photos


@pytest.fixture(scope="module")
def extracted(photos: PhotoSet, models_root: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("codes")
    extract_code_maps(load_model(read_config(models_root / "small-test"), "cpu"), photos, folder)
    return folder


@pytest.fixture
def codes(extracted: Path, tmp_path: Path) -> Path:
    return Path(shutil.copytree(extracted, tmp_path / "codes"))


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


def test_code_maps_are_kept_until_new_ones_are_complete(photos: PhotoSet, models_root: Path, codes: Path) -> None:
    model = load_model(read_config(models_root / "small-test"), "cpu")
    before = {path.name: path.read_bytes() for path in codes.iterdir()}

    def fail(_: int) -> None:
        raise OSError("disk full")

    with pytest.raises(OSError, match="disk full"):
        extract_code_maps(model, photos, codes, on_progress=fail)
    assert {path.name: path.read_bytes() for path in codes.iterdir()} == before
    extract_code_maps(model, photos, codes, num_maps=1)
    assert sorted(path.name for path in codes.iterdir()) == ["codebooks.npy", "map_0.u16", "maps.json"]


@pytest.mark.parametrize("name", ["index.json", "pixels.u8"])
@pytest.mark.parametrize("damage", [lambda path: path.write_bytes(path.read_bytes()[:-3]), lambda path: path.unlink()])
def test_a_damaged_cache_is_made_anew(tmp_path: Path, name: str, damage: Callable[[Path], object]) -> None:
    Image.fromarray(make_picture(20, 24)).save(tmp_path / "a.png")
    decoded: list[int] = []

    def load() -> PhotoSet:
        return load_photos([tmp_path / "a.png"], tmp_path / "cache", decoded.append)

    load()
    load()
    assert decoded == [1]
    (folder,) = (tmp_path / "cache").iterdir()
    damage(folder / name)
    assert np.array_equal(load().photo(0), make_picture(20, 24)) and decoded == [1, 1]
    assert sorted(path.name for path in folder.iterdir()) == ["index.json", "pixels.u8"]


def test_a_failure_leaves_no_pixels_behind(tmp_path: Path) -> None:
    Image.fromarray(make_picture(20, 24)).save(tmp_path / "a.png")

    def fail(_: int) -> None:
        raise OSError("disk full")

    with pytest.raises(OSError, match="disk full"):
        load_photos([tmp_path / "a.png"], tmp_path / "cache", fail)
    assert not list((tmp_path / "cache").iterdir())


@pytest.mark.parametrize("compress", [bytes, gzip.compress, lzma.compress])
@pytest.mark.parametrize("damaged_from", [None, 20_000])
def test_damaged_shards(tmp_path: Path, compress: Callable[[bytes], bytes], damaged_from: int | None) -> None:
    shard = BytesIO()
    with tarfile.open(fileobj=shard, mode="w") as tar:
        member = tarfile.TarInfo("noise.png")
        member.size = 60_000
        tar.addfile(member, BytesIO(np.random.default_rng(0).bytes(member.size)))
    data = compress(shard.getvalue())
    data = data[: len(data) // 2] if damaged_from is None else data[:damaged_from] + bytes(40_000)
    (tmp_path / "a.tar").write_bytes(data)
    with pytest.raises(ImageError, match="a.tar: not a .tar shard that can be read: ."):
        load_photos([tmp_path / "a.tar"], tmp_path / "cache")


def test_skipped_pictures_are_told(tmp_path: Path) -> None:
    below = tmp_path / "cats"
    below.mkdir()
    Image.fromarray(make_picture(20, 24)).save(below / "a.png")
    (tmp_path / "b.jpg").write_bytes(b"no picture")
    (tmp_path / "notes.txt").write_text("no picture either")
    (tmp_path / "folder.png").mkdir()
    skipped: list[ImageError] = []
    photos = load_photos(find_sources(tmp_path), tmp_path / "cache", on_skipped=skipped.append)
    assert len(photos) == 1 and [str(error).partition(": ")[0] for error in skipped] == [str(tmp_path / "b.jpg")]
    with tarfile.open(tmp_path / "a.tar", "w") as tar:
        for path in (below / "a.png", tmp_path / "b.jpg", tmp_path / "notes.txt"):
            tar.add(path, path.name)
    load_photos(find_sources(tmp_path), tmp_path / "cache", on_skipped=skipped.append)
    assert [str(error).partition(": ")[0] for error in skipped[1:]] == [str(tmp_path / "a.tar" / "b.jpg")]
