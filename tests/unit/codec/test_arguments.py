"""Checks that a wrong argument of the public interface is told in one line, by its name."""

import io
import re
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image

import vqcodec
from tests.conftest import make_picture
from tests.unit.images.test_exif import make_exif
from vqcodec.codec.loaded import Codec, open_model
from vqcodec.errors import LimitExceededError
from vqcodec.format.container import CoderKind, ColourMode, Container, Header, MapEntry, crc16, write_container


@pytest.fixture(scope="module")
def codec(models_root: Path) -> Codec:
    return open_model(models_root / "small-test", device="cpu")


@pytest.fixture(scope="module")
def data(codec: Codec) -> bytes:
    return codec.encode(make_picture(90, 60), num_maps=2)


def check(error: type[Exception], message: str, function: Any, *args: Any, **options: Any) -> None:
    """Checks that a call raises an error with a message of one line."""
    with pytest.raises(error, match=re.escape(message)) as raised:
        function(*args, **options)
    assert "\n" not in str(raised.value)


def test_unknown_options_are_refused_everywhere(codec: Codec, data: bytes) -> None:
    for function in (codec.decode, codec.decode_indices):
        check(TypeError, "'max_map'", function, data, max_map=1)
    for function in (codec.decode_batch, codec.decode_indices_batch):
        check(TypeError, "'max_map'", function, [data], max_map=1)
    for function in (vqcodec.decode, vqcodec.decode_indices):
        check(TypeError, "'max_map'", function, data, model=codec, max_map=1)
    check(TypeError, "'realism'", vqcodec.decode_indices, data, model=codec, realism=1)
    check(TypeError, "'max_map'", vqcodec.decode_batch, [data], model=codec, max_map=1)


def test_strip_and_tone_map(codec: Codec) -> None:
    image = make_picture(16, 16)
    message = "strip must be a list of some of all, exif, xmp, icc, gps"
    for strip in ("exif", ["iptc"]):
        check(ValueError, message, codec.encode, image, strip=strip)
        check(ValueError, message, vqcodec.encode_batch, [image], model=codec, strip=strip)
    check(TypeError, "tone_map must be True or False, not 'yes'", codec.encode, image, tone_map="yes")
    pillow = Image.fromarray(image)
    pillow.info |= {"exif": make_exif(orientation=1), "xmp": b"<x/>"}
    for options, kept in [({}, {"exif", "xmp"}), ({"strip": ["exif"]}, {"xmp"}), ({"strip": ["all"]}, set())]:
        for data in (codec.encode(pillow, **options), vqcodec.encode(pillow, model=codec, **options)):
            assert codec.decode(data).info.keys() == kept


@pytest.mark.parametrize("coder", [3, ["raw"], True, "PRIOR", "auto"])
def test_coder(codec: Codec, coder: Any) -> None:
    check(ValueError, "coder must be one of raw, static, prior, or None", codec.encode, make_picture(8, 8), coder=coder)


@pytest.mark.parametrize(("seed", "error"), [("x", TypeError), (0.5, TypeError), (None, TypeError), (True, TypeError), (-1, ValueError)])
def test_seed(codec: Codec, data: bytes, seed: Any, error: type[Exception]) -> None:
    for fill in (None, "sample"):
        check(error, "seed must be", codec.decode, data, fill=fill, seed=seed)
    check(error, "seed must be", codec.sample, 1, size=(8, 8), seed=seed)


@pytest.mark.parametrize(
    ("size", "error"),
    [
        ((64.0, 48), TypeError),
        ("64x48", TypeError),
        (64, TypeError),
        (None, TypeError),
        ((64, 48, 3), TypeError),
        ((True, True), TypeError),
        ((0, 8), ValueError),
    ],
)
def test_size(codec: Codec, data: bytes, size: Any, error: type[Exception]) -> None:
    name = "width must be" if isinstance(size, tuple) and len(size) == 2 else "size must be a pair"
    check(error, name, codec.paint, codec.decode_indices(data), size)
    check(error, name, codec.sample, 1, size=size)


def test_sizes_may_be_small_integers_of_numpy(codec: Codec, data: bytes) -> None:
    maps = codec.decode_indices(data)
    assert codec.paint(maps, (np.uint8(90), np.uint8(60))) == codec.paint(maps, (90, 60))  # type: ignore[arg-type]
    check(ValueError, "sides of at most 1048576", codec.paint, maps, (1 << 21, 1))


def test_maps(codec: Codec, data: bytes) -> None:
    maps = codec.decode_indices(data)
    for wrong in (None, maps[0], iter(maps), b"abc"):
        check(TypeError, "indices must be a list of maps [h, w], not", codec.paint, wrong, (90, 60))
    check(TypeError, "map top must hold integers, not timedelta64", codec.paint, [maps[0].astype("m8[s]")], (90, 60))


@pytest.mark.parametrize(
    ("options", "error", "message"),
    [
        ({"count": 1.5}, TypeError, "count must be a whole number"),
        ({"count": None}, TypeError, "count must be"),
        ({"count": 0}, ValueError, "count must be at least 1"),
        ({"num_maps": 0}, ValueError, "num_maps must be at least 1"),
        ({"num_maps": 1.5}, TypeError, "num_maps must be a whole number"),
        ({"temperature": "1"}, TypeError, "temperature must be a number"),
        ({"temperature": True}, TypeError, "temperature must be a number"),
        ({"top_k": 2.0}, TypeError, "top_k must be a whole number"),
    ],
)
def test_sampling(codec: Codec, options: dict[str, Any], error: type[Exception], message: str) -> None:
    check(error, message, codec.sample, **{"count": 1, "size": (8, 8), **options})


