"""Checks convolutions that compute in 8 bits."""

from dataclasses import replace

import numpy as np
import pytest
import torch
from numpy.typing import NDArray

from tests.conftest import SMALL, make_picture
from vqcodec.nn.autoencoder.blocks import encode_in_blocks
from vqcodec.nn.autoencoder.stored import StoredNetwork
from vqcodec.nn.autoencoder.torch_encoder import TorchEncoder
from vqcodec.nn.autoencoder.vqvae import VQVAE
from vqcodec.training.activations import measure_ranges

openvino_layers = pytest.importorskip("vqcodec.nn.autoencoder.openvino_layers", reason="the extra fast is not installed")
openvino_encoder = pytest.importorskip("vqcodec.nn.autoencoder.openvino_encoder")
openvino_painter = pytest.importorskip("vqcodec.nn.autoencoder.openvino_painter")

WIDE = replace(SMALL, channels=32, channels_top=32, blocks_decoder=3, blocks_encoder=2)


class Measured:
    """A network with the ranges of its activations, and what it makes of a picture."""

    def __init__(self) -> None:
        torch.manual_seed(0)
        network = VQVAE(WIDE).eval().requires_grad_(False)
        for parameter in network.parameters():
            torch.nn.init.normal_(parameter, std=0.06)
        self.codebooks: NDArray[np.float32] = network.codebooks.numpy()
        self.pixels = make_picture(104, 72)[None]
        self.maps = [chosen.indices for chosen in encode_in_blocks(TorchEncoder(network), self.pixels)]
        tensors = {name: values.numpy() for name, values in network.stored_state().items()}
        self.floats = StoredNetwork(WIDE, tensors)
        self.in_8_bits = replace(self.floats, activation_ranges=measure_ranges(network, list(self.pixels), lambda _: None))

    def vectors(self, network: StoredNetwork) -> list[NDArray[np.float32]]:
        graphs = openvino_encoder.Graphs(network)
        hidden = graphs.hidden(self.pixels)
        return [hidden, graphs.top(hidden), *graphs.bottom(hidden, self.codebooks[0][self.maps[0]])]

    def painted(self, network: StoredNetwork, num_maps: int) -> NDArray[np.uint8]:
        painter = openvino_painter.OpenvinoPainter(self.codebooks, openvino_painter.Graph([network]), [1.0])
        pixels: NDArray[np.uint8] = painter(self.maps[:num_maps], (slice(0, 72), slice(0, 104)))
        return pixels


@pytest.fixture(scope="module")
def measured() -> Measured:
    return Measured()


def test_other_processors_than_x86_compute_as_without_ranges(measured: Measured, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(openvino_layers, "has_8_bits", lambda: False)
    pairs = zip(measured.vectors(measured.in_8_bits), measured.vectors(measured.floats), strict=True)
    assert all(np.array_equal(own, expected) for own, expected in pairs)
    assert np.array_equal(measured.painted(measured.in_8_bits, 4), measured.painted(measured.floats, 4))


def test_vectors_in_8_bits_are_near_those_of_floats(measured: Measured, monkeypatch: pytest.MonkeyPatch) -> None:
    """Also at the border, beyond which there are zeros."""
    monkeypatch.setattr(openvino_layers, "has_8_bits", lambda: True)
    for own, expected in zip(measured.vectors(measured.in_8_bits), measured.vectors(measured.floats), strict=True):
        assert not np.array_equal(own, expected)
        assert np.square(own - expected).mean() < 1e-3 * np.square(expected).mean()
        assert np.abs(own - expected).max() < 0.05 * np.abs(expected).max()


@pytest.mark.parametrize("num_maps", [1, 4])
def test_pixels_in_8_bits_are_near_those_of_floats(measured: Measured, num_maps: int, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(openvino_layers, "has_8_bits", lambda: True)
    own, expected = (measured.painted(network, num_maps).astype(int) for network in (measured.in_8_bits, measured.floats))
    assert expected.std() > 10 and not np.array_equal(own, expected)
    assert np.square(own - expected).mean() < 1 and np.abs(own - expected).max() <= 4


def test_a_convolution_runs_in_8_bits(measured: Measured) -> None:
    if not openvino_layers.has_8_bits():
        pytest.skip("convolutions compute in 8 bits on x86 alone")
    graph = openvino_encoder._hidden(openvino_layers.Layers(measured.in_8_bits))
    operations = openvino_layers._core().compile_model(graph, "CPU").get_runtime_model().get_ops()
    information = [operation.get_rt_info() for operation in operations]
    kinds = [info["primitiveType"].value for info in information if info["layerType"].value == "Convolution"]
    assert sum(kind.endswith("I8") for kind in kinds) == WIDE.blocks_encoder - 1 and len(kinds) == 1 + 2 * WIDE.blocks_encoder


@pytest.mark.parametrize("largest", [1e-30, 1e-4, 1e6])
def test_ranges_at_their_ends_make_a_graph(measured: Measured, largest: float, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(openvino_layers, "has_8_bits", lambda: True)
    hidden = openvino_encoder.Graphs(replace(measured.floats, activation_ranges={"encoder_blocks.1.conv_1": largest})).hidden(
        measured.pixels
    )
    assert np.isfinite(hidden).all()


@pytest.mark.parametrize("inputs", [64, 63])
@pytest.mark.parametrize("pattern", [(1, 1, 1, 1), (-1, -1, -1, -1), (0, 1, 1, 0), (1, 0, 1, 0), (1, 0, 0, 1), (1, -1, 1, 1)])
def test_large_sums_in_8_bits_are_not_cut_off(inputs: int, pattern: tuple[int, ...]) -> None:
    """Where inputs and weights are as large as they may be; processors without instructions for bfloat16 add pairs in 16 bits."""
    of_input = 0.5 * np.resize(np.array(pattern, np.float32), inputs)
    ops, weight = openvino_layers.ops, of_input.reshape(1, inputs, 1, 1).repeat(32, axis=0)
    x = ops.parameter([1, inputs, 8, 8], np.float32)
    in_8_bits = openvino_layers._swish_in_8_bits(ops.swish(x), 20.0), openvino_layers._weight_in_8_bits(weight)
    graph = openvino_layers.openvino.Model([ops.result(ops.convolution(*in_8_bits, [1, 1], [0, 0], [0, 0], [1, 1]))], [x], "test")
    (sums,) = openvino_layers._compiled(graph, None, 1)([np.full((1, inputs, 8, 8), 20, np.float32)]).values()
    assert np.allclose(sums, 20 * of_input.sum(), rtol=0.01)


def test_weights_of_pairs_share_the_range_of_8_bits_where_sums_are_narrow(monkeypatch: pytest.MonkeyPatch) -> None:
    weight = np.array([[0.5, -0.25, 0.25, 0.375], [-0.5, -0.5, 0.125, 0]], np.float32)[:, :, None, None]
    for is_wide, largest in ((True, [0.5, 0.5]), (False, [0.625, 1.0])):
        monkeypatch.setattr(openvino_layers, "_has_wide_sums", lambda is_wide=is_wide: is_wide)
        _, low, high, _, _ = (source.get_node().data for source in openvino_layers._weight_in_8_bits(weight).input_values()[:5])
        assert high.ravel().tolist() == largest == (-low).ravel().tolist()
