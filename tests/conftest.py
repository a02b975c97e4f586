"""Fixtures of all tests: a real photo, a small private model, and made pictures."""

import dataclasses
import errno
import hashlib
import json
import os
import signal
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import safetensors.torch
import skimage.data
import torch
from hypothesis import settings
from numpy.typing import NDArray

from vqcodec.coding.frequencies import freqs_from_counts
from vqcodec.models.config import CONFIG_NAME, WEIGHTS_NAME
from vqcodec.models.model import NETWORK_PREFIX, PRIOR_PREFIX, STATIC_FREQS_KEY
from vqcodec.nn.autoencoder.vqvae import VQVAE
from vqcodec.nn.configs import PriorConfig, VQVAEConfig
from vqcodec.nn.prior.fixed_layers import has_int8_products
from vqcodec.nn.prior.pixelsnail import PixelSnail

settings.register_profile("vqcodec", deadline=None)
settings.load_profile("vqcodec")

SMALL = VQVAEConfig(
    channels=8, channels_top=8, blocks_encoder=1, blocks_top=1, blocks_bottom=1, blocks_decoder=1, embedding_dim=4, codebook_size=16
)

SMALL_PRIORS = [
    PriorConfig(codebook_size=16, channels=8, blocks=2, embedding_dim=4, heads=2, head_dim=4),
    *(PriorConfig(codebook_size=16, channels=8, blocks=2, embedding_dim=4, condition_channels=8, earlier_maps=n) for n in (1, 2, 3)),
]


def random_prior(config: PriorConfig) -> PixelSnail:
    """Draws a prior, all of whose parameters have an effect, from torch's generator."""
    prior = PixelSnail(config).eval().requires_grad_(False)
    for name, parameter in prior.named_parameters():
        if "project" in name or "bias" in name or "position" in name:
            torch.nn.init.normal_(parameter, std=0.3)
    return prior


@contextmanager
def torch_with(*, threads: int, onednn: bool) -> Iterator[None]:
    """Lets torch compute with so many threads, with oneDNN or without it, and choose anew how it multiplies."""
    before = torch.get_num_threads()
    torch.set_num_threads(threads)
    has_int8_products.cache_clear()
    try:
        with torch.backends.mkldnn.flags(enabled=onednn):
            yield
    finally:
        torch.set_num_threads(before)
        has_int8_products.cache_clear()


def pytest_make_parametrize_id(val: object) -> str | None:
    """Names long byte strings by their length: profiles hold the second in which they were made, and processes must agree on names."""
    return f"{len(val)} bytes" if isinstance(val, bytes) and len(val) > 16 else None


@pytest.fixture(scope="session", autouse=True)
def no_added_models(tmp_path_factory: pytest.TempPathFactory) -> Iterator[None]:
    """Hides the models that whoever runs the tests has added."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("XDG_DATA_HOME", str(tmp_path_factory.mktemp("data")))
        yield


@pytest.fixture(scope="session", autouse=True)
def heard_ctrl_c() -> Iterator[None]:
    """Lets SIGINT interrupt tests and the processes that they start, as in a terminal: in background jobs of shells it is ignored."""
    before = signal.signal(signal.SIGINT, signal.default_int_handler)
    yield
    signal.signal(signal.SIGINT, before)


@pytest.fixture(scope="session")
def photo() -> NDArray[np.uint8]:
    """Returns a real photo, uint8 [300, 451, 3]."""
    return skimage.data.chelsea()


@pytest.fixture(scope="session")
def small_network(photo: NDArray[np.uint8]) -> VQVAE:
    """Returns the network of `make_small_network`."""
    return make_small_network(photo)


@pytest.fixture(scope="session")
def models_root(small_network: VQVAE, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Returns a folder that holds the private model `small-test`, number 1000."""
    root = tmp_path_factory.mktemp("models")
    make_model(root / "small-test", small_network, number=1000)
    return root


def make_small_network(photo: NDArray[np.uint8]) -> VQVAE:
    """Makes an untrained network of `SMALL`, started from a photo, which is a linear transform codec."""
    torch.manual_seed(0)
    network = VQVAE(SMALL).eval().requires_grad_(False)
    x = torch.from_numpy(photo[:256, :256].copy()).permute(2, 0, 1)[None].float() / 127.5 - 1
    network.init_from_images(x, torch.Generator().manual_seed(0))
    return network


def make_model(folder: Path, network: VQVAE, *, number: int) -> None:
    """Writes a model folder with a network of `SMALL`, made-up static frequencies, and priors that were never trained."""
    folder.mkdir()
    freqs = [freqs_from_counts(np.arange(SMALL.codebook_size) * slope) for slope in range(1, SMALL.num_maps + 1)]
    tensors = {NETWORK_PREFIX + key: value.contiguous() for key, value in network.stored_state().items()}
    torch.manual_seed(1)
    for map_number, prior in enumerate(SMALL_PRIORS):
        tensors |= {PRIOR_PREFIX.format(map_number) + key: value for key, value in random_prior(prior).integers().items()}
    tensors[STATIC_FREQS_KEY] = torch.from_numpy(np.stack(freqs).astype(np.int32))
    data = safetensors.torch.save(tensors)
    (folder / WEIGHTS_NAME).write_bytes(data)
    config = {
        "id": folder.name,
        "number": number,
        "parameters": 1,
        "weights_sha256": hashlib.sha256(data).hexdigest(),
        "network": dataclasses.asdict(SMALL),
        "priors": [dataclasses.asdict(prior) for prior in SMALL_PRIORS],
    }
    (folder / CONFIG_NAME).write_text(json.dumps(config))


@pytest.fixture
def small_model(models_root: Path, monkeypatch: pytest.MonkeyPatch) -> str:
    """Returns the id of the private model, which `VQCODEC_MODELS` makes known for the test."""
    monkeypatch.setenv("VQCODEC_MODELS", str(models_root))
    return "small-test"


def make_picture(width: int, height: int, seed: int = 0) -> NDArray[np.uint8]:
    """Returns a smooth picture with some noise, uint8 [height, width, 3]."""
    rng = np.random.default_rng(seed)
    y, x = np.mgrid[0:height, 0:width]
    waves = np.stack([128 + 100 * np.sin((x * (i + 1) + y * (3 - i)) / 37.0) for i in range(3)], axis=2)
    return np.clip(waves + rng.normal(0, 4, waves.shape), 0, 255).astype(np.uint8)


def lock(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Lets nothing below a folder be looked at, like permissions, which a root user has all of."""

    def locked(look: Callable[..., os.stat_result]) -> Callable[..., os.stat_result]:
        def refuse(path: Any, *args: Any, **options: Any) -> os.stat_result:
            if not isinstance(path, int) and folder in Path(os.fsdecode(path)).parents:
                raise PermissionError(errno.EACCES, os.strerror(errno.EACCES), str(path))
            return look(path, *args, **options)

        return refuse

    for name in ("stat", "lstat"):
        monkeypatch.setattr(os, name, locked(getattr(os, name)))


@pytest.fixture
def no_avif(monkeypatch: pytest.MonkeyPatch) -> None:
    """Leaves exact patches as the only layer, and so saves time."""
    monkeypatch.setattr("vqcodec.rate.layers.can_encode_avif", lambda *_: False)


@pytest.fixture
def small_trial(monkeypatch: pytest.MonkeyPatch) -> None:
    """Makes the trial small that a version of vqcodec tells, and so saves time."""
    monkeypatch.setattr("vqcodec.compare.ours._TRIAL_PX", 32)
