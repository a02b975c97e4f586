"""Metrics against their formulas."""

import math

import numpy as np
import pytest
from numpy.typing import NDArray

from vqcodec.images import metrics
from vqcodec.images.metrics import bits_per_pixel, ms_ssim, mse, psnr_db


def test_bits_per_pixel() -> None:
    assert bits_per_pixel(49152, 768, 512) == 1.0


def test_psnr_of_known_errors() -> None:
    a = np.full((4, 4, 3), 10, np.uint8)
    b = a.copy()
    b[0, 0, 0] = 22
    assert mse(a, b) == 3.0
    assert psnr_db(a, b) == pytest.approx(20 * math.log10(255 / math.sqrt(3)))
    assert psnr_db(a, a) == math.inf
    tall = np.zeros((600, 1, 3), np.uint8)
    assert mse(tall, np.arange(600, dtype=np.int64).clip(0, 255).astype(np.uint8)[:, None, None].repeat(3, axis=2)) == pytest.approx(
        (sum(level**2 for level in range(256)) + 344 * 255**2) / 600
    )
    assert mse(np.zeros((1, 1), np.uint8), np.full((1, 1), 255, np.uint8)) == 255**2


def test_ms_ssim_is_one_for_equal_and_falls_with_noise(photo: NDArray[np.uint8]) -> None:
    noise = np.random.default_rng(0).normal(0, 1, photo.shape)
    values = [ms_ssim(photo, np.clip(photo + scale * noise, 0, 255).astype(np.uint8)) for scale in (0, 10, 40)]
    assert values[0] == pytest.approx(1.0)
    assert all(value is not None for value in values)
    assert values[0] > values[1] > values[2]  # type: ignore[operator]


def test_ms_ssim_of_small_images_is_undefined_and_of_huge_ones_left_out(monkeypatch: pytest.MonkeyPatch) -> None:
    assert ms_ssim(np.zeros((160, 400, 3), np.uint8), np.zeros((160, 400, 3), np.uint8)) is None
    assert ms_ssim(np.zeros((161, 400, 3), np.uint8), np.zeros((161, 400, 3), np.uint8)) is not None
    monkeypatch.setattr(metrics, "MS_SSIM_MAX_PIXELS", 161 * 400 - 1)
    assert ms_ssim(np.zeros((161, 400, 3), np.uint8), np.zeros((161, 400, 3), np.uint8)) is None


@pytest.mark.parametrize("metric", [psnr_db, ms_ssim])
def test_shapes_must_agree(metric: object) -> None:
    with pytest.raises(ValueError, match="differ in shape"):
        metric(np.zeros((8, 8, 3), np.uint8), np.zeros((8, 9, 3), np.uint8))  # type: ignore[operator]
