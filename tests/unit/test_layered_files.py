"""Files of pictures with layers, from encoding to decoding."""

import re
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray
from PIL import Image

import vqcodec
from tests.conftest import make_picture
from tests.unit.rate.test_graphics import flat, noise, text
from tests.unit.rate.test_layers import exact_mask
from vqcodec.coding.tint import read_colour_layer
from vqcodec.errors import RateError
from vqcodec.format.container import read_container
from vqcodec.format.layers import NO_LAYERS, Layers, read_layers
from vqcodec.models.dial import MAX_RATE_WEIGHT


def layers_of(data: bytes) -> Layers:
    container = read_container(data)
    return read_layers(container.layers, container.header.width, container.header.height)


def decoded(data: bytes, **options: Any) -> NDArray[np.uint8]:
    return np.asarray(vqcodec.decode(data, **options))


def photo_and_text(photo: NDArray[np.uint8]) -> NDArray[np.uint8]:
    """Returns a picture of 96x96 pixels, the lower half of which is text."""
    return np.vstack([photo[100:148, 150:246], text((96, 48))])


@pytest.mark.parametrize("quality", [10, 50, 90])
@pytest.mark.parametrize("mode", ["RGB", "L", "RGBA"])
def test_a_flat_colour_comes_back_exactly_in_few_bytes(small_model: str, quality: int, mode: str) -> None:
    image = Image.new("RGB", (200, 150), (0, 255, 0)).convert(mode)
    data = vqcodec.encode(image, model=small_model, quality=quality)
    assert vqcodec.decode(data) == image.convert("RGB" if mode == "RGBA" else mode) and len(data) < 100


@pytest.mark.parametrize("quality", [10, 50, 90])
def test_text_comes_back_exactly(small_model: str, quality: int) -> None:
    data = vqcodec.encode(text(), model=small_model, quality=quality)
    assert np.array_equal(decoded(data), text()) and not layers_of(data).avif
    assert len(data) < 1000 and not any(read_container(data).payloads)


def test_maps_under_layers_are_coded_as_is_asked(small_model: str) -> None:
    raw, any_coder = (vqcodec.encode(text(), model=small_model, exact="all", coder=coder) for coder in ("raw", None))
    assert vqcodec.read_info(raw).maps[0].coder == "raw" and vqcodec.read_info(any_coder).maps[0].coder == "static"
    assert np.array_equal(decoded(raw), text()) and len(raw) > len(any_coder)


@pytest.mark.slow
@pytest.mark.parametrize("quality", [10, 50, 90])
def test_the_default_model_keeps_graphics_exact(quality: int) -> None:
    green = flat((0, 255, 0), 200, 150)
    data = vqcodec.encode(green, quality=quality)
    assert np.array_equal(decoded(data), green) and len(data) < 100
    assert np.array_equal(decoded(vqcodec.encode(text(), quality=quality)), text())


def test_photos_have_a_colour_layer_at_most(small_model: str, photo: NDArray[np.uint8]) -> None:
    data = vqcodec.encode(photo, model=small_model)
    layers = layers_of(data)
    assert layers == Layers(tint=layers.tint) and layers.tint is not None
    assert vqcodec.encode(photo, model=small_model, exact="off") == data
    codes = vqcodec.encode(photo, model=small_model, layers=False)
    assert layers_of(codes) == NO_LAYERS and np.array_equal(decoded(codes), decoded(data, layers=False))
    error, without = (float(np.square(decoded(one).astype(float) - photo).mean()) for one in (data, codes))
    assert error < without and len(codes) < len(data) < 1.06 * len(codes)


@pytest.mark.parametrize("mode", ["RGB", "L", "RGBA"])
def test_a_colour_layer_is_added_to_what_all_maps_paint_alone(small_model: str, mode: str) -> None:
    image = Image.fromarray(make_picture(90, 60)).convert(mode)
    if mode == "RGBA":
        image.putalpha(200)
    data = vqcodec.encode(image, model=small_model, quality=100)
    codes = vqcodec.encode(image, model=small_model, quality=100, layers=False)
    tint = layers_of(data).tint
    assert tint is not None and layers_of(codes) == NO_LAYERS
    maps = vqcodec.decode_indices(data)
    assert len(maps) == 4 and all(map(np.array_equal, maps, vqcodec.decode_indices(codes)))
    painted = np.asarray(vqcodec.paint_indices(maps, (90, 60), model=small_model))
    expected = read_colour_layer(tint, 90, 60).added_to(painted)
    shown = decoded(data)
    assert np.array_equal(shown if mode == "L" else shown[:, :, :3], np.rint(expected.mean(axis=2)) if mode == "L" else expected)
    assert not np.array_equal(shown, decoded(codes))
    for max_maps in range(1, 5):
        assert np.array_equal(decoded(data, max_maps=max_maps), shown if max_maps == 4 else decoded(codes, max_maps=max_maps))
    for options in ({"fill": "mode", "max_maps": 1}, {"fill": "sample", "max_maps": 3}, {"layers": False}):
        assert np.array_equal(decoded(data, **options), decoded(codes, **options))


