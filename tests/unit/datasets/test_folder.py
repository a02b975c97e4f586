import errno
import functools
import operator
import os
import pickle
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from torch.utils.data import DataLoader

import vqcodec
from tests.unit.datasets.conftest import vq
from vqcodec.datasets import CodeMaps, FolderCodeMaps
from vqcodec.errors import VqcodecError


@pytest.fixture
def folder(tmp_path: Path, codec: vqcodec.Codec) -> Path:
    root = tmp_path / "photos"
    for number in range(7):
        target = root / ("cat", "dög", "")[number % 3] / f"photo.{number}.vq"
        target.parent.mkdir(parents=True, exist_ok=True)
        target.write_bytes(vq(codec, number))
    (root / "cat" / "._photo.vq").write_bytes(b"litter")
    (root / ".hidden").mkdir()
    (root / ".hidden" / "photo.vq").write_bytes(b"hidden")
    (root / "loop").symlink_to(root)
    return root


def names(loader: DataLoader) -> list[str]:
    return [name for batch in loader for name in batch["name"]]


def test_files_and_labels(folder: Path, codec: vqcodec.Codec) -> None:
    dataset = CodeMaps(folder)
    assert isinstance(dataset, FolderCodeMaps) and len(dataset) == 7
    paths = "cat/photo.0.vq cat/photo.3.vq cat/photo.6.vq dög/photo.1.vq dög/photo.4.vq photo.2.vq photo.5.vq"
    assert dataset.paths == paths.split()
    assert dataset.classes == ["cat", "dög"]
    assert [dataset[number]["label"] for number in range(7)] == [0, 0, 0, 1, 1, -1, -1]
    sample = dataset[-1]
    assert (sample["name"], sample["width"], sample["height"]) == ("photo.5.vq", 40, 32)
    for indices, expected in zip(sample["maps"], codec.decode_indices((folder / "photo.5.vq").read_bytes()), strict=True):
        assert np.array_equal(indices.numpy(), expected)
    with pytest.raises(IndexError):
        dataset[7]


@pytest.mark.parametrize("num_workers", [0, 1, 2])
def test_ranks_share_the_files_of_an_epoch(folder: Path, num_workers: int) -> None:
    def epoch(number: int, seed: int) -> list[list[str]]:
        of_ranks = []
        for rank in range(3):
            dataset = CodeMaps(folder, maps=1, shuffle=True, seed=seed, rank=rank, world_size=3)
            sampler = dataset.sampler()
            sampler.set_epoch(number)
            of_ranks.append(names(DataLoader(dataset, batch_size=2, num_workers=num_workers, sampler=sampler)))
            assert len(sampler) == len(of_ranks[-1])
        return of_ranks

    first = epoch(0, 0)
    assert sorted(functools.reduce(operator.iadd, first, [])) == CodeMaps(folder).paths
    assert [len(of_rank) for of_rank in first] == [3, 2, 2]
    if num_workers == 0:
        assert first == epoch(0, 0) != epoch(1, 0) and first != epoch(0, 1)


