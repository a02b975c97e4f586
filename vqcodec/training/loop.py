"""The loop that every training run goes through: log, validation, checkpoints, exact resume."""

import json
import time
from abc import ABC, abstractmethod
from collections.abc import Callable
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, Generic, TextIO, TypeVar

import numpy as np
import torch
from torch import Tensor, nn
from torch.optim.swa_utils import AveragedModel, get_ema_multi_avg_fn

from vqcodec.errors import ModelError
from vqcodec.format.container import map_name
from vqcodec.training.checkpoint import load_checkpoint, save_checkpoint
from vqcodec.training.muon import Muon
from vqcodec.training.recipe import Recipe
from vqcodec.training.storage import write_file

CHECKPOINT_NAME = "checkpoint.pt"
METRICS_NAME = "metrics.jsonl"
LOG_NAME = "training.jsonl"

StepMetrics = TypeVar("StepMetrics")
ValidationMetrics = TypeVar("ValidationMetrics")


@dataclass(frozen=True)
class Timing:
    """Where a run stands: finished steps, crops or tiles a second since the last report, time left, time so far over all parts."""

    step: int
    images_per_s: float
    time_left_s: float
    elapsed_s: float


def averaged_copy(network: nn.Module, recipe: Recipe) -> AveragedModel:
    """A copy of the network for the moving average of its weights."""
    averaging = get_ema_multi_avg_fn(recipe.weights_ema_decay)  # type: ignore[no-untyped-call]
    return AveragedModel(network, multi_avg_fn=averaging, use_buffers=True)


def make_optimizers(network: nn.Module, recipe: Recipe, is_hidden: Callable[[str], bool]) -> list[torch.optim.Optimizer]:
    """Muon for the matrices whose names `is_hidden`, where the recipe has it, and AdamW for the rest."""
    hidden: list[nn.Parameter] = []
    rest: list[nn.Parameter] = []
    for name, parameter in network.named_parameters():
        by_muon = recipe.optimizer == "muon" and parameter.ndim >= 2 and is_hidden(name)
        (hidden if by_muon else rest).append(parameter)
    adamw = torch.optim.AdamW(rest, lr=recipe.lr_adamw, betas=(0.9, 0.98), weight_decay=0.0, foreach=True)
    if not hidden:
        return [adamw]
    return [Muon(hidden, lr=recipe.lr_muon, weight_decay=recipe.weight_decay), adamw]


def set_learning_rates(optimizers: list[torch.optim.Optimizer], recipe: Recipe, factor: float) -> None:
    """Sets them to a share of the recipe's peaks."""
    for optimizer, peak in zip(reversed(optimizers), (recipe.lr_adamw, recipe.lr_muon), strict=False):
        for group in optimizer.param_groups:
            group["lr"] = peak * factor


class Trainer(ABC, Generic[StepMetrics, ValidationMetrics]):
    """Network, averaged weights, optimisers and step counter of one run.

    Attributes:
        recipe: of the run.
        network: what is trained.
        device: where it runs.
        step: number of finished steps.
        elapsed_s: training time so far, over all resumed parts.
        optimizers: Muon, where the recipe has it, and then AdamW.
        averaged: the moving average of the network's weights.
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
        """One step of the optimisers down the gradient of `loss`."""
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
        """bfloat16 for convolutions and products."""
        return torch.autocast(self.device.type, dtype=torch.bfloat16)

    @property
    @abstractmethod
    def log_name(self) -> str:
        """What the log of such a training is called in a model folder."""

    @abstractmethod
    def start_anew(self) -> None:
        """Makes the network ready for the first step."""

    @abstractmethod
    def start_from(self, folder: Path) -> None:
        """Goes on from a model folder: its weights, step and time. Momenta start anew.

        Raises:
            ModelError: no model folder, one without a log, or another network.
        """

    @abstractmethod
    def advance(self, rng: np.random.Generator) -> None:
        """One training step on data drawn by `rng`."""

    @abstractmethod
    def report(self, timing: Timing) -> StepMetrics:
        """Figures of the steps since the last report."""

    @abstractmethod
    def validate(self) -> ValidationMetrics | None:
        """Held-out figures of the averaged weights; None without held-out data."""

    def state(self) -> dict[str, Any]:
        """All that `load_state` needs to go on exactly."""
        return {
            "recipe": asdict(self.recipe),
            "step": self.step,
            "elapsed_s": self.elapsed_s,
            "network": self.network.state_dict(),
            "averaged": self.averaged.state_dict(),
            "optimizers": [optimizer.state_dict() for optimizer in self.optimizers],
        }

    def load_state(self, state: dict[str, Any]) -> None:
        """Goes on from `state`. The recipe may differ in length and schedule, not in the network.

        Raises:
            ModelError: the checkpoint is of another network.
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
    """The random generator of one training step: a resumed run sees exactly what an uninterrupted one would."""
    return np.random.default_rng([seed, step])


def prior_file_name(number: int, name: str) -> str:
    """What `name` of a prior's training is called in a model folder."""
    return f"{map_name(number)}-{name}"


def open_run(trainer: Trainer[Any, Any], out: Path, *, resume: bool) -> bool:
    """Makes the folder of a run ready; returns whether the run goes on from a checkpoint there.

    Raises:
        ModelError: `resume` without a fitting checkpoint, or a run already in `out` without `resume`.
    """
    torch.set_flush_denormal(True)
    out.mkdir(parents=True, exist_ok=True)
    if resume:
        _load_state(trainer, out / CHECKPOINT_NAME)
        write_metrics(out / METRICS_NAME, [row for row in read_metrics(out / METRICS_NAME) if row["step"] <= trainer.step])
    elif (out / CHECKPOINT_NAME).exists():
        raise ModelError(f"{out}: holds a run already; resume it or name another folder")
    else:
        (out / METRICS_NAME).unlink(missing_ok=True)
    return resume


