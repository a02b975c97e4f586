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
    """

    numbers: Tensor
    mask: Tensor

    def __len__(self) -> int:
        return len(self.numbers)


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
    def of(cls, numbers: Sequence[int] | NDArray[np.int64], num_maps: int, device: torch.device) -> Self:
        """Sends the numbers of maps, at most `num_maps` each, to a device in one copy."""
        counts = np.asarray(numbers, dtype=np.int64)
        chosen = [np.flatnonzero(counts > number) for number in range(num_maps)]
        tensor, *images = torch.split(upload(np.concatenate([counts, *chosen]), device), [len(counts), *map(len, chosen)])
        having = tuple(Images(of_map, tensor > number) for number, of_map in enumerate(images))
        return cls(tuple(counts.tolist()), tensor, having)

    @classmethod
    def uniform(cls, number: int, num_images: int, device: torch.device) -> Self:
        """Returns the counts of images that all have the same number of maps; nothing is sent."""
        tensor = torch.full((num_images,), number, device=device)
        every = Images(torch.arange(num_images, device=device), tensor > 0)
        return cls((number,) * num_images, tensor, (every,) * number)
