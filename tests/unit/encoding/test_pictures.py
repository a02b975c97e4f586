"""Checks what of a picture is kept in a file, and how quality and batches change the file."""

from collections.abc import Iterator
from dataclasses import replace
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
from PIL import Image

import vqcodec
from tests.conftest import make_picture
from tests.unit.images.profiles import DISPLAY_P3
from vqcodec.decoding.painting import decode_pictures
from vqcodec.encoding.padding import PaddedPixels
from vqcodec.encoding.pictures import _Encoder, encode_pictures
from vqcodec.images.colour import profile_of
from vqcodec.images.picture import Picture
from vqcodec.info import read_info
from vqcodec.models.dial import OperatingPoint
from vqcodec.models.model import load_model
from vqcodec.models.painters import load_draft_painter
from vqcodec.nn.runtime import has_fast_runtime
from vqcodec.rate.options import DEFAULT_LAYERS

SIZES = [(1, 1), (1, 300), (300, 1), (17, 23), (255, 257), (768, 512)]


PROFILE = profile_of(DISPLAY_P3, is_grey=False)


@pytest.mark.parametrize("mode", ["L", "LA", "RGB", "RGBA"])
@pytest.mark.parametrize("size", [*SIZES[:-1], pytest.param(SIZES[-1], marks=pytest.mark.slow)])
def test_size_and_mode_come_back(small_model: str, size: tuple[int, int], mode: str) -> None:
    image = Image.fromarray(make_picture(*size)).convert(mode)
    if "A" in mode:
        image.putalpha(254)
    decoded = vqcodec.decode(vqcodec.encode(image, model=small_model))
    assert (decoded.size, decoded.mode) == (size, mode)


def test_alpha_is_lossless_and_profile_is_kept(small_model: str) -> None:
    image = Image.fromarray(make_picture(40, 30)).convert("RGBA")
    alpha = make_picture(40, 30, seed=5)[:, :, 0]
    image.putalpha(Image.fromarray(alpha))
    image.info["icc_profile"] = PROFILE
    decoded = vqcodec.decode(vqcodec.encode(image, model=small_model))
    assert np.array_equal(np.asarray(decoded)[:, :, 3], alpha)
    assert decoded.info["icc_profile"] == PROFILE


def test_same_image_same_bytes(small_model: str) -> None:
    image = make_picture(90, 70)
    assert vqcodec.encode(image, model=small_model) == vqcodec.encode(image.copy(), model=small_model)


def test_batch_of_mixed_sizes_keeps_the_order(small_model: str) -> None:
    images = [make_picture(40, 30, seed) if seed % 2 else make_picture(33, 50, seed) for seed in range(5)]
    files = vqcodec.encode_batch(images, model=small_model, batch_size=2)
    singles = [vqcodec.encode(image, model=small_model) for image in images]
    assert [vqcodec.read_info(data).width for data in files] == [33, 40, 33, 40, 33]
    pictures = vqcodec.decode_batch(files, batch_size=3)
    for picture, single in zip(pictures, singles, strict=True):
        difference = np.asarray(picture).astype(int) - np.asarray(vqcodec.decode(single)).astype(int)
        assert np.abs(difference).mean() < 1.0


@pytest.mark.skipif(not has_fast_runtime("cpu"), reason="torch rounds pictures of a batch in another way")
def test_files_do_not_depend_on_their_batch(photo: np.ndarray) -> None:
    images = [photo[:72, :120], photo[200:272, 300:420]]
    assert vqcodec.encode_batch(images, quality=30) == [vqcodec.encode(image, quality=30) for image in images]


def test_a_higher_quality_is_larger_and_better(small_model: str) -> None:
    """Codes alone are compared, since a colour layer mends most of what this network, which is hardly trained, paints from one map."""
    image = make_picture(80, 80)
    errors, sizes = [], []
    for quality in (25, 50, 75, 100):
        data = vqcodec.encode(image, model=small_model, quality=quality, layers=False)
        sizes.append(len(data))
        errors.append(np.square(np.asarray(vqcodec.decode(data)).astype(int) - image).mean())
    assert sizes == sorted(sizes) and errors == sorted(errors, reverse=True)
    for bad in (0, 101):
        with pytest.raises(ValueError, match="1..100"):
            vqcodec.encode(image, model=small_model, quality=bad)


