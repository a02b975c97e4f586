"""Checks the terms of the loss beside the error of pixels: their values, what their gradients reach, and that they fall."""

import math
from dataclasses import replace

import numpy as np
import pytest
import torch
from torch.nn import functional as F

from tests.unit.training.conftest import CPU, RECIPE
from vqcodec.models.model import Model
from vqcodec.nn.autoencoder.map_counts import MapCounts
from vqcodec.training.autoencoder import AutoencoderTrainer
from vqcodec.training.data import PhotoSet
from vqcodec.training.losses import low_frequency_error, soft_bits
from vqcodec.training.pixels import squared_error, to_tensor
from vqcodec.training.rate import ParallelRateDistortionChoice
from vqcodec.training.recipe import AutoencoderRecipe
from vqcodec.training.trainer import step_rng

RATE = replace(RECIPE, rate_weights=(0.5, 4.0, 1.0, 0.5), soft_rate_weight=1.0)


def test_low_frequencies_count_offsets_and_not_detail() -> None:
    x = torch.zeros(2, 3, 64, 64)
    x_hat = x.clone()
    x_hat[0] += 0.1
    x_hat[1, :, ::2] += 0.1
    x_hat[1, :, 1::2] -= 0.1
    assert low_frequency_error(x, x_hat).tolist() == pytest.approx([0.1, 0.0], abs=1e-6)
    x_hat = torch.zeros(1, 3, 64, 64)
    x_hat[:, :, :8, :8] = 0.6
    assert float(low_frequency_error(x[:1], x_hat)) == pytest.approx(0.6 / 64)
    x_hat[:, :, 8:16, :8] = -0.6
    assert float(low_frequency_error(x[:1], x_hat)) == pytest.approx(0.6 * 2 / 64 / 3, rel=1e-4)
    assert low_frequency_error(x[:, :, :16, :24], x[:, :, :16, :24] + 0.5).tolist() == pytest.approx([0.5, 0.5])


def test_soft_bits_are_those_of_shares_by_distance() -> None:
    generator = torch.Generator().manual_seed(0)
    residual, codebook = torch.randn(2, 3, 4, 5, generator=generator), torch.randn(6, 3, generator=generator)
    logits = torch.randn(2, 4, 5, 6, generator=generator)
    bits = soft_bits(residual, codebook, logits, 0.5)
    tau = 0.5 * float(codebook.square().sum(dim=1).mean())
    for image in range(2):
        total = 0.0
        for y in range(4):
            for column in range(5):
                shares = np.exp([-float((residual[image, :, y, column] - code).square().sum()) / tau for code in codebook])
                powers = 2 ** logits[image, y, column].double().numpy()
                total += float((shares / shares.sum() * -np.log2(powers / powers.sum())).sum())
        assert float(bits[image]) == pytest.approx(total / 20, rel=1e-4)
    cold = soft_bits(residual, codebook, logits, 1e-4)
    nearest = (residual.permute(0, 2, 3, 1)[..., None, :] - codebook).square().sum(dim=-1).argmin(dim=-1)
    hard = F.cross_entropy((logits * math.log(2)).permute(0, 3, 1, 2), nearest, reduction="none").mean(dim=(1, 2)) / math.log(2)
    torch.testing.assert_close(cold, hard)


def test_soft_bits_pull_towards_cheap_codes_and_nothing_else_learns() -> None:
    codebook = torch.tensor([[1.0, 0.0], [-1.0, 0.0]], requires_grad=True)
    logits = torch.tensor([4.0, 0.0]).expand(1, 1, 1, 2).clone().requires_grad_()
    residual = torch.tensor([-0.2, 0.3]).view(1, 2, 1, 1).requires_grad_()
    with torch.autocast("cpu", dtype=torch.bfloat16):
        bits = soft_bits(residual, codebook, logits, 0.5)
    assert bits.dtype == torch.float32
    bits.sum().backward()
    assert codebook.grad is None and logits.grad is None
    assert residual.grad is not None and float(residual.grad[0, 0]) < 0 == float(residual.grad[0, 1])


