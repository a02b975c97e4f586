"""What of a painted picture is shown: nothing beneath exact patches or where alpha is 0, and of grey pictures no colour."""

import numpy as np
from numpy.typing import NDArray

from vqcodec.format.container import Part
from vqcodec.format.layers import Layers
from vqcodec.images.layers import decode_layers
from vqcodec.images.modes import grey_of
from vqcodec.images.picture import Picture


class Shown:
    """What is shown of one picture.

    Args:
        picture: the picture.
        layers: layers above what is painted.
    """

    def __init__(self, picture: Picture, layers: Layers) -> None:
        height, width = picture.pixels.shape[:2]
        self._is_grey, self._alpha = picture.pixels.ndim == 2, picture.alpha
        self._patches = decode_layers(Layers(layers.patches), width, height, check=False) if layers.patches else None

    def coloured(self, painted: NDArray[np.uint8]) -> NDArray[np.uint8]:
        """Returns what is painted, uint8 [H, W, 3], in the colours of the picture: the means of R, G and B of a grey one."""
        return np.repeat(grey_of(painted)[:, :, None], 3, axis=2) if self._is_grey else painted

    def beside(self, own: NDArray[np.uint8], painted: NDArray[np.uint8], part: Part) -> NDArray[np.uint8]:
        """Returns what is painted as it is shown, to be compared with the picture's own pixels.

        Args:
            own: uint8 [H, W, 3], a part of the picture. What is not shown becomes equal to it.
            painted: what is painted there.
            part: rows and columns of the part.
        """
        shown, (rows, columns) = self.coloured(painted), part
        hidden = np.zeros(own.shape[:2], bool) if self._alpha is None else self._alpha[part] == 0
        if self._patches is not None:
            hidden |= self._patches.exact(own.shape[0], own.shape[1], rows.start, columns.start)
        return np.where(hidden[:, :, None], own, shown) if hidden.any() else shown