def test_ranks_are_those_of_the_environment(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("WORLD_SIZE", "2")
    monkeypatch.setenv("RANK", "1")
    assert CodeMaps(folder).order() == [1, 3, 5]
    monkeypatch.setenv("RANK", "two")
    with pytest.raises(ValueError, match="RANK and WORLD_SIZE"):
        CodeMaps(folder)


@pytest.mark.slow
def test_workers_that_are_spawned(folder: Path) -> None:
    dataset = CodeMaps(folder, maps=1)
    loader = DataLoader(dataset, batch_size=4, num_workers=1, sampler=dataset.sampler(), multiprocessing_context="spawn")
    assert names(loader) == dataset.paths


def test_tiles_differ_from_epoch_to_epoch(tmp_path: Path, codec: vqcodec.Codec) -> None:
    (tmp_path / "photo.vq").write_bytes(vq(codec, size=(200, 200)))
    dataset = CodeMaps(tmp_path, maps=1, tile_px=64, shuffle=True)
    tiles = []
    for number in (0, 1, 0):
        dataset.set_epoch(number)
        tiles.append(dataset[0]["maps"][0].numpy())
    assert np.array_equal(tiles[0], tiles[2]) and not np.array_equal(tiles[0], tiles[1])
    assert tiles[0].shape == (8, 8)


def test_broken_files(folder: Path, caplog: pytest.LogCaptureFixture) -> None:
    broken = folder / "cat" / "photo.3.vq"
    broken.write_bytes(broken.read_bytes()[:-1])
    with pytest.raises(VqcodecError, match=r"cat/photo\.3\.vq: file ends after"):
        CodeMaps(folder)[1]
    dataset = CodeMaps(folder, broken="skip")
    assert len(names(DataLoader(dataset, batch_size=3, num_workers=2))) == 6
    assert dataset.left_out == 1
    with pytest.raises(VqcodecError, match="expected one intact file in a batch"):
        dataset[1]
    assert "photo.3.vq" in caplog.text and dataset.left_out == 2
    (folder / "photo.2.vq").unlink()
    dataset.broken = "raise"
    with pytest.raises(VqcodecError, match=r"photo\.2\.vq: no such file"):
        dataset[dataset.paths.index("photo.2.vq")]


@pytest.mark.skipif(not hasattr(os, "mkfifo"), reason="this system has no named pipes")
def test_a_pipe_is_broken_and_not_waited_for(folder: Path) -> None:
    os.mkfifo(folder / "pipe.vq")
    dataset = CodeMaps(folder)
    with pytest.raises(VqcodecError, match=r"pipe\.vq: is no regular file"):
        dataset[dataset.paths.index("pipe.vq")]


def test_a_data_set_is_iterated_without_what_is_broken(folder: Path) -> None:
    (folder / "cat" / "photo.3.vq").write_bytes(b"")
    dataset = CodeMaps(folder, broken="skip", batch_size=2)
    assert [sample["name"] for sample in dataset] == [path for path in dataset.paths if path != "cat/photo.3.vq"]
    with pytest.raises(VqcodecError, match=r"photo\.3\.vq"):
        list(CodeMaps(folder))


def test_copies_by_pickle_read_the_same(folder: Path) -> None:
    dataset = CodeMaps(folder, maps=1)
    copy = pickle.loads(pickle.dumps(dataset))
    assert [sample["name"] for sample in copy] == dataset.paths


def test_pixels(folder: Path, codec: vqcodec.Codec) -> None:
    sample = CodeMaps(folder, pixels=True)[0]
    painted = np.asarray(codec.decode((folder / "cat/photo.0.vq").read_bytes()))
    assert np.array_equal(sample["pixels"].numpy(), painted.transpose(2, 0, 1))
    assert len(sample["maps"]) == 2


def test_a_folder_that_cannot_be_read_is_told(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    scandir = os.scandir

    def refuse(path: str) -> Any:
        if Path(path).name == "cat":
            raise PermissionError(errno.EACCES, os.strerror(errno.EACCES), path)
        return scandir(path)

    monkeypatch.setattr(os, "scandir", refuse)
    with pytest.raises(VqcodecError, match="cat: permission denied"):
        CodeMaps(folder)
    others = CodeMaps(folder, broken="skip")
    assert others.classes == ["dög"] and others.left_out == 1


def test_a_folder_without_files_is_told(tmp_path: Path) -> None:
    with pytest.raises(VqcodecError, match=r"no file ending in \.vq, expected a folder of them, or tar shards by their names"):
        CodeMaps(tmp_path)


@pytest.mark.parametrize(
    ("arguments", "kind"),
    [
        ({"broken": "ignore"}, ValueError),
        ({"seed": -1}, ValueError),
        ({"maps": 0}, ValueError),
        ({"rank": 1}, ValueError),
        ({"rank": 2, "world_size": 2}, ValueError),
        ({"batch_size": 0}, ValueError),
        ({"tile_px": 60}, ValueError),
    ],
)
def test_arguments_are_checked(folder: Path, arguments: dict, kind: type) -> None:
    with pytest.raises(kind):
        CodeMaps(folder, **arguments)


def test_numbers_of_numpy(folder: Path) -> None:
    given = {"maps": 1, "tile_px": 16, "seed": 3, "batch_size": 2, "buffer": 4, "rank": 100, "world_size": 200}
    of_numpy, plain = (
        CodeMaps(folder, shuffle=True, **values) for values in ({name: np.uint8(value) for name, value in given.items()}, given)
    )
    for dataset in (of_numpy, plain):
        assert all(type(number) is int for number in (dataset.seed, dataset.batch_size, dataset.buffer, *vars(dataset.rank).values()))
    of_numpy.set_epoch(np.uint8(2))
    plain.set_epoch(2)
    assert of_numpy.order() == plain.order()
    of_numpy, plain = (CodeMaps(folder, maps=1, tile_px=side, shuffle=True) for side in (np.uint8(16), 16))
    for sample, expected in zip(of_numpy, plain, strict=True):
        assert np.array_equal(sample["maps"][0], expected["maps"][0]) and sample["maps"][0].shape == (2, 2)
