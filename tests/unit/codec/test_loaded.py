"""Checks the public object for a loaded model: it does all that the command line can do, and the same as the module's functions."""

import copy
import inspect
import multiprocessing
import pickle
import re
import shutil
from collections.abc import Callable
from concurrent.futures import ProcessPoolExecutor
from pathlib import Path

import numpy as np
import pytest
from numpy.typing import NDArray

import vqcodec
from tests.conftest import make_picture
from vqcodec.codec.loaded import Codec, open_model
from vqcodec.decoding.files import DecodeOptions
from vqcodec.decoding.painting import PaintOptions
from vqcodec.encoding.options import EncodeOptions
from vqcodec.errors import DesyncError, ModelError, WeightsMismatchError
from vqcodec.format.container import read_container
from vqcodec.models import model as models
from vqcodec.models.config import WEIGHTS_NAME
from vqcodec.models.registry import DEFAULT_MODEL


@pytest.fixture(scope="module")
def codec(models_root: Path) -> Codec:
    return open_model(models_root / "small-test", device="cpu")


@pytest.fixture(scope="module")
def data(codec: Codec) -> bytes:
    return codec.encode(make_picture(90, 60), quality=100)


def test_it_says_which_model_device_and_number_of_weights(codec: Codec) -> None:
    weights = codec.model.config.parameters + sum(p.numel() for prior in codec.model.priors for p in prior.parameters())
    assert repr(codec) == f"Codec('small-test', device='cpu', {weights / 1e6:.2f} M weights)"
    assert repr(vqcodec.open_model(device="cpu")).startswith(f"Codec('{DEFAULT_MODEL}', device='cpu', 10.")


def test_functions_of_the_module_take_it_and_do_the_same(codec: Codec, data: bytes) -> None:
    image = make_picture(90, 60)
    assert vqcodec.encode(image, model=codec, quality=100) == data
    assert vqcodec.encode_batch([image, image], model=codec, quality=100) == [data, data]
    picture = codec.decode(data)
    assert vqcodec.decode(data, model=codec) == picture == codec.decode_batch([data])[0]
    assert vqcodec.decode_batch([data, data], model=codec) == [picture, picture]
    maps = codec.decode_indices(data)
    for others in (vqcodec.decode_indices(data, model=codec), *codec.decode_indices_batch([data, data])):
        assert all(map(np.array_equal, maps, others)) and len(others) == 4
    assert len(vqcodec.decode_indices_batch([data, data], model=codec, max_maps=1)[1]) == 1
    assert vqcodec.paint_indices(maps, (90, 60), model=codec) == codec.decode(data, layers=False)


def test_files_of_a_model_that_is_not_installed_decode_through_it_alone(codec: Codec, data: bytes) -> None:
    assert codec.decode(data).size == (90, 60)
    with pytest.raises(ModelError, match="not installed"):
        vqcodec.decode(data)


def test_files_of_another_model_are_refused(codec: Codec) -> None:
    other = vqcodec.encode(make_picture(16, 16), num_maps=1)
    with pytest.raises(WeightsMismatchError, match=r"written by model number 5 .*, expected small-test, number 1000"):
        codec.decode(other)


@pytest.mark.parametrize("coder", ["raw", "static", "prior"])
def test_coder(codec: Codec, coder: str) -> None:
    stored = codec.encode(make_picture(40, 40), quality=100, coder=coder)  # type: ignore[arg-type]
    assert {entry.coder.name.lower() for entry in read_container(stored).header.maps} == {coder}


def test_verify_compares_the_codes_of_what_was_written(codec: Codec, monkeypatch: pytest.MonkeyPatch) -> None:
    assert codec.encode(make_picture(40, 40), verify=True) == codec.encode(make_picture(40, 40))

    def disagree(*_: object, **__: object) -> None:
        raise DesyncError("other codes")

    monkeypatch.setattr("vqcodec.codec.loaded.check_indices", disagree)
    codec.encode(make_picture(40, 40))
    with pytest.raises(DesyncError, match="other codes"):
        codec.encode(make_picture(40, 40), verify=True)


def test_fill_adds_the_maps_that_are_missing(codec: Codec) -> None:
    small = codec.encode(make_picture(90, 60), num_maps=2, layers=False)
    filled = codec.decode_indices(small, fill="sample", seed=1)
    assert len(filled) == 4 and all(map(np.array_equal, codec.decode_indices(small), filled))
    again, other = (codec.decode_indices(small, fill="sample", seed=seed) for seed in (1, 2))
    assert np.array_equal(again[3], filled[3]) and not np.array_equal(other[3], filled[3])
    assert codec.decode(small, fill="mode") == codec.paint(codec.decode_indices(small, fill="mode"), (90, 60))


def test_painted_codes_are_the_decoded_picture(codec: Codec, data: bytes) -> None:
    maps = codec.decode_indices(data)
    for count in (1, 2, 4):
        assert codec.paint(maps[:count], (90, 60)) == codec.decode(data, max_maps=count, layers=False)
    alone = codec.encode(make_picture(90, 60), quality=100, layers=False)
    assert all(map(np.array_equal, maps, codec.decode_indices(alone)))
    assert codec.paint([indices.astype(np.uint16) for indices in maps], (90, 60)) == codec.decode(alone)


