"""Checks that a model folder whose config does not fit its weights is refused at once, whatever numbers stand in it."""

import copy
import hashlib
import json
import math
import os
import random
import shutil
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import safetensors.torch
import torch

import vqcodec
from tests.conftest import make_picture
from vqcodec.errors import ModelError
from vqcodec.models import networks, weights
from vqcodec.models.config import CONFIG_NAME, PERCEPTUAL_NAME, WEIGHTS_NAME
from vqcodec.models.model import Model, load_decoder, load_model
from vqcodec.nn.configs import PriorConfig
from vqcodec.nn.prior.native import NativePrior

VALUES = [-1, 0, 1, 2, 3, 5, 16, 1 << 16, 10**9, 1 << 40, 10**18, 10**30, 0.5, math.nan, math.inf, True, None, "x", [], {}, [1, 1]]


@pytest.fixture
def folder(models_root: Path, tmp_path: Path) -> Path:
    """Returns a model folder of the test's own."""
    return Path(shutil.copytree(models_root / "small-test", tmp_path / "model"))


def config_of(folder: Path) -> dict[str, Any]:
    config: dict[str, Any] = json.loads((folder / CONFIG_NAME).read_text())
    return config


def places(value: Any, path: tuple[Any, ...] = ()) -> Iterator[tuple[Any, ...]]:
    """Yields the path of every value inside a value of JSON."""
    if path:
        yield path
    for key, inside in value.items() if isinstance(value, dict) else enumerate(value) if isinstance(value, list) else ():
        yield from places(inside, (*path, key))


def changed(config: dict[str, Any], path: tuple[Any, ...], value: Any) -> dict[str, Any]:
    """Returns a config with another value at a path."""
    config = copy.deepcopy(config)
    inner: Any = config
    for key in path[:-1]:
        inner = inner[key]
    inner[path[-1]] = value
    return config


@pytest.fixture
def allocated(monkeypatch: pytest.MonkeyPatch) -> list[int]:
    """Returns a list that grows by the number of values of each tensor that networks get memory for."""
    numbers: list[int] = []
    real_empty = torch.empty

    def empty(*size: Any, **options: Any) -> torch.Tensor:
        tensor = real_empty(*size, **options)
        if tensor.device.type != "meta":
            numbers.append(tensor.numel())
        return tensor

    with torch.device("meta"):  # finds out which functions make tensors, before one of them is replaced
        torch.empty(1)
    monkeypatch.setattr(torch, "empty", empty)
    return numbers


def load_all_of(folder: Path) -> Model:
    """Returns a model, all of whose parts are loaded."""
    model = load_model(folder, "cpu")
    assert len(list(model.codings)) == len(list(model.torch_codings)) == len(model.codebooks) == model.config.num_maps
    assert model.network.decoder is model.decoder
    return model


def test_no_config_allocates_more_than_its_weights(folder: Path, allocated: list[int]) -> None:
    config = config_of(folder) | {"perceptual_extra_blocks": 0, "top_max_rate_weight": 0.3}
    largest = max(values.numel() for values in load_all_of(folder).network.state_dict().values())
    assert allocated
    mutants = [(path, value) for path in places(config) for value in VALUES]
    chosen = random.Random(0).sample(mutants, 200) + [(path, 10**9) for path in places(config) if isinstance(path[-1], str)]
    refused = 0
    for path, value in chosen:
        (folder / CONFIG_NAME).write_text(json.dumps(changed(config, path, value)))
        try:
            load_all_of(folder)
        except ModelError as error:
            assert "\n" not in str(error) and len(str(error)) < 1000
            refused += 1
    assert refused > 150 and max(allocated) <= largest


@pytest.mark.parametrize("blocks", [1, 10**9])
def test_a_perceptual_decoder_of_more_blocks_than_its_file(folder: Path, allocated: list[int], blocks: int) -> None:
    state = load_model(folder, "cpu").network.decoder.stored_state()
    data = safetensors.torch.save({name: values.contiguous() for name, values in state.items()})
    (folder / PERCEPTUAL_NAME).write_bytes(data)
    values = {"perceptual_sha256": hashlib.sha256(data).hexdigest(), "perceptual_extra_blocks": blocks}
    (folder / CONFIG_NAME).write_text(json.dumps(config_of(folder) | values))
    model = load_model(folder, "cpu")
    allocated.clear()
    with pytest.raises(ModelError, match="perceptual.safetensors: does not fit config.json: (there is no tensor|a network of 100000000)"):
        load_decoder(model, 1.0)
    assert not allocated


