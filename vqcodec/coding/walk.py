"""Walks through the tiles of maps in wavefront order, many tiles at a time (FORMAT.md, section 7).

A walk goes through the steps of the tiles of one picture or of several together. Whoever walks chooses each step's codes from their logits.
"""

from collections.abc import Callable, Sequence
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass
from typing import Final

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from vqcodec.coding.streams import TileGroup, first_tiles
from vqcodec.coding.tiles import stack_tiles, tile_side
from vqcodec.nn.configs import PriorConfig
from vqcodec.nn.graphs import run
from vqcodec.nn.prior.caches import COLUMN_ROOM
from vqcodec.nn.prior.pixelsnail import PixelSnail
from vqcodec.nn.prior.plan import Places, Plan, plan_of
from vqcodec.nn.prior.threads import threads_for
from vqcodec.nn.prior.wavefront import Wavefront

ChooseStep = Callable[[Places, Tensor], Tensor | None]
"""Function that gives a step's codes [P] for their places and logits [P, K]; None where all codes from here on are 0.

Logits are integers in sixteenths of an octave. Tiles are numbered through the batch that is walked.
"""

_MOST_TILES: Final = 1024
"""Most tiles that are walked together, however much memory is free."""

_USED_SHARE: Final = 0.4
"""Share of the free memory that the tensors of a walk may take; a graph holds them beside those of a plain walk."""

_STEP_NUMBERS: Final = 12
"""About how many float32 are alive at once for each code that there could be at a place, and for each key."""

_TAPS: Final = 9
"""Taps of the convolutions that see the maps before."""

_BYTES_OF_CODE: Final = 160
"""About how many bytes each code takes for its places in the walk and in its stream."""

Choice = tuple[ChooseStep, Callable[[], tuple[Tensor, ...]]]
"""Function that chooses the codes of steps, and one that gives what is known of them after the last step."""


@dataclass(frozen=True)
class Choosing:
    """How the codes of batches of tiles are chosen.

    Attributes:
        make: function that makes the choice for a batch, given `shared` and the batch's part of `of_tiles`.
        shared: tensors on the prior's device.
        of_tiles: such tensors whose first axis is all tiles.
        name: what tells the choice from others that `make` may be. A choice with a name consists of operations on tensors alone that wait
            for none of their values. None for a choice that does wait.
    """

    make: Callable[..., Choice]
    shared: Sequence[Tensor] = ()
    of_tiles: Sequence[Tensor] = ()
    name: str | None = None

    @classmethod
    def by(cls, choose: ChooseStep) -> "Choosing":
        """Returns the choice by a function that takes batches as they come."""
        return cls(lambda: (choose, tuple))


@dataclass(frozen=True)
class WalkedBatch:
    """Tile groups that were walked together.

    Attributes:
        tiles: the codes int64 [h, w] of all tiles.
        results: what the choice gave after the last step.
    """

    tiles: Sequence[NDArray[np.int64]]
    results: tuple[Tensor, ...]


def walk_groups(prior: PixelSnail, groups: Sequence[TileGroup], choosing: Choosing, *, first: int = 0) -> WalkedBatch:
    """Walks some groups together.

    Args:
        prior: the prior of the map.
        groups: the groups.
        choosing: how codes are chosen.
        first: number of the first tile of the groups among the tiles of `choosing`.
    """
    shapes = tuple(shape for group in groups for shape in group.shapes)
    earlier = [tile for group in groups for tile in group.earlier]
    before = stacked([list(tiles) for tiles in zip(*earlier, strict=True)], prior)
    plan = plan_of(shapes, prior.config.slope, prior.device)
    own = slice(first, first + len(shapes))
    inputs = [*before, *choosing.shared, *(tensor[own] for tensor in choosing.of_tiles)]

    def walk(*tensors: Tensor) -> tuple[Tensor, ...]:
        choose, results = choosing.make(*tensors[len(before) :])
        codes = _walked(prior, plan, tensors[: len(before)], choose)
        return codes, *results()

    with torch.inference_mode(), _threads_for(plan, prior.device):
        if choosing.name is None or not inputs:
            codes, *results = walk(*inputs)
        else:
            state = tuple((parameter.data_ptr(), parameter._version) for parameter in prior.parameters())
            key = choosing.name, id(prior.head), state, prior.sharpness, prior.config.slope, shapes, tuple(first_tiles(groups).tolist())
            codes, *results = run(key, walk, inputs)
    tiles = [tile[:height, :width] for tile, (height, width) in zip(codes.cpu().numpy(), shapes, strict=True)]
    return WalkedBatch(tiles, tuple(results))


def _walked(prior: PixelSnail, plan: Plan, earlier: Sequence[Tensor], choose: ChooseStep) -> Tensor:
    """Walks tiles and returns their codes, int64 [N, h, w]."""
    codes = torch.zeros(plan.size, dtype=torch.int64, device=prior.device)
    walk = Wavefront(prior, earlier, plan)
    steps: list[tuple[Tensor, ...]] = []
    for places in walk:
        step_codes = choose(places, walk.logits())
        if step_codes is None:
            break
        steps.append((*places, step_codes))
        walk.push(step_codes)
    if steps:
        tile, row, column, chosen = (torch.cat(parts) for parts in zip(*steps, strict=True))
        codes[tile, row, column] = chosen
    return codes


def _threads_for(plan: Plan, device: torch.device) -> AbstractContextManager[None]:
    n, height, width = plan.size
    rows = n * height * width // (height + width)  # that a step of middling length has
    return threads_for(rows + 1) if device.type == "cpu" else nullcontext()


def most_tiles(prior: PixelSnail) -> int | None:
    """Returns how many tiles of a prior's map are walked together on its device, by the memory that is free; None for `WALKED_TILES`."""
    if prior.device.type != "cuda":
        return None
    device = prior.device
    free = torch.cuda.mem_get_info(device)[0] + torch.cuda.memory_reserved(device) - torch.cuda.memory_allocated(device)
    return max(1, min(_MOST_TILES, int(_USED_SHARE * free) // walk_bytes(prior.config)))


def walk_bytes(config: PriorConfig) -> int:
    """Returns about how many bytes of memory a walk takes for each of its tiles, if they are of full size."""
    side, streams = tile_side(config.earlier_maps), config.blocks * config.columns * config.channels
    numbers = side * (COLUMN_ROOM * streams + _STEP_NUMBERS * config.codebook_size)  # columns of the layers, and a step's frequencies
    if config.heads:
        numbers += _STEP_NUMBERS * config.heads * side**3 // 2  # scores of the keys of a step
    if config.earlier_maps:
        numbers += 2 * _TAPS * max(config.embedding_dim, config.condition_channels) * side**2
    return 4 * numbers + _BYTES_OF_CODE * side**2


def stacked(maps: Sequence[list[NDArray[np.int64]]], prior: PixelSnail) -> list[Tensor]:
    """Stacks the tiles of each map into one tensor [N, h, w]; those of the top are half as high and wide as the others."""
    stacked = []
    for tiles in maps:
        height, width = (max(tile.shape[axis] for tile in tiles) for axis in (0, 1))
        stacked.append(torch.from_numpy(stack_tiles(tiles, height, width)).to(prior.device))
    return stacked


def valid_places(shapes: Sequence[tuple[int, ...]], like: Tensor) -> Tensor:
    """Returns [N, h, w] bool, true where tiles of these shapes hold codes."""
    valid = like.new_zeros(like.shape).bool()
    for tile, (height, width) in zip(valid, shapes, strict=True):
        tile[:height, :width] = True
    return valid
