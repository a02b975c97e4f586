"""The exact networks against plain integers written from FORMAT.md alone."""

from dataclasses import asdict

import numpy as np
import pytest
import torch

from tests.conftest import random_prior
from tests.prior_oracle import coding_order, prior_frequencies
from tests.unit.nn.prior.test_wavefront import CONFIGS
from vqcodec.coding.prior import coding_order as package_order
from vqcodec.coding.prior import score_map
from vqcodec.nn.configs import PriorConfig
from vqcodec.nn.prior.pixelsnail import PixelSnail


@pytest.mark.parametrize("config", CONFIGS.values(), ids=CONFIGS)
def test_frequencies_are_those_of_the_specification(config: PriorConfig) -> None:
    torch.manual_seed(3)
    prior = random_prior(config)
    integers = prior.integers()
    prior.load_integers(integers)
    rng = np.random.default_rng(0)
    shapes = [(5, 4), (10, 8), (10, 8)]
    maps = [rng.integers(64, size=shape) for shape in shapes[: config.earlier_maps]] + [rng.integers(64, size=(10, 8))]
    ((codes, freqs),) = score_map(prior, maps)
    tensors = {name: value.numpy() for name, value in integers.items()}
    *earlier, tile = maps
    assert np.array_equal(prior_frequencies(asdict(config), tensors, earlier, tile), freqs)
    assert codes.tolist() == [int(tile[place]) for place in coding_order(10, 8, config.slope)]


@pytest.mark.parametrize("config", CONFIGS.values(), ids=CONFIGS)
def test_where_everything_is_clipped(config: PriorConfig) -> None:
    """Parameters as large as their formats: streams, activations, gates, scores and logits all reach their limits."""
    rng = np.random.default_rng(5)
    prior = PixelSnail(config).eval().requires_grad_(False)
    integers = prior.integers()
    for name, value in integers.items():
        largest = 1023 if name == "head.bias" else 127 if value.dtype == torch.int8 else 32767
        drawn = rng.choice([-largest, -1, 0, 1, largest], size=value.shape)
        if name.endswith("_bits"):
            drawn = rng.integers(3, 13, size=value.shape)
        integers[name] = torch.from_numpy(drawn).to(value.dtype)
    for name in [name for name in integers if name.endswith("_bits")]:
        weight = integers[name.removesuffix("_bits")]
        weight[:, ..., 0] = 127  # so that the largest value tells the bits, as in every exported weight
    prior.load_integers(integers)
    shapes = [(3, 4), (6, 8), (6, 8)]
    maps = [rng.integers(64, size=shape) for shape in shapes[: config.earlier_maps]] + [rng.integers(64, size=(6, 8))]
    ((_, freqs),) = score_map(prior, maps)
    tensors = {name: value.numpy() for name, value in integers.items()}
    *earlier, tile = maps
    assert np.array_equal(prior_frequencies(asdict(config), tensors, earlier, tile), freqs)


def test_order_of_coding() -> None:
    for height, width, slope in [(1, 1, 1), (5, 3, 1), (3, 7, 2)]:
        rows, columns = package_order(height, width, slope)
        assert list(zip(rows.tolist(), columns.tolist(), strict=True)) == coding_order(height, width, slope)
