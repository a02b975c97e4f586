"""The loop of every training run, with log, validation, checkpoints and exact resume.

<run>/checkpoint.pt   the state of the run (training/checkpoint.py)
      metrics.jsonl   the log (training/run_log.py)
"""

import os
from collections import deque
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final, TextIO

import torch

from vqcodec.errors import ModelError, TrainingError
from vqcodec.models.config import read_config
from vqcodec.nn.ranks import equalise, is_leader, leaders, leaders_time, part_of
from vqcodec.storage import write_file
from vqcodec.training.checkpoint import CHECKPOINT_NAME, load_checkpoint, save_checkpoint
from vqcodec.training.clock import Chore, Clock
from vqcodec.training.metrics import Timing
from vqcodec.training.run_log import METRICS_NAME, append_metrics, log_lines, read_metrics
from vqcodec.training.trainer import StepMetrics, Trainer, ValidationMetrics

_STEPS_AHEAD: Final = 2
"""Number of steps that the CPU may be ahead of a GPU: enough to keep it busy, and few enough that the clock tells the truth."""


def train(
    trainer: Trainer[StepMetrics, ValidationMetrics],
    out: Path,
    *,
    resume: bool = False,
    start_from: Path | None = None,
    max_steps: int | None = None,
    minutes: float | None = None,
    accept_changes: bool = False,
    began: float | None = None,
    on_stage: Callable[[str], None] = lambda _: None,
    on_step: Callable[[StepMetrics], None] = lambda _: None,
    on_validation: Callable[[ValidationMetrics], None] = lambda _: None,
    now: Callable[[], float] = leaders_time,
) -> int:
    """Trains by the trainer's recipe and writes checkpoint and log.

    Of several processes that train together (`nn.ranks`) each calls this with the same arguments; the leader alone writes, validates and
    calls the functions that are given. All read the checkpoint in `out`.

    Args:
        trainer: a new trainer.
        out: folder of the run.
        resume: whether the run goes on from the checkpoint in `out`; that of a run by steps goes on exactly.
        start_from: model folder to go on from instead of starting anew; its log becomes the beginning of this run's.
        max_steps: number of steps of the recipe after which a run by steps stops early; the schedule stays as it is.
        minutes: time that the run takes in all, last validation and checkpoint included; its schedules are then shares of this time.
            Without it steps count, or what counted in the run that is resumed.
        accept_changes: whether a run that is resumed may have another recipe, other inputs or other minutes than before; the checkpoint
            then says what was changed at which step. The networks must be the same.
        began: when, by `now`, the time began to count; at the time of this call by default.
        on_stage: function that is called with what is being done when something begins that is no step and may take long.
        on_step: function that is called with the metrics every `log_steps` steps.
        on_validation: function that is called with the held-out figures every `validate_steps` steps.
        now: clock that counts in seconds, the same in all processes.

    Returns:
        The number of steps taken.

    Raises:
        ModelError: `resume` finds no checkpoint that fits, or one of a run by the clock beside `max_steps`; `out` holds a run already;
            `start_from` does not fit, or is given beside `resume`.
        TrainingError: A loss was not finite. The checkpoint that was written before is kept.
        ValueError: The data are smaller than what a step takes of them, or a batch than the number of processes.
    """
    if resume and start_from is not None:
        raise ModelError(f"resuming goes on from {out}, and cannot start from {start_from} as well")
    began = now() if began is None else leaders(began)
    for position in (0, trainer.recipe.steps):
        part_of(trainer.recipe.batch_size_at(position))
    torch.set_flush_denormal(True)
    out.mkdir(parents=True, exist_ok=True)
    if is_leader():
        trainer.on_stage = on_stage
    time_left: dict[str, Any] | None = None if minutes is None else {"minutes": minutes}
    if resume:
        time_left = _resume(trainer, out, minutes, accept_changes=accept_changes)
        if time_left is not None and max_steps is not None:
            raise ModelError(f"{out / CHECKPOINT_NAME}: the run goes by the clock, so its steps cannot be limited")
    else:
        _check_holds_no_run(out)
        if is_leader():
            (out / METRICS_NAME).unlink(missing_ok=True)
        _begin(trainer, out, start_from)
    equalise(trainer.networks)
    if is_leader():
        trainer.prepare()
    clock, first = None, trainer.step
    if time_left is not None:
        steps = trainer.recipe.steps
        clock = Clock(**time_left, steps=steps, began=began, reached=min(trainer.position, steps), now=now)
    with (out / METRICS_NAME if is_leader() else Path(os.devnull)).open("a") as log:
        loop = _Loop(trainer, clock, out / CHECKPOINT_NAME, log, on_step, on_validation, now)
        loop.run(trainer.recipe.steps if max_steps is None else min(trainer.recipe.steps, max_steps), is_new=not resume)
    return trainer.step - first


