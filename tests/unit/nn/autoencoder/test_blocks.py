"""Checks that large images, block by block, give what one pass over the whole image gives."""

from dataclasses import replace

import numpy as np
import pytest
import torch
from numpy.typing import NDArray

from tests.conftest import SMALL, make_picture
from vqcodec.models.model import load_model
from vqcodec.models.registry import DEFAULT_MODEL
from vqcodec.nn.autoencoder import blocks
from vqcodec.nn.autoencoder.blocks import Seen, encode_in_blocks
from vqcodec.nn.autoencoder.torch_encoder import TorchEncoder
from vqcodec.nn.autoencoder.vqvae import VQVAE
from vqcodec.nn.configs import VQVAEConfig
from vqcodec.nn.progress import part_of_work


def indices_of(network: VQVAE, pixels: torch.Tensor, num_maps: int | None = None, **options: int) -> list[NDArray[np.int64]]:
    images = pixels.permute(0, 2, 3, 1).numpy()
    return [chosen.indices for chosen in encode_in_blocks(TorchEncoder(network), images, num_maps, **options)]


@pytest.mark.usefixtures("float32")
def test_codes_are_those_of_one_pass(busy_network: VQVAE, pixels: torch.Tensor) -> None:
    whole = indices_of(busy_network, pixels)
    assert all(np.array_equal(a, b) for a, b in zip(whole, busy_network.encode(pixels.float() / 127.5 - 1), strict=True))
    for count in (2, 4):
        parts = indices_of(busy_network, pixels, count, block=512)
        assert len(parts) == count
        for a, b in zip(parts, whole, strict=False):
            assert float((a == b).mean()) > 0.999


@pytest.mark.usefixtures("float32")
def test_what_is_kept_is_seen_once(busy_network: VQVAE, pixels: torch.Tensor, monkeypatch: pytest.MonkeyPatch) -> None:
    images = pixels.permute(0, 2, 3, 1).numpy()
    runs: list[int] = []

    class Counted(TorchEncoder):
        def __call__(self, pixels: NDArray[np.uint8]) -> Seen:
            runs.append(pixels[0, ..., 0].size)
            return super().__call__(pixels)

    kept = encode_in_blocks(Counted(busy_network), images, 3, block=512)
    num_kept, num_pixels = len(runs), sum(runs)
    monkeypatch.setattr(blocks, "_KEPT_PIXELS", 0)
    forgotten = encode_in_blocks(Counted(busy_network), images, 3, block=512)
    assert num_kept == 6 and len(runs) - num_kept == 12 and num_pixels < 1.5 * 552 * 1032
    assert all(np.array_equal(one.indices, other.indices) for one, other in zip(kept, forgotten, strict=True))


@pytest.mark.usefixtures("float32")
def test_later_maps_wait_for_codes_far_below_them() -> None:
    """The margin is wider than a band."""
    torch.manual_seed(0)
    network = VQVAE(replace(SMALL, extra_blocks_top_decoder=70)).eval().requires_grad_(False)
    encoder, images = TorchEncoder(network), make_picture(24, 1304)[None]
    assert encoder.margin_px > 512
    for part, whole in zip(encode_in_blocks(encoder, images, block=512), encode_in_blocks(encoder, images), strict=True):
        assert float((part.indices == whole.indices).mean()) > 0.999


@pytest.mark.usefixtures("float32")
def test_margins_are_as_wide_as_the_receptive_field(busy_network: VQVAE, monkeypatch: pytest.MonkeyPatch, pixels: torch.Tensor) -> None:
    """The check of blocks fails with margins that are too small, so it would notice."""
    whole = indices_of(busy_network, pixels)
    monkeypatch.setattr(VQVAEConfig, "encoder_margin_px", 8)
    parts = indices_of(busy_network, pixels, block=512)
    assert float((parts[1] == whole[1]).mean()) < 0.999


@pytest.mark.usefixtures("float32")
@pytest.mark.parametrize(
    "changes", [{}, {"blocks_encoder": 4}, {"blocks_bottom": 2}, {"extra_blocks_top_encoder": 3}, {"extra_blocks_top_decoder": 1}], ids=str
)
def test_a_code_depends_on_what_is_within_the_margin_alone(changes: dict[str, int], photo: NDArray[np.uint8]) -> None:
    """Vectors at the upper left of the part that is kept are those of the whole image, and others where the margin is narrower."""
    torch.manual_seed(0)
    network = VQVAE(replace(SMALL, **changes)).eval().requires_grad_(False)
    for parameter in network.parameters():
        torch.nn.init.normal_(parameter, std=0.3)
    encoder, images = TorchEncoder(network), photo[None, :256, :256]
    codes = np.random.default_rng(0).integers(SMALL.codebook_size, size=(1, 32, 32))

    def vectors(margin: int) -> list[NDArray[np.float32]]:
        start, end = 128 - margin, 136 + margin
        seen = encoder(images[:, start:end, start:end])
        both = seen.z_e_top(), seen.z_e_bottom(codes[:, start // 8 : end // 8, start // 8 : end // 8])
        return [
            z_e[:, margin // patch :, margin // patch :][:, : 8 // patch, : 8 // patch] for z_e, patch in zip(both, (8, 4), strict=True)
        ]

    def is_alike(margin: int) -> bool:
        return all(np.allclose(part, whole, rtol=1e-4, atol=1e-4) for part, whole in zip(vectors(margin), vectors(120), strict=True))

    assert is_alike(encoder.margin_px) and not is_alike(encoder.margin_px - 8)


def test_bfloat16_changes_few_codes(photo: NDArray[np.uint8], monkeypatch: pytest.MonkeyPatch) -> None:
    network = load_model(DEFAULT_MODEL, device="cpu").network
    pixels = torch.from_numpy(photo[:296, :448].copy()).permute(2, 0, 1)[None]
    codes = []
    for is_fast in (False, True):
        monkeypatch.setattr(torch.cpu, "_is_avx512_bf16_supported", lambda is_fast=is_fast: is_fast)
        codes.append(indices_of(network, pixels))
    agreement = [float((a == b).mean()) for a, b in zip(*codes, strict=True)]
    assert min(agreement[:2]) > 0.9 and agreement[0] < 1


def test_progress_grows_to_the_end(busy_network: VQVAE, pixels: torch.Tensor) -> None:
    shares: list[float] = []
    images = pixels.permute(0, 2, 3, 1).numpy()
    encode_in_blocks(TorchEncoder(busy_network), images, 3, block=512, on_progress=part_of_work(shares.append, 1, 2))
    assert len(shares) == 13 and shares == sorted(shares) and min(shares) > 1 and shares[-1] == 3
