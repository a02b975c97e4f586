"""Runs of inputs that follow from a seed, without coverage, so that they can be repeated anywhere."""

import hashlib
from collections import Counter
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final

import numpy as np

from tests.fuzz.property import BrokenPropertyError, Outcome, outcome_of
from tests.fuzz.targets import TARGETS, inputs_to_mutate

_MOST_MUTATIONS: Final = 3


@dataclass
class Report:
    """What became of the inputs of a run.

    Attributes:
        outcomes: number of inputs by target and outcome.
        slowest: CPU seconds, target and number of the slowest input.
        failures: target, number, message and bytes of each input that broke the property.
    """

    outcomes: dict[str, Counter[str]] = field(default_factory=lambda: {name: Counter() for name in TARGETS})
    slowest: tuple[float, str, int] = (0.0, "", 0)
    failures: list[tuple[str, int, str, bytes]] = field(default_factory=list)

    @property
    def num_inputs(self) -> int:
        """Number of inputs that ended."""
        return sum(counts.total() for counts in self.outcomes.values()) + len(self.failures)


def schedule() -> list[str]:
    """Returns the targets of one round in the order in which they take turns, each as often as its share says."""
    shares = {name: target.share for name, target in TARGETS.items()}
    turns = [(number / share, name) for name, share in shares.items() for number in range(share)]
    return [name for _, name in sorted(turns)]


def make_input(seed: int, number: int, name: str, sources: list[bytes]) -> bytes:
    """Returns an input of a target, which follows from the seed and its number alone."""
    rng = np.random.default_rng((seed, number))
    data = sources[int(rng.integers(len(sources)))]
    for _ in range(int(rng.integers(1, _MOST_MUTATIONS + 1)) if rng.integers(2) else 1):
        data = TARGETS[name].mutate(rng, data)
    return data


def inputs(seed: int, numbers: range) -> Iterator[tuple[int, str, bytes]]:
    """Yields number, target and bytes of each input."""
    turns = schedule()
    sources = {name: inputs_to_mutate(name) for name in TARGETS}
    for number in numbers:
        name = turns[number % len(turns)]
        yield number, name, make_input(seed, number, name, sources[name])


def run_inputs(seed: int, numbers: range, before_each: Callable[[int], object] = lambda _: None) -> Report:
    """Runs the inputs of a seed and reports how they ended.

    Args:
        seed: seed of the run.
        numbers: numbers of the inputs.
        before_each: function that is told the number of each input before it is run, to be found if the process dies.
    """
    report = Report()
    for number, name, data in inputs(seed, numbers):
        before_each(number)
        try:
            outcome: Outcome = outcome_of(TARGETS[name].run, data)
        except BrokenPropertyError as error:
            report.failures.append((name, number, str(error), data))
            continue
        report.outcomes[name][outcome.name] += 1
        report.slowest = max(report.slowest, (outcome.seconds, name, number))
    return report


def save_failures(report: Report, folder: Path) -> list[Path]:
    """Writes each input that broke the property into the folder of its target, and returns the files."""
    paths = []
    for name, _, _, data in report.failures:
        path = folder / name / hashlib.sha256(data).hexdigest()[:12]
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(data)
        paths.append(path)
    return paths
