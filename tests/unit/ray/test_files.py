import subprocess
import sys
from pathlib import Path

import pytest

import vqcodec
from tests.conftest import make_picture
from tests.unit.datasets.conftest import write_shard
from vqcodec.errors import VqcodecError

pa = pytest.importorskip("pyarrow", reason="pyarrow (extra `ray`) is not installed")

from pyarrow import parquet  # noqa: E402

from vqcodec.ray.files import FileWriter, Pending, is_whole, packed_names, target_of  # noqa: E402


@pytest.fixture
def file(small_model: str) -> bytes:
    return vqcodec.encode(make_picture(16, 16), model=small_model, num_maps=1, layers=False)


@pytest.mark.parametrize(
    ("name", "root", "expected"),
    [
        ("photos/cat/1.jpg", "photos", "cat/1.jpg.vq"),
        ("/data/photos/1.jpg", "", "data/photos/1.jpg.vq"),
        ("/data/photos/1.jpg", "/data/photos/", "1.jpg.vq"),
        ("käfer.png", "", "käfer.png.vq"),
    ],
)
def test_names_of_files(name: str, root: str, expected: str) -> None:
    assert target_of(Path("out"), name, root) == Path("out") / expected


def test_names_may_be_numbers(tmp_path: Path, file: bytes) -> None:
    table = pa.table({"id": [7, 8], "vq": pa.array([file, file], pa.binary()), "error": pa.array([None, None], pa.string())})
    assert [row["error"] for row in FileWriter(str(tmp_path), "id", "")(table).to_pylist()] == [None, None]
    assert is_whole(tmp_path / "7.vq") and not len(Pending(str(tmp_path), "id", "", frozenset())(table))
    assert len(Pending(str(tmp_path / "empty"), "id", "", frozenset({"8"}))(table)) == 1


@pytest.mark.parametrize("name", ["../1.jpg", "a/../../1.jpg", "/", "", "a\0.jpg"])
def test_names_that_lead_out_of_the_folder_are_refused(name: str) -> None:
    with pytest.raises(VqcodecError, match="no path below a folder"):
        target_of(Path("out"), name, "")
    with pytest.raises(VqcodecError, match="lies outside of photos"):
        target_of(Path("out"), "other/1.jpg", "photos")


def test_rows_are_written_and_then_pending_no_more(tmp_path: Path, file: bytes) -> None:
    names = ["a/1.jpg", "a/2.jpg", "../3.jpg", "4.jpg", None]
    table = pa.table({"path": names, "vq": pa.array([file, None, file, file, file], pa.binary()), "error": [None, "bad", None, None, None]})
    rows = FileWriter(str(tmp_path), "path", "")(table).to_pylist()
    assert rows[0] == {"path": "a/1.jpg", "target": str(tmp_path / "a/1.jpg.vq"), "num_bytes": len(file), "error": None}
    assert rows[1]["error"] == "bad" and "no path below" in rows[2]["error"] and rows[1]["target"] is rows[2]["target"] is None
    assert rows[4]["error"] == "the name is null, expected the path of a picture"
    assert sorted(path.relative_to(tmp_path).as_posix() for path in tmp_path.rglob("*.vq")) == ["4.jpg.vq", "a/1.jpg.vq"]
    (tmp_path / "4.jpg.vq").write_bytes(file[:-1])
    assert not is_whole(tmp_path / "4.jpg.vq")
    left = Pending(str(tmp_path), "path", "", frozenset({"a/2.jpg"}))(table)
    assert left.column("path").to_pylist() == ["../3.jpg", "4.jpg", None]


def test_a_file_that_cannot_be_written_is_an_error_of_its_row(tmp_path: Path, file: bytes) -> None:
    (tmp_path / "1.jpg.vq").mkdir()
    table = pa.table({"path": ["1.jpg"], "vq": pa.array([file], pa.binary()), "error": pa.array([None], pa.string())})
    (row,) = FileWriter(str(tmp_path), "path", "")(table).to_pylist()
    assert row["target"] is None and "directory" in row["error"]


def test_what_is_in_shards_is_found_by_name(tmp_path: Path, file: bytes) -> None:
    about = b'{"path": "a.jpg"}'
    write_shard(tmp_path / "0.tar", [("0.json", about), ("0.vq", file), ("1.json", b'{"path": "cut.jpg"}'), ("1.vq", file[:-1])])
    parquet.write_table(pa.table({"path": ["b.jpg", "bad.jpg"], "vq": pa.array([file, None], pa.binary())}), tmp_path / "1.parquet")
    assert packed_names(tmp_path, "path") == {"a.jpg", "b.jpg"}
    assert packed_names(tmp_path / "absent", "path") == frozenset()
    (tmp_path / "2.parquet").write_bytes((tmp_path / "1.parquet").read_bytes()[:-9])
    with pytest.raises(VqcodecError, match=r"2\.parquet: not a whole Parquet file"):
        packed_names(tmp_path, "path")


def test_a_missing_extra_is_named() -> None:
    code = "import sys; sys.modules['pyarrow'] = None; import vqcodec.ray"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert done.returncode == 1 and "the extra [ray]" in done.stderr.splitlines()[-1]
