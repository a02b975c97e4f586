"""Checks the autoencoder: shapes, prefixes, gradients, and its start as a linear transform codec."""

from dataclasses import replace

import numpy as np
import pytest
import torch
from numpy.typing import NDArray
from torch import Tensor

from tests.conftest import SMALL
from vqcodec.nn.autoencoder.map_counts import MapCounts
from vqcodec.nn.autoencoder.vqvae import VQVAE
from vqcodec.nn.configs import VQVAEConfig


@pytest.fixture(scope="module")
def x(photo: NDArray[np.uint8]) -> Tensor:
    return torch.from_numpy(photo[:64, :96].copy()).permute(2, 0, 1)[None].float() / 127.5 - 1


def test_maps_have_the_stated_sizes_and_range(small_network: VQVAE, x: Tensor) -> None:
    maps = small_network.encode(x)
    assert [tuple(indices.shape) for indices in maps] == [(1, 8, 12), (1, 16, 24), (1, 16, 24), (1, 16, 24)]
    for indices in maps:
        assert indices.dtype == torch.int64 and 0 <= int(indices.min()) and int(indices.max()) < SMALL.codebook_size


def test_every_prefix_decodes_and_each_map_helps(small_network: VQVAE, x: Tensor) -> None:
    indices = small_network.encode(x)
    errors = [float((small_network.decode(indices[:n]) - x).square().mean()) for n in range(1, 5)]
    assert errors == sorted(errors, reverse=True) and len(set(errors)) == 4


def test_prefix_of_maps_does_not_depend_on_how_many_are_asked_for(small_network: VQVAE, x: Tensor) -> None:
    every = small_network.encode(x)
    for n in range(1, 5):
        assert all(torch.equal(a, b) for a, b in zip(small_network.encode(x, n), every[:n], strict=True))


def test_the_top_alone_is_painted_by_the_first_blocks(x: Tensor) -> None:
    torch.manual_seed(0)
    network = VQVAE(replace(SMALL, blocks_decoder=3, blocks_preview=1)).eval().requires_grad_(False)
    for parameter in network.parameters():
        torch.nn.init.normal_(parameter, std=0.3)
    indices = network.encode(x)
    before = [network.decode(indices[:count]) for count in (1, 2)]
    mixed = network.eval()(x.expand(2, -1, -1, -1), MapCounts.of([1, 2], 4, x.device)).x_hat
    assert all(torch.allclose(mixed[number], before[number][0], atol=1e-4) for number in (0, 1))
    for block in network.decoder.bottom.blocks[1:]:
        torch.nn.init.normal_(block.conv_1.weight)
    after = [network.decode(indices[:count]) for count in (1, 2)]
    assert torch.equal(after[0], before[0]) and not torch.allclose(after[1], before[1])
    with pytest.raises(ValueError, match="ema_decay must be below 1"):
        VQVAEConfig(ema_decay=1.0)
    with pytest.raises(ValueError, match=r"blocks_preview must be in 1\.\.7, not 8"):
        VQVAEConfig(blocks_preview=8)


def test_training_pass_decodes_each_image_from_its_own_prefix(small_network: VQVAE, x: Tensor) -> None:
    batch = x.expand(4, -1, -1, -1)
    output = small_network(batch, MapCounts.of([1, 2, 3, 4], 4, x.device))
    indices = small_network.encode(x)
    for n in range(4):
        assert torch.allclose(output.x_hat[n], small_network.decode(indices[: n + 1])[0], atol=1e-4)
    assert len(output.perplexity) == 4


def test_untrained_network_is_a_linear_codec(photo: NDArray[np.uint8]) -> None:
    """With as many components as samples and a codebook as large as the image, the linear paths reproduce it."""
    torch.manual_seed(0)
    config = VQVAEConfig(channels=4, channels_top=4, embedding_dim=48, codebook_size=128, num_refinements=2)
    network = VQVAE(config).eval().requires_grad_(False)
    x = torch.from_numpy(photo[100:132, 100:132].copy()).permute(2, 0, 1)[None].float() / 127.5 - 1
    x = x.repeat(8, 1, 1, 1)
    network.init_from_images(x, torch.Generator().manual_seed(0))
    error = float((network.decode(network.encode(x)) - x).square().mean())
    assert error < 1e-3 * float(x.var())


def test_gradients_reach_every_parameter(x: Tensor) -> None:
    torch.manual_seed(0)
    network = VQVAE(VQVAEConfig(**{**vars(SMALL), "codebook_update": "loss"}))
    for parameter in network.parameters():
        torch.nn.init.normal_(parameter, std=0.1)
    output = network(x, MapCounts.of([4], 4, x.device))
    loss = (output.x_hat - x).square().mean() + output.commitment_loss + output.codebook_loss
    loss.backward()
    silent = [name for name, p in network.named_parameters() if p.grad is None or not p.grad.abs().sum() > 0]
    assert silent == []


def test_commitment_pulls_z_e_towards_its_code(x: Tensor, small_network: VQVAE) -> None:
    z_e = small_network.top_encoder.skip(torch.nn.functional.pixel_unshuffle(x, 8)).requires_grad_()
    result = small_network.quantizer_top.eval()(z_e)[0]
    torch.nn.functional.mse_loss(z_e, result.z_q.detach()).backward()
    assert z_e.grad is not None
    assert torch.allclose(z_e.grad, 2 * (z_e - result.z_q).detach() / z_e.numel(), atol=1e-6)


def test_sizes_and_numbers_that_do_not_fit(small_network: VQVAE, x: Tensor) -> None:
    with pytest.raises(ValueError, match="multiples of 8"):
        small_network.encode(x[:, :, :60])
    for wrong in (0, 5):
        with pytest.raises(ValueError, match="1..4"):
            small_network.encode(x, wrong)
    with pytest.raises(ValueError, match="1..4"):
        small_network.decode([])
    with pytest.raises(ValueError, match="num_refinements"):
        VQVAEConfig(num_refinements=-1)
    with pytest.raises(ValueError, match="codebook_size"):
        VQVAEConfig(codebook_size=1)


def test_stored_state_loads_without_running_means(small_network: VQVAE, x: Tensor) -> None:
    state = small_network.stored_state()
    assert not any("ema_" in key for key in state)
    other = VQVAE(SMALL).eval()
    other.load_stored_state(state)
    assert torch.equal(other.decode(other.encode(x)), small_network.decode(small_network.encode(x)))
    del state["stem.weight"]
    with pytest.raises(RuntimeError, match="stem.weight"):
        other.load_stored_state(state)
