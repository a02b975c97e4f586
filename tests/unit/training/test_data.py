"""Checks photos: crops by seed, damaged files, files that are missing, and what is left after a failure."""

import gzip
import lzma
import tarfile
from collections.abc import Callable
from io import BytesIO
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from tests.conftest import make_picture
from vqcodec.errors import ImageError
from vqcodec.training.data import PhotoSet, find_sources, load_photos
from vqcodec.training.trainer import step_rng


def test_photos_are_decoded_once_and_exactly(photos: PhotoSet, tmp_path: Path) -> None:
    assert len(photos) == 3
    assert np.array_equal(photos.photo(1), make_picture(71, 60, 1))
    for number in range(2):
        Image.fromarray(make_picture(20, 20, number)).save(tmp_path / f"{number}.png")
    folder = load_photos(find_sources(tmp_path), tmp_path / "cache")
    assert np.array_equal(folder.photo(1), make_picture(20, 20, 1))
    with pytest.raises(ValueError, match="32x32"):
        folder.random_crops(1, 32, step_rng(0, 0))
    Image.fromarray(make_picture(20, 20)[:, :, 0]).save(tmp_path / "0.png")
    grey = load_photos(find_sources(tmp_path), tmp_path / "cache")
    assert (grey.photo(0)[:, :, 0] == grey.photo(0)[:, :, 2]).all()
    assert np.array_equal(grey.photo(1), make_picture(20, 20, 1)) and len(grey.pixels) == 2 * 20 * 20 * 3
    (tmp_path / "none").mkdir()
    with pytest.raises(ImageError, match="no picture"):
        find_sources(tmp_path / "none")


def test_crops_depend_on_seed_and_step_alone(photos: PhotoSet) -> None:
    first = photos.random_crops(5, 32, step_rng(1, 7))
    assert np.array_equal(first, photos.random_crops(5, 32, step_rng(1, 7)))
    assert not np.array_equal(first, photos.random_crops(5, 32, step_rng(1, 8)))


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
