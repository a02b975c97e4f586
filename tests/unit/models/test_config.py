"""Checks that each mistake in a model's config is told."""

import json
import math
import re
import shutil
from pathlib import Path

import pytest

from vqcodec.errors import ModelError
from vqcodec.models.config import read_config


@pytest.mark.parametrize(
    ("values", "message"),
    [
        ({"id": None}, "id must be text, not None"),
        ({"id": ["a"]}, "id must be text, not ['a']"),
        ({"number": 0}, "number must be a whole number in 1..268435455, not 0"),
        ({"number": 1 << 40}, "number must be"),
        ({"parameters": "x"}, "parameters must be a whole number of at least 0, not 'x'"),
        ({"priors": [5]}, "priors must be a table, not 5"),
        ({"priors": None}, "priors must be a list, not None"),
        ({"network": 5}, "network must be a table, not 5"),
        ({"network": {"num_refinements": "2"}}, "num_refinements must be a whole number in 0..14, not '2'"),
        ({"parameters": 10**400}, "parameters must be a whole number of at least 0, not 10"),
        ({"perceptual_extra_blocks": math.inf}, "perceptual_extra_blocks must be a whole number of at least 0, not inf"),
        ({"perceptual_extra_blocks": "3"}, "perceptual_extra_blocks"),
        ({"perceptual_sha256": "zz"}, "perceptual_sha256 must have 64 hexadecimal digits"),
        ({"id": "../x"}, "id must be letters, digits"),
        ({"id": "a\nb"}, "id must be letters, digits"),
        ({"dial": [[math.inf, 1]] * 100}, "dial must have points of maps, at least 1, and lambda in 0..1e+06, not [inf, 1]"),
        ({"dial": [[5, 1]] * 100}, "dials must have points of 1..4 maps"),
        ({"weights_sha256": "00"}, "weights_sha256 must have 64 hexadecimal digits"),
        ({"top_max_rate_weight": 0}, "top_max_rate_weight must be above 0"),
        ({"dial": [[1, 2.0]]}, "dial must have 100 points, not 1"),
        ({"dial": {}}, "dial must be a list, not {}"),
        ({"activation_ranges": []}, "activation_ranges must be a table, not []"),
        (
            {"activation_ranges": {"decoder.to_pixels": 0}},
            "activation_ranges.decoder.to_pixels must be a number above 0, and at most 1e+06, not 0",
        ),
        (
            {"activation_ranges": {"decoder.to_pixels": "1"}},
            "activation_ranges.decoder.to_pixels must be a number above 0, and at most 1e+06, not '1'",
        ),
        (
            {"activation_ranges": {"decoder.to_pixels": True}},
            "activation_ranges.decoder.to_pixels must be a number above 0, and at most 1e+06, not True",
        ),
        (
            {"activation_ranges": {"decoder.to_pixels": math.inf}},
            "activation_ranges.decoder.to_pixels must be a number above 0, and at most 1e+06, not inf",
        ),
        (
            {"activation_ranges": {"decoder.to_pixels": 1e30}},
            "activation_ranges.decoder.to_pixels must be a number above 0, and at most 1e+06",
        ),
        ({"activation_ranges": {"stem": 1}}, "activation_ranges must name convolutions that follow a swish, not 'stem'"),
        ({"activation_ranges": {"decoder.blocks.0": 1}}, "activation_ranges must name convolutions that follow a swish"),
        (
            {"activation_ranges": {"decoder.to_pixels": math.nan}},
            "activation_ranges.decoder.to_pixels must be a number above 0, and at most 1e+06, not nan",
        ),
    ],
)
def test_model_configs_with_mistakes(models_root: Path, tmp_path: Path, values: dict[str, object], message: str) -> None:
    good = json.loads((models_root / "small-test" / "config.json").read_text())
    (tmp_path / "config.json").write_text(json.dumps(good | values))
    with pytest.raises(ModelError, match=re.escape(message)):
        read_config(tmp_path)


@pytest.mark.parametrize(
    ("dial", "message"), [([[1, 0.5]], "100 points, not 1"), ([[5, 0.5]] * 100, r"1\.\.4 maps"), ([[1, -1]] * 100, "lambda in")]
)
def test_a_malformed_dial(models_root: Path, tmp_path: Path, dial: list[list[float]], message: str) -> None:
    shutil.copytree(models_root / "small-test", tmp_path / "model")
    path = tmp_path / "model/config.json"
    path.write_text(json.dumps(json.loads(path.read_text()) | {"dial": dial}))
    with pytest.raises(ModelError, match=message):
        read_config(tmp_path / "model")
