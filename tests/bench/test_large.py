"""Checks the count of codes that are others by blocks than in one pass."""

import json

import pytest

from bench import large
from tests.conftest import make_picture
from vqcodec.models.model import load_model
from vqcodec.rate.layers import wants_layers
from vqcodec.rate.options import LayerOptions


def test_codes_of_blocks_are_counted(small_model: str) -> None:
    counts = large.count_other_codes(make_picture(2064, 48), small_model)
    assert (counts["height"], counts["width"]) == (48, 2064)
    num_maps = load_model(small_model, "cpu").config.dial("iq").at(50).num_maps
    for name in ("quality 50", "nearest"):
        assert [size for _, size in counts[name]] == [258 * 6, *[516 * 12] * (num_maps - 1)]
        assert all(count < size / 20 for count, size in counts[name]), "blocks see the margins that they need"


def test_the_count_is_a_line_of_json(small_model: str, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    monkeypatch.setattr(large, "count_other_codes", lambda pixels, model: {"shape": pixels.shape, "model": model})
    large.run_block_codes(0.01, small_model)
    assert json.loads(capsys.readouterr().out) == {"shape": [80, 120, 3], "model": small_model}


def test_large_screens_are_text_and_photos(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(large, "PAGE_PX", (160, 120))
    picture = large.large_screen(400, 300)
    assert picture.shape == (300, 400, 3) and wants_layers(picture, LayerOptions())
    assert (picture[:120, :160] == 255).all(axis=2).mean() > 0.5
    assert (picture[120:240, :160] == 255).all(axis=2).mean() < 0.1
