"""Checks which weights are loaded, and that weights that do not fit are refused."""

import hashlib
import json
import math
import shutil
from pathlib import Path

import numpy as np
import pytest
import safetensors.torch
import torch

import vqcodec
from tests.conftest import make_picture
from vqcodec.errors import ModelError, WeightsMismatchError
from vqcodec.models.config import CONFIG_NAME, PERCEPTUAL_NAME, read_config
from vqcodec.models.model import checked_realism, load_decoder, load_model


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


@pytest.fixture
def with_perceptual(models_root: Path, tmp_path: Path) -> Path:
    """Returns a model folder with a perceptual decoder, which paints all pixels by 0.25 brighter than the faithful one."""
    folder = Path(shutil.copytree(models_root / "small-test", tmp_path / "with-decoder"))
    state = {key: value.clone().contiguous() for key, value in load_model(folder, "cpu").network.decoder.stored_state().items()}
    state["decoder.skip_top.bias"] += 0.25
    data = safetensors.torch.save(state)
    (folder / PERCEPTUAL_NAME).write_bytes(data)
    config = json.loads((folder / CONFIG_NAME).read_text()) | {"perceptual_sha256": hashlib.sha256(data).hexdigest()}
    (folder / CONFIG_NAME).write_text(json.dumps(config))
    return folder


def test_realism_mixes_the_pixels_of_two_decoders(with_perceptual: Path) -> None:
    model = load_model(with_perceptual, "cpu")
    vectors = model.network.lookup([torch.randint(16, (1, 4, 4)), torch.randint(16, (1, 8, 8))])
    faithful = model.network.decoder(*vectors)
    assert load_decoder(model, 0) is model.network.decoder
    for realism in (1e-6, 0.5, 1):
        assert torch.allclose(load_decoder(model, realism)(*vectors), faithful + 0.25 * realism, atol=1e-5)


def test_a_damaged_perceptual_decoder_is_refused(with_perceptual: Path) -> None:
    (with_perceptual / PERCEPTUAL_NAME).write_bytes(b"damaged")
    model = load_model(with_perceptual, "cpu")
    assert load_decoder(model, 0) is model.network.decoder
    with pytest.raises(WeightsMismatchError, match="perceptual.safetensors: sha256 is"):
        load_decoder(model, 0.3)


def test_realism_that_cannot_be_had(small_model: str) -> None:
    model, data = load_model(small_model, "cpu"), vqcodec.encode(make_picture(24, 24), model=small_model)
    with pytest.raises(ModelError, match="model small-test has no perceptual decoder; realism must be 0"):
        load_decoder(model, 0.5)
    with pytest.raises(ModelError, match="no perceptual decoder"):
        vqcodec.decode(data, realism=0.5)
    for realism in (-0.1, 1.5, math.nan):
        with pytest.raises(ValueError, match=r"realism must be in 0\.\.1"):
            load_decoder(model, realism)
        with pytest.raises(ValueError, match=r"realism must be in 0\.\.1"):
            vqcodec.decode(data, realism=realism)
    assert checked_realism(np.float16(0.5)) == 0.5 and type(checked_realism(np.float16(0.5))) is float


def test_a_model_is_loaded_once_per_device(models_root: Path) -> None:
    folder = models_root / "small-test"
    model = load_model(folder, "cpu")
    assert load_model(read_config(folder), "cpu") is model
    assert not any(parameter.requires_grad for parameter in model.network.parameters())
    assert [coding.max_rate_weight for coding in model.codings] == [model.config.top_max_rate_weight, math.inf, math.inf, math.inf]
