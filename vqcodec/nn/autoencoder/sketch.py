"""Small pictures from the top map alone by a linear map, which imitates a decoder at a small part of its cost. Imports no torch.

Each pixel of a picture of 1/4 of the size is a weighted sum of the vectors of the nine codes around it. The weights are those that come
nearest, by least squares, to what the decoder paints of a made-up map. So any model has them without training.
"""

from dataclasses import dataclass
from typing import Final, Self

import numpy as np
from numpy.typing import NDArray

from vqcodec.nn.autoencoder.painting import Painter, paint_in_blocks
from vqcodec.nn.configs import PATCH_TOP

SKETCH_SCALE: Final = 4
"""Pixels of the whole picture along each side of a pixel of a sketch."""
_PER_CODE: Final = PATCH_TOP // SKETCH_SCALE
_AROUND: Final = tuple((row, column) for row in range(3) for column in range(3))
"""Places of the codes that count, from the upper left one on."""
_SIDE_CODES: Final = 64
"""Side of the made-up map."""
_SQUARES: Final = {32: 1.0, 16: 0.2, 8: 0.2, 4: 0.2, 2: 0.2, 1: 0.2}
"""Sides of squares of equal codes in that map, and the share of them that are drawn over what is there: flat areas, edges and texture."""
_STRIP: Final = 64
"""Rows of codes that are taken at a time."""


@dataclass(frozen=True)
class Sketcher:
    """A linear map from codes to small pictures.

    Attributes:
        tables: float32 [9, K, 12], what each code adds to the 2x2 colours in levels, for each of `_AROUND`.
        bias: float32 [12], which is added to their sum.
    """

    tables: NDArray[np.float32]
    bias: NDArray[np.float32]

    @classmethod
    def of(cls, painter: Painter, codebook: NDArray[np.float32], freqs: NDArray[np.int64]) -> Self:
        """Returns the linear map that comes nearest to a decoder.

        Args:
            painter: the decoder.
            codebook: float32 [K, D], vectors of the top map.
            freqs: [K], how often the codes occur.
        """
        codes = _made_up_map(freqs)
        painted = paint_in_blocks(painter, [codes[None]])[0].astype(np.float32)
        shape = _SIDE_CODES, _PER_CODE, SKETCH_SCALE, _SIDE_CODES, _PER_CODE, SKETCH_SCALE, 3
        wanted = painted.reshape(shape).mean(axis=(2, 5)).transpose(0, 2, 1, 3, 4).reshape(_SIDE_CODES**2, -1)
        vectors = codebook[np.pad(codes, 1, mode="edge")]
        seen = [vectors[row : row + _SIDE_CODES, column : column + _SIDE_CODES].reshape(_SIDE_CODES**2, -1) for row, column in _AROUND]
        features = np.concatenate([*seen, np.ones((_SIDE_CODES**2, 1), np.float32)], axis=1)
        weights = np.linalg.lstsq(features, wanted)[0].astype(np.float32)
        by_place = weights[:-1].reshape(len(_AROUND), codebook.shape[1], -1)
        return cls(codebook @ by_place, weights[-1])

    def paint(self, codes: NDArray[np.int64]) -> NDArray[np.uint8]:
        """Returns the picture of a top map [h, w] at a quarter of its size, uint8 [2h, 2w, 3]."""
        height, width = codes.shape
        padded = np.pad(codes, 1, mode="edge")
        pixels = np.empty((height, _PER_CODE, width, _PER_CODE, 3), np.uint8)
        for top in range(0, height, _STRIP):
            rows = min(_STRIP, height - top)
            colours = np.broadcast_to(self.bias, (rows, width, len(self.bias))).copy()
            for table, (row, column) in zip(self.tables, _AROUND, strict=True):
                colours += table[padded[top + row : top + row + rows, column : column + width]]
            squares = colours.clip(0, 255).round().reshape(rows, width, _PER_CODE, _PER_CODE, 3)
            pixels[top : top + rows] = squares.transpose(0, 2, 1, 3, 4)
        return pixels.reshape(_PER_CODE * height, _PER_CODE * width, 3)


def _made_up_map(freqs: NDArray[np.int64]) -> NDArray[np.int64]:
    rng, codes = np.random.default_rng(0), np.zeros((_SIDE_CODES, _SIDE_CODES), np.int64)
    for side, share in _SQUARES.items():
        count = _SIDE_CODES // side
        drawn = rng.choice(len(freqs), (count, count), p=freqs / freqs.sum())
        is_drawn = rng.random((count, count)) < share
        codes = np.where(is_drawn.repeat(side, 0).repeat(side, 1), drawn.repeat(side, 0).repeat(side, 1), codes)
    return codes
