"""Checks that codes are chosen by cost in the training of the autoencoder."""

import copy
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch

from tests.unit.training.conftest import CPU, RECIPE
from vqcodec.coding.frequencies import freqs_from_counts
from vqcodec.decoding.files import decode_codes, open_file
from vqcodec.encoding.pictures import encode_pictures
from vqcodec.errors import ModelError
from vqcodec.images.picture import Picture
from vqcodec.models.dial import OperatingPoint
from vqcodec.models.model import Model, load_model
from vqcodec.nn.autoencoder.map_counts import MapCounts
from vqcodec.nn.prior.fixed_point import Arithmetic
from vqcodec.rate.choice import MAP_FACTORS, RateDistortionChoice
from vqcodec.training.autoencoder import AutoencoderTrainer
from vqcodec.training.code_usage import count_codes
from vqcodec.training.data import PhotoSet
from vqcodec.training.export import export_autoencoder
from vqcodec.training.loop import train
from vqcodec.training.online_priors import OnlinePriors
from vqcodec.training.prior import logits_of_crops
from vqcodec.training.rate import ParallelRateDistortionChoice
from vqcodec.training.run_log import METRICS_NAME, read_metrics

RATE_WEIGHTS = (0.2, 0.2, 0.1, 0.1)


@pytest.mark.parametrize("number", [0, 1])
def test_each_code_is_the_cheapest_beside_those_of_order_0(model: Model, number: int) -> None:
    generator = torch.Generator().manual_seed(0)
    height, width = (8, 8) if number == 0 else (16, 16)
    earlier = [torch.randint(16, (3, 8, 8), generator=generator)][:number]
    residual = torch.randn(3, 4, height, width, generator=generator) * 0.3
    quantizer = copy.deepcopy(model.network.quantizer_top if number == 0 else model.network.quantizer_bottom).stage(0)
    quantizer.ema_count.copy_(torch.arange(16) ** 2)
    weights = torch.tensor([0.0, 0.05, 0.5])
    chosen, fewer = (
        ParallelRateDistortionChoice(
            model.priors, weights / MAP_FACTORS[number], MapCounts.of([4, 4, num_maps], 4, CPU), top_max_rate_weight=1.0
        )(quantizer, residual, earlier)
        for num_maps in (2, number)
    )
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


@pytest.mark.parametrize("share", [0.7, 2.0])
def test_as_many_passes_as_steps_choose_what_encode_chooses(model: Model, share: float) -> None:
    generator = torch.Generator().manual_seed(1)
    residual = torch.randn(2, 4, 8, 8, generator=generator) * 0.3
    quantizer = copy.deepcopy(model.network.quantizer_top).stage(0)
    weight = share * model.config.top_max_rate_weight / MAP_FACTORS[0]
    weights, counts = torch.tensor([weight, weight]), MapCounts.of([1, 1], 4, CPU)
    limit = model.config.top_max_rate_weight
    once, at_end, after_end = (
        ParallelRateDistortionChoice(model.priors, weights, counts, passes, limit)(quantizer, residual, []) for passes in (1, 15, 16)
    )
    assert not torch.equal(once, at_end) and torch.equal(at_end, after_end)
    encoded = RateDistortionChoice(model.codings, weight)(model.codebooks[0], residual.permute(0, 2, 3, 1).numpy(), []).indices
    assert float((at_end.numpy() == encoded).mean()) > 0.85, "but for the rounding of exact arithmetic"


def test_crops_larger_than_a_tile_are_coded_tile_by_tile(model: Model) -> None:
    generator = torch.Generator().manual_seed(2)
    maps = [torch.randint(16, (2, 34 * scale, 40 * scale), generator=generator) for scale in (1, 2)]
    counts = MapCounts.of([2, 2], 4, CPU)
    for number, scale in enumerate((1, 2)):
        logits = logits_of_crops(model.priors[number], maps[number], maps[:number])
        assert logits.shape == (2, 34 * scale, 40 * scale, 16)
        for rows, columns in ((slice(0, 32), slice(0, 32)), (slice(0, 32), slice(32, 40)), (slice(32, 34), slice(32, 40))):
            own_rows, own_columns = (slice(scale * place.start, scale * place.stop) for place in (rows, columns))
            before = [maps[0][:, rows, columns]][:number]
            alone = model.priors[number](maps[number][:, own_rows, own_columns], before, Arithmetic.REAL)
            assert torch.allclose(logits[:, own_rows, own_columns], alone, atol=1e-4)
    recipe = replace(RECIPE, rate_weights=RATE_WEIGHTS, priors_lr_scale=1.0)
    bits, _ = OnlinePriors(model.priors, recipe).add_gradients(maps, counts)
    assert bits[:2].isfinite().all()
    residual = torch.randn(2, 4, 34, 40, generator=generator)
    choice = ParallelRateDistortionChoice(model.priors, torch.tensor([0.1, 0.1]), counts)
    assert choice(copy.deepcopy(model.network.quantizer_top).stage(0), residual, []).shape == (2, 34, 40)