@pytest.mark.parametrize("model", [3, ["photo-v5"], b"photo-v5"])
def test_model(model: Any) -> None:
    message = "model must be the id of a model or a model folder, not"
    check(TypeError, message, open_model, model)
    check(TypeError, message, vqcodec.encode, make_picture(8, 8), model=model)
    check(vqcodec.VqcodecError, "no model 'xxx", open_model, "x" * 5000)


def test_a_device_that_an_opened_model_is_not_on(codec: Codec, data: bytes) -> None:
    assert vqcodec.decode(data, model=codec, device="cpu").size == (90, 60)
    for device in ("xyz", "cuda"):
        check(
            ValueError,
            "device must be auto where an opened model is given, which is on cpu",
            vqcodec.decode,
            data,
            model=codec,
            device=device,
        )


def test_lists(codec: Codec, data: bytes) -> None:
    for one in (None, 3, "a.png", Path("a.png"), make_picture(8, 8), io.BytesIO(b"x"), b"abc", {"a": 1}):
        check(TypeError, "images must be a list of images, not", codec.encode_batch, one)
    for one in (None, data, bytearray(data), "photo.vq"):
        check(TypeError, "files must be a list of the bytes of .vq files, not", codec.decode_batch, one)
    assert len(codec.decode_batch(iter([data, data]))) == 2  # type: ignore[arg-type]
    assert codec.decode_batch([]) == [] and codec.encode_batch([]) == []


def test_tensors_that_hold_no_pixels(codec: Codec) -> None:
    for wrong in (torch.zeros(3, 8, 8, dtype=torch.uint8, device="meta"), torch.zeros(3, 8, 8, dtype=torch.uint8).to_sparse()):
        check(TypeError, "image must be a Pillow image", codec.encode, wrong)


def test_a_limit_on_pixels(small_model: str) -> None:
    picture = make_picture(20, 12)
    with pytest.raises(vqcodec.VqcodecError, match="picture of 20x12 pixels, expected sides up to 1048576 and 239 pixels"):
        vqcodec.encode(picture, model=small_model, max_pixels=239)
    data = vqcodec.encode(picture, model=small_model, max_pixels=240)
    for function in (vqcodec.decode, vqcodec.decode_indices):
        function(data, max_pixels=240)
        with pytest.raises(vqcodec.VqcodecError, match="image of 20x12 pixels, expected 239 at most"):
            function(data, max_pixels=239)
        with pytest.raises(ValueError, match="max_pixels must be at least 1, not 0"):
            function(data, max_pixels=0)


def test_many_pixels_from_few_bytes_are_refused_before_anything_is_decoded(small_model: str, monkeypatch: pytest.MonkeyPatch) -> None:
    model = vqcodec.open_model(small_model).model
    entry = MapEntry(CoderKind.STATIC, 0, crc16(b""), 0)
    header = Header(model.config.number, model.config.weights_digest, 11585, 11585, ColourMode.RGB, (entry,))
    data = write_container(Container(header, (b"",)))
    assert len(data) < 30 and vqcodec.read_info(data).width == 11585
    monkeypatch.setattr("vqcodec.decoding.files.decode_map", lambda *_: pytest.fail("codes are decoded"))
    with pytest.raises(LimitExceededError, match="image of 11585x11585 pixels in .. bytes, expected at most 89478485 pixels in so few"):
        vqcodec.decode(data)


def test_numbers_of_numpy(codec: Codec, data: bytes) -> None:
    """Numbers of few bits, with which arithmetic would overflow: warnings are errors here."""
    options = {"size": (np.uint8(40), np.uint8(24)), "num_maps": np.uint8(2), "temperature": np.float16(0.75), "top_k": np.uint8(9)}
    plain = {"size": (40, 24), "num_maps": 2, "temperature": 0.75, "top_k": 9}
    assert codec.sample(np.uint8(2), seed=np.uint8(3), **options) == codec.sample(2, seed=3, **plain)
    check(LimitExceededError, "64 pictures of 8192x8192", codec.sample, np.int32(64), size=(8192, 8192))
    pictures = [make_picture(8, 8)] * 3
    assert codec.encode_batch(pictures, batch_size=np.uint8(2)) == codec.encode_batch(pictures, batch_size=2)
    assert codec.decode(data, realism=np.float16(0), max_maps=np.uint8(1)) == codec.decode(data, max_maps=1)


def test_a_quality_beside_a_lossless_file(codec: Codec) -> None:
    image = make_picture(8, 8)
    for name in ("quality", "num_maps", "rate_weight"):
        message = f"exact='all' writes a lossless file at any {name}; only one of exact='all' and {name} may be given"
        check(ValueError, message, codec.encode, image, exact="all", **{name: 1})
        check(ValueError, message, vqcodec.encode_batch, [image], model=codec, exact="all", **{name: 1})
    assert codec.encode(image, exact="all", tune="psnr", max_bytes=10_000) == codec.encode(image, exact="all")
