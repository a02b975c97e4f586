"""Checks that compiled blocks compute the same, and that a compiler that does not work is told of."""

import copy
from collections.abc import Iterator
from dataclasses import replace

import pytest
import torch

from tests.conftest import SMALL
from tests.unit.training.conftest import CPU, RECIPE
from vqcodec.models.model import Model
from vqcodec.nn.autoencoder.residual import DepthwiseBlock, ResidualBlock
from vqcodec.nn.autoencoder.vqvae import VQVAE
from vqcodec.training.autoencoder import AutoencoderTrainer
from vqcodec.training.compiling import compile_blocks
from vqcodec.training.data import PhotoSet


@pytest.fixture(autouse=True)
def settings() -> Iterator[None]:
    with torch._dynamo.config.patch(recompile_limit=8, suppress_errors=False):
        yield
    torch._dynamo.reset()


def test_compiled_blocks_train_as_others_do(photos: PhotoSet, model: Model) -> None:
    """The backend takes blocks apart as a compiler does, and then runs them as they are."""
    recipe = replace(RECIPE, rate_weights=(0.2, 0.2, 0.1, 0.1), priors_lr_scale=1.0, optimizer="adamw")
    plain, compiled = (AutoencoderTrainer(recipe, photos, None, CPU, model.priors) for _ in range(2))
    torch._dynamo.utils.counters.clear()
    assert compile_blocks(compiled.networks, CPU, backend="aot_eager") is None
    for step in range(3):
        for trainer in (plain, compiled):
            trainer.position = step + 1.0
            trainer.advance()
    assert torch._dynamo.utils.counters["stats"]["unique_graphs"] > 4
    for one, other in zip(plain.networks, compiled.networks, strict=True):
        assert one.state_dict().keys() == other.state_dict().keys()
        assert all(torch.allclose(value, other.state_dict()[key], atol=1e-3) for key, value in one.state_dict().items())


def test_all_kinds_of_blocks_are_compiled() -> None:
    network = VQVAE(replace(SMALL, extra_blocks_decoder=1, extra_block="depthwise"))
    assert compile_blocks([network], CPU, backend="eager") is None
    blocks = [module for module in network.modules() if isinstance(module, ResidualBlock | DepthwiseBlock)]
    assert len(blocks) == network.config.num_blocks and all(block._compiled_call_impl for block in blocks)


def test_a_compiler_that_does_not_work_is_told_of(model: Model) -> None:
    network = copy.deepcopy(model.network)
    told = compile_blocks([network], CPU, backend="absent")
    assert told is not None and "absent" in told and "\n" not in told
    assert not any(module._compiled_call_impl for module in network.modules())
