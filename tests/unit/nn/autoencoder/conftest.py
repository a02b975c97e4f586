"""A network of which every part matters, and pictures for it."""

import pytest
import torch

from tests.conftest import SMALL, make_picture
from vqcodec.nn.autoencoder.vqvae import VQVAE


@pytest.fixture(scope="package")
def busy_network() -> VQVAE:
    """Returns a network whose convolutions are far from zero, so that every part of the receptive field counts."""
    torch.manual_seed(0)
    network = VQVAE(SMALL).eval().requires_grad_(False)
    for parameter in network.parameters():
        torch.nn.init.normal_(parameter, std=0.3)
    return network


@pytest.fixture(scope="package")
def pixels() -> torch.Tensor:
    """Returns two pictures uint8 [2, 3, 552, 1032]."""
    return torch.from_numpy(make_picture(1032, 552)).permute(2, 0, 1)[None].expand(2, -1, -1, -1).contiguous()


@pytest.fixture
def float32(monkeypatch: pytest.MonkeyPatch) -> None:
    """As on a CPU without instructions for bfloat16."""
    monkeypatch.setattr(torch.cpu, "_is_avx512_bf16_supported", lambda: False)
