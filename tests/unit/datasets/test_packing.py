import json
import tarfile
from pathlib import Path

import numpy as np
import pytest

import vqcodec
from tests.unit.datasets.conftest import vq
from vqcodec.datasets import CodeMaps
from vqcodec.datasets.packing import FileToPack, pack
from vqcodec.errors import VqcodecError
from vqcodec.format.container import CoderKind

NAMES = ["cat/a.1.vq", "cat/a.2.vq", "dög/../x.vq", "dög/\udcff.vq", "top.vq"]
"""Names with several dots, with one that leads up, with bytes that are no UTF-8, and outside of all classes."""


@pytest.fixture
def files(tmp_path: Path, codec: vqcodec.Codec) -> list[FileToPack]:
    made = []
    for number, name in enumerate(NAMES):
        path = tmp_path / f"{number}.vq"
        path.write_bytes(vq(codec, number, size=(40 + number, 32), coder="prior"))
        made.append(FileToPack(path, name))
    return made


def test_shards_hold_codes_names_and_labels(tmp_path: Path, files: list[FileToPack], codec: vqcodec.Codec) -> None:
    shards = pack(files[::-1], tmp_path / "out" / "data-{08..}.tar", shard_bytes=20480)
    assert [shard.path.name for shard in shards] == [f"data-{number:02}.tar" for number in range(8, 8 + len(shards))] and len(shards) > 1
    assert all(shard.num_bytes == shard.path.stat().st_size <= 20480 for shard in shards)
    samples = list(CodeMaps([shard.path for shard in shards]))
    assert [sample["name"] for sample in samples] == NAMES
    assert [sample["label"] for sample in samples] == [0, 0, 1, 1, -1]
    for sample, file in zip(samples, files, strict=True):
        expected = codec.decode_indices(file.path.read_bytes())
        assert all(map(np.array_equal, [indices.numpy() for indices in sample["maps"]], expected))
    with tarfile.open(shards[0].path) as tar:
        members = tar.getmembers()
        assert [member.name for member in members[:4]] == ["000000000.cls", "000000000.json", "000000000.vq", "000000001.cls"]
        assert {(member.mtime, member.uid, member.uname, member.mode, member.isreg()) for member in members} == {(0, 0, "", 0o644, True)}
        assert json.load(tar.extractfile(members[1])) == {"path": "cat/a.1.vq", "label": "cat", "width": 40, "height": 32}


def test_the_same_files_give_the_same_bytes(tmp_path: Path, files: list[FileToPack]) -> None:
    first, again = pack(files, tmp_path / "a.tar")[0], pack(files[::-1], tmp_path / "b.tar")[0]
    assert first.path.read_bytes() == again.path.read_bytes() and first.files == 5


@pytest.mark.parametrize("coder", CoderKind)
def test_codes_layers_and_metadata_stay_when_maps_are_coded_anew(
    tmp_path: Path, photo: np.ndarray, codec: vqcodec.Codec, coder: CoderKind
) -> None:
    rgba = np.dstack([photo[:64, :96], np.arange(64 * 96, dtype=np.uint8).reshape(64, 96)])
    rgba[:24, :40, :3] = 255
    rgba[8:16, 8:16, :3] = 0
    path = tmp_path / "photo.vq"
    path.write_bytes(codec.encode(rgba, num_maps=2, coder="static" if coder is CoderKind.PRIOR else None))
    (shard,) = pack([FileToPack(path, "photo.vq")], tmp_path / "data.tar", coder=coder)
    with tarfile.open(shard.path) as tar:
        data = tar.extractfile("000000000.vq").read()
    old, new = vqcodec.read_info(path.read_bytes()), vqcodec.read_info(data)
    assert {of_map.coder for of_map in new.maps} == {coder.name.lower()}
    assert (new.layers, new.metadata_bytes, new.mode) == (old.layers, old.metadata_bytes, "RGBA")
    assert np.array_equal(np.asarray(codec.decode(data)), np.asarray(codec.decode(path.read_bytes())))


def test_checksums_of_groups_go_and_come_with_priors(tmp_path: Path, codec: vqcodec.Codec) -> None:
    path = tmp_path / "large.vq"
    path.write_bytes(vq(codec, size=(2600, 2100), num_maps=1, coder="prior"))
    originals = [path.read_bytes()]
    for name, coder in (("static", CoderKind.STATIC), ("prior", CoderKind.PRIOR)):
        (shard,) = pack([FileToPack(path, "large.vq")], tmp_path / f"{name}.tar", coder=coder)
        with tarfile.open(shard.path) as tar:
            originals.append(tar.extractfile("000000000.vq").read())
        path.write_bytes(originals[-1])
        assert np.array_equal(*(codec.decode_indices(data)[0] for data in originals[-2:]))
    assert originals[0] == originals[2] != originals[1]


