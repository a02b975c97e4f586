"""Checks the layers that a user may ask for."""

import pytest

from vqcodec.rate.control import RateControl
from vqcodec.rate.options import DEFAULT_LAYERS, EXACTS, LayerOptions


def test_defaults() -> None:
    assert DEFAULT_LAYERS == LayerOptions("auto", layers=True) and EXACTS == ("auto", "off", "all")
    for exact in ("auto", "off"):
        LayerOptions(exact, layers=False)  # type: ignore[arg-type]


@pytest.mark.parametrize("exact", ["some", "", None, 1, ["all"]])
def test_what_is_none_of_them_is_told(exact: object) -> None:
    with pytest.raises(ValueError, match="^exact must be one of auto, off, all, not "):
        LayerOptions(exact)  # type: ignore[arg-type]


def test_everything_exact_without_layers_is_a_contradiction() -> None:
    with pytest.raises(ValueError, match="exact must not be 'all' where there are to be no layers"):
        LayerOptions("all", layers=False)


def test_a_lossless_file_has_no_quality() -> None:
    for name in ("quality", "num_maps", "rate_weight"):
        with pytest.raises(ValueError, match=f"only one of exact='all' and {name} may be given"):
            LayerOptions("all").check_rate(RateControl(**{name: 1}))  # type: ignore[arg-type]
        LayerOptions("auto").check_rate(RateControl(**{name: 1}))  # type: ignore[arg-type]
    for rate in (RateControl(), RateControl(max_bytes=1), RateControl(target_bpp=1), RateControl(tune="psnr")):
        LayerOptions("all").check_rate(rate)
