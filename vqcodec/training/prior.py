"""Training of a prior on code maps, first in real numbers and then in the fixed-point arithmetic that it will be used in."""

import math
from collections.abc import Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Final

import torch
from torch import Tensor
from torch.nn import functional as F

from vqcodec.coding.tiles import tile_side
from vqcodec.errors import ModelError
from vqcodec.format.container import TOP_TILE_CODES, map_name
from vqcodec.models.config import read_config
from vqcodec.models.model import load_model
from vqcodec.nn.prior.fixed_point import Arithmetic
from vqcodec.nn.prior.pixelsnail import PixelSnail
from vqcodec.nn.ranks import part_of, share_of, sum_over_ranks
from vqcodec.nn.transfer import upload
from vqcodec.training.code_maps import CodeMaps
from vqcodec.training.metrics import PriorMetrics, PriorValidation, Timing
from vqcodec.training.recipe import PriorRecipe
from vqcodec.training.run_log import LOG_NAME, last_step, prior_file_name
from vqcodec.training.trainer import Trainer, step_rng

_VALIDATION_TILES: Final = 64
_VALIDATION_BATCH: Final = 4
_NOT_HIDDEN: Final = ("embedding", "first.", "attention")
"""Parts of the names of parameters that belong to no hidden layer."""


class PriorTrainer(Trainer[PriorMetrics, PriorValidation]):
    """A run that trains the prior of one map.

    Args:
        recipe: settings of the run.
        codes: code maps to train on.
        held_out: held-out code maps, or None.
        device: device to train on.

    Raises:
        ModelError: The code maps lack the prior's map, or have another number of codes.
        ValueError: No photo is as large as a tile.
    """

    recipe: PriorRecipe
    network: PixelSnail

    def __init__(self, recipe: PriorRecipe, codes: CodeMaps, held_out: CodeMaps | None, device: torch.device) -> None:
        codes.sizes.with_room_for(recipe.tile_top_codes)
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
        self._inputs = {"code maps": codes.fingerprint(self.num_maps)}
        self._bits: list[Tensor] = []

    @property
    def averaged_network(self) -> PixelSnail:
        """The network with the averaged weights."""
        assert isinstance(self.averaged.module, PixelSnail)
        return self.averaged.module

    @property
    def log_name(self) -> str:
        """The name of the log in a model folder, which begins with that of the map."""
        return prior_file_name(self.recipe.network.earlier_maps, LOG_NAME)

    def start_anew(self) -> None:
        """Leaves the network as it was made, with embeddings that start from the codes' vectors."""

    def start_from(self, folder: Path) -> None:
        """Goes on from the integers, the step and the time of the prior of the same map in a model folder, with fresh optimisers.

        Raises:
            ModelError: The folder holds no model, or one without this prior, its log, or with another network.
        """
        number = self.recipe.network.earlier_maps
        model = load_model(read_config(folder), str(self.device))
        if number >= len(model.priors) or model.priors[number].config != self.recipe.network:
            raise ModelError(f"{folder} holds no prior of map {map_name(number)} whose network is that of the recipe's [network]")
        self.step, self.elapsed_s = last_step(folder / self.log_name)
        for network in (self.network, self.averaged_network):
            network.load_state_dict(model.priors[number].state_dict())

    def _whole_tiles(self, codes: CodeMaps) -> list[Tensor]:
        """Returns tiles of the size that coding uses, or as large as the photos are, spread over a set."""
        size = min(TOP_TILE_CODES, codes.sizes.largest_side)
        return codes.corner_tiles(_VALIDATION_TILES, size, self.num_maps)

    def batch_loss(self, number: int) -> Tensor:
        """Returns the cross-entropy in nats a code of random tiles."""
        recipe = self.recipe
        rng, part = step_rng(recipe.seed, number), part_of(recipe.batch_size)
        tiles = self.codes.random_tiles(recipe.batch_size, recipe.tile_top_codes, self.num_maps, rng, part)
        *earlier, indices = (upload(indices_of_map.numpy(), self.device) for indices_of_map in tiles)
        arithmetic = Arithmetic.REAL if self.position <= recipe.fixed_from else Arithmetic.TRAINED
        with self.autocast():
            logits = self.network(indices, earlier, arithmetic, side_by_side=len(indices))
        bits = share_of(recipe.batch_size) * bits_per_code(logits, indices)
        self._bits.append(bits.detach())
        return bits * math.log(2)

    def inputs(self) -> dict[str, str]:
        """Returns the fingerprint of the code maps."""
        return self._inputs

    def report(self, timing: Timing) -> PriorMetrics:
        """Returns means over the steps since the last report."""
        bits, self._bits = self._bits, []
        return PriorMetrics(**asdict(timing), bits_per_code=float(sum_over_ranks(torch.stack(bits).mean())))

    def validate(self) -> PriorValidation | None:
        """Returns bits a code of whole tiles, where there is held-out data."""
        if self.validation_tiles is None:
            return None
        held_out, training = self.validation_tiles
        real, fixed = (measure_bits(self.averaged_network, held_out, kind) for kind in (Arithmetic.REAL, Arithmetic.TRAINED))
        return PriorValidation(self.step, self.elapsed_s, real, fixed, measure_bits(self.averaged_network, training, Arithmetic.REAL))


