"""Checks what of a picture is kept in a file, and how quality and batches change the file."""

import numpy as np
import pytest
from PIL import Image

import vqcodec
from tests.conftest import make_picture
from tests.unit.images.profiles import DISPLAY_P3
from vqcodec.images.colour import profile_of

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