def test_the_rate_reaches_the_encoder_and_falls(photos: PhotoSet, model: Model) -> None:
    """While codes stay as they were chosen at first: those that are chosen anew may cost more or less."""
    trainer = AutoencoderTrainer(RATE, photos, None, CPU, model.priors)
    network = trainer.network
    network.load_stored_state(model.network.stored_state())
    torch.manual_seed(0)
    for parameter in network.parameters():
        parameter.data.add_(torch.randn_like(parameter) * 0.02)
    x = to_tensor(photos.random_crops(4, 32, np.random.default_rng(0)), CPU)
    counts = MapCounts.of([1, 2, 4, 4], 4, CPU)
    choice = ParallelRateDistortionChoice(model.priors, torch.full((4,), 2.0), counts)
    for quantizer in trainer.quantizers():
        quantizer.is_frozen = True
    codebooks = [quantizer.codebook.clone() for quantizer in trainer.quantizers()]
    optimizer, costs = torch.optim.SGD(network.parameters(), lr=3e-3), []
    first = network.train()(x, counts, choose=choice).indices
    logits = choice.logits(first)
    for number in range(8):
        optimizer.zero_grad()
        output = network(x, counts, choose=lambda _quantizer, _residual, earlier: first[len(earlier)])
        costs.append(choice.soft_cost(output.residuals, codebooks, logits, 0.1))
        costs[-1].backward()  # type: ignore[no-untyped-call]
        if number == 0:
            reached = {name for name, parameter in network.named_parameters() if parameter.grad is not None and parameter.grad.any()}
            assert {"stem.weight", "top_encoder.to_code.weight", "bottom_encoder.to_code.weight", "bottom_encoder.skip.weight"} <= reached
            painting = {name for name in reached if name.startswith("decoder.bottom.")}
            assert painting <= {"decoder.bottom.skip_top.weight", "decoder.bottom.skip_top.bias"}
            assert not any(parameter.grad is not None for prior in model.priors for parameter in prior.parameters())
        optimizer.step()
    assert float(costs[-1].detach()) < 0.99 * float(costs[0].detach())
    assert all(torch.equal(a.codebook, b) for a, b in zip(trainer.quantizers(), codebooks, strict=True))


def test_codebooks_stay_where_they_are_frozen(photos: PhotoSet) -> None:
    for is_frozen in (False, True):
        trainer = AutoencoderTrainer(replace(RECIPE, codebooks_frozen=is_frozen, dead_code_steps=1), photos, None, CPU)
        trainer.start_anew()
        before = [(quantizer.codebook.clone(), quantizer.ema_count.clone()) for quantizer in trainer.quantizers()]
        trainer.position = 1
        trainer.advance()
        for quantizer, (codebook, counts) in zip(trainer.quantizers(), before, strict=True):
            assert torch.equal(quantizer.codebook, codebook) == is_frozen
            assert not torch.equal(quantizer.ema_count, counts)


def test_without_objectives_a_step_is_the_plain_one(photos: PhotoSet, model: Model, monkeypatch: pytest.MonkeyPatch) -> None:
    """The plain step is written out here: what the keys add by default is nothing, to the last bit."""
    recipe = replace(RATE, soft_rate_weight=0.0, perceptual_extra_blocks=3, soft_rate_temperature=0.3)
    trainer, plain = (AutoencoderTrainer(recipe, photos, None, CPU, model.priors) for _ in range(2))
    for one in (trainer, plain):
        one.network.load_stored_state(model.network.stored_state())
        one.position = 1
    trainer.advance()
    rng = step_rng(recipe.seed, 0)
    x = to_tensor(photos.random_crops(recipe.batch_size, recipe.crop_size, rng), CPU)
    num_maps = 1 + rng.choice(4, size=len(x), p=np.array(recipe.prefix_probabilities) / sum(recipe.prefix_probabilities))
    weights = np.array(recipe.rate_weights, np.float32)[num_maps - 1] * (rng.random(len(x)) ** 2).astype(np.float32)
    counts = MapCounts.of(num_maps, 4, CPU)
    choice = ParallelRateDistortionChoice(model.priors, torch.from_numpy(weights), counts, 1, recipe.top_max_rate_weight)
    with plain.autocast():
        output = plain.network.train()(x, counts, choose=choice)
    logs = torch.log(squared_error(x, output.x_hat) + recipe.log_mse_floor).mean()
    loss = logs + recipe.commitment_weight * output.commitment_loss + output.codebook_loss
    monkeypatch.setattr(plain, "batch_loss", lambda number: loss)
    plain.advance()
    assert all(torch.equal(value, plain.network.state_dict()[key]) for key, value in trainer.network.state_dict().items())


@pytest.mark.parametrize(
    "changes", [{"soft_rate_weight": 1.0}, {"low_frequency_weight": 2.0}, {"synthetic_share": 0.5}, {"shrunk_share": 0.5}]
)
def test_each_key_changes_a_step(photos: PhotoSet, model: Model, changes: dict[str, float]) -> None:
    states = []
    for recipe in (replace(RATE, soft_rate_weight=0.0), replace(RATE, **{"soft_rate_weight": 0.0, **changes})):  # type: ignore[arg-type]
        trainer = AutoencoderTrainer(replace(recipe, crop_size=24), photos, None, CPU, model.priors)
        trainer.network.load_stored_state(model.network.stored_state())
        for number in (1, 2):
            trainer.position = number
            trainer.advance()
        states.append(trainer.network.state_dict())
    assert any(not torch.equal(value, states[1][key]) for key, value in states[0].items())


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"rate_weights": ()}, "soft_rate_weight needs rate_weights"),
        ({"soft_rate_temperature": 0.0}, "soft_rate_temperature must be above 0"),
        ({"synthetic_share": 0.6, "shrunk_share": 0.5}, "must add up to 1 at most, not 1.1"),
        ({"low_frequency_weight": -1.0}, "low_frequency_weight must be a number of at least 0"),
    ],
)
def test_recipes_that_cannot_be_are_refused(changes: dict[str, float], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        AutoencoderRecipe(**{**vars(RATE), **changes})
