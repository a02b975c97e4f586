"""Priors that learn beside the autoencoder from the codes that they help to choose: the entropy coder in the loop.

Source: the alternation of Chou, Lookabaugh, Gray 1989, "Entropy-Constrained Vector Quantization", section II: codes are chosen by what they
cost, costs follow what is chosen. Here both go on together, step by step.
"""

import copy
import dataclasses
import math
from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor, nn

from vqcodec.errors import ModelError
from vqcodec.nn.autoencoder.map_counts import MapCounts
from vqcodec.nn.prior.pixelsnail import PixelSnail
from vqcodec.nn.ranks import sum_gradients
from vqcodec.training.optimizers import (
    averaged_copy,
    clip_gradients,
    learning_state,
    load_learning_state,
    make_optimizers,
    set_learning_rates,
)
from vqcodec.training.prior import bits_per_code, is_hidden, logits_of_crops
from vqcodec.training.recipe import AutoencoderRecipe


class OnlinePriors:
    """Copies of the priors of all maps that learn, with their moving averages and optimisers.

    Args:
        priors: priors to start from, top first.
        recipe: settings of the run; learning rates are those of the autoencoder times `priors_lr_scale`.
    """

    def __init__(self, priors: Sequence[PixelSnail], recipe: AutoencoderRecipe) -> None:
        self.recipe = recipe
        self.network = nn.ModuleList(copy.deepcopy(prior) for prior in priors).requires_grad_(True)
        self.averaged = averaged_copy(self.network, recipe)
        self.optimizers = make_optimizers(self.network, recipe, is_hidden)

    @property
    def priors(self) -> list[PixelSnail]:
        """The priors as they are now."""
        return [prior for prior in self.network if isinstance(prior, PixelSnail)]

    def add_gradients(self, maps: Sequence[Tensor], counts: MapCounts, *, keep_logits: bool = False) -> tuple[Tensor, list[Tensor]]:
        """Adds to the gradients of every prior those of one batch.

        Args:
            maps: indices of each map, int64 [N, h, w], top first.
            counts: number of maps of each image that count.
            keep_logits: whether what the priors gave is wanted.

        Returns:
            Bits a code of each map, [maps], as this process's shares of the mean over all images, nan for a map that no image has; and,
            where wanted, for each map that an image has the logits [n, h, w, K] of these images in octaves, without a gradient.
        """
        bits, kept = [], []
        for number, prior in enumerate(self.priors):
            images, share = counts.having[number].numbers, counts.having[number].share
            if not len(images):
                bits.append(torch.full((), 0.0 if counts.having[number].are_anywhere else math.nan, device=images.device))
                continue
            *earlier, indices = (indices_of_map[images] for indices_of_map in maps[: number + 1])
            with torch.autocast(indices.device.type, dtype=torch.bfloat16):
                logits = logits_of_crops(prior, indices, earlier)
            loss = share * bits_per_code(logits, indices)
            (loss * (math.log(2) / self.recipe.accumulated_batches)).backward()  # type: ignore[no-untyped-call]
            bits.append(loss.detach())
            if keep_logits:
                kept.append(logits.detach())
        return torch.stack(bits), kept

    def step(self, lr_factor: float) -> Tensor:
        """Takes one step with every prior down its gradients, at a share of the peak learning rates; returns their norm before clipping."""
        set_learning_rates(self.optimizers, self.recipe, lr_factor * self.recipe.priors_lr_scale)
        sum_gradients(self.network.parameters())
        norms = [clip_gradients(prior, self.recipe.grad_clip) for prior in self.priors]
        for optimizer in self.optimizers:
            optimizer.step()
            optimizer.zero_grad(set_to_none=True)
        self.averaged.update_parameters(self.network)
        return torch.stack(norms).sum()

    def state(self) -> dict[str, Any]:
        """Returns all that `load_state` needs."""
        return {
            "configs": [dataclasses.asdict(prior.config) for prior in self.priors],
            **learning_state(self.network, self.averaged, self.optimizers),
        }

    def load_state(self, state: dict[str, Any]) -> None:
        """Goes on from the state of another run.

        Raises:
            ModelError: It is the state of priors of other shapes.
        """
        if state["configs"] != [dataclasses.asdict(prior.config) for prior in self.priors]:
            raise ModelError("the checkpoint's priors differ from those given")
        load_learning_state(state, self.network, self.averaged, self.optimizers)
