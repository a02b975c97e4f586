"""The state that every training run has, its checkpoint, and what the loop asks of a trainer."""

from abc import ABC, abstractmethod
from collections.abc import Callable
from dataclasses import asdict
from pathlib import Path
from typing import Any, Generic, TypeVar

import numpy as np
import torch
from torch import Tensor, nn

from vqcodec.errors import ModelError
from vqcodec.training.metrics import Timing
from vqcodec.training.optimizers import averaged_copy, make_optimizers, set_learning_rates
from vqcodec.training.recipe import Recipe

StepMetrics = TypeVar("StepMetrics")
ValidationMetrics = TypeVar("ValidationMetrics")


class Trainer(ABC, Generic[StepMetrics, ValidationMetrics]):
    """The state of one run, and what a step of it does; subclasses say the latter.

    Attributes:
        recipe: settings of the run.
        network: network that is trained.
        device: device that it is trained on.
        step: number of finished steps.
        elapsed_s: seconds of training so far, over all resumed parts.
        optimizers: Muon, where the recipe has it, and then AdamW.
        averaged: copy of the network whose weights are the moving average of its weights.
        validates_at_start: whether held-out figures are wanted before the first step, too.
    """

    validates_at_start = False

    def __init__(self, recipe: Recipe, network: nn.Module, device: torch.device, *, is_hidden: Callable[[str], bool]) -> None:
        self.recipe = recipe
        self.device = device
        self.step = 0
        self.elapsed_s = 0.0
        self.network = network
        self.averaged = averaged_copy(network, recipe)
        self.optimizers = make_optimizers(network, recipe, is_hidden)

    def update(self, loss: Tensor) -> None:
        """Takes one step of the optimisers down the gradient of a loss."""
        set_learning_rates(self.optimizers, self.recipe, self.recipe.lr_factor(self.step + 1))
        for optimizer in self.optimizers:
            optimizer.zero_grad(set_to_none=True)
        loss.backward()  # type: ignore[no-untyped-call]
        nn.utils.clip_grad_norm_(self.network.parameters(), self.recipe.grad_clip)
        for optimizer in self.optimizers:
            optimizer.step()
        self.step += 1
        self.averaged.update_parameters(self.network)

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
    def advance(self, rng: np.random.Generator) -> None:
        """Takes one training step on data drawn by `rng`."""

    @abstractmethod
    def report(self, timing: Timing) -> StepMetrics:
        """Returns figures of the steps since the last report."""

    @abstractmethod
    def validate(self) -> ValidationMetrics | None:
        """Returns held-out figures of the averaged weights; None without held-out data."""

    def state(self) -> dict[str, Any]:
        """Returns all that `load_state` needs to go on exactly."""
        return {
            "recipe": asdict(self.recipe),
            "step": self.step,
            "elapsed_s": self.elapsed_s,
            "network": self.network.state_dict(),
            "averaged": self.averaged.state_dict(),
            "optimizers": [optimizer.state_dict() for optimizer in self.optimizers],
        }

    def load_state(self, state: dict[str, Any]) -> None:
        """Goes on from the state of another run, whose recipe may differ in length and schedule, not in the network.

        Raises:
            ModelError: The checkpoint is of another network.
        """
        if self.recipe.from_dict(state["recipe"]).shapes != self.recipe.shapes:
            raise ModelError(f"the checkpoint's network differs from the recipe's [{'], ['.join(self.recipe.shapes)}]")
        self.step = state["step"]
        self.elapsed_s = state["elapsed_s"]
        self.network.load_state_dict(state["network"])
        self.averaged.load_state_dict(state["averaged"])
        for optimizer, optimizer_state in zip(self.optimizers, state["optimizers"], strict=True):
            optimizer.load_state_dict(optimizer_state)


def step_rng(seed: int, step: int) -> np.random.Generator:
    """Returns the random generator of one training step, by which a resumed run sees exactly what an uninterrupted one would."""
    return np.random.default_rng([seed, step])