def _load_state(trainer: Trainer[Any, Any], checkpoint: Path) -> None:
    state = load_checkpoint(checkpoint, trainer.device)
    try:
        trainer.load_state(state)
    except (KeyError, TypeError, ValueError) as error:
        raise ModelError(f"{checkpoint}: not a checkpoint of such a run ({error})") from error


def train(
    trainer: Trainer[StepMetrics, ValidationMetrics],
    out: Path,
    *,
    resume: bool = False,
    start_from: Path | None = None,
    max_steps: int | None = None,
    on_step: Callable[[StepMetrics], None] = lambda _: None,
    on_validation: Callable[[ValidationMetrics], None] = lambda _: None,
) -> int:
    """Trains by the trainer's recipe; writes `checkpoint.pt` and `metrics.jsonl` into `out`. Gives the number of steps taken.

    Args:
        trainer: new.
        out: folder of the run.
        resume: go on from the checkpoint in `out`; the continuation is exact.
        start_from: a model folder to go on from, instead of starting anew; its log becomes the beginning of this run's.
        max_steps: stop early after this many steps in all; the schedule stays that of the recipe.
        on_step: told the metrics every `log_steps` steps.
        on_validation: told the held-out figures every `validate_steps` steps.

    Raises:
        ModelError: `resume` without a fitting checkpoint, a run already in `out` without `resume`, an unfit `start_from`, or both.
        ValueError: the data are smaller than what a step takes of them.
    """
    if resume and start_from is not None:
        raise ModelError(f"resuming goes on from {out}, and cannot start from {start_from} as well")
    resumed = open_run(trainer, out, resume=resume)
    if not resumed and start_from is not None:
        trainer.start_from(start_from)
        if trainer.step >= (end := end_of_run(trainer.recipe, max_steps)):
            raise ModelError(f"{start_from}: was trained for {trainer.step} steps, expected fewer than the {end} that are asked for in all")
        write_metrics(out / METRICS_NAME, read_metrics(start_from / trainer.log_name))
    elif not resumed:
        trainer.start_anew()
    return run_steps(trainer, out, max_steps=max_steps, on_step=on_step, on_validation=on_validation)


def end_of_run(recipe: Recipe, max_steps: int | None) -> int:
    """The step that a run ends with."""
    return recipe.steps if max_steps is None else min(recipe.steps, max_steps)


def run_steps(
    trainer: Trainer[StepMetrics, ValidationMetrics],
    out: Path,
    *,
    max_steps: int | None = None,
    on_step: Callable[[StepMetrics], None] = lambda _: None,
    on_validation: Callable[[ValidationMetrics], None] = lambda _: None,
) -> int:
    """Trains to the end of the recipe, or to `max_steps` steps in all; writes checkpoint and log into `out`. Gives the steps taken."""
    recipe, first = trainer.recipe, trainer.step
    end = end_of_run(recipe, max_steps)
    started = time.perf_counter() - trainer.elapsed_s
    window_step, window_began = trainer.step, time.perf_counter()
    with (out / METRICS_NAME).open("a") as log:
        if trainer.validates_at_start and trainer.step == 0:
            _validate(trainer, log, on_validation)
        while trainer.step < end:
            trainer.advance(step_rng(recipe.seed, trainer.step))
            step, now = trainer.step, time.perf_counter()
            trainer.elapsed_s = now - started
            is_last = step == end
            if step % recipe.log_steps == 0 or is_last:
                step_s = max(1e-9, now - window_began) / (step - window_step)
                timing = Timing(step, recipe.batch_size / step_s, (recipe.steps - step) * step_s, trainer.elapsed_s)
                metrics = trainer.report(timing)
                _write_line(log, "step", metrics)
                on_step(metrics)
            if step % recipe.validate_steps == 0 or is_last:
                _validate(trainer, log, on_validation)
            if step % recipe.checkpoint_steps == 0 or is_last:
                save_checkpoint(out / CHECKPOINT_NAME, trainer.state())
            if step % recipe.log_steps == 0:
                window_step, window_began = step, time.perf_counter()
    return trainer.step - first


def _validate(trainer: Trainer[StepMetrics, ValidationMetrics], log: TextIO, on_validation: Callable[[ValidationMetrics], None]) -> None:
    held_out = trainer.validate()
    if held_out is not None:
        _write_line(log, "validation", held_out)
        on_validation(held_out)


def _write_line(log: TextIO, kind: str, metrics: Any) -> None:
    rounded = json.loads(json.dumps(asdict(metrics)), parse_float=lambda text: round(float(text), 5))
    log.write(json.dumps({"kind": kind, **rounded}) + "\n")
    log.flush()


def read_metrics(path: Path) -> list[dict[str, Any]]:
    """The lines of a run's log, up to the first that a kill cut short; none where there is no log."""
    rows: list[dict[str, Any]] = []
    for line in path.read_text(encoding="utf-8").splitlines() if path.exists() else []:
        try:
            rows.append(json.loads(line))
        except json.JSONDecodeError:
            break
    return rows


def last_step(log: Path) -> tuple[int, float]:
    """Step and elapsed seconds of the last line of a model folder's log.

    Raises:
        ModelError: there is none.
    """
    rows = read_metrics(log)
    if not rows:
        raise ModelError(f"{log.parent}: holds no {log.name}, which says how long the model was trained")
    return rows[-1]["step"], rows[-1]["elapsed_s"]


def write_metrics(path: Path, rows: list[dict[str, Any]]) -> None:
    """Writes the lines of a log."""
    write_file(path, "".join(json.dumps(row) + "\n" for row in rows).encode())
