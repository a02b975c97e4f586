"""Checks that arrays of Zarr hold chunks as .vq files, and that no more of a chunk is decoded than is asked for."""

import json
import subprocess
import sys
import tomllib
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

import vqcodec
from tests.conftest import make_picture

zarr = pytest.importorskip("zarr", minversion="3.1", reason="zarr (extra `zarr`) is not installed")
import vqcodec.zarr  # noqa: E402 (needs zarr)

ROOT = Path(__file__).parents[2]
PIXELS = np.stack([make_picture(90, 70, seed) for seed in range(2)])
OWN = {"quality": 30, "tune": "psnr", "model": "small-test"}

pytestmark = pytest.mark.usefixtures("small_model", "no_avif")


def make_array(pixels: NDArray[np.uint8], chunks: tuple[int, ...], store: Any = None, **options: Any) -> Any:
    """Returns an array in memory, or in a store, that holds pixels."""
    serializer = {"name": "vqcodec", "configuration": OWN}
    place = {} if store is None else store
    options = {"compressors": None, **options}
    array = zarr.create_array(place, shape=pixels.shape, chunks=chunks, dtype=pixels.dtype, serializer=serializer, **options)
    array[:] = pixels
    return array


def shown(picture: NDArray[np.uint8]) -> NDArray[np.uint8]:
    """Returns what encoding and decoding make of a picture."""
    return np.asarray(vqcodec.decode(vqcodec.encode(picture, **OWN)))


def assert_near(found: Any, expected: NDArray[np.uint8]) -> None:
    """Checks that a part of a picture is that of the whole picture, or a level off."""
    assert found.shape == expected.shape and found.dtype == np.uint8
    assert np.abs(np.asarray(found).astype(int) - expected).max(initial=0) <= 1


@pytest.mark.parametrize(
    ("pixels", "chunks"),
    [
        (PIXELS, (1, 70, 90, 3)),
        (PIXELS[:, :, :, 0], (1, 70, 90)),
        (PIXELS[0], (70, 90, 3)),
        (PIXELS[0, :, :, 1], (70, 90)),
        (PIXELS[:, None], (1, 1, 70, 90, 3)),
    ],
    ids=str,
)
def test_chunks_are_files_of_their_pictures(pixels: NDArray[np.uint8], chunks: tuple[int, ...], tmp_path: Path) -> None:
    pictures = pixels.reshape(-1, *(length for length in chunks if length > 1))
    for store in ({}, tmp_path / "photos.zarr"):
        array = make_array(pixels, chunks, store)
        assert np.array_equal(array[:], np.stack([shown(picture) for picture in pictures]).reshape(pixels.shape))
    stored = [path for path in (tmp_path / "photos.zarr").rglob("*") if path.is_file() and path.name != "zarr.json"]
    assert {path.read_bytes() for path in stored} == {vqcodec.encode(picture, **OWN) for picture in pictures}
    again = zarr.open_array(tmp_path / "photos.zarr", mode="r")
    assert np.array_equal(again[:], array[:])
    (entry,) = json.loads((tmp_path / "photos.zarr" / "zarr.json").read_text())["codecs"]
    assert entry == {"name": "vqcodec", "configuration": OWN}


SELECTIONS: list[Any] = [
    (0, slice(10, 20), slice(30, 50)),
    (slice(None), slice(8, 9), slice(60, 90), 1),
    (1, 69, 89),
    (slice(0, 2), slice(5, 70, 7), slice(3, 80, 10), slice(0, 2)),
    (0, ..., 2),
    (),
]


@pytest.mark.parametrize("selection", SELECTIONS, ids=str)
def test_parts_are_those_of_whole_chunks(selection: Any) -> None:
    array = make_array(PIXELS, (1, 70, 90, 3))
    assert_near(array[selection], array[:][selection])


