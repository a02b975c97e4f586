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


@pytest.mark.parametrize(("most", "batch_size"), [(500, 48), (48, 48), (47, 24), (24, 24), (23, 16), (15, 12), (1, 1)])
def test_a_step_has_as_many_crops_as_before(most: int, batch_size: int) -> None:
    fitting = split_to_fit(BATCH, lambda recipe: recipe.batch_size <= most)
    assert fitting.batch_size == batch_size and fitting.batch_size * fitting.accumulated_batches == 96
    assert replace(fitting, batch_size=48, accumulated_batches=2) == BATCH


class Gpu:
    """Stands in for a GPU on which a step takes 1000 bytes, and 100 for each crop of 32 pixels."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch, *, free: int, all_bytes: int = 10**9) -> None:
        self.all_bytes = all_bytes
        self.trials: list[AutoencoderRecipe] = []
        self.peak = 0
        monkeypatch.setattr(torch.cuda, "synchronize", lambda device: None)
        monkeypatch.setattr(torch.cuda, "reset_peak_memory_stats", self.reset)
        monkeypatch.setattr(torch.cuda, "mem_get_info", lambda device: (round((free + 0.5) / 0.85), all_bytes))
        monkeypatch.setattr(torch.cuda, "max_memory_allocated", lambda device: self.peak)
        self.device: Any = SimpleNamespace(type="cuda")

    def reset(self, device: Any) -> None:
        self.peak = 0

    def trainer(self, recipe: AutoencoderRecipe) -> Any:
        self.trials.append(recipe)
        trainer = SimpleNamespace(position=0.0)

        def advance() -> None:
            crops = recipe.batch_size_at(trainer.position)
            taken = 1000 + 100 * crops * recipe.crop_size_at(trainer.position) ** 2 // 32**2
            if taken > self.all_bytes:
                raise torch.OutOfMemoryError("CUDA out of memory")
            self.peak = max(self.peak, taken)

        trainer.advance = advance
        return trainer


def test_trial_steps_tell_what_fits(monkeypatch: pytest.MonkeyPatch) -> None:
    gpu = Gpu(monkeypatch, free=2850, all_bytes=5000)
    fitting = fitted(BATCH, gpu.device, gpu.trainer)
    assert (fitting.batch_size, fitting.accumulated_batches) == (16, 6)
    assert [trial.batch_size for trial in gpu.trials] == [48, 24, 16] and {trial.accumulated_batches for trial in gpu.trials} == {2}


def test_the_end_of_the_schedules_must_fit_too(monkeypatch: pytest.MonkeyPatch) -> None:
    """A single crop is 2.25 times as large in the end, and of 2 crops 1 is left then, of 4 there are 2."""
    gpu = Gpu(monkeypatch, free=1210)
    growing = replace(BATCH, batch_size=4, crop_schedule=((0.0, 32), (0.5, 48)))
    with pytest.raises(ValueError, match="does not hold a step with a single crop or tile at a time"):
        fitted(growing, gpu.device, gpu.trainer)
    assert fitted(replace(growing, crop_schedule=()), gpu.device, gpu.trainer).batch_size == 2
    gpu = Gpu(monkeypatch, free=1230)
    assert fitted(growing, gpu.device, gpu.trainer).batch_size == 2
