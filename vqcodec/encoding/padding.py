"""Pictures of equal padded size as the networks take them."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from vqcodec.images.fill import FilledParts
from vqcodec.nn.configs import whole_patches


@dataclass(frozen=True)
class PaddedPixels:
    """Pictures of equal padded size as `Pixels`: padded by edge replication to multiples of 8, where a part of them is taken.

    Attributes:
        colours: uint8 [h, w, 3] of each picture.
    """

    colours: Sequence[NDArray[np.uint8] | FilledParts]

    @property
    def shape(self) -> tuple[int, int, int, int]:
        """Number of pictures, padded height, padded width, and 3."""
        height, width = self.colours[0].shape[:2]
        return len(self.colours), whole_patches(height), whole_patches(width), 3

    def __getitem__(self, place: tuple[slice, slice, slice]) -> NDArray[np.uint8]:
        """Returns uint8 [N, H, W, 3] of some pictures, rows and columns."""
        pictures, rows, columns = place
        parts = []
        for rgb in self.colours[pictures]:
            part = rgb[rows, columns]
            missing = rows.stop - rows.start - part.shape[0], columns.stop - columns.start - part.shape[1]
            parts.append(np.pad(part, ((0, missing[0]), (0, missing[1]), (0, 0)), mode="edge") if any(missing) else part)
        return np.stack(parts)
