"""Makes maps of the small model, and priors for them."""

import numpy as np
import pytest
import torch
from numpy.typing import NDArray

from tests.conftest import SMALL_PRIORS, random_prior
from vqcodec.nn.prior.pixelsnail import PixelSnail

Maps = list[NDArray[np.int64]]
"""Maps [h, w] of one picture, top first."""


def make_maps(height: int, width: int, seed: int = 0) -> Maps:
    """Draws the four maps of a picture, the top one of height x width codes."""
    rng = np.random.default_rng(seed)
    shapes = [(height, width)] + [(2 * height, 2 * width)] * 3
    return [rng.integers(16, size=shape) for shape in shapes]


@pytest.fixture(scope="module")
def priors() -> list[PixelSnail]:
    """Returns priors of the small model's four maps, in integers."""
    torch.manual_seed(1)
    priors = [random_prior(config) for config in SMALL_PRIORS]
    for prior in priors:
        prior.load_integers(prior.integers())
    return priors
