"""The state that every training run has, its checkpoint, and what the loop asks of a trainer."""

import json
from abc import ABC, abstractmethod
from collections.abc import Callable
from dataclasses import asdict
from pathlib import Path
from typing import Any, Generic, TypeVar

import numpy as np
import torch
from torch import Tensor, nn

from vqcodec.errors import ModelError, TrainingError
from vqcodec.nn.ranks import least_over_ranks, sum_gradients
from vqcodec.training.metrics import Timing
from vqcodec.training.optimizers import (
    averaged_copy,
    clip_gradients,
    learning_state,
    load_learning_state,
    make_optimizers,
    set_learning_rates,
)
from vqcodec.training.recipe import Recipe

StepMetrics = TypeVar("StepMetrics")
ValidationMetrics = TypeVar("ValidationMetrics")


class Trainer(ABC, Generic[StepMetrics, ValidationMetrics]):
    """The state of one run, and what a step of it does; subclasses say the latter.

    Several processes may train together (`nn.ranks`). A batch is then drawn by each of them alike, and each computes its part. Losses are
    shares of the mean over the whole batch, so that their sum over the processes is that mean.

    Attributes:
        recipe: settings of the run.
        network: network that is trained.
        device: device that it is trained on.
        step: number of finished steps, with those of a model that the run started from.
        first_step: number of these that the run began with.
        position: where the step that is being taken lies in the recipe's schedules, in their steps: its number, counted from 1 at the
            beginning of the run, or in a run by the clock the share of the time that is over, times `recipe.steps`. The loop sets it.
        elapsed_s: seconds of training so far, over all resumed parts.
        changes: what was changed in the middle of the run, each with the step at which it was (`changes_since`).
        on_stage: function that is called with what is being done when something begins that is no step and may take long.
        optimizers: Muon, where the recipe has it, and then AdamW.
        averaged: copy of the network whose weights are the moving average of its weights.
        validates_at_start: whether held-out figures are wanted before the first step, too.
    """

    validates_at_start = False

    def __init__(self, recipe: Recipe, network: nn.Module, device: torch.device, *, is_hidden: Callable[[str], bool]) -> None:
        self.recipe = recipe
        self.device = device
        self.step = self.first_step = 0
        self.position = 0.0
        self.elapsed_s = 0.0
        self.changes: list[str] = []
        self.on_stage: Callable[[str], None] = lambda _: None
        self.network = network
        self.averaged = averaged_copy(network, recipe)
        self.optimizers = make_optimizers(network, recipe, is_hidden)
        self._is_finite = torch.ones((), dtype=torch.bool, device=device)
        self._num_finite = torch.zeros((), dtype=torch.int64, device=device)
        self._num_taken = 0

    @property
    def networks(self) -> list[nn.Module]:
        """The networks that a step runs."""
        return [self.network]

    def advance(self) -> None:
        """Takes one training step at `position`, on data drawn by the seed and by the number of the step."""
        recipe = self.recipe
        set_learning_rates(self.optimizers, recipe, recipe.lr_factor(self.position))
        for optimizer in self.optimizers:
            optimizer.zero_grad(set_to_none=True)
        first_batch = self.step * recipe.accumulated_batches
        for number in range(first_batch, first_batch + recipe.accumulated_batches):
            self.backward(self.batch_loss(number))
        sum_gradients(self.network.parameters())
        self.note_finite(clip_gradients(self.network, recipe.grad_clip))
        for optimizer in self.optimizers:
            optimizer.step()
        self.step += 1
        self.averaged.update_parameters(self.network)
        self.finish_step()
        self._num_taken += 1
        self._num_finite.add_(self._is_finite)

    def backward(self, loss: Tensor) -> None:
        """Adds to the gradients that of one batch's loss, as its part of the mean over a step."""
        parts = self.recipe.accumulated_batches
        (loss if parts == 1 else loss / parts).backward()  # type: ignore[no-untyped-call]
        self.note_finite(loss.detach())

    def prepare(self) -> None:
        """Does what takes long and is needed for validation; the loop calls it once. Here it does nothing."""
        return

    def finish_step(self) -> None:
        """Does what follows the step of the optimisers. Here it does nothing."""
        return

    def note_finite(self, value: Tensor) -> None:
        """Notes whether a scalar of this step is finite, without waiting for it; `check_finite` tells."""
        self._is_finite.logical_and_(value.isfinite())

    def check_finite(self) -> None:
        """Checks that all losses and gradients until now were finite. On a GPU it waits for the steps that are under way.

        Raises:
            TrainingError: One was not. The message names the first such step.
        """
        if not least_over_ranks(self._is_finite.to(torch.int64)):
            first_bad = self.step - self._num_taken + least_over_ranks(self._num_finite) + 1
            raise TrainingError(f"the loss or the gradient of step {first_bad} is not finite")

    def autocast(self) -> torch.autocast:
        """Returns the context in which convolutions and products are computed in bfloat16."""
        return torch.autocast(self.device.type, dtype=torch.bfloat16)

    @property
    @abstractmethod
    def log_name(self) -> str:
        """The name that the log of such a training has in a model folder."""

    @abstractmethod
    def start_anew(self) -> None:
        """Makes the network ready for the first step."""

    @abstractmethod
    def start_from(self, folder: Path) -> None:
        """Goes on from the weights, the step and the time of a model folder, with fresh optimisers.

        Raises:
            ModelError: The folder holds no model, or one without a log or with another network.
        """

    @abstractmethod
    def batch_loss(self, number: int) -> Tensor:
        """Returns this process's share of the loss of a batch, a scalar with a gradient, and keeps its figures for the next report.

        Args:
            number: number of the batch in the run, by which its data are drawn (`step_rng`).
        """

    @abstractmethod
    def report(self, timing: Timing) -> StepMetrics:
        """Returns figures of the steps since the last report."""

    @abstractmethod
    def validate(self) -> ValidationMetrics | None:
        """Returns held-out figures of the averaged weights; None without held-out data."""

    @abstractmethod
    def inputs(self) -> dict[str, str]:
        """Returns by name what a run is trained on beside its recipe, each with a fingerprint of its content."""

    def state(self) -> dict[str, Any]:
        """Returns all that `load_state` needs to go on exactly."""
        return {
            "recipe": asdict(self.recipe),
            "inputs": self.inputs(),
            "step": self.step,
            "first_step": self.first_step,
            "position": self.position,
            "elapsed_s": self.elapsed_s,
            "changes": self.changes,
            **learning_state(self.network, self.averaged, self.optimizers),
        }

    def changes_since(self, state: dict[str, Any]) -> list[str]:
        """Returns in words what differs in recipe and inputs from those of a checkpoint's state.

        Raises:
            ValueError: The state is that of another kind of run.
        """
        recipe = self.recipe.from_dict(state["recipe"])
        pairs = [("", asdict(recipe), asdict(self.recipe)), ("", state["inputs"], self.inputs())]
        pairs += [(f"[{name}] ", asdict(recipe.shapes[name]), asdict(self.recipe.shapes[name])) for name in self.recipe.shapes]
        return [
            f"{table}{key} was {_as_text(before.get(key))} and is {_as_text(value)}"
            for table, before, after in pairs
            for key, value in after.items()
            if before.get(key) != value and key not in self.recipe.shapes
        ]

    def load_state(self, state: dict[str, Any]) -> None:
        """Goes on from the state of another run, whose network must be the same.

        Raises:
            ModelError: The checkpoint is of another network or of another optimiser.
        """
        recipe = self.recipe.from_dict(state["recipe"])
        if recipe.optimizer != self.recipe.optimizer:
            raise ModelError(f"the checkpoint's optimizer is {recipe.optimizer}, the recipe's {self.recipe.optimizer}")
        if recipe.shapes != self.recipe.shapes:
            raise ModelError(f"the checkpoint's network differs from the recipe's [{'], ['.join(self.recipe.shapes)}]")
        self.step = state["step"]
        self.first_step = state["first_step"]
        self.position = state["position"]
        self.elapsed_s = state["elapsed_s"]
        self.changes = list(state["changes"])
        load_learning_state(state, self.network, self.averaged, self.optimizers)


def _as_text(value: object) -> str:
    return value if isinstance(value, str) else json.dumps(value)


def step_rng(seed: int, step: int) -> np.random.Generator:
    """Returns the random generator of one training step, by which a resumed run sees exactly what an uninterrupted one would."""
    return np.random.default_rng([seed, step])
