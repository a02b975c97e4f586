"""How far work has come, told from inside of it to whoever asked for it."""

from collections.abc import Callable

OnProgress = Callable[[float], object]
"""Function that is told which share of the work is done, in 0..1."""


def no_progress(share: float) -> None:
    """Tells nobody, as an `OnProgress`."""


def part_of_work(on_progress: OnProgress, start: float, share: float) -> OnProgress:
    """Returns what a part of the work tells its own progress, which begins at `start` of the whole and is `share` of it."""
    return lambda done: on_progress(start + share * done)
