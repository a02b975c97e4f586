"""Rate in the training of the autoencoder."""

import copy
from dataclasses import replace
from pathlib import Path

import pytest
import torch

from tests.unit.test_training import CPU, RECIPE
from vqcodec.errors import ModelError
from vqcodec.nn.fixed_point import Arithmetic
from vqcodec.registry import Model, load_model, read_config
from vqcodec.training.autoencoder import AutoencoderTrainer
from vqcodec.training.data import PhotoSet
from vqcodec.training.export import export_autoencoder
from vqcodec.training.loop import train
from vqcodec.training.rate import ParallelRateDistortionChoice

RATE_WEIGHTS = (0.2, 0.2, 0.1, 0.1)


@pytest.fixture
def model(models_root: Path) -> Model:
    return load_model(read_config(models_root / "small-test"), "cpu")


@pytest.mark.parametrize("number", [0, 1])
def test_each_code_is_the_cheapest_beside_those_of_order_0(model: Model, number: int) -> None:
    generator = torch.Generator().manual_seed(0)
    height, width = (8, 8) if number == 0 else (16, 16)
    earlier = [torch.randint(16, (3, 8, 8), generator=generator)][:number]
    residual = torch.randn(3, 4, height, width, generator=generator) * 0.3
    quantizer = copy.deepcopy(model.network.quantizer_top if number == 0 else model.network.quantizer_bottom).stage(0)
    quantizer.ema_count.copy_(torch.arange(16) ** 2)
    weights = torch.tensor([0.0, 0.05, 0.5])
    chosen = ParallelRateDistortionChoice(model.priors, weights, torch.tensor([4, 4, 2]))(quantizer, residual, earlier)
    fewer = ParallelRateDistortionChoice(model.priors, weights, torch.tensor([4, 4, number]))(quantizer, residual, earlier)
    nearest = quantizer.nearest(residual)
    distances = (residual.permute(0, 2, 3, 1)[..., None, :] - quantizer.codebook).square().sum(dim=-1)
    shares = quantizer.ema_count / quantizer.ema_count.sum()
    around = (distances - weights[:, None, None, None] * torch.log2(shares.clamp_min(0.01 / 16))).argmin(dim=3)
    assert not torch.equal(around, nearest)
    bits = -torch.log_softmax(model.priors[number](around, earlier, Arithmetic.REAL) * torch.log(torch.tensor(2.0)), dim=-1)
    bits /= torch.log(torch.tensor(2.0))
    costs = distances + weights[:, None, None, None] * bits
    assert float((costs.gather(3, chosen[..., None])[..., 0] - costs.amin(dim=3)).max()) < 1e-4
    assert torch.equal(chosen[0], nearest[0])
    assert torch.equal(fewer[:2], chosen[:2]) and torch.equal(fewer[2], nearest[2])
    changed = (chosen != nearest).flatten(1).sum(dim=1).tolist()
    assert 0 == changed[0] < changed[1] < changed[2]


def test_training_with_priors(photos: PhotoSet, model: Model, tmp_path: Path) -> None:
    recipe = replace(RECIPE, rate_weights=RATE_WEIGHTS)
    with pytest.raises(ModelError, match="need priors of 4 maps, found 0"):
        AutoencoderTrainer(recipe, photos, None, CPU)
    trainer = AutoencoderTrainer(recipe, photos, None, CPU, model.priors)
    train(trainer, tmp_path / "run", max_steps=3)
    assert trainer.step == 3
    exported = export_autoencoder(tmp_path / "run", tmp_path / "exported", photos, number=1003, num_crops=2)
    assert exported.num_maps == 4 and exported.parameters > 10_000
    with pytest.raises(ValueError, match="rate_weights must be 4 numbers"):
        replace(RECIPE, rate_weights=(0.1,))