def test_decoding_loads_no_more_than_it_needs(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    data = vqcodec.encode(make_picture(24, 16), model=folder, num_maps=2, coder="prior")
    loaded: list[int] = []

    def recorded(make: Callable[..., Any]) -> Callable[..., Any]:
        def made(shape: PriorConfig, *args: Any) -> Any:
            loaded.append(shape.earlier_maps)
            return make(shape, *args)

        return made

    monkeypatch.setattr(networks, "stored_prior", recorded(networks.stored_prior))
    monkeypatch.setattr("vqcodec.models.model.NativePrior", recorded(NativePrior))
    codec = vqcodec.open_model(shutil.copytree(folder, folder.with_name("other")))
    for max_maps, numbers in ((1, [0]), (None, [0, 1])):
        codec.decode(data, max_maps=max_maps)
        assert loaded == numbers
    assert not {"network", "perceptual_decoder", "stored_perceptual_decoder"} & vars(codec.model).keys()


def write_tensors(folder: Path, tensors: dict[str, torch.Tensor]) -> None:
    """Writes the weights file of a model folder, and its digest into the config."""
    data = safetensors.torch.save(tensors)
    (folder / WEIGHTS_NAME).write_bytes(data)
    (folder / CONFIG_NAME).write_text(json.dumps(config_of(folder) | {"weights_sha256": hashlib.sha256(data).hexdigest()}))


@pytest.mark.parametrize("bad", [math.nan, math.inf, -math.inf, 1e10])
@pytest.mark.parametrize("dtype", [torch.float16, torch.float32, torch.float64])
def test_numbers_that_are_not_finite_are_refused(folder: Path, dtype: torch.dtype, bad: float) -> None:
    tensors = safetensors.torch.load((folder / WEIGHTS_NAME).read_bytes())
    tensors["autoencoder.stem.bias"] = tensors["autoencoder.stem.bias"].to(dtype)
    write_tensors(folder, tensors)
    load_model(folder, "cpu")
    tensors["autoencoder.stem.bias"][-1] = bad
    write_tensors(folder, tensors)
    with pytest.raises(ModelError, match=r"tensor autoencoder.stem.bias has numbers that are not finite, or beyond"):
        load_model(folder, "cpu")


def test_tensors_that_are_no_numbers_are_refused(folder: Path) -> None:
    tensors = safetensors.torch.load((folder / WEIGHTS_NAME).read_bytes())
    write_tensors(folder, tensors | {"autoencoder.stem.bias": tensors["autoencoder.stem.bias"] > 0})
    with pytest.raises(ModelError, match=r"tensor autoencoder.stem.bias is bool, expected numbers"):
        load_model(folder, "cpu")


def test_static_frequencies_of_other_maps(folder: Path) -> None:
    tensors = safetensors.torch.load((folder / WEIGHTS_NAME).read_bytes())
    write_tensors(folder, tensors | {"static_freqs": tensors["static_freqs"][:3]})
    with pytest.raises(ModelError, match=r"static_freqs must be \[4, 16\], not \[3, 16\]"):
        load_model(folder, "cpu")


def test_weights_files_that_are_not_read(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(weights, "MAX_WEIGHTS_BYTES", 1000)
    with pytest.raises(ModelError, match="expected a weights file of 1000 bytes at most, found one of"):
        load_model(folder, "cpu")
    (folder / WEIGHTS_NAME).unlink()
    with pytest.raises(ModelError, match="cannot be read: No such file"):
        load_model(folder, "cpu")
    os.mkfifo(folder / WEIGHTS_NAME)
    with pytest.raises(ModelError, match="expected a weights file"):
        load_model(folder, "cpu")


def test_too_little_memory_is_no_fault_of_the_model(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    model = load_model(folder, "cpu")

    real_empty = torch.empty

    def empty(*size: Any, **options: Any) -> torch.Tensor:
        tensor = real_empty(*size, **options)
        return tensor if tensor.device.type == "meta" else real_empty(1 << 50)

    monkeypatch.setattr(torch, "empty", empty)
    for part in ("decoder", "network"):
        with pytest.raises(MemoryError, match="not enough memory for the model"):
            getattr(model, part)


def test_the_callers_torch_is_left_alone(folder: Path) -> None:
    """Neither the default device nor the generator of random numbers matters, and the generator does not move."""
    picture = make_picture(24, 16)
    torch.set_default_device("meta")
    try:
        before = torch.get_rng_state()
        codec = vqcodec.open_model(folder)
        data = [codec.encode(picture, quality=quality, verify=True) for quality in (10, 100)]
        shown = [np.asarray(codec.decode(one)) for one in data]
        drawn = np.asarray(codec.sample(1, size=(8, 8))[0])
        assert torch.equal(before, torch.get_rng_state())
    finally:
        torch.set_default_device(None)
    assert [codec.encode(picture, quality=quality) for quality in (10, 100)] == data
    assert all(np.array_equal(one, np.asarray(codec.decode(other))) for one, other in zip(shown, data, strict=True))
    assert np.array_equal(drawn, np.asarray(codec.sample(1, size=(8, 8))[0]))


def test_running_means_of_a_loaded_network_fit_its_codebooks(models_root: Path) -> None:
    state = load_model(models_root / "small-test", "cpu").network.state_dict()
    sums = [name for name in state if name.endswith(".ema_sum")]
    assert sums and all(torch.equal(state[name], state[name.replace("ema_sum", "codebook")]) for name in sums)
