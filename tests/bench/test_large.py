"""Checks the count of codes that are others by blocks than in one pass."""

import json

import pytest

from bench import large
from tests.conftest import make_picture
from vqcodec.models.model import load_model


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