def test_parquet(tmp_path: Path, files: list[FileToPack], codec: vqcodec.Codec) -> None:
    parquet = pytest.importorskip("pyarrow.parquet", reason="pyarrow (extra `datasets`) is not installed")
    (shard,) = pack(files, tmp_path / "data.parquet")
    rows = parquet.read_table(shard.path).to_pylist()
    assert [row["path"] for row in rows] == ["cat/a.1.vq", "cat/a.2.vq", "dög/../x.vq", "dög/\ufffd.vq", "top.vq"]
    assert [row["label"] for row in rows] == ["cat", "cat", "dög", "dög", None]
    for row, file in zip(rows, files, strict=True):
        assert row["bytes"] == file.path.read_bytes() and (row["width"], row["height"]) == vqcodec.decode(row["bytes"]).size
        assert row["codes"] == [indices.reshape(-1).tolist() for indices in codec.decode_indices(row["bytes"])]


def test_row_groups_of_large_pictures_have_few_files(tmp_path: Path, files: list[FileToPack], monkeypatch: pytest.MonkeyPatch) -> None:
    parquet = pytest.importorskip("pyarrow.parquet", reason="pyarrow (extra `datasets`) is not installed")
    monkeypatch.setattr("vqcodec.datasets.writers._ROW_GROUP_BYTES", 1)
    (shard,) = pack(files, tmp_path / "data.parquet")
    assert parquet.read_metadata(shard.path).num_row_groups == len(files)


@pytest.mark.parametrize("suffix", [".tar", ".parquet"])
def test_a_broken_file_leaves_nothing_behind(tmp_path: Path, files: list[FileToPack], suffix: str) -> None:
    pytest.importorskip("pyarrow", reason="pyarrow (extra `datasets`) is not installed")
    files[3].path.write_bytes(files[3].path.read_bytes()[:-1])
    before = sorted(tmp_path.iterdir())
    with pytest.raises(VqcodecError, match=r"3\.vq: file ends after"):
        pack(files, tmp_path / f"data-{{0..}}{suffix}", shard_bytes=1)
    assert sorted(tmp_path.iterdir()) == before
    told: list[VqcodecError] = []
    shards = pack(files, tmp_path / f"data-{{0..}}{suffix}", shard_bytes=1, on_broken=told.append)
    assert [shard.files for shard in shards] == [1] * 4 and len(told) == 1
    for file in files:
        file.path.unlink()
    with pytest.raises(VqcodecError, match="none of 5 files is intact"):
        pack(files, tmp_path / f"other{suffix}", on_broken=told.append)
    assert not (tmp_path / f"other{suffix}").exists()


def test_old_shards_are_kept_or_replaced_as_a_set(tmp_path: Path, files: list[FileToPack]) -> None:
    output = tmp_path / "data-{0..}.tar"
    assert len(pack(files, output, shard_bytes=1)) == 5
    (tmp_path / "data-x.tar").write_bytes(b"other")
    with pytest.raises(VqcodecError, match=r"data-0\.tar: exists already; use --force"):
        pack(files, output)
    assert len(pack(files, output, replace=True)) == 1
    assert sorted(path.name for path in tmp_path.glob("*.tar")) == ["data-0.tar", "data-x.tar"]


def test_shards_before_the_first_number_are_kept(tmp_path: Path, files: list[FileToPack]) -> None:
    pack(files[:2], tmp_path / "data-{0..}.tar", shard_bytes=1)
    first = (tmp_path / "data-0.tar").read_bytes()
    assert [shard.path.name for shard in pack(files[2:4], tmp_path / "data-{2..}.tar", shard_bytes=1)] == ["data-2.tar", "data-3.tar"]
    pack(files[2:3], tmp_path / "data-{2..}.tar", shard_bytes=1, replace=True)
    assert sorted(path.name for path in tmp_path.glob("*.tar")) == ["data-0.tar", "data-1.tar", "data-2.tar"]
    assert (tmp_path / "data-0.tar").read_bytes() == first


@pytest.mark.parametrize("number", [0, 9])
def test_shards_that_appear_meanwhile_are_not_replaced(tmp_path: Path, files: list[FileToPack], number: int) -> None:
    other = tmp_path / f"data-{number}.tar"
    with pytest.raises(VqcodecError, match=rf"data-{number}\.tar: exists already; use --force"):
        pack(files, tmp_path / "data-{0..}.tar", shard_bytes=1, on_progress=lambda _: other.write_bytes(b"other"))
    assert other.read_bytes() == b"other" and [*tmp_path.glob("*.tar")] == [other]


@pytest.mark.parametrize("name", ["data", "data.zip", "data-{}.tar", "data-{0..}{0..}.tar", "data-{a..}.tar", "{0..}/data.tar", "."])
def test_outputs_are_checked(tmp_path: Path, files: list[FileToPack], name: str) -> None:
    with pytest.raises(VqcodecError, match="expected"):
        pack(files, Path(name))
