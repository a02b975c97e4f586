"""Training of a prior on code maps: first in real numbers, then in the fixed-point arithmetic that it will be used in."""

import math
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from torch import Tensor
from torch.nn import functional as F

from vqcodec.errors import ModelError
from vqcodec.format.container import TOP_TILE_CODES, map_name
from vqcodec.models.config import read_config
from vqcodec.models.model import load_model
from vqcodec.nn.prior.fixed_point import Arithmetic
from vqcodec.nn.prior.pixelsnail import PixelSnail
from vqcodec.training.code_maps import CodeMaps
from vqcodec.training.loop import (
    LOG_NAME,
    Timing,
    Trainer,
    last_step,
    prior_file_name,
)
from vqcodec.training.recipe import PriorRecipe

_VALIDATION_TILES = 64
_VALIDATION_BATCH = 4
_NOT_HIDDEN = ("embedding", "first.", "attention")


@dataclass(frozen=True)
class PriorMetrics:
    """Means over the steps since the last report: training bits a code, tiles a second, seconds left and so far."""

    step: int
    bits_per_code: float
    images_per_s: float
    time_left_s: float
    elapsed_s: float


@dataclass(frozen=True)
class PriorValidation:
    """Bits a code after `step` steps, of the averaged weights: held out, in real numbers and in fixed point, and of training tiles."""

    step: int
    elapsed_s: float
    bits_per_code_real: float
    bits_per_code_fixed: float
    training_bits_per_code_real: float


class PriorTrainer(Trainer[PriorMetrics, PriorValidation]):
    """One run: `codes` to train on, `held_out` or None."""

    recipe: PriorRecipe
    network: PixelSnail

    def __init__(self, recipe: PriorRecipe, codes: CodeMaps, held_out: CodeMaps | None, device: torch.device) -> None:
        torch.manual_seed(recipe.seed)
        network = PixelSnail(recipe.network)
        if codes.codebook_size == recipe.network.codebook_size:
            network.start_embeddings(torch.from_numpy(codes.codebooks), torch.Generator().manual_seed(recipe.seed))
        super().__init__(recipe, network.to(device), device, is_hidden=is_hidden)
        number, codebook_size = recipe.network.earlier_maps, recipe.network.codebook_size
        for maps in (codes, held_out):
            if maps is not None and (len(maps.maps) <= number or maps.codebook_size != codebook_size):
                raise ModelError(
                    f"a prior of map {map_name(number)} with {codebook_size} codes does not fit "
                    f"{len(maps.maps)} maps of {maps.codebook_size}"
                )
        self.codes = codes
        self.num_maps = number + 1
        self.validation_tiles = None if held_out is None else (self._whole_tiles(held_out), self._whole_tiles(codes))
        self._bits: list[Tensor] = []

    @property
    def averaged_network(self) -> PixelSnail:
        """The network with averaged weights."""
        assert isinstance(self.averaged.module, PixelSnail)
        return self.averaged.module

    @property
    def log_name(self) -> str:
        """The log's name, with that of the map."""
        return prior_file_name(self.recipe.network.earlier_maps, LOG_NAME)

    def start_anew(self) -> None:
        """Nothing is left to do: the embeddings have been started."""

    def start_from(self, folder: Path) -> None:
        """Goes on from the prior of the same map in a model folder: its integers, step and time. Momenta start anew.

        Raises:
            ModelError: no model folder, one without this prior or its log, or another network.
        """
        number = self.recipe.network.earlier_maps
        model = load_model(read_config(folder), str(self.device))
        if number >= len(model.priors) or model.priors[number].config != self.recipe.network:
            raise ModelError(f"{folder} holds no prior of map {map_name(number)} whose network is that of the recipe's [network]")
        self.step, self.elapsed_s = last_step(folder / self.log_name)
        for network in (self.network, self.averaged_network):
            network.load_state_dict(model.priors[number].state_dict())

    def _whole_tiles(self, codes: CodeMaps) -> list[Tensor]:
        """Tiles of the size that coding uses, or as large as the photos are, spread over a set."""
        size = min(TOP_TILE_CODES, int(np.minimum(codes.heights, codes.widths).max()))
        return codes.corner_tiles(_VALIDATION_TILES, size, self.num_maps)

    def advance(self, rng: np.random.Generator) -> None:
        """One update on random tiles."""
        recipe = self.recipe
        tiles = self.codes.random_tiles(recipe.batch_size, recipe.tile_top_codes, self.num_maps, rng)
        *earlier, indices = (level.to(self.device) for level in tiles)
        arithmetic = Arithmetic.REAL if self.step < recipe.fixed_from else Arithmetic.TRAINED
        with self.autocast():
            logits = self.network(indices, earlier, arithmetic, side_by_side=len(indices))
        bits = bits_per_code(logits, indices)
        self.update(bits * math.log(2))
        self._bits.append(bits.detach())

    def report(self, timing: Timing) -> PriorMetrics:
        """Means since the last report."""
        bits, self._bits = self._bits, []
        return PriorMetrics(timing.step, float(torch.stack(bits).mean()), timing.images_per_s, timing.time_left_s, timing.elapsed_s)

    def validate(self) -> PriorValidation | None:
        """Bits a code on whole tiles."""
        if self.validation_tiles is None:
            return None
        held_out, training = self.validation_tiles
        real, fixed = (measure_bits(self.averaged_network, held_out, kind) for kind in (Arithmetic.REAL, Arithmetic.TRAINED))
        return PriorValidation(self.step, self.elapsed_s, real, fixed, measure_bits(self.averaged_network, training, Arithmetic.REAL))


def is_hidden(name: str) -> bool:
    """Whether a parameter of a prior is of a hidden layer, which Muon is for."""
    return not any(part in name for part in _NOT_HIDDEN)


def bits_per_code(logits: Tensor, indices: Tensor) -> Tensor:
    """Cross-entropy, a scalar, of logits [N, h, w, K] in octaves and indices [N, h, w]."""
    return F.cross_entropy(logits.float().flatten(0, 2) * math.log(2), indices.flatten()) / math.log(2)


@torch.no_grad()
def measure_bits(prior: PixelSnail, tiles: list[Tensor], arithmetic: Arithmetic) -> float:
    """Mean bits a code of the last of `tiles`, [N, h, w] each, in float32."""
    total = 0.0
    for start in range(0, len(tiles[-1]), _VALIDATION_BATCH):
        *earlier, indices = (level[start : start + _VALIDATION_BATCH].to(prior.device) for level in tiles)
        logits = prior(indices, earlier, arithmetic, side_by_side=len(indices))
        total += float(bits_per_code(logits, indices)) * len(indices)
    return total / len(tiles[-1])