def check_beginning(out: Path, *, resume: bool, start_from: Path | None) -> None:
    """Checks, before the data of a run are read, that it can begin in a folder or go on there; arguments are those of `train`.

    Raises:
        ModelError: `resume` finds no checkpoint, or `out` holds a run already, or `start_from` holds no model.
    """
    if resume:
        load_checkpoint(out / CHECKPOINT_NAME, torch.device("cpu"))
    else:
        _check_holds_no_run(out)
    if start_from is not None:
        read_config(start_from)


def _check_holds_no_run(out: Path) -> None:
    if (out / CHECKPOINT_NAME).exists():
        raise ModelError(f"{out}: holds a run already; resume it or name another folder")


def _resume(trainer: Trainer[Any, Any], out: Path, minutes: float | None, *, accept_changes: bool) -> dict[str, Any] | None:
    """Goes on from the checkpoint in the folder of a run, whose log is cut back to it, and returns what is to be known of the time.

    Raises:
        ModelError: There is no checkpoint, or it does not fit the trainer, or differs from it or from the minutes and may not.
    """
    checkpoint = out / CHECKPOINT_NAME
    state = load_checkpoint(checkpoint, trainer.device)
    clock: dict[str, Any] | None = state["clock"]
    try:
        changes = trainer.changes_since(state)
        if minutes is not None and (clock is None or clock["minutes"] != minutes):
            changes.append(f"minutes was {'not given' if clock is None else format(clock['minutes'], 'g')} and is {minutes:g}")
            clock = {**(clock or {}), "minutes": minutes}
        if changes and not accept_changes:
            raise ModelError(f"{checkpoint}: is of another run than is to be resumed: {'; '.join(changes)}")
        trainer.load_state(state)
        trainer.changes += [f"after step {trainer.step}: {change}" for change in changes]
    except (KeyError, TypeError, ValueError) as error:
        raise ModelError(f"{checkpoint}: not a checkpoint of such a run ({error})") from error
    if is_leader():
        write_file(out / METRICS_NAME, log_lines([row for row in read_metrics(out / METRICS_NAME) if row["step"] <= trainer.step]))
    return clock


def _begin(trainer: Trainer[Any, Any], out: Path, start_from: Path | None) -> None:
    """Starts a run anew, or from a model folder.

    Raises:
        ModelError: The model folder does not fit the trainer.
    """
    if start_from is None:
        trainer.start_anew()
        return
    trainer.start_from(start_from)
    trainer.first_step = trainer.step
    if is_leader():
        write_file(out / METRICS_NAME, log_lines(read_metrics(start_from / trainer.log_name)))


