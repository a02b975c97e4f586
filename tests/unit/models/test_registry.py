"""Checks which model is found by its id, and by the number in a file."""

import json
import os
import shutil
from pathlib import Path

import pytest

import vqcodec
from tests.conftest import make_picture
from vqcodec.errors import UnknownModelError


def test_unknown_model_names_those_installed(small_model: str) -> None:
    with pytest.raises(UnknownModelError, match="small-test"):
        vqcodec.encode(make_picture(8, 8), model="photo-v999")


def test_files_of_a_hidden_model_are_decoded(tmp_path: Path, models_root: Path, small_model: str, monkeypatch: pytest.MonkeyPatch) -> None:
    data = vqcodec.encode(make_picture(24, 24), model=small_model)
    shutil.copytree(models_root / "small-test", tmp_path / "small-test")
    config = tmp_path / "small-test" / "config.json"
    config.write_text(json.dumps({**json.loads(config.read_text()), "weights_sha256": 64 * "0"}))
    monkeypatch.setenv("VQCODEC_MODELS", os.pathsep.join([str(tmp_path), str(models_root)]))
    assert vqcodec.decode(data).size == (24, 24) and vqcodec.read_info(data).model == "small-test"
