"""Draws new index maps from priors, by the same walk and the same integers that decode files.

Source: Razavi et al. 2019, section 3.2 (ancestral sampling: the top map first, each further map given those before it). Since frequencies
are integers, a seed gives the same codes on every machine that has the same version of NumPy.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Final, Literal

import numpy as np
from numpy.typing import NDArray

from vqcodec.checks import checked_at_least, checked_number
from vqcodec.coding.any_prior import draw_codes
from vqcodec.coding.frequencies import freqs_from_logits
from vqcodec.coding.maps import MapCoding
from vqcodec.errors import ModelError, lack_of_memory_told
from vqcodec.format.container import map_name, map_scale

Fill = Literal["sample", "mode"]
"""Ways to get maps that are missing: drawn from the priors, or their most probable codes."""

_LEAST: Final = -(1 << 15)
"""Lowest logit relative to the largest that is told apart, far below what any frequency can express."""


@dataclass(frozen=True, kw_only=True)
class Sampler:
    """The way in which codes are drawn from their logits.

    Attributes:
        temperature: divisor of the logits, above 0.
        top_k: number of most probable codes that are drawn from, of equals the lowest; None for all codes.
        seed: seed of the draws, at least 0.

    Raises:
        TypeError: A value is no number, or not whole where it must be.
        ValueError: A value is out of its range.
    """

    temperature: float = 1.0
    top_k: int | None = None
    seed: int = 0

    def __post_init__(self) -> None:
        object.__setattr__(self, "temperature", checked_number("temperature", self.temperature))
        if not self.temperature > 0:
            raise ValueError(f"temperature must be above 0, not {self.temperature}")
        if self.top_k is not None:
            object.__setattr__(self, "top_k", checked_at_least("top_k", self.top_k, 1))
        object.__setattr__(self, "seed", checked_at_least("seed", self.seed, 0))

    def draw(self, logits: NDArray[Any], rng: np.random.Generator) -> NDArray[np.int64]:
        """Draws codes [P] from logits [P, K], integers of any type in sixteenths of an octave."""
        with np.errstate(over="ignore"):
            below = (logits - logits.max(axis=1, keepdims=True)) / np.float64(self.temperature)
        freqs = freqs_from_logits(np.round(np.maximum(below, _LEAST)))
        if self.top_k is not None:
            by_probability = np.argsort(-below, axis=1, kind="stable")
            np.put_along_axis(freqs, by_probability[:, self.top_k :], 0, axis=1)
        ends = freqs.cumsum(axis=1)
        drawn: NDArray[np.int64] = (ends <= rng.integers(ends[:, -1:])).sum(axis=1)
        return drawn


@lack_of_memory_told()
def fill_maps(
    codings: Sequence[MapCoding],
    known: Sequence[Sequence[NDArray[np.int64]]],
    sizes: Sequence[tuple[int, int]],
    num_maps: int,
    fill: Fill,
    sampler: Sampler,
) -> list[list[NDArray[np.int64]]]:
    """Adds maps until each picture has `num_maps`.

    Args:
        codings: the means to code the maps, top first.
        known: the first maps of each picture, [h, w] each; an equal number for all pictures, perhaps none.
        sizes: (h, w) of each picture's top map.
        num_maps: number of maps to have in the end.
        fill: "sample" draws codes, "mode" takes the most probable.
        sampler: the way in which codes are drawn.

    Raises:
        ModelError: There is no prior for a missing map.
    """
    rng = np.random.default_rng(sampler.seed)

    def draw(logits: NDArray[Any]) -> NDArray[np.int64]:
        return logits.argmax(axis=1) if fill == "mode" else sampler.draw(logits, rng)

    filled = [list(maps) for maps in known]
    missing = range(min((len(maps) for maps in filled), default=num_maps), num_maps)
    priors = []
    for number in missing:
        if (prior := codings[number].prior) is None:
            raise ModelError(f"the model has no prior for map {map_name(number)}")
        priors.append((number, prior))
    for number, prior in priors:
        scale = map_scale(number)
        map_sizes = [(scale * height, scale * width) for height, width in sizes]
        for maps, walked in zip(filled, draw_codes(prior, draw, map_sizes, filled), strict=True):
            maps.append(walked.indices)
    return filled
