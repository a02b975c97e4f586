"""Random crops of photos on the device that trains: from its own memory where all photos fit there, else from the mapped cache."""

from dataclasses import dataclass
from typing import Final, Self

import numpy as np
import torch
from torch import Tensor

from vqcodec.nn.transfer import upload
from vqcodec.training.data import PhotoSet

_LARGEST_SHARE: Final = 0.25
"""Largest share of a GPU's free memory that photos may take; the rest is for networks and activations."""
_UPLOADED_BYTES: Final = 1 << 26
"""Bytes of photos that are copied to a device at a time."""


@dataclass(frozen=True)
class Crops:
    """A source of random crops.

    Attributes:
        photos: the photos.
        device: the device that crops are wanted on.
        pixels: the pixels of all photos on the device, uint8 [pixels, 3]; None to take crops from the mapped cache.
    """

    photos: PhotoSet
    device: torch.device
    pixels: Tensor | None = None

    @classmethod
    def of(cls, photos: PhotoSet, device: torch.device) -> Self:
        """Copies the photos into the memory of a GPU, where they take at most a quarter of what is free."""
        if device.type != "cuda" or photos.pixels.nbytes > _LARGEST_SHARE * torch.cuda.mem_get_info(device)[0]:
            return cls(photos, device)
        return cls(photos, device, uploaded(photos, device))

    def random(self, count: int, size: int, rng: np.random.Generator, part: slice = slice(None)) -> Tensor:
        """Returns crops, uint8 [N, size, size, 3] on the device, those that `PhotoSet.random_crops` draws by the same arguments."""
        if self.pixels is None:
            return upload(self.photos.random_crops(count, size, rng, part), self.device)
        places = self.photos.random_places(count, size, rng)[part]
        table = upload(np.stack([places.starts, places.widths, places.mirrored]), self.device)
        starts, widths, mirrored = table[:, :, None].unbind()  # [count, 1] each
        side = torch.arange(size, device=self.device)
        columns = torch.where(mirrored > 0, size - 1 - side, side)  # [count, size]
        rows = starts + widths * side  # [count, size]
        at = rows[:, :, None] + columns[:, None, :]  # [count, size, size]
        return self.pixels.index_select(0, at.flatten()).view(-1, size, size, 3)


def uploaded(photos: PhotoSet, device: torch.device) -> Tensor:
    """Returns the pixels of photos on a device, uint8 [pixels, 3]."""
    pixels = torch.empty(len(photos.pixels), dtype=torch.uint8, device=device)
    for start in range(0, len(pixels), _UPLOADED_BYTES):
        part = np.array(photos.pixels[start : start + _UPLOADED_BYTES])
        pixels[start : start + len(part)] = upload(part, device)
    return pixels.view(-1, 3)
