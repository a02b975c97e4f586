"""Checks the ranges of activations in 8 bits that are measured on photos."""

import shutil
from dataclasses import replace
from itertools import product
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray
from torch.nn import functional as F

from tests.conftest import SMALL, make_picture
from vqcodec.models.config import read_config
from vqcodec.nn.autoencoder.stored import StoredNetwork
from vqcodec.nn.autoencoder.vqvae import VQVAE
from vqcodec.training.activations import best_range, measure_ranges, write_ranges

NAMES = {
    *("encoder_blocks.1.conv_1", "top_encoder.blocks.0.conv_1", "top_decoder.blocks.0.conv_1", "bottom_encoder.blocks.0.conv_1"),
    *("decoder.blocks.0.conv_1", "decoder.blocks.0.conv_2", "decoder.to_pixels"),
}


def swish_of(values: NDArray[np.float32]) -> NDArray[np.float32]:
    result: NDArray[np.float32] = F.silu(torch.from_numpy(values)).numpy()
    return result


def test_the_best_range_leaves_few_outliers_out() -> None:
    values = np.random.default_rng(0).normal(0, 1, 1_000_000).astype(np.float32)
    even = np.linspace(-10, 5, 100_000, dtype=np.float32)
    assert best_range(swish_of(even)) > 0.95 * 5
    assert 4 < best_range(swish_of(np.append(values, np.float32(8)))) < 7
    assert best_range(np.zeros(10, np.float32)) > 0


def test_ranges_are_those_of_the_inputs_of_each_convolution() -> None:
    torch.manual_seed(0)
    network = VQVAE(replace(SMALL, blocks_encoder=2)).eval().requires_grad_(False)
    for parameter in network.parameters():
        torch.nn.init.normal_(parameter, std=0.2)
    crops = [make_picture(64, 48, seed) for seed in range(2)]
    told: list[int] = []
    ranges = measure_ranges(network, crops, told.append)
    assert ranges.keys() == NAMES and min(ranges.values()) > 0 and told == [1, 1]
    stored = StoredNetwork(network.config, {name: values.numpy() for name, values in network.stored_state().items()})
    assert all(f"{name}.weight" in stored.tensors for name in ranges)
    with torch.inference_mode():
        flats = np.empty((8, 48, 64, 3), np.uint8)
        flats[:] = np.array(list(product((5, 245), repeat=3)), np.uint8)[:, None, None]
        of_crops, of_flats = (
            float(F.silu(network.encoder_blocks[0](network.stem(F.pixel_unshuffle(x, 4)))).max())
            for x in (torch.from_numpy(of).permute(0, 3, 1, 2).float() / 127.5 - 1 for of in (np.stack(crops), flats))
        )
    assert 0.95 * of_flats < ranges["encoder_blocks.1.conv_1"] < 1.2 * max(of_crops, of_flats)
    network.stem.weight.mul_(10)
    network.stem.bias.mul_(10)
    assert measure_ranges(network, crops, told.append)["encoder_blocks.1.conv_1"] > 5 * ranges["encoder_blocks.1.conv_1"]


def test_a_convolution_without_inputs_above_0_has_a_range_that_a_config_takes() -> None:
    network = VQVAE(SMALL).eval().requires_grad_(False)
    for parameter in network.parameters():
        torch.nn.init.zeros_(parameter)
    assert set(measure_ranges(network, [make_picture(16, 16, 0)], lambda _: None).values()) == {0.001}


def test_ranges_in_the_config(models_root: Path, tmp_path: Path) -> None:
    folder = tmp_path / "small-test"
    shutil.copytree(models_root / "small-test", folder)
    before = read_config(folder)
    assert before.activation_ranges == ()
    ranges = {"top_encoder.blocks.0.conv_1": 2.5, "decoder.to_pixels": 1}
    write_ranges(folder, ranges)
    after = read_config(folder)
    assert dict(after.activation_ranges) == ranges
    assert (after.id, after.number, after.weights_digest, after.network) == (
        before.id,
        before.number,
        before.weights_digest,
        before.network,
    )
