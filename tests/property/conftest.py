"""Makes the maps of 20 tiles of real photos by the shipped model."""

from pathlib import Path

import numpy as np
import pytest
import skimage.data
from numpy.typing import NDArray

from vqcodec.coding.tiles import cut_tiles
from vqcodec.encoding.pictures import encode_pictures
from vqcodec.format.container import CoderKind
from vqcodec.images.picture import Picture, read_picture
from vqcodec.models.dial import OperatingPoint
from vqcodec.models.model import Model, load_model
from vqcodec.models.registry import DEFAULT_MODEL
from vqcodec.rate.options import LayerOptions

KODAK = Path(__file__).parents[3] / "shared" / "eval" / "kodak"
NUM_MAPS = 2
Maps = list[NDArray[np.int64]]


@pytest.fixture(scope="session")
def model() -> Model:
    return load_model(DEFAULT_MODEL, device="cpu")


@pytest.fixture(scope="session")
def photos(model: Model) -> list[Maps]:
    """Returns top and bottom maps of photos that have 20 tiles in all: photos of Kodak, or else those that ship with scikit-image."""
    kodak = sorted(KODAK.glob("*.png"))[:4]
    if kodak:
        pictures = [read_picture(path) for path in kodak]
        pictures[-1] = Picture(np.ascontiguousarray(pictures[-1].pixels[:256, :512]))
    else:
        names = ("astronaut", "coffee", "chelsea", "rocket")
        pictures = [Picture(getattr(skimage.data, name)()) for name in names]
    nearest = OperatingPoint(NUM_MAPS, 0.0)
    encoded = encode_pictures(pictures, model, point=nearest, coder=CoderKind.RAW, options=LayerOptions(exact="off", layers=False))
    assert sum(len(cut_tiles(file.indices[0], 0)) for file in encoded) == 20
    return [file.indices for file in encoded]
