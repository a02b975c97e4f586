"""Checks PSNR and MS-SSIM against their formulas and against other implementations."""

import math

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from numpy.typing import NDArray

from tests.photos import PHOTOS, QUALITIES, jpeg
from vqcodec.images import metrics
from vqcodec.images.metrics import ms_ssim, mse, psnr_db


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


@pytest.mark.parametrize("name", PHOTOS)
def test_psnr_by_its_formula(name: str) -> None:
    photo = PHOTOS[name]
    for quality in QUALITIES:
        decoded = jpeg(photo, quality)
        rms = math.sqrt(np.mean((photo.astype(np.float64) - decoded.astype(np.float64)) ** 2))
        assert psnr_db(photo, decoded) == pytest.approx(20 * math.log10(255 / rms), abs=1e-9)


@pytest.mark.slow
@pytest.mark.parametrize("name", PHOTOS)
def test_ms_ssim_as_torchmetrics_has_it(name: str) -> None:
    """The two differ in one choice: torchmetrics averages the coarsest SSIM alone over a map whose border saw mirrored pixels.

    Without that border, they agree to rounding; with it, within 0.02 for the worst JPEG and 0.001 for better ones.
    """
    torchmetrics = pytest.importorskip("torchmetrics.functional.image", reason="torchmetrics is not installed")
    options = {"gaussian_kernel": True, "sigma": 1.5, "kernel_size": 11, "data_range": 255.0}
    photo = PHOTOS[name]
    for quality in QUALITIES:
        decoded = jpeg(photo, quality)
        expected = ms_ssim(photo, decoded)
        x, x_hat = (torch.from_numpy(image.copy()).permute(2, 0, 1)[:, None].float() for image in (photo, decoded))  # [3, 1, H, W]
        whole = torchmetrics.multiscale_structural_similarity_index_measure(x_hat, x, **options)
        assert float(whole) == pytest.approx(expected, abs=0.02 if quality < 30 else 0.001)

        product = torch.ones(3)
        for scale, beta in enumerate((0.0448, 0.2856, 0.3001, 0.2363, 0.1333)):
            if scale < 4:
                similarity = torchmetrics.structural_similarity_index_measure(
                    x_hat, x, **options, reduction="none", return_contrast_sensitivity=True
                )[1]
            else:
                full = torchmetrics.structural_similarity_index_measure(x_hat, x, **options, reduction="none", return_full_image=True)[1]
                similarity = full[..., 5:-5, 5:-5].mean(dim=(1, 2, 3))
            product *= similarity.relu() ** beta
            x, x_hat = F.avg_pool2d(x, 2), F.avg_pool2d(x_hat, 2)
        assert float(product.mean()) == pytest.approx(expected, abs=2e-5)
