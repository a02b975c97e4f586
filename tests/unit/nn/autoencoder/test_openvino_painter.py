"""Checks that decoders paint by OpenVINO what they paint by torch."""

import subprocess
import sys
from collections.abc import Callable
from dataclasses import replace

import numpy as np
import pytest
import torch
from numpy.typing import NDArray

from tests.conftest import SMALL
from vqcodec.models.encoders import load_encoder
from vqcodec.models.model import load_decoder, load_model
from vqcodec.models.registry import DEFAULT_MODEL
from vqcodec.nn.autoencoder.blocks import encode_in_blocks
from vqcodec.nn.autoencoder.decoders import BlendedDecoder, Decoder
from vqcodec.nn.autoencoder.painting import paint_in_blocks
from vqcodec.nn.autoencoder.stored import StoredNetwork
from vqcodec.nn.autoencoder.torch_painter import TorchPainter
from vqcodec.nn.configs import VQVAEConfig

openvino_painter = pytest.importorskip("vqcodec.nn.autoencoder.openvino_painter", reason="the extra fast is not installed")

GROWN = replace(
    SMALL, blocks_decoder=3, blocks_preview=2, extra_blocks_top_decoder=1, extra_blocks_decoder=2, extra_block="depthwise", channels=12
)


def busy_decoder(config: VQVAEConfig, seed: int) -> Decoder:
    torch.manual_seed(seed)
    decoder = Decoder(config).eval().requires_grad_(False)
    for parameter in decoder.parameters():
        torch.nn.init.normal_(parameter, std=0.2)
    return decoder


def stored(decoder: Decoder) -> StoredNetwork:
    return StoredNetwork(decoder.config, {name: values.numpy() for name, values in decoder.stored_state().items()})


def random_maps(config: VQVAEConfig, images: int, height: int, width: int) -> list[NDArray[np.int64]]:
    rng = np.random.default_rng(0)
    return [rng.integers(config.codebook_size, size=(images, scale * height, scale * width)) for scale in (1, 2, 2, 2)]


def largest_difference(a: NDArray[np.uint8], b: NDArray[np.uint8]) -> int:
    assert a.shape == b.shape
    return int(np.abs(a.astype(int) - b).max())


@pytest.mark.usefixtures("float32")
@pytest.mark.parametrize("config", [SMALL, GROWN])
@pytest.mark.parametrize("count", [1, 2, 4])
def test_pixels_are_those_of_torch(config: VQVAEConfig, count: int) -> None:
    decoder = busy_decoder(config, 1)
    codebooks = torch.randn(4, config.codebook_size, config.embedding_dim)
    maps = random_maps(config, 2, 23, 30)[:count]
    painter = openvino_painter.OpenvinoPainter(codebooks.numpy(), openvino_painter.Graph([stored(decoder)], "f32"), [1.0])
    by_torch = TorchPainter(codebooks, decoder)
    assert painter.margin_px == by_torch.margin_px
    painted = paint_in_blocks(by_torch, maps)
    assert len(np.unique(painted)) > 100
    assert largest_difference(paint_in_blocks(painter, maps), painted) <= 1
    part = slice(40, 121), slice(3, 200)
    assert largest_difference(paint_in_blocks(painter, maps, part=part, block=72), painted[:, part[0], part[1]]) <= 1


@pytest.mark.usefixtures("float32")
@pytest.mark.parametrize("count", [1, 3])
def test_mixtures_are_those_of_torch(count: int) -> None:
    faithful, perceptual = busy_decoder(SMALL, 1), busy_decoder(replace(SMALL, blocks_decoder=3), 2)
    codebooks = torch.randn(4, SMALL.codebook_size, SMALL.embedding_dim)
    maps = random_maps(SMALL, 1, 9, 8)[:count]
    graph = openvino_painter.Graph([stored(faithful), stored(perceptual)], "f32")
    painter = openvino_painter.OpenvinoPainter(codebooks.numpy(), graph, [0.75, 0.25])
    by_torch = TorchPainter(codebooks, BlendedDecoder(faithful, perceptual, 0.25))
    assert painter.margin_px == by_torch.margin_px
    assert largest_difference(paint_in_blocks(painter, maps), paint_in_blocks(by_torch, maps)) <= 1


@pytest.mark.parametrize("realism", [0.0, 1.0])
def test_the_shipped_model_hardly_differs_by_more_than_a_level(realism: float, photo: NDArray[np.uint8]) -> None:
    """In the precision that each of both takes on this processor."""
    model = load_model(DEFAULT_MODEL, "cpu")
    maps = [chosen.indices for chosen in encode_in_blocks(load_encoder(model), photo[None, :200, :320], 3)]
    decoder = model.stored_perceptual_decoder if realism else model.stored_decoder
    painter = openvino_painter.OpenvinoPainter(model.codebooks, openvino_painter.Graph([decoder]), [1.0])
    by_torch = TorchPainter(torch.from_numpy(model.codebooks), load_decoder(model, realism))
    own, other = paint_in_blocks(painter, maps), paint_in_blocks(by_torch, maps)
    assert largest_difference(own, other) <= 2 and float((np.abs(own.astype(int) - other) > 1).mean()) < 1e-4


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda tensors: tensors.pop("decoder.to_pixels.bias"), r"there is no tensor decoder.to_pixels.bias, expected one of shape \[48\]"),
        (lambda tensors: tensors.update({"top_decoder.up.weight": np.zeros((1, 1))}), r"has shape \[1, 1\], expected \[32, 8, 1, 1\]"),
    ],
)
def test_tensors_that_do_not_fit(change: Callable[[dict[str, NDArray[np.float32]]], object], message: str) -> None:
    tensors = dict(stored(busy_decoder(SMALL, 1)).tensors)
    change(tensors)
    with pytest.raises(ValueError, match=message):
        openvino_painter.Graph([StoredNetwork(SMALL, tensors)])


QUIET = """
import sys, threading
from vqcodec.nn.autoencoder import openvino_painter
assert not sys.modules.keys() & {"openvino_telemetry", "openvino.tools.ovc", "torch"} and threading.active_count() == 1
sys.modules["openvino_telemetry"] = None
from openvino.tools import ovc
"""


def test_openvino_reports_nothing_to_anybody() -> None:
    """Its tools, which would report that they are imported, are not; others can import them afterwards, as here without their reports."""
    subprocess.run([sys.executable, "-c", QUIET], check=True)
