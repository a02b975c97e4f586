"""The photos that ship in scikit-image and scikit-learn."""

from typing import Final

import skimage.data
from PIL import Image
from sklearn.datasets import load_sample_image

PHOTOS: Final = ("astronaut", "chelsea", "china", "coffee", "flower", "rocket")
"""Names of the photos."""
_SKLEARN: Final = ("china", "flower")


def photo(name: str) -> Image.Image:
    """Returns one of `PHOTOS`."""
    return Image.fromarray(load_sample_image(f"{name}.jpg") if name in _SKLEARN else getattr(skimage.data, name)())