def test_training_with_priors(photos: PhotoSet, model: Model, tmp_path: Path) -> None:
    recipe = replace(RECIPE, rate_weights=RATE_WEIGHTS, top_max_rate_weight=0.2)
    with pytest.raises(ModelError, match="need priors of 4 maps, found 0"):
        AutoencoderTrainer(recipe, photos, None, CPU)
    with pytest.raises(ModelError, match="the recipe has no rate_weights"):
        AutoencoderTrainer(RECIPE, photos, None, CPU, model.priors)
    with pytest.raises(ModelError, match="need priors of 32 codes, found 16"):
        AutoencoderTrainer(replace(recipe, network=replace(recipe.network, codebook_size=32)), photos, None, CPU, model.priors)
    trainer = AutoencoderTrainer(recipe, photos, None, CPU, model.priors)
    train(trainer, tmp_path / "run", max_steps=3)
    assert trainer.step == 3
    exported = export_autoencoder(tmp_path / "run", tmp_path / "exported", photos, number=1003, num_crops=2)
    assert exported.num_maps == 4 and exported.parameters > 10_000 and exported.top_max_rate_weight == 0.2
    with pytest.raises(ValueError, match="1 rate_weights for 4 maps"):
        replace(RECIPE, rate_weights=(0.1,))


@pytest.mark.slow
def test_priors_learn_beside_the_autoencoder(photos: PhotoSet, model: Model, tmp_path: Path) -> None:
    recipe = replace(
        RECIPE, rate_weights=RATE_WEIGHTS, priors_lr_scale=1.0, lr_schedule=((0, 0.0), (2, 1.0), (40, 0.5)), checkpoint_steps=20
    )
    before = copy.deepcopy(model.priors[1].state_dict())

    def trainer() -> AutoencoderTrainer:
        return AutoencoderTrainer(recipe, photos, None, CPU, model.priors)

    whole, part, resumed = trainer(), trainer(), trainer()
    train(whole, tmp_path / "whole")
    bits = [row["bits_per_code"] for row in read_metrics(tmp_path / "whole" / METRICS_NAME) if row["kind"] == "step"]
    assert bits[-1][0] < bits[0][0] - 0.3 and bits[-1][1] < bits[0][1] - 0.3
    assert all(torch.equal(value, before[key]) for key, value in model.priors[1].state_dict().items())

    train(part, tmp_path / "part", max_steps=20)
    train(resumed, tmp_path / "part", resume=True)
    for one, other in zip(whole.priors, resumed.priors, strict=True):
        assert all(torch.equal(value, other.state_dict()[key]) for key, value in one.state_dict().items())
    with pytest.raises(ModelError, match="holds no priors that learned along"):
        without = AutoencoderTrainer(replace(RECIPE, rate_weights=RATE_WEIGHTS), photos, None, CPU, model.priors)
        train(without, tmp_path / "without", max_steps=3)
        train(trainer(), tmp_path / "without", resume=True, accept_changes=True)

    config = export_autoencoder(tmp_path / "whole", tmp_path / "exported", photos, number=1004, num_crops=20)
    exported = load_model(config, "cpu")
    nearest = count_codes(exported.network, photos, num_crops=20, crop_size=32, seed=1)
    assert not np.array_equal(exported.static_freqs[0], freqs_from_counts(nearest[0])), "those of codes that are chosen, too"
    assert [prior.config for prior in exported.priors] == [prior.config for prior in model.priors]
    assert read_metrics(tmp_path / "exported" / "bottom-training.jsonl")[-1]["bits_per_code"] == bits[-1][1]
    (encoded,) = encode_pictures([Picture(photos.photo(0))], exported, point=OperatingPoint(4, 0.1))
    (decoded,) = decode_codes([open_file(encoded.data, model=exported)])
    assert decoded.error is None and all(map(np.array_equal, decoded.indices, encoded.indices))
    with pytest.raises(ValueError, match="priors_lr_scale needs rate_weights"):
        replace(RECIPE, priors_lr_scale=1.0)