def test_a_cut_file_goes_without_its_colour_layer_unless_all_maps_are_whole(small_model: str) -> None:
    image = Image.fromarray(make_picture(90, 60))
    image.info["xmp"] = b"<x:xmpmeta/>"
    data, codes = (vqcodec.encode(image, model=small_model, quality=100, layers=layers) for layers in (True, False))
    assert layers_of(data).tint is not None
    pictures = (decoded(one[: -3 - read_container(one).header.metadata_bytes], allow_truncated=True) for one in (data, codes))
    assert np.array_equal(*pictures)
    whole, cut = vqcodec.decode(data), vqcodec.decode(data[:-3], allow_truncated=True)
    assert np.array_equal(whole, cut) and "xmp" in whole.info and "xmp" not in cut.info
    assert not np.array_equal(cut, vqcodec.decode(codes))


@pytest.mark.usefixtures("no_avif")
def test_exact_pixels_win_over_the_colour_layer(small_model: str, photo: NDArray[np.uint8]) -> None:
    rgb = np.vstack([photo[100:228, 150:278], text((128, 48))])
    data = vqcodec.encode(rgb, model=small_model, num_maps=1, rate_weight=0.1)
    layers = layers_of(data)
    mask = exact_mask(layers, 128, 176)
    assert layers.tint is not None and 0.2 < mask.mean() < 0.9
    colours = read_colour_layer(layers.tint, 128, 176)
    shown, codes = decoded(data), decoded(data, layers=False)
    assert np.array_equal(shown, np.where(mask[:, :, None], rgb, colours.added_to(codes)))
    assert not np.array_equal(shown[~mask], codes[~mask]) and not np.array_equal(colours.added_to(rgb)[mask], rgb[mask])


def test_a_colour_layer_brings_no_file_over_its_limit(small_model: str, photo: NDArray[np.uint8]) -> None:
    """The smallest file has none where there is no room for it."""
    options: dict[str, Any] = {"num_maps": 1, "rate_weight": MAX_RATE_WEIGHT}
    rgb = photo[:200, :200]
    long, short = (len(vqcodec.encode(rgb, model=small_model, layers=layers, **options)) for layers in (True, False))
    assert long > short + 30
    for limit in (short, long - 1):
        data = vqcodec.encode(rgb, model=small_model, max_bytes=limit)
        assert short <= len(data) <= limit
    assert layers_of(vqcodec.encode(rgb, model=small_model, max_bytes=short)) == NO_LAYERS
    with pytest.raises(RateError, match=f"^does not fit into {short - 1} bytes: the smallest file has {short}$"):
        vqcodec.encode(rgb, model=small_model, max_bytes=short - 1)


@pytest.mark.slow
def test_the_default_model_keeps_colours_of_large_areas(photo: NDArray[np.uint8]) -> None:
    rgb = photo[:256, :384]
    drifts = []
    for layers in (True, False):
        data = vqcodec.encode(rgb, quality=5, layers=layers)
        assert (layers_of(data).tint is not None) == layers and not layers_of(data).patches
        errors = decoded(data).astype(float) - rgb
        drifts.append(np.abs(errors.reshape(4, 64, 6, 64, 3).mean(axis=(1, 3))).mean())
    assert drifts[0] < 0.8 * drifts[1]


def test_without_layers_graphics_are_codes(small_model: str) -> None:
    rgb = text((64, 32))
    data = vqcodec.encode(rgb, model=small_model, layers=False)
    assert layers_of(data) == NO_LAYERS and not np.array_equal(decoded(data), rgb)
    off = vqcodec.encode(rgb, model=small_model, exact="off")
    assert layers_of(off).patches == () and layers_of(off).avif is not None


