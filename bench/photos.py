"""The photos that ship in scikit-image and scikit-learn, whole and cut into many."""

from pathlib import Path
from typing import Final

import numpy as np
import skimage.data
from PIL import Image
from sklearn.datasets import load_sample_image

PHOTOS: Final = ("astronaut", "chelsea", "china", "coffee", "flower", "rocket")
"""Names of the photos."""
_SKLEARN: Final = ("china", "flower")
_HELD_OUT: Final = ("coffee",)
"""Photos of which no piece is trained on."""


def photo(name: str) -> Image.Image:
    """Returns one of `PHOTOS`."""
    return Image.fromarray(load_sample_image(f"{name}.jpg") if name in _SKLEARN else getattr(skimage.data, name)())


def write_photos(folder: Path, count: int, size: int) -> None:
    """Cuts the photos into pieces, which overlap, and writes them as PNG: a fifth of them, of other photos, as held-out ones.

    Args:
        folder: folder to write; its folders `training` and `held-out` get the pieces.
        count: number of pieces in all.
        size: side of a piece in pixels.
    """
    num_held_out = max(1, count // 5)
    for name, photos, number in (
        ("held-out", _HELD_OUT, num_held_out),
        ("training", [name for name in PHOTOS if name not in _HELD_OUT], count - num_held_out),
    ):
        (folder / name).mkdir(parents=True, exist_ok=True)
        rng = np.random.default_rng(0)
        for index in range(number):
            whole = photo(photos[index % len(photos)])
            left, top = (int(rng.integers(side - size + 1)) for side in whole.size)
            whole.crop((left, top, left + size, top + size)).save(folder / name / f"{index:03}.png")