def test_pictures_painted_together_give_the_files_of_those_painted_alone(
    small_model: str, photo: np.ndarray, monkeypatch: pytest.MonkeyPatch
) -> None:
    """As on a GPU, which is feigned."""
    model = load_model(small_model, "cpu")
    on_gpu: Any = SimpleNamespace(device="cuda")
    colours = [photo[:37, :50], photo[40:77, :50]]
    of_model = [_Encoder(each, OperatingPoint(2, 1.0), None, "iq", DEFAULT_LAYERS, None) for each in (model, on_gpu)]
    maps = of_model[0].maps(PaddedPixels(colours))
    assert of_model[0].painted_together(maps, (56, 40)) is None and of_model[1].painted_together(maps, (5600, 40)) is None
    monkeypatch.setattr("vqcodec.encoding.pictures.load_draft_painter", lambda _, condition=None: load_draft_painter(model, condition))
    painted = of_model[1].painted_together(maps, (56, 40))
    assert painted is not None and painted.shape == (2, 40, 56, 3)
    for row, rgb in enumerate(colours):
        files = [of_model[0].file(Picture(rgb), rgb, maps, row, painted=known) for known in (None, painted[row])]
        assert files[0].data == files[1].data


@pytest.mark.parametrize("colour", [(10, 220, 10), (120, 10, 245), (245, 10, 245)])
def test_saturated_areas_keep_their_colour(colour: tuple[int, int, int]) -> None:
    """With the shipped model: its ranges in 8 bits once cut off what such colours excite, and a block was off by 6 levels."""
    noise = np.random.default_rng(7).normal(0, 3, (64, 64, 1))
    picture = (np.asarray(colour) + noise).clip(0, 255).astype(np.uint8)
    decoded = np.asarray(vqcodec.decode(vqcodec.encode(picture, quality=70)))
    assert np.abs((decoded - picture.astype(np.float64)).mean(axis=(0, 1))).max() < 2


@pytest.mark.parametrize("quality", [70, 90])
def test_a_noisy_saturated_ground_is_no_worse_than_its_mean(quality: int) -> None:
    """With the shipped model, whose codes add an error to it that is twice as large as the noise; photos are painted by codes alone."""
    rng = np.random.default_rng(3)
    picture = (np.asarray((140, 20, 230)) + rng.integers(-3, 4, (128, 128, 3))).astype(np.uint8)
    data = vqcodec.encode(picture, quality=quality)
    errors = np.asarray(vqcodec.decode(data)) - picture.astype(np.float64)
    assert np.square(errors).mean() < 1.5 * picture.var(axis=(0, 1)).mean()
    assert [layer.name for layer in read_info(data).layers] == ["avif"] and len(data) < 2000


@pytest.fixture
def compiled(monkeypatch: pytest.MonkeyPatch) -> Iterator[list[str]]:
    """Returns the names of graphs that are compiled, in their order."""
    openvino_layers = pytest.importorskip("vqcodec.nn.autoencoder.openvino_layers", reason="the extra fast is not installed")
    names: list[str] = []
    own = openvino_layers._compiled

    def compile_graph(graph: Any, *args: Any) -> Any:
        names.append(graph.get_friendly_name().removesuffix(".to_code"))
        return own(graph, *args)

    monkeypatch.setattr(openvino_layers, "_compiled", compile_graph)
    yield names


@pytest.mark.parametrize(("num_maps", "later"), [(1, []), (2, ["bottom_encoder"])])
@pytest.mark.parametrize("size", [(40, 32), (1024, 520)])
def test_each_network_that_is_needed_is_compiled_once(
    small_model: str, compiled: list[str], num_maps: int, later: list[str], size: tuple[int, int]
) -> None:
    model = replace(load_model(small_model, "cpu"))
    for _ in range(2):
        (file,) = encode_pictures([Picture(make_picture(*size))], model, point=OperatingPoint(num_maps, 1.0))
        assert sorted(compiled) == sorted(["hidden", "top_encoder", *later, "decoder"])
    compiled.clear()
    model = replace(model)
    for _ in range(2):
        decode_pictures([file.data], model)
        assert compiled == ["decoder"]