def test_other_ways_to_select_give_the_same() -> None:
    array, grey = make_array(PIXELS, (1, 70, 90, 3)), make_array(PIXELS[0, :, :, 0], (70, 50))
    whole = array[:]
    assert_near(array.oindex[:, [3, 9, 60], slice(7, 20), [2, 0]], whole[:, [3, 9, 60]][:, :, 7:20][..., [2, 0]])
    assert_near(array.vindex[[0, 1, 1], [5, 6, 69], [7, 8, 0], [0, 2, 1]], whole[[0, 1, 1], [5, 6, 69], [7, 8, 0], [0, 2, 1]])
    mask = np.zeros(grey.shape, bool)
    mask[3, 4] = mask[60, 88] = mask[9, 50] = True
    assert_near(grey.vindex[mask], grey[:][mask])
    assert_near(array.blocks[1], whole[1:2])


def test_a_part_is_decoded_alone_unless_another_codec_follows(monkeypatch: pytest.MonkeyPatch) -> None:
    decode, regions = vqcodec.decode, []

    def watched(data: bytes, *, region: Any, max_pixels: int) -> Any:
        regions.append(region)
        return decode(data, region=region, max_pixels=max_pixels)

    array, compressed = make_array(PIXELS, (1, 70, 90, 3)), make_array(PIXELS, (1, 70, 90, 3), compressors=zarr.codecs.ZstdCodec())
    monkeypatch.setattr("vqcodec.codec.calls.decode", watched)
    part = array[1, 20:30, 40:60]
    assert regions == [(40, 20, 20, 10)]
    assert_near(compressed[1, 20:30, 40:60], part)
    assert regions[1:] == [None]
    array[1]
    assert regions[2:] == [None]


def test_shards_hold_several_pictures() -> None:
    array = make_array(PIXELS, (1, 70, 90, 3), shards=(2, 70, 90, 3))
    assert np.array_equal(array[:], np.stack([shown(picture) for picture in PIXELS]))
    assert_near(array[1, 5:9, 7:50], array[:][1, 5:9, 7:50])


def test_chunks_at_the_edge_and_chunks_that_are_missing() -> None:
    array = make_array(PIXELS[0], (50, 64, 3))
    assert array[:].shape == (70, 90, 3)
    assert_near(array[45:70, 60:90], array[:][45:70, 60:90])
    array = make_array(PIXELS * 0, (1, 70, 90, 3))
    assert array.nchunks_initialized == 0 and not array[0, 3:9].any()
    array[1, 10:20, 10:20] = 200
    assert abs(int(array[1, 15, 15, 0]) - 200) < 60 and not array[0].any()


@pytest.mark.parametrize(
    ("dtype", "chunks", "told"),
    [
        ("uint16", (70, 90), r"uint16 \[70, 90\]"),
        ("float32", (70, 90, 3), r"float32 \[70, 90, 3\]"),
        ("uint8", (2, 70, 90, 3), r"uint8 \[2, 70, 90, 3\]"),
        ("uint8", (70, 90, 4), r"uint8 \[70, 90, 4\]"),
        ("uint8", (90,), r"uint8 \[90\]"),
    ],
)
def test_chunks_that_are_no_pictures_are_refused(dtype: str, chunks: tuple[int, ...], told: str) -> None:
    serializer = {"name": "vqcodec", "configuration": OWN}
    message = (
        f"^chunks are {told}, expected for the lossy codec vqcodec: uint8 \\[H, W\\] or \\[H, W, 3\\], with axes of length 1 before these$"
    )
    with pytest.raises(ValueError, match=message):
        zarr.create_array({}, shape=tuple(2 * side for side in chunks), chunks=chunks, dtype=dtype, serializer=serializer)


def test_chunks_of_too_many_pixels_are_refused() -> None:
    with pytest.raises(ValueError, match="chunks of 20000x20000 pixels, expected 134217728 at most"):
        zarr.create_array({}, shape=(20000, 20000), chunks=(20000, 20000), dtype="uint8", serializer=vqcodec.zarr.VqCodec())


@pytest.mark.parametrize(
    ("values", "kind", "message"),
    [
        ({"quality": 0}, ValueError, "quality must be in 1..100, not 0"),
        ({"quality": "good"}, TypeError, "quality must be"),
        ({"tune": "ssim"}, ValueError, "tune must be one of iq, psnr, perceptual, not 'ssim'"),
        ({"model": 5}, TypeError, "model must be the id of a model, not 5"),
        ({"level": 5}, TypeError, "level"),
    ],
)
def test_wrong_configurations_are_refused(values: dict[str, Any], kind: type[Exception], message: str) -> None:
    with pytest.raises(kind, match=message):
        vqcodec.zarr.VqCodec.from_dict({"name": "vqcodec", "configuration": values})