@pytest.mark.parametrize("size", [(1, 1), (3, 5), (7, 300), (64, 48)])
@pytest.mark.parametrize("mode", ["RGB", "L"])
def test_everything_exact_is_lossless(small_model: str, size: tuple[int, int], mode: str) -> None:
    for pixels in (make_picture(*size), noise(*size)):
        image = Image.fromarray(pixels).convert(mode)
        data = vqcodec.encode(image, model=small_model, exact="all", verify=True)
        assert vqcodec.decode(data) == image
        assert vqcodec.decode(data, realism=0, max_maps=1) == image


def test_everything_exact_with_transparency(small_model: str) -> None:
    """Colours under alpha 0 are filled, and all else comes back."""
    rng = np.random.default_rng(3)
    for channels in (1, 3):
        pixels = np.dstack([make_picture(41, 30)[:, :, :channels], rng.choice(np.array([0, 0, 1, 200, 255], np.uint8), (30, 41))])
        back = decoded(vqcodec.encode(Image.fromarray(pixels, "LA" if channels == 1 else "RGBA"), model=small_model, exact="all"))
        seen = pixels[:, :, -1] > 0
        assert np.array_equal(back[:, :, -1], pixels[:, :, -1]) and np.array_equal(back[seen], pixels[seen])


def test_everything_exact_of_a_long_picture(small_model: str) -> None:
    """The encoder of WebP takes a pixel less than this."""
    long = np.zeros((1, 16384, 3), np.uint8)
    long[0, ::1000] = (9, 100, 200)
    assert np.array_equal(decoded(vqcodec.encode(long, model=small_model, exact="all")), long)


@pytest.mark.usefixtures("no_avif")
def test_layers_need_not_be_shown(small_model: str, photo: NDArray[np.uint8]) -> None:
    rgb = photo_and_text(photo)
    data = vqcodec.encode(rgb, model=small_model, quality=50)
    mask = exact_mask(layers_of(data), 96, 96)
    assert 0.3 < mask.mean() < 0.9 and mask[48:].mean() > 0.9
    with_layers, without = decoded(data), decoded(data, layers=False)
    assert np.array_equal(with_layers[mask], rgb[mask]) and not np.array_equal(without[mask], rgb[mask])
    alone = vqcodec.encode(photo, model=small_model, quality=50, layers=False)
    assert np.array_equal(decoded(alone), decoded(alone, layers=False))
    painted = np.asarray(vqcodec.paint_indices(vqcodec.decode_indices(data), (96, 96), model=small_model))
    assert np.array_equal(without, painted)


@pytest.mark.usefixtures("no_avif")
def test_exact_pixels_stay_exact_with_fewer_maps(small_model: str, photo: NDArray[np.uint8]) -> None:
    rgb = photo_and_text(photo)
    data = vqcodec.encode(rgb, model=small_model, quality=60)
    mask = exact_mask(layers_of(data), 96, 96)
    for options in ({}, {"max_maps": 1}, {"max_maps": 2}, {"max_maps": 1, "fill": "mode"}):
        assert np.array_equal(decoded(data, **options)[mask], rgb[mask])
    assert not np.array_equal(decoded(data, max_maps=1), decoded(data))


@pytest.mark.slow
@pytest.mark.usefixtures("no_avif")
def test_exact_pixels_stay_exact_with_realism(photo: NDArray[np.uint8]) -> None:
    rgb = photo_and_text(photo)
    for tune in ("iq", "psnr", "perceptual"):
        data = vqcodec.encode(rgb, quality=40, tune=tune)  # type: ignore[arg-type]
        mask = exact_mask(layers_of(data), 96, 96)
        assert 0.3 < mask.mean() < 1
        for realism in (0.5, 1.0):
            assert np.array_equal(decoded(data, realism=realism)[mask], rgb[mask])
        assert not np.array_equal(decoded(data, realism=1), decoded(data))


@pytest.mark.slow
@pytest.mark.usefixtures("no_avif")
def test_batches_give_the_files_of_single_pictures(small_model: str, photo: NDArray[np.uint8]) -> None:
    pictures = [photo_and_text(photo), flat((0, 255, 0), 96, 96), text((96, 96)), make_picture(96, 96), text((99, 50))]
    for options in ({}, {"exact": "all"}, {"max_bytes": 1500}):
        files = vqcodec.encode_batch(pictures, model=small_model, batch_size=4, **options)  # type: ignore[arg-type]
        singles = [vqcodec.encode(picture, model=small_model, **options) for picture in pictures]  # type: ignore[arg-type]
        assert [layers_of(data) for data in files] == [layers_of(data) for data in singles]
        assert len({bool(layers_of(data).patches) for data in files}) == (1 if options.get("exact") else 2)
        for image, data in zip(vqcodec.decode_batch(files, batch_size=3), files, strict=True):
            assert np.abs(np.asarray(image).astype(int) - decoded(data)).max() <= 1


