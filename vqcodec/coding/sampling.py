"""New index maps drawn from a model's priors, by the same walk and the same integers that decode files.

Source: Razavi et al. 2019, section 3.2 (ancestral sampling: the top map first, each further map given those before it). Since frequencies
are integers, a seed gives the same codes on every machine that has the same version of NumPy.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Final, Literal

import numpy as np
import torch
from numpy.typing import NDArray

from vqcodec.coding.frequencies import freqs_from_logits
from vqcodec.coding.prior import Places, walk_maps
from vqcodec.errors import LimitExceededError, ModelError
from vqcodec.format.container import MAX_PIXELS, map_name, map_size
from vqcodec.models.registry import Model
from vqcodec.nn.autoencoder.blocks import decode_in_blocks

Fill = Literal["sample", "mode"]
_LEAST: Final = -(1 << 15)
"""Of logits below the largest: far below what any frequency can tell apart."""


@dataclass(frozen=True, kw_only=True)
class Sampler:
    """How a code is drawn from its logits.

    Attributes:
        temperature: above 0; logits are divided by it.
        top_k: draw from the so many most probable codes alone, of equals the lowest; None for all.
        seed: of the draws.
    """

    temperature: float = 1.0
    top_k: int | None = None
    seed: int = 0

    def __post_init__(self) -> None:
        if not self.temperature > 0:
            raise ValueError(f"temperature must be above 0, not {self.temperature}")
        if self.top_k is not None and self.top_k < 1:
            raise ValueError(f"top_k must be at least 1, not {self.top_k}")

    def draw(self, logits: NDArray[Any], rng: np.random.Generator) -> NDArray[np.int64]:
        """Codes [P] of logits [P, K], integers of any type in sixteenths of an octave."""
        with np.errstate(over="ignore"):
            below = (logits - logits.max(axis=1, keepdims=True)) / np.float64(self.temperature)
        freqs = freqs_from_logits(np.round(np.maximum(below, _LEAST)))
        if self.top_k is not None:
            by_probability = np.argsort(-below, axis=1, kind="stable")
            np.put_along_axis(freqs, by_probability[:, self.top_k :], 0, axis=1)
        ends = freqs.cumsum(axis=1)
        drawn: NDArray[np.int64] = (ends <= rng.integers(ends[:, -1:])).sum(axis=1)
        return drawn


def sample_pictures(
    model: Model, count: int, *, width: int, height: int, num_maps: int | None = None, sampler: Sampler
) -> list[NDArray[np.uint8]]:
    """New pictures, uint8 [height, width, 3] each, all drawn together.

    Args:
        model: whose priors.
        count: how many.
        width: in pixels, at least 1.
        height: in pixels, at least 1.
        num_maps: how many maps to draw; by default all that the model has priors of.
        sampler: how to draw.

    Raises:
        ModelError: the model has no priors, or not for so many maps.
        LimitExceededError: more than `MAX_PIXELS` in all.
        ValueError: a count or size below 1.
    """
    if min(count, width, height) < 1:
        raise ValueError(f"count, width and height must be at least 1, not {count}, {width} and {height}")
    if count * width * height > MAX_PIXELS:
        raise LimitExceededError(f"{count} pictures of {width}x{height} are {count * width * height} pixels, at most {MAX_PIXELS}")
    size = map_size(width, height, 0)
    maps = fill_maps(model, [[]] * count, [size] * count, max(1, len(model.priors)) if num_maps is None else num_maps, "sample", sampler)
    pictures = []
    for picture in maps:
        with torch.inference_mode():
            pixels = decode_in_blocks(model.network, [torch.from_numpy(level)[None] for level in picture])
        pictures.append(pixels[0].permute(1, 2, 0).numpy()[:height, :width])
    return pictures


def fill_maps(
    model: Model,
    known: Sequence[Sequence[NDArray[np.int64]]],
    sizes: Sequence[tuple[int, int]],
    num_maps: int,
    fill: Fill,
    sampler: Sampler,
) -> list[list[NDArray[np.int64]]]:
    """Adds maps until each picture has `num_maps`.

    Args:
        model: whose priors.
        known: the first maps of each picture, [h, w] each; an equal number for all pictures, perhaps none.
        sizes: (h, w) of each picture's top map.
        num_maps: to have in the end.
        fill: "sample" draws codes, "mode" takes the most probable.
        sampler: how to draw.

    Raises:
        ModelError: the model lacks the prior of a missing map.
    """
    rng = np.random.default_rng(sampler.seed)

    def choose(_: Places, logits: torch.Tensor) -> torch.Tensor:
        if fill == "mode":
            return logits.argmax(dim=1)
        return torch.from_numpy(sampler.draw(logits.cpu().numpy(), rng)).to(logits.device)

    filled = [list(maps) for maps in known]
    missing = range(min((len(maps) for maps in filled), default=num_maps), num_maps)
    for number in missing:
        if number >= len(model.priors):
            raise ModelError(f"model {model.config.id} has no prior for map {map_name(number)}")
    for number in missing:
        scale = 1 if number == 0 else 2
        map_sizes = [(scale * height, scale * width) for height, width in sizes]
        for maps, level in zip(filled, walk_maps(model.priors[number], map_sizes, filled, choose), strict=True):
            maps.append(level)
    return filled
