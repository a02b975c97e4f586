"""The number of crops or tiles that a GPU has memory for at a time."""

from collections.abc import Callable
from dataclasses import replace
from typing import Any, Final, TypeVar

import torch

from vqcodec.training.recipe import Recipe
from vqcodec.training.trainer import Trainer

_USABLE: Final = 0.85
"""Share of the free memory that a step may take; the rest is for validation, and lost between allocated blocks."""
_TRIED: Final = (2, 4)
"""Sizes of the batches by which the memory of larger ones is estimated."""

AnyRecipe = TypeVar("AnyRecipe", bound=Recipe)


def split_to_fit(recipe: AnyRecipe, peak_bytes: Callable[[AnyRecipe], int], free_bytes: int) -> AnyRecipe:
    """Splits the batches of a recipe into accumulated ones that fit into memory, as few as possible.

    A step goes down the mean gradient of as many crops as before, so learning rates stay as they are.

    Args:
        recipe: the recipe.
        peak_bytes: function that takes a step by a recipe and returns the most bytes that were in use.
        free_bytes: bytes of memory that are free.

    Returns:
        The recipe with other `batch_size` and `accumulated_batches`, whose product is the same.

    Raises:
        ValueError: Not even single crops fit.
    """
    smaller, larger = (peak_bytes(replace(recipe, batch_size=size, accumulated_batches=1)) for size in _TRIED)
    of_each = max(1.0, (larger - smaller) / (_TRIED[1] - _TRIED[0]))
    most = (_USABLE * free_bytes - smaller) / of_each + _TRIED[0]
    fitting = [parts for parts in range(1, recipe.batch_size + 1) if recipe.batch_size % parts == 0 and recipe.batch_size / parts <= most]
    if not fitting:
        needed = smaller - (_TRIED[0] - 1) * of_each
        raise ValueError(f"a step with a single crop takes {needed / 1e9:.1f} GB of memory; {free_bytes / 1e9:.1f} GB are free")
    parts = fitting[0]
    return replace(recipe, batch_size=recipe.batch_size // parts, accumulated_batches=recipe.accumulated_batches * parts)


def fitted(recipe: AnyRecipe, device: torch.device, make_trainer: Callable[[AnyRecipe], Trainer[Any, Any]]) -> AnyRecipe:
    """Splits the batches of a recipe so that they fit into what is free of a GPU's memory, by trial steps with few crops.

    Args:
        recipe: the recipe.
        device: the GPU.
        make_trainer: function that makes a new trainer by a recipe.

    Raises:
        ValueError: Not even single crops fit.
    """
    free_bytes, _ = torch.cuda.mem_get_info(device)

    def peak_bytes(recipe: AnyRecipe) -> int:
        torch.cuda.reset_peak_memory_stats(device)
        trainer = make_trainer(recipe)
        trainer.position = 1.0
        trainer.advance()
        torch.cuda.synchronize(device)
        return torch.cuda.max_memory_allocated(device)

    fitting = split_to_fit(recipe, peak_bytes, free_bytes)
    torch.cuda.empty_cache()
    return fitting
