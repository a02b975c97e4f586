"""Checks that mistakes in recipes are told, and the schedule of the learning rate."""

from dataclasses import replace
from pathlib import Path

import pytest

from vqcodec.errors import ModelError
from vqcodec.training.recipe import AutoencoderRecipe


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("seed = ", "not a recipe"),
        ("steps = 1", "unknown key 'steps'"),
        ("[network]\nwidth = 3", "width"),
        ("crop_size = 9", "9"),
        ('optimizer = "sgd"', "sgd"),
        ("top_max_rate_weight = 0", "top_max_rate_weight must be above 0"),
        ("[model]", "unknown key 'model'"),
        ("log_steps = 0", "log_steps"),
        ('lr_muon = "a"', "lr_muon"),
        ('[network]\nchannels = "q"', "channels"),
        ("lr_schedule = [[0, 1.0]]", "rising steps"),
        ("lr_schedule = [[0, 1.0], [5, 0.5], [5, 0.0]]", "rising steps"),
        ("lr_schedule = [1, 2]", "lr_schedule must be a list, each a list of 2: a whole number of at least 0, a number of at least 0, not"),
        ("lr_schedule = 5", "lr_schedule"),
        ("lr_adamw = nan", "lr_adamw must be a number of at least 0, not nan"),
        ("seed = -1", r"seed must be a whole number in 0\.\.9223372036854775807, not -1"),
        ("seed = true", "seed"),
        (f"seed = {10**400}", "seed must be a whole number in 0"),
        (f"lr_muon = {10**400}", "lr_muon must be a number of at least 0"),
        ("weights_ema_decay = 1.5", r"weights_ema_decay must be a number in 0\.\.1, not 1.5"),
        ("dead_code_steps = 0", "dead_code_steps must be a whole number of at least 1, not 0"),
        ("init_crops = 0", "init_crops"),
        ("crop_size = 32.0", r"crop_size must be a whole number of at least 0, not 32\.0"),
        ("crop_size = 'x'", "crop_size"),
        ("rate_passes = true", "rate_passes must be a whole number of at least 1, not True"),
        ("commitment_weight = 'a'", "commitment_weight"),
        ("prefix_probabilities = [0.1, 'a', 0.1, 0.1]", "prefix_probabilities must be a list, each a number of at least 0, not"),
        ("prefix_probabilities = [0, 0, 0, 0]", "prefix_probabilities must be above 0 somewhere"),
        ("network = 5", r"\[network\] must be a table, not 5"),
        ("[network]\nchannels = 0", "channels must be a whole number of at least 1, not 0"),
        ('[network]\ncodebook_update = "sum"', "codebook_update must be 'ema' or 'loss', not 'sum'"),
        ("crop_schedule = [[0.1, 64]]", r"crop_schedule must start at share 0 and have rising shares below 1, not \[0.1\]"),
        ("crop_schedule = [[0, 64], [0.5, 96], [0.5, 128]]", "rising shares"),
        ("crop_schedule = [[0, 64], [1, 96]]", "rising shares below 1"),
        ("crop_schedule = [[0, 64], [0.5, 100]]", r"crop_schedule must have positive multiples of 8, not \[64, 100\]"),
        ("crop_schedule = [[0, 0]]", "positive multiples"),
        ("crop_schedule = [0, 64]", "crop_schedule must be a list, each a list of 2: a number of at least 0, a whole number"),
        ("seed = " + 5000 * "[", "not a recipe"),
    ],
)
def test_recipes_with_mistakes(tmp_path: Path, text: str, message: str) -> None:
    path = tmp_path / "recipe.toml"
    path.write_text(text)
    with pytest.raises(ModelError, match=message):
        AutoencoderRecipe.read(path)


def test_learning_rate_rises_stays_and_falls() -> None:
    recipe = AutoencoderRecipe(lr_schedule=((0, 0.0), (10, 1.0), (50, 1.0), (100, 0.0)))
    factors = [recipe.lr_factor(step) for step in range(1, 101)]
    assert factors[0] == pytest.approx(0.1) and factors[9:50] == [1.0] * 41
    assert factors[74] == pytest.approx(0.5) and factors[98] == pytest.approx(0.02) and factors[99] == 0.0
    assert recipe.steps == 100


def test_crops_grow_over_the_run_and_batches_keep_their_pixels() -> None:
    recipe = AutoencoderRecipe(
        batch_size=64, crop_size=224, crop_schedule=((0, 224), (0.67, 384), (0.9, 512)), lr_schedule=((0, 0.0), (100, 1.0))
    )
    batches = [(recipe.batch_size_at(position), recipe.crop_size_at(position)) for position in (0.0, 1.0, 66.9, 67.0, 89.0, 90.0, 100.0)]
    assert batches == [(64, 224)] * 3 + [(22, 384)] * 2 + [(12, 512)] * 2
    assert recipe.largest_crop_size == 512
    assert all(abs(count * size**2 / (64 * 224**2) - 1) < 0.03 for count, size in batches)
    small = replace(recipe, batch_size=1, crop_schedule=((0, 96), (0.5, 512)))
    assert (small.batch_size_at(1), small.crop_size_at(1)) == (5, 96) and small.batch_size_at(60) == 1
    plain = AutoencoderRecipe(batch_size=7)
    assert (plain.batch_size_at(50), plain.crop_size_at(50), plain.largest_crop_size) == (7, 128, 128)