@pytest.mark.parametrize(
    ("change", "error", "message"),
    [
        (lambda maps: [], ValueError, "indices must be 1 to 4 maps, not 0"),
        (lambda maps: [*maps, maps[3]], ValueError, "1 to 4 maps, not 5"),
        (lambda maps: [maps[0].astype(float)], TypeError, "map top must hold integers, not float64"),
        (lambda maps: [maps[0][1:]], ValueError, "map top of a 90x60 picture must be [8, 12], not [7, 12]"),
        (lambda maps: [maps[0], maps[0]], ValueError, "map bottom of a 90x60 picture must be [16, 24], not [8, 12]"),
        (lambda maps: [maps[0] + 16], ValueError, "map top must hold codes in 0..15, not"),
        (lambda maps: [maps[0] - 16], ValueError, "map top must hold codes in 0..15, not -"),
    ],
)
def test_codes_that_cannot_be_painted(
    codec: Codec, data: bytes, change: Callable[[list[NDArray[np.int64]]], list[NDArray[np.int64]]], error: type[Exception], message: str
) -> None:
    with pytest.raises(error, match=re.escape(message)):
        codec.paint(change(codec.decode_indices(data)), (90, 60))


def test_wrong_arguments(codec: Codec, data: bytes) -> None:
    with pytest.raises(TypeError, match="images must be a list of images, not ndarray"):
        codec.encode_batch(make_picture(8, 8))  # type: ignore[arg-type]
    with pytest.raises(ValueError, match="coder must be one of raw, static, prior, or None for the smallest, not 'zip'"):
        codec.encode(make_picture(8, 8), coder="zip")  # type: ignore[arg-type]
    with pytest.raises(ValueError, match="fill must be 'sample', 'mode' or None, not 'zero'"):
        codec.decode(data, fill="zero")  # type: ignore[arg-type]
    with pytest.raises(ValueError, match="width must be at least 1, not 0"):
        codec.paint(codec.decode_indices(data), (0, 60))
    with pytest.raises(TypeError, match="unexpected keyword argument 'qualty'"):
        vqcodec.encode(make_picture(8, 8), model=codec, qualty=50)  # type: ignore[call-arg]


@pytest.mark.parametrize(
    ("method", "options"),
    [(Codec.encode, EncodeOptions), (Codec.decode, PaintOptions), (Codec.decode_indices, DecodeOptions)],
)
def test_options_are_those_of_the_methods(method: Callable[..., object], options: type) -> None:
    keywords = {name for name, parameter in inspect.signature(method).parameters.items() if parameter.kind is parameter.KEYWORD_ONLY}
    assert keywords == set(options.__annotations__)


def test_batches_of_nothing_are_refused(small_model: str) -> None:
    data = vqcodec.encode(make_picture(24, 24), model=small_model)
    with pytest.raises(ValueError, match="batch_size must be at least 1, not 0"):
        vqcodec.encode_batch([make_picture(24, 24)], model=small_model, batch_size=0)
    with pytest.raises(ValueError, match="batch_size must be at least 1, not 0"):
        vqcodec.encode_batch([make_picture(24, 24)], model=small_model, max_bytes=500, batch_size=0)
    with pytest.raises(ValueError, match="batch_size must be at least 1, not -1"):
        vqcodec.decode_batch([data], batch_size=-1)


def test_arguments_of_other_types_are_told(small_model: str) -> None:
    data = vqcodec.encode(make_picture(24, 24), model=small_model)
    for values, message in [
        ({"max_maps": 1.5}, "max_maps must be a whole number, not 1.5"),
        ({"max_maps": True}, "max_maps must be a whole number, not True"),
        ({"realism": "1"}, "realism must be a number, not '1'"),
        ({"batch_size": 2.5}, "batch_size must be a whole number, not 2.5"),
    ]:
        with pytest.raises(TypeError, match=message):
            vqcodec.decode_batch([data], **values)  # type: ignore[arg-type]
    with pytest.raises(TypeError, match="images must be a list of images, not ndarray"):
        vqcodec.encode_batch(make_picture(16, 16), model=small_model)
    stacked = vqcodec.encode_batch(np.stack([make_picture(16, 16)] * 2), model=small_model)
    assert stacked == [vqcodec.encode(make_picture(16, 16), model=small_model)] * 2


def test_copies_do_the_same_before_use_and_after(models_root: Path) -> None:
    image, files = make_picture(90, 60), set()
    for is_used in (False, True):
        models._load.cache_clear()
        codec = open_model(models_root / "small-test", device="cpu")
        if is_used:
            codec.model.make_all()
            files.add(codec.encode(image))
        sent = pickle.dumps(codec)
        assert len(sent) < 20_000
        assert copy.deepcopy(codec).model is copy.copy(codec).model is pickle.loads(sent).model is codec.model
        models._load.cache_clear()
        for other in (copy.deepcopy(codec), pickle.loads(sent)):
            assert other.model is not codec.model and other.model.device == "cpu"
            files.add(other.encode(image))
    assert len(files) == 1


@pytest.mark.slow
def test_processes_that_are_spawned_take_it(codec: Codec, data: bytes) -> None:
    with ProcessPoolExecutor(1, mp_context=multiprocessing.get_context("spawn")) as pool:
        assert pool.submit(codec.encode, make_picture(90, 60), quality=100).result() == data
        assert pool.submit(codec.decode, data).result() == codec.decode(data)


def test_a_copy_loads_the_folder_and_checks_its_weights(models_root: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    shutil.copytree(models_root / "small-test", tmp_path / "own")
    monkeypatch.chdir(tmp_path)
    codec = open_model("./own", device="cpu")
    sent = pickle.dumps(codec)
    monkeypatch.chdir("/")
    assert pickle.loads(pickle.dumps(codec)).model is codec.model
    assert pickle.loads(sent).model.config.folder == tmp_path / "own"
    models._load.cache_clear()
    (tmp_path / "own" / WEIGHTS_NAME).write_bytes(b"other")
    with pytest.raises(WeightsMismatchError, match="sha256 is"):
        pickle.loads(sent)
