"""Pipelines on a local Ray of two CPUs."""

import os
import signal
from collections.abc import Iterator
from pathlib import Path

import pytest
from PIL import Image

import vqcodec
from tests.conftest import make_picture
from vqcodec.datasets import CodeMaps

ray = pytest.importorskip("ray", reason="ray (extra `ray`) is not installed")

import vqcodec.ray  # noqa: E402
from vqcodec.ray import stages  # noqa: E402
from vqcodec.ray.actors import Encoder  # noqa: E402

pytestmark = [pytest.mark.slow, pytest.mark.filterwarnings("ignore")]  # of Ray

COUNT = 24


@pytest.fixture(scope="module")
def cluster(models_root: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[None]:
    patch = pytest.MonkeyPatch()
    patch.setenv("VQCODEC_MODELS", str(models_root))
    patch.setenv("RAY_USAGE_STATS_ENABLED", "0")
    patch.setenv("PYTHONPATH", str(Path(vqcodec.__file__).parents[1]))
    ray.init(num_cpus=2, include_dashboard=False, object_store_memory=100 << 20, log_to_driver=False, logging_level="ERROR")
    ray.data.DataContext.get_current().enable_progress_bars = False
    yield
    ray.shutdown()
    patch.undo()


@pytest.fixture
def photos(tmp_path: Path) -> Path:
    folder = tmp_path / "photos"
    folder.mkdir()
    for number in range(COUNT):
        Image.fromarray(make_picture(24, 16, number)).save(folder / f"{number:02}.png")
    (folder / "bad.png").write_bytes(b"photo")
    return folder


class DyingEncoder(Encoder):
    """An encoder whose process is killed at its second batch, once."""

    def __init__(self, marker: str, **kwargs: object) -> None:
        super().__init__(**kwargs)
        self.marker, self.batches = Path(marker), 0

    def __call__(self, table: object) -> object:
        self.batches += 1
        if self.batches == 2 and not self.marker.exists():
            self.marker.touch()
            os.kill(os.getpid(), signal.SIGKILL)
        return super().__call__(table)


def test_an_actor_that_is_killed_loses_nothing_and_doubles_nothing(
    cluster: None, photos: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    marker, out = tmp_path / "killed", tmp_path / "out"
    by_actors = stages._by_actors
    monkeypatch.setattr(
        stages, "_by_actors", lambda dataset, _, kwargs, *rest: by_actors(dataset, DyingEncoder, {**kwargs, "marker": str(marker)}, *rest)
    )
    dataset = ray.data.read_binary_files(str(photos), include_paths=True, override_num_blocks=6)
    encoded = vqcodec.ray.encode(dataset, model="small-test", num_maps=1, layers=False, batch_size=2)
    rows = vqcodec.ray.write_files(encoded, out, root=str(photos)).take_all()
    assert marker.exists()
    assert sorted(Path(row["path"]).name for row in rows) == [*(f"{number:02}.png" for number in range(COUNT)), "bad.png"]
    assert [Path(row["path"]).name for row in rows if row["error"]] == ["bad.png"]
    assert len(CodeMaps(out)) == COUNT
    for path in out.iterdir():
        assert path.read_bytes() == vqcodec.encode(photos / path.stem, model="small-test", num_maps=1, layers=False)
    (out / "03.png.vq").write_bytes(b"cut")
    left = vqcodec.ray.pending(dataset, out, root=str(photos))
    assert sorted(Path(row["path"]).name for row in left.take_all()) == ["03.png", "bad.png"]


def test_shards_and_parquet_are_written_by_ray_and_read_back(cluster: None, photos: Path, tmp_path: Path) -> None:
    encoded = vqcodec.ray.encode(
        ray.data.read_binary_files(str(photos), include_paths=True), model="small-test", num_maps=1, layers=False
    ).materialize()
    vqcodec.ray.shard_rows(encoded).write_webdataset(str(tmp_path / "tar"))
    names = [sample["name"] for sample in CodeMaps(sorted((tmp_path / "tar").iterdir()))]
    assert sorted(names) == sorted(str(photos / f"{number:02}.png") for number in range(COUNT))
    encoded.write_parquet(str(tmp_path / "parquet"))
    for folder in ("tar", "parquet"):
        left = vqcodec.ray.pending(ray.data.from_items([{"path": name} for name in [*names, "new.png"]]), tmp_path / folder)
        assert left.take_all() == [{"path": "new.png"}]
    codes = vqcodec.ray.decode(ray.data.read_parquet(str(tmp_path / "parquet")), to="codes").take_all()
    assert len(codes) == COUNT + 1 and [row["codes"] is None for row in codes] == [row["error"] is not None for row in codes]
    row = next(row for row in codes if row["path"] == names[0])
    assert row["codes"][0] == CodeMaps(sorted((tmp_path / "tar").iterdir())[0]).__iter__().__next__()["maps"][0].reshape(-1).tolist()


def test_arguments_are_checked_before_anything_runs() -> None:
    for options, kind in (
        ({"qualty": 50}, TypeError),
        ({"quality": 101}, ValueError),
        ({"coder": "zip"}, ValueError),
        ({"model": "absent"}, vqcodec.VqcodecError),
        ({"batch_size": 0}, ValueError),
        ({"num_cpus": -1}, ValueError),
        ({"actors": 0}, ValueError),
        ({"exact": "all", "quality": 50}, ValueError),
    ):
        with pytest.raises(kind):
            vqcodec.ray.encode(None, **options)
    with pytest.raises(vqcodec.VqcodecError, match=r"\.gif"):
        vqcodec.ray.decode(None, to="gif")
    with pytest.raises(ValueError, match="max_maps"):
        vqcodec.ray.decode(None, max_maps=0)
    with pytest.raises(ValueError, match="realism"):
        vqcodec.ray.decode(None, realism=2)
    for call in (vqcodec.ray.write_files, vqcodec.ray.pending):
        with pytest.raises(ValueError, match=r"^s3://bucket/out: .* not an object store"):
            call(None, "s3://bucket/out")
