"""The number of crops or tiles that a GPU has memory for at a time."""

import gc
from collections.abc import Callable
from dataclasses import replace
from typing import Any, Final, TypeVar

import torch

from vqcodec.training.recipe import Recipe
from vqcodec.training.trainer import Trainer

_USABLE: Final = 0.85
"""Share of the memory that steps may take; the rest is for validation, and lost between allocated blocks."""

AnyRecipe = TypeVar("AnyRecipe", bound=Recipe)


def split_to_fit(recipe: AnyRecipe, fits: Callable[[AnyRecipe], bool]) -> AnyRecipe:
    """Splits the batches of a recipe into accumulated ones that fit into memory, as few as possible.

    A step goes down the mean gradient of as many crops as before, so learning rates stay as they are.

    Args:
        recipe: the recipe.
        fits: function that tells whether the steps of a recipe fit.

    Returns:
        The recipe with other `batch_size` and `accumulated_batches`, whose product is the same.

    Raises:
        ValueError: Not even single crops fit.
    """
    for parts in range(1, recipe.batch_size + 1):
        if recipe.batch_size % parts == 0:
            split = replace(recipe, batch_size=recipe.batch_size // parts, accumulated_batches=recipe.accumulated_batches * parts)
            if fits(split):
                return split
    raise ValueError("the GPU's memory does not hold a step with a single crop or tile at a time")


def fitted(recipe: AnyRecipe, device: torch.device, make_trainer: Callable[[AnyRecipe], Trainer[Any, Any]]) -> AnyRecipe:
    """Splits the batches of a recipe so that they fit into what is free of a GPU's memory, which trial steps tell.

    One trial step is at the beginning of the recipe's schedules and one at their end, where crops may be larger, a discriminator may learn,
    or arithmetic may be another.

    Args:
        recipe: the recipe.
        device: the GPU.
        make_trainer: function that makes a new trainer by a recipe.

    Raises:
        ValueError: Not even single crops fit.
    """
    usable = _USABLE * (torch.cuda.mem_get_info(device)[0] + torch.cuda.memory_allocated(device))

    def fits(recipe: AnyRecipe) -> bool:
        gc.collect()  # frees the trainer of the trial before, whatever refers to it in a circle
        torch.cuda.empty_cache()
        torch.cuda.reset_peak_memory_stats(device)
        try:
            trainer = make_trainer(replace(recipe, accumulated_batches=min(2, recipe.accumulated_batches)))  # further ones take no more
            for position in (1.0, float(recipe.steps)):
                trainer.position = position
                trainer.advance()
            torch.cuda.synchronize(device)
        except torch.OutOfMemoryError:
            return False
        return torch.cuda.max_memory_allocated(device) <= usable

    fitting = split_to_fit(recipe, fits)
    torch.cuda.empty_cache()
    return fitting
