"""Which codes belong to which step of a walk: all that follows from the sizes of tiles alone, computed once for many walks."""

from collections.abc import Sequence
from dataclasses import dataclass
from functools import lru_cache

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

Places = tuple[Tensor, Tensor, Tensor]
"""Tile, row in the tile and column in the tile of each code of a step, int64 [P] each, tile by tile, row by row."""


@dataclass(frozen=True)
class Step:
    """A step of a walk, of M places in the tiles as large as the largest, P of which hold codes.

    Attributes:
        rows: the rows of the tiles that the step has places in.
        cells: int64 [M], numbers of its places in all tiles, tile by tile, row by row.
        mask: bool [M], which of them hold codes; None where all do.
        own: int64 [P], which of them hold codes, as numbers; None where all do.
        places: the places of the codes.
    """

    rows: slice
    cells: Tensor
    mask: Tensor | None
    own: Tensor | None
    places: Places


@dataclass(frozen=True)
class Plan:
    """The steps of a walk through N tiles.

    Attributes:
        size: number of tiles, height and width of the largest of them.
        steps: the steps.
        valid: bool [N, h, w], where the tiles hold codes.
        is_full: whether they do everywhere.
    """

    size: tuple[int, int, int]
    steps: list[Step]
    valid: Tensor
    is_full: bool


@lru_cache(maxsize=4)
def plan_of(shapes: tuple[tuple[int, int], ...], slope: int, device: torch.device) -> Plan:
    """Returns the plan for tiles of these shapes, (h, w), and the slope of a prior. Its tensors are kept, and must not be changed."""
    with torch.inference_mode(mode=False):
        return _plan(np.array(shapes, np.int64), slope, device)


def _plan(shapes: NDArray[np.int64], slope: int, device: torch.device) -> Plan:
    height, width = (int(side) for side in shapes.max(axis=0))
    inside = (np.arange(height)[:, None] < shapes[:, 0, None, None]) & (np.arange(width) < shapes[:, 1, None, None])
    tiles, is_full = np.arange(len(shapes))[:, None], bool(inside.all())
    rows, cells, masks, own = [], [], [], []
    for step in range(width + slope * (height - 1)):
        rows.append(slice(max(0, -(-(step - width + 1) // slope)), min(height - 1, step // slope) + 1))
        of_tile = np.arange(rows[-1].start, rows[-1].stop)
        cells.append((tiles * (height * width) + of_tile * width + step - slope * of_tile).ravel())
        masks.append(inside.take(cells[-1]))
        own.append(masks[-1].nonzero()[0])
    of_steps = _on_device(cells, device)
    own_of_steps = of_steps if is_full else _on_device([part[ours] for part, ours in zip(cells, own, strict=True)], device)
    steps = []
    optional = [[None] * len(cells)] * 2 if is_full else [_on_device(masks, device), _on_device(own, device)]
    for of_rows, of_step, codes, mask, ours in zip(rows, of_steps, own_of_steps, *optional, strict=True):
        places = codes // (height * width), codes // width % height, codes % width
        steps.append(Step(of_rows, of_step, mask, ours, places))
    return Plan((len(shapes), height, width), steps, torch.from_numpy(inside).to(device), is_full)


def _on_device(parts: Sequence[NDArray[np.generic]], device: torch.device) -> Sequence[Tensor]:
    """Returns arrays on a device, by one copy for all of them."""
    return torch.split(torch.from_numpy(np.concatenate(parts)).to(device), [len(part) for part in parts])
