"""The time of a run that goes through the schedules of its recipe by the clock instead of by steps."""

import time
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any, Final, Literal

Chore = Literal["validation", "checkpoint"]
"""What a run does now and then beside its steps."""
MAX_SHARES: Final[dict[Chore, float]] = {"validation": 0.05, "checkpoint": 0.02}
"""Largest share of the time that each may take; it is then done less often than the recipe says."""
_MARGIN: Final = 1.3
"""What is kept for the last validation and checkpoint, as a multiple of what the latest took."""


@dataclass
class Clock:
    """The time that one part of a run has, which ends early enough for a last validation and a last checkpoint.

    Attributes:
        minutes: time of the whole run, over all resumed parts.
        steps: number of steps of the recipe's schedules, which are made to fit this time.
        began: when this part began, by `now`; what happens until its first step counts, too.
        spent_s: seconds that were over before this part.
        reached: position in the schedules, in their steps, that the part before reached; 0 in a new run.
        costs_s: seconds that each chore took at the latest time.
        now: clock that counts in seconds.
    """

    minutes: float
    steps: int
    began: float
    spent_s: float = 0.0
    reached: float = 0.0
    costs_s: dict[Chore, float] = field(default_factory=dict)
    now: Callable[[], float] = time.monotonic

    def __post_init__(self) -> None:
        self._first_at = self.now()
        self._deadline = self.began + 60 * self.minutes - self.spent_s
        self._done_at: dict[Chore, float] = {}

    @property
    def _end(self) -> float:
        """When the last step is to end."""
        return self._deadline - _MARGIN * sum(self.costs_s.values())

    def start_schedules(self) -> None:
        """Lets the schedules move from now on. What was before takes nothing of them, such as a first step that compiles networks."""
        self._first_at = self.now()

    def position(self) -> float:
        """Returns the position in the schedules, in their steps: it moves evenly from where the part before stopped to the end."""
        share = (self.now() - self._first_at) / max(1e-9, self._end - self._first_at)
        return self.reached + (self.steps - self.reached) * min(1.0, share)

    def has_time_for(self, step_s: float) -> bool:
        """Tells whether a step of so many seconds, if begun now, ends in time."""
        return self.now() + step_s <= self._end

    def may(self, chore: Chore) -> bool:
        """Tells whether a chore, if done now, would not take more than its share of the time since it was done before."""
        return chore not in self._done_at or self.costs_s[chore] <= MAX_SHARES[chore] * (self.now() - self._done_at[chore])

    def took(self, chore: Chore, seconds: float) -> None:
        """Notes what a chore took that has just been done; about as much is kept for it at the end."""
        self.costs_s[chore], self._done_at[chore] = seconds, self.now()

    def state(self) -> dict[str, Any]:
        """Returns the arguments, but for those that differ from part to part, of the clock that is to go on from here."""
        return {"minutes": self.minutes, "spent_s": 60 * self.minutes - (self._deadline - self.now()), "costs_s": dict(self.costs_s)}
