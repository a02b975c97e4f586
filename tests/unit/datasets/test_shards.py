import os
from pathlib import Path

import pytest
from torch.utils.data import DataLoader

import vqcodec
from tests.unit.datasets.conftest import vq, write_shard
from vqcodec.datasets import CodeMaps, FolderCodeMaps, ShardCodeMaps
from vqcodec.errors import VqcodecError

COUNTS = (5, 1, 3)
NAMES = [f"{shard}-{number}.vq" for shard, count in enumerate(COUNTS) for number in range(count)]


@pytest.fixture
def shards(tmp_path: Path, codec: vqcodec.Codec) -> list[Path]:
    file = vq(codec, num_maps=1)
    return [
        write_shard(tmp_path / f"{shard}.tar", [(f"{shard}-{number}.vq", file) for number in range(count)])
        for shard, count in enumerate(COUNTS)
    ]


def names(dataset: ShardCodeMaps, num_workers: int = 0, **options: object) -> list[str]:
    return [name for batch in DataLoader(dataset, batch_size=2, num_workers=num_workers, **options) for name in batch["name"]]


@pytest.mark.parametrize("shuffle", [False, True])
@pytest.mark.parametrize(("world_size", "num_workers"), [(1, 0), (1, 1), (1, 2), (2, 2), (3, 0), (5, 1)])
def test_all_workers_of_all_ranks_read_every_sample_once(shards: list[Path], shuffle: bool, world_size: int, num_workers: int) -> None:
    read = []
    for rank in range(world_size):
        read += names(CodeMaps(shards, shuffle=shuffle, rank=rank, world_size=world_size, batch_size=2), num_workers)
    assert sorted(read) == NAMES


def test_order_is_that_of_seed_and_epoch(shards: list[Path]) -> None:
    def order(epoch: int, seed: int = 0) -> list[str]:
        dataset = CodeMaps(shards, shuffle=True, seed=seed, buffer=4)
        dataset.set_epoch(epoch)
        return names(dataset)

    assert order(0) == order(0) != order(1) and order(0) != order(0, 1) and order(0) != NAMES
    assert names(CodeMaps(shards)) == NAMES


def test_workers_that_stay_learn_the_next_epoch(shards: list[Path]) -> None:
    dataset = CodeMaps(shards, shuffle=True)
    loader = DataLoader(dataset, batch_size=None, num_workers=1, persistent_workers=True)
    orders = []
    for epoch in (0, 1, 0):
        dataset.set_epoch(epoch)
        orders.append([sample["name"] for sample in loader])
    assert orders[0] == orders[2] != orders[1]


@pytest.mark.slow
def test_workers_that_are_spawned(shards: list[Path]) -> None:
    assert sorted(names(CodeMaps(shards), 2, multiprocessing_context="spawn")) == NAMES


def test_broken_samples_and_shards(shards: list[Path], tmp_path: Path, codec: vqcodec.Codec) -> None:
    file = vq(codec, num_maps=1)
    broken = write_shard(tmp_path / "broken.tar", [("a.vq", file), ("b.vq", file[:-1]), ("c.vq", file)])
    with pytest.raises(VqcodecError, match=r"broken\.tar: b\.vq: file ends after"):
        names(CodeMaps(broken))
    cut = tmp_path / "cut.tar"
    cut.write_bytes(shards[0].read_bytes()[:2000])
    with pytest.raises(VqcodecError, match=r"cut\.tar: not a whole tar file"):
        names(CodeMaps(cut))
    dataset = CodeMaps([broken, cut, shards[1]], broken="skip")
    assert names(dataset, 2)[-1] and dataset.left_out >= 2
    shared = CodeMaps([cut], broken="skip")
    assert names(shared, 2) == ["0-0.vq"] and shared.left_out == 1, "a shard that several workers read counts once"
    of_rank = CodeMaps([cut], broken="skip", rank=1, world_size=2)
    assert names(of_rank) == [] and of_rank.left_out == 1
    once = CodeMaps([broken, cut, shards[1]], broken="skip")
    assert names(once) == ["a.vq", "c.vq", "0-0.vq", "1-0.vq"] and once.left_out == 2


def test_numbered_shards_are_read_by_their_numbers(shards: list[Path], tmp_path: Path) -> None:
    for number in (9, 10, 100):
        (tmp_path / f"{number}.tar").write_bytes(shards[0].read_bytes())
    assert [path.stem for path in CodeMaps(tmp_path / "{0..}.tar").shards] == ["0", "1", "2", "9", "10", "100"]
    assert [path.stem for path in CodeMaps(tmp_path / "{1..}.tar").shards] == ["1", "2", "9", "10", "100"]


def test_numbered_shards_are_found(shards: list[Path], tmp_path: Path) -> None:
    (tmp_path / "x.tar").write_bytes(b"other")
    assert names(CodeMaps(tmp_path / "{0..}.tar")) == NAMES
    assert CodeMaps(str(tmp_path / "{0..}.tar")).shards == shards
    with pytest.raises(VqcodecError, match=r"data-\{0\.\.\}\.tar: no such files, expected tar shards"):
        CodeMaps(tmp_path / "data-{0..}.tar")


@pytest.mark.parametrize(
    ("source", "expected"),
    [
        ("absent.tar", "absent.tar: no such file, expected a tar shard, or one folder of .vq files"),
        (["folder"], "folder: is a folder, expected a tar shard, or one folder of .vq files"),
        (os.devnull, f"{os.devnull}: is no regular file, expected a tar shard, or one folder of .vq files"),
        ([], "no shard is named, expected tar shards"),
        (range(0), "no shard is named, expected tar shards"),
        (["0.tar", "1.tar", "0.tar"], "0.tar: is named twice"),
    ],
    ids=str,
)
def test_sources_are_checked(
    source: str | list[str], expected: str, tmp_path: Path, shards: list[Path], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    Path("folder").mkdir()
    with pytest.raises(VqcodecError) as told:
        CodeMaps(source)
    assert str(told.value) == expected


def test_a_source_of_another_type_is_told() -> None:
    for source, found in (
        (None, "None"),
        (b"ds", "b'ds'"),
        (bytearray(b"ds"), "bytearray"),
        (3, "3"),
        ({}, "{}"),
        ([b"ds"], "b'ds' in a list"),
    ):
        with pytest.raises(TypeError, match=f"source must be a folder, a tar shard or a list of tar shards, not {found}"):
            CodeMaps(source)  # type: ignore[arg-type]
    with pytest.raises(TypeError, match="source must be a folder, not b'ds'"):
        FolderCodeMaps(b"ds")  # type: ignore[arg-type]
