"""The programs of `examples` run to their end."""

import re
import runpy
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from PIL import Image

import vqcodec
from tests.conftest import make_picture
from vqcodec.datasets import CodeMaps

EXAMPLES = Path(__file__).parent.parent / "examples"

pytestmark = pytest.mark.slow


def run(name: str, *arguments: object, code: int = 0) -> subprocess.CompletedProcess[str]:
    done = subprocess.run([sys.executable, EXAMPLES / name, *map(str, arguments)], capture_output=True, text=True, check=False)
    assert done.returncode == code, done.stderr
    return done


def test_a_classifier_learns_from_codes(tmp_path: Path) -> None:
    for number, colour in enumerate(((200, 40, 40), (40, 40, 200))):
        (tmp_path / f"class-{number}").mkdir()
        for piece in range(16):
            Image.new("RGB", (64, 80), (*colour[:2], colour[2] + piece)).save(tmp_path / f"class-{number}" / f"{piece}.png")
    printed = run("train_on_codes.py", tmp_path, "--epochs", 12, "--workers", 0).stdout
    assert "24 pictures to train on, 8 to validate with, classes: class-0, class-1" in printed
    assert float(re.search(r"trained on: ([\d.]+)%", printed)[1]) == 100
    assert len(re.findall(r"pictures a second by 0 workers", printed)) == 3


@pytest.mark.parametrize(("name", "reason"), [("absent", "No such file or directory"), ("empty", "every class needs four pictures")])
def test_photos_that_no_classifier_learns_from_are_told_in_one_line(tmp_path: Path, name: str, reason: str) -> None:
    (tmp_path / "empty").mkdir()
    told = run("train_on_codes.py", tmp_path / name, code=1).stderr
    assert told.startswith("train_on_codes.py: ") and reason in told and told.count("\n") == 1


@pytest.fixture(scope="module")
def cluster() -> Iterator[None]:
    ray = pytest.importorskip("ray", reason="ray (extra `ray`) is not installed")
    patch = pytest.MonkeyPatch()
    patch.setenv("RAY_USAGE_STATS_ENABLED", "0")
    patch.setenv("PYTHONPATH", str(EXAMPLES.parent))
    ray.init(num_cpus=2, include_dashboard=False, object_store_memory=100 << 20, log_to_driver=False, logging_level="ERROR")
    ray.data.DataContext.get_current().enable_progress_bars = False
    yield
    ray.shutdown()
    patch.undo()


Run = Callable[..., tuple[int, str]]


@pytest.fixture
def ray_encode(cluster: None, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]) -> Run:
    """Returns a function that runs the program with some arguments, and returns its exit code and what it tells."""

    def run_it(*arguments: object) -> tuple[int, str]:
        monkeypatch.setattr(sys, "argv", ["ray_encode.py", *map(str, arguments)])
        with pytest.raises(SystemExit) as end:
            runpy.run_path(str(EXAMPLES / "ray_encode.py"), run_name="__main__")
        return int(end.value.code), capfd.readouterr().err

    return run_it


@pytest.fixture
def photos(tmp_path: Path) -> Path:
    source = tmp_path / "photos" / "cat"
    source.mkdir(parents=True)
    for number in range(4):
        Image.fromarray(make_picture(40, 32, number)).save(source / f"{number}.PNG")
    (source / "bad.jpg").write_bytes(b"photo")
    (source / "notes.txt").write_text("no picture")
    return tmp_path / "photos"


@pytest.mark.filterwarnings("ignore")  # of Ray
def test_a_folder_is_encoded_by_ray_and_completed(ray_encode: Run, photos: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    finished = tmp_path / "out/cat/1.PNG.vq"
    finished.parent.mkdir(parents=True)
    finished.write_bytes(vqcodec.encode(photos / "cat/3.PNG", layers=False))  # of another picture, to be told from a new one
    kept = finished.read_bytes()
    (tmp_path / "out/cat/2.PNG.vq").write_bytes(kept[:-1])
    monkeypatch.chdir(tmp_path)
    code, told = ray_encode("photos/", "out/", "--codes-alone")
    assert code == 1 and "3 pictures encoded, 1 failed" in told and "bad.jpg: " in told
    assert CodeMaps(tmp_path / "out").paths == [f"cat/{number}.PNG.vq" for number in range(4)]
    assert (tmp_path / "out/cat/2.PNG.vq").read_bytes() == vqcodec.encode(photos / "cat/2.PNG", layers=False)
    assert finished.read_bytes() == kept


@pytest.mark.filterwarnings("ignore")  # of Ray
def test_tar_shards_by_ray_are_read_and_completed(ray_encode: Run, photos: Path, tmp_path: Path) -> None:
    for expected in ("4 pictures encoded, 1 failed", "0 pictures encoded, 1 failed"):
        code, told = ray_encode(photos, tmp_path / "shards", "--to", "tar")
        assert code == 1 and expected in told
        shards = sorted((tmp_path / "shards").iterdir())
        assert sorted(sample["name"] for sample in CodeMaps(shards)) == [str(photos / f"cat/{number}.PNG") for number in range(4)]


@pytest.mark.filterwarnings("ignore")  # of Ray
def test_pictures_in_parquet_are_encoded_by_ray_to_parquet(ray_encode: Run, photos: Path, tmp_path: Path) -> None:
    pa, parquet = pytest.importorskip("pyarrow"), pytest.importorskip("pyarrow.parquet")
    jpegs = [path.read_bytes() for path in sorted(photos.glob("cat/*.*g")) + sorted(photos.glob("cat/*.PNG"))]
    names = [f"picture {number}" for number in range(len(jpegs))]
    parquet.write_table(pa.table({"id": names, "jpeg": jpegs, "more": names}), tmp_path / "table.parquet")
    arguments = (tmp_path / "table.parquet", tmp_path / "out", "--to", "parquet", "--column", "jpeg", "--name", "id")
    for expected in ("4 pictures encoded, 1 failed", "0 pictures encoded, 1 failed"):
        code, told = ray_encode(*arguments)
        assert code == 1 and expected in told and "picture 0: picture: not a picture" in told
        rows = [row for path in (tmp_path / "out").iterdir() for row in parquet.read_table(path).to_pylist()]
        assert {row["id"]: row["vq"] for row in rows} == {
            name: vqcodec.encode(photos / f"cat/{number}.PNG") for number, name in enumerate(names[1:])
        }
        assert len(rows) == 4


@pytest.mark.filterwarnings("ignore")  # of Ray
@pytest.mark.parametrize(
    ("arguments", "expected"),
    [
        (["--gpus", "0.25"], "--gpus 0.25: Ray has 0 GPUs"),
        (["--cpus", "2"], "--cpus 2.0: Ray has 2 CPUs, expected more"),
        (["--quality", "0"], "quality must be in 1..100, not 0"),
    ],
)
def test_what_ray_cannot_do_is_told_in_one_line(ray_encode: Run, photos: Path, tmp_path: Path, arguments: list[str], expected: str) -> None:
    code, told = ray_encode(photos, tmp_path / "out", *arguments)
    assert code == 1 and told.startswith(f"ray_encode.py: {expected}") and told.count("\n") == 1
    assert not (tmp_path / "out").exists()
