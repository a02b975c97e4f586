"""Walks through the tiles of maps in wavefront order, many tiles at a time (FORMAT.md, section 7).

A walk goes through the steps of the tiles of one picture or of several together. Whoever walks chooses each step's codes from their logits.
"""

from collections.abc import Callable, Iterable, Iterator, Sequence
from typing import TypeVar

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from vqcodec.coding.streams import TileGroup, batches_of_groups
from vqcodec.coding.tiles import stack_tiles
from vqcodec.nn.prior.pixelsnail import PixelSnail
from vqcodec.nn.prior.threads import threads_for
from vqcodec.nn.prior.wavefront import Wavefront

Places = tuple[Tensor, Tensor, Tensor]
"""Tile, row in the tile and column in the tile of each code of a step, int64 [P] each."""

ChooseStep = Callable[[Places, Tensor], Tensor | None]
"""Function that gives a step's codes [P] for their places and logits [P, K]; None where all codes from here on are 0.

Logits are integers in sixteenths of an octave. Tiles are numbered through all pictures, in the order of `tile_places`.
"""

Choice = TypeVar("Choice", bound=ChooseStep)


def walk_in_batches(
    prior: PixelSnail, groups: Iterable[TileGroup], choice_for: Callable[[list[TileGroup], int], Choice]
) -> Iterator[tuple[list[TileGroup], Choice, list[NDArray[np.int64]]]]:
    """Walks groups in batches of up to `WALKED_TILES` tiles; yields each batch, what chose its codes, and its tiles.

    Args:
        prior: the prior of the map.
        groups: groups of tiles, which are taken as they are needed.
        choice_for: function that makes the choice for a batch and the number of its first tile among those of all batches.
    """
    first = 0
    for batch in batches_of_groups(groups):
        choice = choice_for(batch, first)
        tiles = walk_groups(prior, batch, choice)
        yield batch, choice, tiles
        first += len(tiles)


def walk_groups(prior: PixelSnail, groups: Sequence[TileGroup], choose: ChooseStep) -> list[NDArray[np.int64]]:
    """Walks some groups together and returns their tiles, which are numbered from 0."""
    shapes = [shape for group in groups for shape in group.shapes]
    earlier = [tile for group in groups for tile in group.earlier]
    codes = torch.zeros(len(shapes), max(h for h, _ in shapes), max(w for _, w in shapes), dtype=torch.int64, device=prior.device)
    before = stacked([list(tiles) for tiles in zip(*earlier, strict=True)], prior)
    rows = codes.numel() // (codes.shape[1] + codes.shape[2])  # that a step of middling length has
    with torch.inference_mode(), threads_for(rows + 1):
        walk = Wavefront(prior, before, valid_places(shapes, codes))
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
    return [tile[:height, :width] for tile, (height, width) in zip(codes.cpu().numpy(), shapes, strict=True)]


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