def test_what_has_no_configuration_has_the_defaults() -> None:
    codec = vqcodec.zarr.VqCodec.from_dict({"name": "vqcodec"})
    assert codec == vqcodec.zarr.VqCodec() == vqcodec.zarr.VqCodec.from_dict(codec.to_dict())
    with pytest.raises(NotImplementedError):
        codec.compute_encoded_size(100, None)


def test_chunks_that_hold_something_else_are_told() -> None:
    store: dict[str, Any] = {}
    array = make_array(PIXELS[0], (70, 90, 3), store)
    (key,) = [key for key in store if key != "zarr.json"]
    buffer, good = type(store[key]), store[key].to_bytes()
    for data, message in [
        (good[:-1], "file ends after"),
        (b"?" + good[1:], "not a .vq file"),
        (vqcodec.encode(PIXELS[0, :60], **OWN), r"chunk holds a picture \[60, 90, 3\], expected \[70, 90, 3\]"),
        (vqcodec.encode(PIXELS[0, :, :, 0], **OWN), r"chunk holds a picture \[70, 90\], expected \[70, 90, 3\]"),
    ]:
        store[key] = buffer.from_bytes(data)
        for selection in (slice(None), (slice(3), slice(3))):
            with pytest.raises((vqcodec.VqcodecError, ValueError), match=message):
                array[selection]


def test_dask_reads_such_arrays(tmp_path: Path) -> None:
    dask_array = pytest.importorskip("dask.array", reason="dask (extra `dev`) is not installed")
    array = make_array(PIXELS, (1, 70, 90, 3), tmp_path / "photos.zarr")
    lazy = dask_array.from_zarr(tmp_path / "photos.zarr")
    assert lazy.chunks[0] == (1, 1) and np.array_equal(lazy.compute(), array[:])
    assert_near(lazy[1, 5:9, 7:50].compute(), array[:][1, 5:9, 7:50])


READS = """
import sys, zarr
array = zarr.open_array(sys.argv[1], mode="r")
assert "torch" not in sys.modules
print(array[0, :2, :2].shape)
"""


def test_zarr_finds_the_codec_by_the_entry_point(tmp_path: Path) -> None:
    """The entry points of pyproject.toml are written as an installation writes them."""
    make_array(PIXELS, (1, 70, 90, 3), tmp_path / "photos.zarr")
    groups = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]["entry-points"]
    installed = tmp_path / "vqcodec-0.1.0.dist-info"
    installed.mkdir()
    (installed / "METADATA").write_text("Metadata-Version: 2.1\nName: vqcodec\nVersion: 0.1.0\n")
    lines = [f"[{group}]\n" + "".join(f"{name} = {place}\n" for name, place in points.items()) for group, points in groups.items()]
    (installed / "entry_points.txt").write_text("".join(lines))
    code = f"import sys; sys.path[:0] = [{str(tmp_path)!r}, {str(ROOT)!r}]\n{READS}"
    done = subprocess.run([sys.executable, "-c", code, tmp_path / "photos.zarr"], capture_output=True, text=True, check=False)
    assert (done.returncode, done.stdout) == (0, "(2, 2, 3)\n"), done.stderr


def test_a_missing_extra_is_named() -> None:
    code = "import sys; sys.modules['zarr'] = None; import vqcodec.zarr"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert done.returncode == 1 and "the extra [zarr]" in done.stderr.splitlines()[-1]


def test_a_quality_of_numpy_is_written_as_a_number() -> None:
    for quality in (np.int64(50), np.uint8(50), np.float32(50.5)):
        codec = vqcodec.zarr.VqCodec(quality=quality, model="small-test")
        assert codec == vqcodec.zarr.VqCodec(quality=quality.item(), model="small-test")
        assert json.loads(json.dumps(codec.to_dict()))["configuration"]["quality"] == quality
    zarr.create_array({}, shape=(16, 16), chunks=(16, 16), dtype="uint8", serializer=codec, compressors=None)