@dataclass
class _Loop:
    """The steps of one part of a run, and all that is due between them.

    Attributes:
        trainer: the state of the run.
        clock: the time of a run by the clock; None where steps count.
        checkpoint: path of the checkpoint.
        log: the log, which is added to.
        on_step, on_validation: functions that are called with metrics.
        now: clock that counts in seconds.
    """

    trainer: Trainer[Any, Any]
    clock: Clock | None
    checkpoint: Path
    log: TextIO
    on_step: Callable[[Any], None]
    on_validation: Callable[[Any], None]
    now: Callable[[], float]

    def __post_init__(self) -> None:
        now = self.now()
        self._part_step = self.trainer.step
        self._window_step, self._window_position, self._window_began = self.trainer.step, self.trainer.position, now
        self._step_s = 0.0
        self._started = now - self.trainer.elapsed_s
        self._under_way: deque[torch.cuda.Event] = deque()

    def run(self, steps: int, *, is_new: bool) -> None:
        """Takes the steps that are left.

        Args:
            steps: number of steps of the recipe to take in all, where steps count.
            is_new: whether one step is taken even where no time is left.
        """
        trainer, recipe = self.trainer, self.trainer.recipe
        if trainer.validates_at_start and trainer.step == 0:
            self._timed("validation", self._validate)
        is_last = self._is_over(steps) and not (is_new and trainer.step == self._part_step)
        while not is_last:  # time goes on after this is asked, so it is asked once a step: the last one is always saved
            before, began = trainer.position, self.now()
            trainer.position = float(trainer.step + 1 - trainer.first_step) if self.clock is None else self.clock.position()
            trainer.advance()
            self._wait_for_earlier_steps()
            if self.clock is not None and trainer.step == self._part_step + 1:
                self.clock.start_schedules()
            now = self.now()
            trainer.elapsed_s = now - self._started
            self._step_s = now - began
            is_last = self._is_over(steps)

            def is_due(every: int, before: float = before, is_last: bool = is_last) -> bool:
                return is_last or trainer.position // every > before // every

            reports = is_due(recipe.log_steps)
            validates = is_due(recipe.validate_steps) and (is_last or self._may("validation"))
            saves = is_due(recipe.checkpoint_steps) and (is_last or self._may("checkpoint"))
            if reports or validates or saves or trainer.step == self._part_step + 1:
                self._check_finite()
            if reports:
                self._report()
            if validates:
                self._timed("validation", self._validate)
            if saves:
                self._timed("checkpoint", self._save)

    def _is_over(self, steps: int) -> bool:
        if self.clock is None:
            return self.trainer.step - self.trainer.first_step >= steps
        return not self.clock.has_time_for(self._step_s)

    def _may(self, chore: Chore) -> bool:
        return self.clock is None or self.clock.may(chore)

    def _wait_for_earlier_steps(self) -> None:
        """Keeps the CPU from being more than `_STEPS_AHEAD` steps ahead of a GPU."""
        if self.trainer.device.type != "cuda":
            return
        event = torch.cuda.Event()  # type: ignore[no-untyped-call]
        event.record()
        self._under_way.append(event)
        if len(self._under_way) > _STEPS_AHEAD:
            self._under_way.popleft().synchronize()

    def _check_finite(self) -> None:
        try:
            self.trainer.check_finite()
        except TrainingError as error:
            kept = f"{self.checkpoint} holds an earlier step" if self.checkpoint.exists() else "no checkpoint had been written"
            raise TrainingError(f"{error}, so the run has ended; {kept}") from error

    def _report(self) -> None:
        """Writes the figures of the steps since the last report, and begins a new window of them."""
        trainer, recipe = self.trainer, self.trainer.recipe
        seconds = max(1e-9, self.now() - self._window_began)
        speed = (trainer.position - self._window_position) / seconds
        images_a_step = recipe.batch_size_at(trainer.position) * recipe.accumulated_batches
        timing = Timing(
            step=trainer.step,
            share=trainer.position / recipe.steps,
            images_per_s=images_a_step * (trainer.step - self._window_step) / seconds,
            time_left_s=(recipe.steps - trainer.position) / max(1e-9, speed),
            elapsed_s=trainer.elapsed_s,
        )
        metrics = trainer.report(timing)
        append_metrics(self.log, "step", metrics)
        if is_leader():
            self.on_step(metrics)
        self._window_step, self._window_position, self._window_began = trainer.step, trainer.position, self.now()

    def _validate(self) -> None:
        held_out = self.trainer.validate() if is_leader() else None
        if held_out is not None:
            append_metrics(self.log, "validation", held_out)
            self.on_validation(held_out)

    def _save(self) -> None:
        clock = None if self.clock is None else self.clock.state()  # which asks for the time, as all processes must alike
        if is_leader():
            save_checkpoint(self.checkpoint, {**self.trainer.state(), "clock": clock})

    def _timed(self, chore: Chore, do: Callable[[], None]) -> None:
        """Does a chore, tells the pace what it took, and leaves it out of the speed of the steps."""
        began = self.now()
        do()
        taken = self.now() - began
        self._window_began += taken
        if self.clock is not None:
            self.clock.took(chore, taken)
