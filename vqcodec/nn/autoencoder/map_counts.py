"""How many maps each image of a batch has: stage dropout, known where it is decided by and where it is computed with."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Self

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from vqcodec.nn.transfer import upload


@dataclass(frozen=True)
class Images:
    """Some images of a batch.

    Attributes:
        numbers: int64 [n], their numbers, rising.
        mask: bool [N], which of all images they are.
        share: share of these images among those of all processes that train together (`nn.ranks`); 1 where no process has any.
    """

    numbers: Tensor
    mask: Tensor
    share: float = 1.0

    def __len__(self) -> int:
        return len(self.numbers)

    @property
    def are_anywhere(self) -> bool:
        """Whether any process has such images."""
        return len(self) > 0 or self.share == 0


@dataclass(frozen=True)
class MapCounts:
    """The number of maps of each image of a batch.

    The CPU knows these numbers as well as the device does. So what is done with the images that have a map is decided without waiting for
    the device.

    Attributes:
        numbers: number of maps of each image.
        tensor: the same on the device, int64 [N].
        having: for each map the images that have it.
    """

    numbers: tuple[int, ...]
    tensor: Tensor
    having: tuple[Images, ...]

    @classmethod
    def of(cls, numbers: Sequence[int] | NDArray[np.int64], num_maps: int, device: torch.device, part: slice = slice(None)) -> Self:
        """Sends the numbers of maps, at most `num_maps` each, of a part of the images to a device in one copy."""
        everywhere = np.asarray(numbers, dtype=np.int64)
        counts = everywhere[part]
        chosen = [np.flatnonzero(counts > number) for number in range(num_maps)]
        tensor, *images = torch.split(upload(np.concatenate([counts, *chosen]), device), [len(counts), *map(len, chosen)])
        totals = [int((everywhere > number).sum()) for number in range(num_maps)]
        shares = [len(mine) / total if total else 1.0 for mine, total in zip(chosen, totals, strict=True)]
        having = tuple(Images(of_map, tensor > number, share) for number, (of_map, share) in enumerate(zip(images, shares, strict=True)))
        return cls(tuple(counts.tolist()), tensor, having)

    @classmethod
    def uniform(cls, number: int, num_images: int, device: torch.device) -> Self:
        """Returns the counts of images that all have the same number of maps; nothing is sent."""
        tensor = torch.full((num_images,), number, device=device)
        every = Images(torch.arange(num_images, device=device), tensor > 0)
        return cls((number,) * num_images, tensor, (every,) * number)
