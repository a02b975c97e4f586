"""Checks that the encoder networks give by OpenVINO what they give by torch."""

import weakref
from collections.abc import Callable
from dataclasses import replace

import numpy as np
import pytest
import torch
from numpy.typing import NDArray

from tests.conftest import SMALL, make_picture
from vqcodec.models.encoders import load_encoder
from vqcodec.models.model import load_model
from vqcodec.models.registry import DEFAULT_MODEL
from vqcodec.nn.autoencoder.blocks import Encoder, encode_in_blocks
from vqcodec.nn.autoencoder.stored import StoredNetwork
from vqcodec.nn.autoencoder.torch_encoder import TorchEncoder
from vqcodec.nn.autoencoder.vqvae import VQVAE
from vqcodec.nn.configs import VQVAEConfig
from vqcodec.nn.runtime import RUNTIME_VARIABLE

openvino_encoder = pytest.importorskip("vqcodec.nn.autoencoder.openvino_encoder", reason="the extra fast is not installed")

GROWN = replace(SMALL, channels=12, extra_blocks_top_encoder=2, extra_blocks_top_decoder=1, extra_block="depthwise")


def busy_network(config: VQVAEConfig) -> VQVAE:
    torch.manual_seed(1)
    network = VQVAE(config).eval().requires_grad_(False)
    for parameter in network.parameters():
        torch.nn.init.normal_(parameter, std=0.2)
    return network


def stored(network: VQVAE) -> StoredNetwork:
    return StoredNetwork(network.config, {name: values.numpy() for name, values in network.stored_state().items()})


def codes_of(encoder: Encoder, pixels: NDArray[np.uint8], num_maps: int | None = None, **options: int) -> list[NDArray[np.int64]]:
    return [chosen.indices for chosen in encode_in_blocks(encoder, pixels, num_maps, **options)]


@pytest.mark.usefixtures("float32")
@pytest.mark.parametrize("config", [SMALL, GROWN])
def test_vectors_and_codes_are_those_of_torch(config: VQVAEConfig) -> None:
    """Two images of an odd number of places, and then the same block by block."""
    network = busy_network(config)
    by_torch = TorchEncoder(network)
    encoder = openvino_encoder.OpenvinoEncoder(by_torch.codebooks, openvino_encoder.Graphs(stored(network), "f32"))
    assert encoder.margin_px == by_torch.margin_px
    pixels = np.stack([make_picture(120, 72, seed) for seed in range(2)])
    seen, other = encoder(pixels), by_torch(pixels)
    top = np.random.default_rng(0).integers(config.codebook_size, size=(2, 9, 15))
    for own, expected in ((seen.z_e_top(), other.z_e_top()), (seen.z_e_bottom(top), other.z_e_bottom(top))):
        assert own.shape == expected.shape and expected.std() > 0.1
        assert np.abs(own - expected).max() < 1e-4 * np.abs(expected).max()
    large = make_picture(1032, 24)[None]
    for options in ({}, {"block": 512}):
        for own, expected in zip(codes_of(encoder, large, **options), codes_of(by_torch, large), strict=True):
            assert len(np.unique(expected)) > 4 and float((own == expected).mean()) > 0.999


def test_codes_of_the_shipped_model(photo: NDArray[np.uint8], monkeypatch: pytest.MonkeyPatch) -> None:
    """In float32, nearly all codes are those of torch; in the precisions that this processor takes, most are."""
    model = load_model(DEFAULT_MODEL, "cpu")
    pixels = photo[None, :200, :320]
    assert model.stored_network.activation_ranges
    floats = replace(model.stored_network, activation_ranges={})
    exactly, rounded = (openvino_encoder.OpenvinoEncoder(model.codebooks, openvino_encoder.Graphs(floats, kind)) for kind in ("f32", None))
    with monkeypatch.context() as changed:
        changed.setattr(torch.cpu, "_is_avx512_bf16_supported", lambda: False)
        changed.setenv(RUNTIME_VARIABLE, "torch")
        by_torch = load_encoder(model)
        assert isinstance(by_torch, TorchEncoder)
        expected = codes_of(by_torch, pixels)
    in_8_bits = load_encoder(model)
    for encoder, least in (
        (exactly, (0.999,) * 4),
        (rounded, (0.98, 0.93, 0.85, 0.75)),
        (in_8_bits, (0.97, 0.88, 0.75, 0.65)),
    ):
        assert not isinstance(encoder, TorchEncoder)
        agreement = [float((own == other).mean()) for own, other in zip(codes_of(encoder, pixels), expected, strict=True)]
        assert all(share > bound for share, bound in zip(agreement, least, strict=True)), agreement


def test_what_was_seen_before_stays_as_it_was() -> None:
    network = busy_network(SMALL)
    encoder = openvino_encoder.OpenvinoEncoder(TorchEncoder(network).codebooks, openvino_encoder.Graphs(stored(network)))
    first, second = (make_picture(40, 24, seed)[None] for seed in range(2))
    seen = encoder(first)
    vectors = seen.z_e_top()
    kept = vectors.copy()
    assert not np.array_equal(encoder(second).z_e_top(), kept)
    assert np.array_equal(vectors, kept) and np.array_equal(seen.z_e_top(), kept)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda tensors: tensors.pop("stem.bias"), r"there is no tensor stem.bias, expected one of shape \[8\]"),
        (
            lambda tensors: tensors.update({"bottom_encoder.merge.weight": np.zeros((1, 1))}),
            r"has shape \[1, 1\], expected \[8, 16, 1, 1\]",
        ),
        (lambda tensors: tensors.pop("top_encoder.skip.weight"), "there is no tensor top_encoder.skip.weight"),
    ],
)
def test_tensors_that_do_not_fit(change: Callable[[dict[str, NDArray[np.float32]]], object], message: str) -> None:
    network = busy_network(SMALL)
    tensors = dict(stored(network).tensors)
    change(tensors)
    with pytest.raises(ValueError, match=message):
        openvino_encoder.OpenvinoEncoder(TorchEncoder(network).codebooks, openvino_encoder.Graphs(StoredNetwork(SMALL, tensors)))


def test_inputs_and_outputs_are_not_kept() -> None:
    graphs, pixels = openvino_encoder.Graphs(stored(busy_network(SMALL))), make_picture(64, 48)[None].copy()
    hidden = graphs.hidden(pixels)
    graphs.top(hidden)
    kept = weakref.ref(pixels), weakref.ref(hidden)
    del pixels, hidden
    assert [array() for array in kept] == [None, None]