def test_a_lossless_file_that_fits_is_written(small_model: str) -> None:
    exact = vqcodec.encode(text(), model=small_model, exact="all")
    for options in ({"max_bytes": len(exact)}, {"max_bytes": 10_000}, {"target_bpp": 8 * len(exact) / (160 * 96)}):
        assert vqcodec.encode(text(), model=small_model, **options) == exact  # type: ignore[arg-type]
    assert vqcodec.encode(text(), model=small_model, max_bytes=len(exact), exact="all") == exact
    message = f"does not fit into {len(exact) - 1} bytes: the lossless file has {len(exact)}"
    with pytest.raises(RateError, match=f"^{message}$"):
        vqcodec.encode(text(), model=small_model, max_bytes=len(exact) - 1, exact="all")
    bpp = 8 * (len(exact) - 1) / (160 * 96)
    with pytest.raises(RateError, match=f"^{re.escape(f'{bpp:g} bpp: ')}does not fit into .* bytes: the lossless file has"):
        vqcodec.encode(text(), model=small_model, target_bpp=bpp, exact="all")


@pytest.mark.slow
@pytest.mark.parametrize("make", [lambda: text((128, 64)), lambda: np.hstack([noise(48, 48), text((48, 48))])], ids=["text", "mix"])
def test_files_of_graphics_keep_their_limit(small_model: str, make: Callable[[], NDArray[np.uint8]]) -> None:
    rgb = make()
    exact = len(vqcodec.encode(rgb, model=small_model, exact="all"))
    limit = round(0.8 * exact)
    data = vqcodec.encode(rgb, model=small_model, max_bytes=limit)
    assert len(data) <= limit and decoded(data).shape == rgb.shape and not np.array_equal(decoded(data), rgb)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"exact": "some"}, "exact must be one of auto, off, all, not 'some'"),
        ({"exact": None}, "exact must be one of auto, off, all, not None"),
        ({"exact": "all", "layers": False}, "exact must not be 'all'"),
    ],
)
def test_wrong_options_are_told(small_model: str, options: dict[str, Any], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        vqcodec.encode(text(), model=small_model, **options)
    with pytest.raises(ValueError, match=message):
        vqcodec.encode_batch([text()], model=small_model, **options)


def test_the_smallest_file_may_be_the_lossless_one(small_model: str) -> None:
    flat = np.full((300, 400, 3), (230, 40, 60), np.uint8)
    num_bytes = len(vqcodec.encode(flat, model=small_model, exact="all"))
    assert len(vqcodec.encode(flat, model=small_model, max_bytes=num_bytes)) == num_bytes
    with pytest.raises(RateError, match=f"does not fit into 20 bytes: the smallest file has {num_bytes}"):
        vqcodec.encode(flat, model=small_model, max_bytes=20)


def test_tiny_pictures_are_exact_where_that_is_smaller(small_model: str) -> None:
    for size in [(1, 1), (2, 3)]:
        rgb = np.random.default_rng(0).integers(0, 256, (*size, 3), np.uint8)
        assert np.array_equal(decoded(vqcodec.encode(rgb, model=small_model, quality=100)), rgb)


def test_layers_that_are_neither_wanted_nor_unwanted(small_model: str) -> None:
    rgb = make_picture(16, 16)
    data = vqcodec.encode(rgb, model=small_model)
    for wrong in (None, 0, "no"):
        with pytest.raises(TypeError, match="layers must be True or False"):
            vqcodec.encode(rgb, model=small_model, layers=wrong)
        with pytest.raises(TypeError, match="layers must be True or False"):
            vqcodec.decode(data, layers=wrong)


def test_codes_are_read_without_decoding_layers(small_model: str, monkeypatch: pytest.MonkeyPatch) -> None:
    data = vqcodec.encode(text((64, 32)), model=small_model, exact="all")
    monkeypatch.setattr("vqcodec.images.layers.decode_patch", lambda patch: pytest.fail("a patch was decoded"))
    assert vqcodec.decode_indices(data)[0].shape == (4, 8)
    assert vqcodec.decode(data, layers=False).size == (64, 32)
