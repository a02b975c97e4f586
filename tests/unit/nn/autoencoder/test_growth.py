"""Checks that a network that grows paints the same pictures, and that its new parts can learn."""

from dataclasses import replace

import pytest
import torch
from torch import Tensor

from tests.conftest import SMALL
from vqcodec.nn.autoencoder.decoders import Decoder
from vqcodec.nn.autoencoder.growth import check_growth, grown_state
from vqcodec.nn.autoencoder.map_counts import MapCounts
from vqcodec.nn.autoencoder.residual import DepthwiseBlock, ResidualBlock
from vqcodec.nn.autoencoder.vqvae import VQVAE
from vqcodec.nn.configs import BlockKind, VQVAEConfig

DEEPER = {"extra_blocks_top_encoder": 1, "extra_blocks_top_decoder": 2, "extra_blocks_decoder": 1}
GROWN = {
    "full": replace(SMALL, **DEEPER),
    "depthwise": replace(SMALL, **DEEPER, extra_block="depthwise"),
    "wider": replace(SMALL, channels_top=12, blocks_decoder=2, blocks_top=2, blocks_encoder=2, blocks_bottom=2),
    "both": replace(SMALL, channels_top=12, **DEEPER, extra_block="depthwise"),
}


@pytest.fixture(scope="module")
def trained() -> VQVAE:
    """Returns a network all of whose weights count."""
    torch.manual_seed(0)
    network = VQVAE(SMALL).eval()
    for parameter in network.parameters():
        torch.nn.init.normal_(parameter, std=0.2)
    return network


@pytest.fixture(scope="module")
def x() -> Tensor:
    return torch.rand(2, 3, 32, 48, generator=torch.Generator().manual_seed(1)) * 2 - 1


@pytest.mark.parametrize("name", GROWN)
def test_a_grown_network_computes_the_same(trained: VQVAE, x: Tensor, name: str) -> None:
    config = GROWN[name]
    check_growth(SMALL, config)
    torch.manual_seed(2)
    network = VQVAE(config).eval()
    network.load_stored_state(grown_state(trained.stored_state(), network.stored_state()))
    with torch.no_grad():
        maps = trained.encode(x)
        assert all(torch.equal(a, b) for a, b in zip(network.encode(x), maps, strict=True))
        for count in range(1, 5):
            torch.testing.assert_close(network.decode(maps[:count]), trained.decode(maps[:count]), rtol=0, atol=2e-5)


@pytest.mark.parametrize("name", GROWN)
def test_what_is_new_can_learn(trained: VQVAE, x: Tensor, name: str) -> None:
    network = VQVAE(GROWN[name]).train()
    before = trained.stored_state()
    network.load_stored_state(grown_state(before, network.stored_state()))
    network(x, MapCounts.of([2, 4], 4, x.device)).x_hat.square().mean().backward()
    last_layers = [block.conv_2 for block in network.modules() if isinstance(block, ResidualBlock | DepthwiseBlock)]
    assert all(layer.weight.grad is not None and layer.weight.grad.any() for layer in last_layers)
    up = network.decoder.top.up.weight
    assert up.grad is not None and up.grad[:, SMALL.channels_top :].flatten(1).any(dim=0).all()


def test_networks_that_cannot_grow_are_named() -> None:
    check_growth(SMALL, SMALL)
    check_growth(SMALL, replace(SMALL, ema_decay=0.5, extra_block="depthwise"))
    for changes, message in (
        ({"channels": 16}, "channels is 16, expected 8, as the model has it"),
        ({"channels_top": 4}, "channels_top is 4, expected at least 8"),
        ({"codebook_size": 32}, "codebook_size is 32, expected 16"),
    ):
        with pytest.raises(ValueError, match=message):
            check_growth(SMALL, replace(SMALL, **changes))  # type: ignore[arg-type]
    with pytest.raises(ValueError, match="extra_block is depthwise, expected full"):
        check_growth(replace(SMALL, extra_blocks_decoder=1), replace(SMALL, extra_blocks_decoder=1, extra_block="depthwise"))


@pytest.mark.parametrize(("kind", "share"), [("full", 1.0), ("depthwise", 0.41)])
def test_products_of_the_decoder(kind: BlockKind, share: float) -> None:
    """A block at 1/8 has a quarter of the products a pixel that one of as many channels has at 1/4."""
    base = VQVAEConfig(channels=64, channels_top=64)

    def products(**changes: int) -> float:
        with torch.device("meta"):
            return Decoder(replace(base, **changes, extra_block=kind)).products_per_pixel  # type: ignore[arg-type]

    added = [products(**{key: 1}) - products() for key in ("extra_blocks_decoder", "extra_blocks_top_decoder")]
    assert added[0] == pytest.approx(share * 10 * 64**2 / 16, rel=0.07) and added[0] == 4 * added[1]


def test_margins_grow_with_the_network() -> None:
    for key, encoder, decoder in (
        ("extra_blocks_top_encoder", 56, 0),
        ("extra_blocks_top_decoder", 64, 64),
        ("extra_blocks_decoder", 0, 32),
    ):
        grown = replace(SMALL, **{key: 8})  # type: ignore[arg-type]
        assert grown.encoder_margin_px - SMALL.encoder_margin_px == encoder
        assert grown.num_blocks == SMALL.num_blocks + 8
        assert grown.num_decoder_blocks == SMALL.num_decoder_blocks + (8 if decoder else 0)
        assert grown.decoder_margin_px - SMALL.decoder_margin_px == decoder
