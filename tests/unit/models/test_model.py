"""Checks which weights are loaded, and that weights that do not fit are refused."""

import json
import shutil
from pathlib import Path

import pytest

import vqcodec
from tests.conftest import make_picture
from vqcodec.errors import ModelError


def test_a_network_that_its_config_does_not_fit(models_root: Path, tmp_path: Path) -> None:
    good = json.loads((models_root / "small-test" / "config.json").read_text())
    shutil.copy(models_root / "small-test" / "weights.safetensors", tmp_path)
    for channels, message in (
        (0, "config.json: not a model config: channels must be"),
        (16, "weights.safetensors: does not fit config.json"),
    ):
        (tmp_path / "config.json").write_text(json.dumps({**good, "network": {**good["network"], "channels": channels}}))
        with pytest.raises(ModelError, match=message) as raised:
            vqcodec.encode(make_picture(24, 24), model=tmp_path)
        assert len(str(raised.value)) < 500 and "\n" not in str(raised.value)
