from io import BytesIO
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image

import vqcodec
from tests.conftest import make_picture
from vqcodec.encoding.options import coder_kind
from vqcodec.models.registry import find_model
from vqcodec.rate.control import RateControl
from vqcodec.rate.options import LayerOptions

pa = pytest.importorskip("pyarrow", reason="pyarrow (extra `ray`) is not installed")

from vqcodec.ray import actors  # noqa: E402
from vqcodec.ray.actors import Decoder, Encoder, Settings  # noqa: E402


@pytest.fixture(autouse=True)
def threads_stay() -> object:
    before = torch.get_num_threads()
    yield
    torch.set_num_threads(before)


def png(seed: int, size: tuple[int, int] = (40, 32)) -> bytes:
    out = BytesIO()
    Image.fromarray(make_picture(*size, seed)).save(out, "PNG")
    return out.getvalue()


def encoder(model: str, column: str = "bytes", **rate: object) -> Encoder:
    settings = Settings(RateControl(**rate), coder_kind("static"), LayerOptions("off", layers=False), verify=True, reading={})
    return Encoder(column, 3, "cpu", find_model(model), settings)


def test_every_row_comes_back_with_a_file_or_an_error(small_model: str) -> None:
    source = [png(0), b"photo", None, png(1, (9, 9)), png(0)[:80]]
    table = pa.table({"path": list("abcde"), "bytes": pa.array(source, pa.binary()), "width": [1] * 5})
    result = encoder(small_model, num_maps=2)(table)
    assert result.column_names == ["path", "vq", "width", "height", "error"] and torch.get_num_threads() == 3
    rows = result.to_pylist()
    assert [row["path"] for row in rows] == list("abcde")
    expected = vqcodec.encode(BytesIO(source[0]), model=small_model, num_maps=2, coder="static", layers=False)
    assert rows[0]["vq"] == expected and (rows[0]["width"], rows[0]["height"], rows[0]["error"]) == (40, 32, None)
    assert (rows[3]["width"], rows[3]["error"]) == (9, None)
    assert [(row["vq"], row["width"]) for row in rows if row["error"] is not None] == [(None, None)] * 3
    assert "not a picture of a known format" in rows[1]["error"] and rows[2]["error"] == "the column bytes is null" and rows[4]["error"]


def test_a_batch_of_errors_has_the_same_columns(small_model: str) -> None:
    table = pa.table({"bytes": pa.array([b"photo"], pa.binary())})
    good = pa.table({"bytes": pa.array([png(0)], pa.binary())})
    assert encoder(small_model)(table).schema == encoder(small_model)(good).schema


@pytest.mark.parametrize("kind", [pa.binary(), pa.null()])
def test_a_batch_without_any_picture_stops_nothing(small_model: str, kind: "pa.DataType") -> None:
    nulls = pa.array([None, None], kind)
    for actor in (encoder(small_model), Decoder("bytes", 1, "cpu", ".png", 0.0, None)):
        assert actor(pa.table({"bytes": nulls})).column("error").to_pylist() == ["the column bytes is null"] * 2


@pytest.mark.filterwarnings("ignore")  # of Ray
def test_arrays_are_pictures_too(small_model: str) -> None:
    extensions = pytest.importorskip("ray.data.extensions", reason="ray (extra `ray`) is not installed")
    pictures = np.stack([make_picture(40, 32, seed) for seed in range(2)])
    table = pa.table({"image": extensions.ArrowTensorArray.from_numpy(pictures)})
    rows = encoder(small_model, "image", num_maps=1)(table).to_pylist()
    assert [vqcodec.decode(row["vq"]).size for row in rows] == [(40, 32)] * 2


def test_a_limit_that_no_file_fits_is_an_error_of_its_row(small_model: str) -> None:
    (row,) = encoder(small_model, max_bytes=10)(pa.table({"bytes": pa.array([png(0)], pa.binary())})).to_pylist()
    assert row["vq"] is None and "10 bytes" in row["error"]


def test_a_batch_that_memory_does_not_hold_is_taken_one_by_one(small_model: str, monkeypatch: pytest.MonkeyPatch) -> None:
    encode = actors.encode_controlled

    def encode_one(pictures: list, *rest: object, **options: object) -> list:
        if len(pictures) > 1 or pictures[0].pixels.shape[0] > 32:
            raise MemoryError
        return encode(pictures, *rest, **options)

    monkeypatch.setattr(actors, "encode_controlled", encode_one)
    table = pa.table({"bytes": pa.array([png(0), png(1, (40, 48)), png(2)], pa.binary())})
    rows = encoder(small_model)(table).to_pylist()
    assert [row["error"] for row in rows] == [None, "cannot be converted: not enough memory", None]


def test_files_become_pictures_or_codes(small_model: str) -> None:
    files = [vqcodec.encode(make_picture(40, 32, seed), model=small_model, num_maps=2, layers=False) for seed in range(2)]
    table = pa.table({"vq": pa.array([files[0], files[0][:-1], None, files[1]], pa.binary()), "error": [None, None, "before", None]})
    rows = Decoder("vq", 1, "cpu", ".png", 0.0, None)(table).to_pylist()
    for row, file in ((rows[0], files[0]), (rows[3], files[1])):
        assert np.array_equal(np.asarray(Image.open(BytesIO(row["image"]))), np.asarray(vqcodec.decode(file)))
    assert "file ends after" in rows[1]["error"] and rows[2]["error"] == "before" and rows[2]["image"] is None
    codes = Decoder("vq", 1, "cpu", None, 0.0, 1)(table).to_pylist()
    assert codes[3]["codes"] == [vqcodec.decode_indices(files[1])[0].reshape(-1).tolist()] and codes[3]["width"] == 40


def test_a_model_without_perceptual_decoder_is_an_error_of_the_row(small_model: str, tmp_path: Path) -> None:
    file = vqcodec.encode(make_picture(16, 16), model=small_model, num_maps=1, layers=False)
    (row,) = Decoder("vq", 1, "cpu", ".png", 1.0, None)(pa.table({"vq": pa.array([file], pa.binary())})).to_pylist()
    assert row["image"] is None and "perceptual decoder" in row["error"]
