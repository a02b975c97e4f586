"""The loop of every training run, with log, validation, checkpoints and exact resume.

<run>/checkpoint.pt   the state of the run (training/checkpoint.py)
      metrics.jsonl   the log (training/run_log.py)
"""

import time
from collections.abc import Callable
from pathlib import Path
from typing import Any, TextIO

import torch

from vqcodec.errors import ModelError
from vqcodec.training.checkpoint import CHECKPOINT_NAME, load_checkpoint, save_checkpoint
from vqcodec.training.metrics import Timing
from vqcodec.training.run_log import METRICS_NAME, append_metrics, log_lines, read_metrics
from vqcodec.training.storage import write_file
from vqcodec.training.trainer import StepMetrics, Trainer, ValidationMetrics, step_rng


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
    """Trains by the trainer's recipe and writes checkpoint and log.

    Args:
        trainer: a new trainer.
        out: folder of the run.
        resume: whether the run goes on from the checkpoint in `out`; the continuation is exact.
        start_from: model folder to go on from instead of starting anew; its log becomes the beginning of this run's.
        max_steps: number of steps in all after which the run stops early; the schedule stays that of the recipe.
        on_step: function that is called with the metrics every `log_steps` steps.
        on_validation: function that is called with the held-out figures every `validate_steps` steps.

    Returns:
        The number of steps taken.

    Raises:
        ModelError: `resume` finds no checkpoint that fits, `out` holds a run already, `start_from` does not fit, or both are given.
        ValueError: The data are smaller than what a step takes of them.
    """
    if resume and start_from is not None:
        raise ModelError(f"resuming goes on from {out}, and cannot start from {start_from} as well")
    end = trainer.recipe.steps if max_steps is None else min(trainer.recipe.steps, max_steps)
    torch.set_flush_denormal(True)
    out.mkdir(parents=True, exist_ok=True)
    if resume:
        _resume(trainer, out)
    elif (out / CHECKPOINT_NAME).exists():
        raise ModelError(f"{out}: holds a run already; resume it or name another folder")
    else:
        (out / METRICS_NAME).unlink(missing_ok=True)
        _begin(trainer, out, start_from, end)
    first = trainer.step
    _run_steps(trainer, out, end, on_step, on_validation)
    return trainer.step - first


def _resume(trainer: Trainer[Any, Any], out: Path) -> None:
    """Goes on from the checkpoint in the folder of a run, whose log is cut back to it.

    Raises:
        ModelError: There is no checkpoint, or it does not fit the trainer.
    """
    checkpoint = out / CHECKPOINT_NAME
    state = load_checkpoint(checkpoint, trainer.device)
    try:
        trainer.load_state(state)
    except (KeyError, TypeError, ValueError) as error:
        raise ModelError(f"{checkpoint}: not a checkpoint of such a run ({error})") from error
    write_file(out / METRICS_NAME, log_lines([row for row in read_metrics(out / METRICS_NAME) if row["step"] <= trainer.step]))


def _begin(trainer: Trainer[Any, Any], out: Path, start_from: Path | None, end: int) -> None:
    """Starts a run anew, or from a model folder that was trained for fewer steps than `end`.

    Raises:
        ModelError: The model folder does not fit the trainer, or was trained for as many steps.
    """
    if start_from is None:
        trainer.start_anew()
        return
    trainer.start_from(start_from)
    if trainer.step >= end:
        raise ModelError(f"{start_from}: was trained for {trainer.step} steps, expected fewer than the {end} that are asked for in all")
    write_file(out / METRICS_NAME, log_lines(read_metrics(start_from / trainer.log_name)))


def _run_steps(
    trainer: Trainer[StepMetrics, ValidationMetrics],
    out: Path,
    end: int,
    on_step: Callable[[StepMetrics], None],
    on_validation: Callable[[ValidationMetrics], None],
) -> None:
    """Takes the steps up to number `end`, and writes log and checkpoints as often as the recipe says."""
    recipe = trainer.recipe
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
                time_left_s = (recipe.steps - step) * step_s
                timing = Timing(step=step, images_per_s=recipe.batch_size / step_s, time_left_s=time_left_s, elapsed_s=trainer.elapsed_s)
                metrics = trainer.report(timing)
                append_metrics(log, "step", metrics)
                on_step(metrics)
            if step % recipe.validate_steps == 0 or is_last:
                _validate(trainer, log, on_validation)
            if step % recipe.checkpoint_steps == 0 or is_last:
                save_checkpoint(out / CHECKPOINT_NAME, trainer.state())
            if step % recipe.log_steps == 0:
                window_step, window_began = step, time.perf_counter()


def _validate(trainer: Trainer[StepMetrics, ValidationMetrics], log: TextIO, on_validation: Callable[[ValidationMetrics], None]) -> None:
    held_out = trainer.validate()
    if held_out is not None:
        append_metrics(log, "validation", held_out)
        on_validation(held_out)