def is_hidden(name: str) -> bool:
    """Tells by its name whether a parameter of a prior belongs to a hidden layer, which Muon is for."""
    return not any(part in name for part in _NOT_HIDDEN)


def bits_per_code(logits: Tensor, indices: Tensor) -> Tensor:
    """Returns the cross-entropy in bits a code, a scalar, of logits [N, h, w, K] in octaves and indices [N, h, w]."""
    return F.cross_entropy(logits.float().flatten(0, 2) * math.log(2), indices.flatten()) / math.log(2)


def logits_of_crops(prior: PixelSnail, indices: Tensor, earlier: Sequence[Tensor]) -> Tensor:
    """Returns the logits [N, h, w, K] of a map of crops in octaves, in real numbers and tile by tile, as maps are coded in files.

    Args:
        prior: the prior of the map.
        indices: the map, [N, h, w].
        earlier: the maps before it.
    """
    _, height, width = indices.shape
    maps = [*earlier, indices]
    side = tile_side(len(earlier))

    def of_tile(row: int, column: int) -> Tensor:
        *before, own = (
            of_map[:, row * tile : (row + 1) * tile, column * tile : (column + 1) * tile]
            for of_map, tile in zip(maps, map(tile_side, range(len(maps))), strict=True)
        )
        logits: Tensor = prior(own, before, Arithmetic.REAL, side_by_side=len(own))
        return logits

    rows = [_joined([of_tile(row, column) for column in range(-(-width // side))], 2) for row in range(-(-height // side))]
    return _joined(rows, 1)


def _joined(parts: Sequence[Tensor], dim: int) -> Tensor:
    return parts[0] if len(parts) == 1 else torch.cat(list(parts), dim)


@torch.no_grad()
def measure_bits(prior: PixelSnail, tiles: list[Tensor], arithmetic: Arithmetic) -> float:
    """Measures a prior.

    Args:
        prior: the prior.
        tiles: indices [N, h, w] of the maps before, and last of the map that the prior is for.
        arithmetic: real numbers or fixed point.

    Returns:
        Mean bits a code of the last map.
    """
    total = 0.0
    for start in range(0, len(tiles[-1]), _VALIDATION_BATCH):
        *earlier, indices = (indices_of_map[start : start + _VALIDATION_BATCH].to(prior.device) for indices_of_map in tiles)
        logits = prior(indices, earlier, arithmetic, side_by_side=len(indices))
        total += float(bits_per_code(logits, indices)) * len(indices)
    return total / len(tiles[-1])
