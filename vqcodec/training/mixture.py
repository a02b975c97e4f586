"""Random crops of several kinds in one batch: of photos, of photos shrunk to half their size, and of drawn pictures."""

from dataclasses import dataclass
from typing import Final, Self

import numpy as np
import torch
from torch import Tensor
from torch.nn import functional as F

from vqcodec.training.crops import Crops
from vqcodec.training.data import PhotoSet
from vqcodec.training.recipe import AutoencoderRecipe
from vqcodec.training.synthetic import SIDE_PX, synthetic_photos

_NUM_DRAWN: Final = 120
"""Number of drawn pictures; more would be decided by the same few rules."""


@dataclass(frozen=True)
class CropMixture:
    """A source of random crops of several kinds.

    Attributes:
        crops: source of crops of photos.
        shrunk_share: share of crops of shrunk photos.
        drawn: source of crops of drawn pictures, where there are any.
        drawn_share: share of these.
    """

    crops: Crops
    shrunk_share: float = 0.0
    drawn: Crops | None = None
    drawn_share: float = 0.0

    @classmethod
    def of(cls, photos: PhotoSet, recipe: AutoencoderRecipe, device: torch.device) -> Self:
        """Returns the source that a recipe asks for.

        Raises:
            ModelError: The recipe wants drawn pictures, and their fonts are not installed.
            ValueError: The recipe wants crops that are larger than drawn pictures are.
        """
        drawn = None
        if recipe.synthetic_share:
            if (largest := recipe.largest_crop_size) > SIDE_PX:
                raise ValueError(f"synthetic_share needs crops of at most {SIDE_PX} pixels, as large as drawn pictures, not {largest}")
            drawn = Crops.of(synthetic_photos(_NUM_DRAWN, recipe.seed), device)
        return cls(Crops.of(photos, device), recipe.shrunk_share, drawn, recipe.synthetic_share)

    @property
    def photos(self) -> PhotoSet:
        """The photos."""
        return self.crops.photos

    def random(self, count: int, size: int, rng: np.random.Generator, part: slice = slice(None)) -> Tensor:
        """Draws crops: those of photos first, then of shrunk photos, then of drawn pictures.

        The number of each kind is its share of all, rounded up or down at random. Where no photo has room for twice the size, no photo is
        shrunk.

        Args:
            count: number of crops.
            size: side of a crop in pixels.
            rng: source of everything that is drawn.
            part: which of the crops are wanted; what is drawn is the same for every part.

        Returns:
            uint8 [N, size, size, 3] on the device.

        Raises:
            ValueError: No photo, or no drawn picture, is as large as a crop.
        """
        num_drawn = _part(count, self.drawn_share, rng)
        num_shrunk = min(_part(count, self.shrunk_share, rng), count - num_drawn)
        if 2 * size > self.photos.sizes.largest_side:
            num_shrunk = 0
        first, last, _ = part.indices(count)
        num_whole = count - num_drawn - num_shrunk

        def within(start: int, length: int) -> slice:
            return slice(*(min(max(end - start, 0), length) for end in (first, last)))

        parts = [self.crops.random(num_whole, size, rng, within(0, num_whole))]
        if num_shrunk:
            parts.append(halved(self.crops.random(num_shrunk, 2 * size, rng, within(num_whole, num_shrunk))))
        if num_drawn and self.drawn is not None:
            parts.append(self.drawn.random(num_drawn, size, rng, within(count - num_drawn, num_drawn)))
        return torch.cat(parts) if len(parts) > 1 else parts[0]


def halved(crops: Tensor) -> Tensor:
    """Shrinks crops, uint8 [N, 2S, 2S, 3], to uint8 [N, S, S, 3] by the means of 2x2 pixels."""
    means = F.avg_pool2d(crops.permute(0, 3, 1, 2).float(), 2)
    return means.round().to(torch.uint8).permute(0, 2, 3, 1)


def _part(count: int, share: float, rng: np.random.Generator) -> int:
    """Returns a share of a number, rounded up or down at random; without a share nothing is drawn."""
    return int(count * share + rng.random()) if share else 0
