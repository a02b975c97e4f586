"""Checks that large images, block by block, give what one pass over the whole image gives."""

import numpy as np
import pytest
import torch
from numpy.typing import NDArray

from tests.conftest import SMALL, make_picture
from vqcodec.models.model import load_model
from vqcodec.models.registry import DEFAULT_MODEL
from vqcodec.nn.autoencoder.blocks import encode_in_blocks, paint_in_blocks
from vqcodec.nn.autoencoder.vqvae import VQVAE
from vqcodec.nn.configs import VQVAEConfig
from vqcodec.nn.progress import part_of_work


@pytest.fixture(scope="module")
def busy_network() -> VQVAE:
    """Returns a network whose convolutions are far from zero, so that every part of the receptive field counts."""
    torch.manual_seed(0)
    network = VQVAE(SMALL).eval().requires_grad_(False)
    for parameter in network.parameters():
        torch.nn.init.normal_(parameter, std=0.3)
    return network


@pytest.fixture(scope="module")
def pixels() -> torch.Tensor:
    return torch.from_numpy(make_picture(1032, 552)).permute(2, 0, 1)[None].expand(2, -1, -1, -1).contiguous()


def indices_of(network: VQVAE, pixels: torch.Tensor, num_maps: int | None = None, **options: int) -> list[torch.Tensor]:
    return [chosen.indices for chosen in encode_in_blocks(network, pixels, num_maps, **options)]


@pytest.fixture
def float32(monkeypatch: pytest.MonkeyPatch) -> None:
    """As on a CPU without instructions for bfloat16."""
    monkeypatch.setattr(torch.cpu, "_is_avx512_bf16_supported", lambda: False)


@pytest.mark.usefixtures("float32")
def test_codes_are_those_of_one_pass(busy_network: VQVAE, pixels: torch.Tensor) -> None:
    whole = indices_of(busy_network, pixels)
    assert all(torch.equal(a, b) for a, b in zip(whole, busy_network.encode(pixels.float() / 127.5 - 1), strict=True))
    for count in (2, 4):
        parts = indices_of(busy_network, pixels, count, block=512)
        assert len(parts) == count
        for a, b in zip(parts, whole, strict=False):
            assert float((a == b).float().mean()) > 0.999


@pytest.mark.usefixtures("float32")
def test_pixels_are_those_of_one_pass(busy_network: VQVAE, pixels: torch.Tensor) -> None:
    indices = busy_network.encode(pixels.float() / 127.5 - 1)
    for count in (1, 3):
        whole = paint_in_blocks(busy_network, indices[:count], busy_network.decoder)
        parts = paint_in_blocks(busy_network, indices[:count], busy_network.decoder, block=72)
        assert int((whole.int() - parts.int()).abs().max()) <= 1
        assert len(whole.unique()) > 50


@pytest.mark.usefixtures("float32")
def test_areas_of_equal_codes_are_painted_once(busy_network: VQVAE, monkeypatch: pytest.MonkeyPatch) -> None:
    indices = [torch.full((1, 260 * scale, 200 * scale), 7) for scale in (1, 2)]
    indices[0][:, 250:, 150:] = 3
    whole = paint_in_blocks(busy_network, indices, busy_network.decoder, block=2080)
    painted = []
    forward = busy_network.decoder.forward
    monkeypatch.setattr(busy_network.decoder, "forward", lambda *maps: painted.append(maps[0].shape[2:].numel()) or forward(*maps))
    parts = paint_in_blocks(busy_network, indices, busy_network.decoder, block=800)
    assert int((whole.int() - parts.int()).abs().max()) <= 1
    assert not torch.equal(parts[:, -80:, -80:], parts[:, :80, :80])
    assert sum(painted) * 64 < 0.8 * 2080 * 1600


@pytest.mark.usefixtures("float32")
def test_margins_are_as_wide_as_the_receptive_field(busy_network: VQVAE, monkeypatch: pytest.MonkeyPatch, pixels: torch.Tensor) -> None:
    """The same checks fail with margins that are too small, so they would notice."""
    whole = indices_of(busy_network, pixels)
    painted = paint_in_blocks(busy_network, whole, busy_network.decoder)
    monkeypatch.setattr(VQVAEConfig, "encoder_margin_px", 8)
    monkeypatch.setattr(VQVAEConfig, "decoder_margin_px", 8)
    parts = indices_of(busy_network, pixels, block=512)
    assert float((parts[1] == whole[1]).float().mean()) < 0.999
    narrow = paint_in_blocks(busy_network, whole, busy_network.decoder, block=72)
    assert int((narrow.int() - painted.int()).abs().max()) > 1


@pytest.mark.usefixtures("float32")
def test_a_narrower_margin_sees_only_the_codes_within_it(busy_network: VQVAE, pixels: torch.Tensor) -> None:
    indices = busy_network.encode(pixels.float() / 127.5 - 1)[:2]
    part = slice(64, 128), slice(128, 192)
    narrow = paint_in_blocks(busy_network, indices, busy_network.decoder, part=part, margin=16)
    cut = [indices[0][:, 6:18, 14:26], indices[1][:, 12:36, 28:52]]
    alone = paint_in_blocks(busy_network, cut, busy_network.decoder)
    assert int((narrow.int() - alone[:, 16:80, 16:80].int()).abs().max()) <= 1
    whole = paint_in_blocks(busy_network, indices, busy_network.decoder, part=part)
    assert int((narrow.int() - whole.int()).abs().max()) > 1


def test_bfloat16_changes_pixels_by_a_level_at_most(photo: NDArray[np.uint8], monkeypatch: pytest.MonkeyPatch) -> None:
    network = load_model(DEFAULT_MODEL, device="cpu").network
    pixels = torch.from_numpy(photo[:296, :448].copy()).permute(2, 0, 1)[None]
    painted, codes = [], []
    for is_fast in (False, True):
        monkeypatch.setattr(torch.cpu, "_is_avx512_bf16_supported", lambda is_fast=is_fast: is_fast)
        codes.append(indices_of(network, pixels))
        painted.append(paint_in_blocks(network, codes[0], network.decoder).int())
    assert int((painted[0] - painted[1]).abs().max()) == 1
    agreement = [float((a == b).float().mean()) for a, b in zip(*codes, strict=True)]
    assert min(agreement[:2]) > 0.9 and agreement[0] < 1


def test_progress_grows_to_the_end(busy_network: VQVAE, pixels: torch.Tensor) -> None:
    shares: list[float] = []
    maps = encode_in_blocks(busy_network, pixels, 3, block=512, on_progress=part_of_work(shares.append, 1, 2))
    assert len(shares) == 12 and shares == sorted(shares) and min(shares) > 1 and shares[-1] == 3
    shares.clear()
    paint_in_blocks(busy_network, [chosen.indices for chosen in maps], busy_network.decoder, block=72, on_progress=shares.append)
    assert len(shares) == 8 and shares == sorted(shares) and shares[-1] == 1
