"""Rate in the training of the autoencoder."""

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
from vqcodec.training.loop import train
from vqcodec.training.rate import ParallelRateDistortionChoice

RATE_WEIGHTS = (0.2, 0.2, 0.1, 0.1)


@pytest.fixture
def model(models_root: Path) -> Model:
    return load_model(read_config(models_root / "small-test"), "cpu")


@pytest.mark.parametrize("number", [0, 1])
def test_each_code_is_the_cheapest_beside_the_nearest_ones(model: Model, number: int) -> None:
    generator = torch.Generator().manual_seed(0)
    height, width = (8, 8) if number == 0 else (16, 16)
    earlier = [torch.randint(16, (3, 8, 8), generator=generator)][:number]
    residual = torch.randn(3, 4, height, width, generator=generator) * 0.3
    quantizer = (model.network.quantizer_top if number == 0 else model.network.quantizer_bottom).stage(0)
    weights = torch.tensor([0.0, 0.05, 0.5])
    chosen = ParallelRateDistortionChoice(model.priors, weights)(quantizer, residual, earlier)
    nearest = quantizer.nearest(residual)
    bits = -torch.log_softmax(model.priors[number](nearest, earlier, Arithmetic.REAL) * torch.log(torch.tensor(2.0)), dim=-1)
    bits /= torch.log(torch.tensor(2.0))
    distances = (residual.permute(0, 2, 3, 1)[..., None, :] - quantizer.codebook).square().sum(dim=-1)
    costs = distances + weights[:, None, None, None] * bits
    assert float((costs.gather(3, chosen[..., None])[..., 0] - costs.amin(dim=3)).max()) < 1e-4
    assert torch.equal(chosen[0], nearest[0])
    changed = (chosen != nearest).flatten(1).sum(dim=1).tolist()
    assert 0 == changed[0] < changed[1] < changed[2]


def test_training_with_priors(photos: PhotoSet, model: Model, tmp_path: Path) -> None:
    recipe = replace(RECIPE, rate_weights=RATE_WEIGHTS)
    with pytest.raises(ModelError, match="need priors of 4 maps, found 0"):
        AutoencoderTrainer(recipe, photos, None, CPU)
    trainer = AutoencoderTrainer(recipe, photos, None, CPU, model.priors)
    train(trainer, tmp_path / "run", max_steps=3)
    assert trainer.step == 3
    with pytest.raises(ValueError, match="rate_weights must be 4 numbers"):
        replace(RECIPE, rate_weights=(0.1,))
