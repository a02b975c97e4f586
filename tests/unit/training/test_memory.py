"""Checks that batches are split as memory asks for."""

from dataclasses import replace
from types import SimpleNamespace
from typing import Any

import pytest
import torch

from tests.unit.training.conftest import RECIPE
from vqcodec.training.memory import fitted, split_to_fit
from vqcodec.training.recipe import AutoencoderRecipe

BATCH = replace(RECIPE, batch_size=48, accumulated_batches=2)


def peak_bytes(recipe: AutoencoderRecipe) -> int:
    """Returns what a step takes where 1000 bytes are taken anyway, and 100 for each crop."""
    assert recipe.accumulated_batches == 1 and replace(recipe, batch_size=48, accumulated_batches=2) == BATCH
    return 1000 + 100 * recipe.batch_size


@pytest.mark.parametrize(("most", "batch_size"), [(500, 48), (48, 48), (47, 24), (24, 24), (23, 16), (15, 12), (1, 1)])
def test_a_step_has_as_many_crops_as_before(most: int, batch_size: int) -> None:
    fitting = split_to_fit(BATCH, peak_bytes, round((1000 + 100 * (most + 0.5)) / 0.85))
    assert fitting.batch_size == batch_size and fitting.batch_size * fitting.accumulated_batches == 96
    assert replace(fitting, batch_size=48, accumulated_batches=2) == BATCH


def test_trial_steps_tell_what_fits(monkeypatch: pytest.MonkeyPatch) -> None:
    device: Any = SimpleNamespace(type="cuda")
    peaks: list[int] = []
    monkeypatch.setattr(torch.cuda, "mem_get_info", lambda device: (round(2850 / 0.85), 10**9))
    for name in ("reset_peak_memory_stats", "synchronize"):
        monkeypatch.setattr(torch.cuda, name, lambda device: None)
    monkeypatch.setattr(torch.cuda, "max_memory_allocated", lambda device: peaks[-1])

    def make_trainer(recipe: AutoencoderRecipe) -> Any:
        return SimpleNamespace(position=0.0, advance=lambda: peaks.append(peak_bytes(recipe)))

    fitting = fitted(BATCH, device, make_trainer)
    assert peaks == [1200, 1400] and (fitting.batch_size, fitting.accumulated_batches) == (16, 6)


def test_too_little_memory_is_told() -> None:
    with pytest.raises(ValueError, match=r"a step with a single crop takes 0\.0 GB of memory"):
        split_to_fit(BATCH, peak_bytes, 1200)
