"""Layers of encoders and decoders as nodes of OpenVINO's graphs, which are built from the tensors of weights files. Imports no torch.

So no exported network has to be stored beside a weights file.
"""

import platform
from collections.abc import Callable
from functools import cache
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from vqcodec.nn.autoencoder.inference import Inference
from vqcodec.nn.autoencoder.stored import StoredNetwork
from vqcodec.nn.configs import PATCH_BOTTOM, BlockKind
from vqcodec.nn.runtime import import_openvino
from vqcodec.nn.threads import num_threads

openvino: Any = import_openvino()
ops: Any = openvino.opset13

Node = Any
"""A node of a graph."""

CompiledModel = Any
"""A compiled graph."""

_PRECISION: Final = None if platform.machine().lower() in ("x86_64", "amd64") else "f32"
"""Precision of convolutions; None lets OpenVINO choose, which is bf16 or f32 on x86, but half precision elsewhere."""

_STEPS: Final = 255
"""Steps between the least and the largest number of 8 bits."""

_LEAST_SWISH: Final = 0.27847
"""What swish gives is nowhere below the negative of this."""

_ENLARGED: Final = {"top_decoder.up": 4, "decoder.to_pixels": PATCH_BOTTOM**2}
"""Layers each of whose outputs becomes several pixels, and how many."""

_PRIMITIVES: Final = 32
"""Most layers, each of one shape, that a graph keeps prepared: more of them take memory, and save no time that can be measured."""

_PIXEL_BYTES: Final = 300
"""Bytes that a run takes for each pixel."""


class Layers:
    """The layers of a network as nodes of a graph.

    Args:
        network: the tensors that they are made of. Convolutions that it has a range for compute in 8 bits on x86; all others in bf16 or
            f32.
    """

    def __init__(self, network: StoredNetwork) -> None:
        self.network, self.config = network, network.config
        self._ranges = network.activation_ranges if network.activation_ranges and has_8_bits() else {}

    def condition(self, z_q_top: Node, bias: Node | None = None) -> Node:
        """Returns the condition [N, C, H/4, W/4], as `TopDecoder.forward` computes it, with a bias [1, C, 1, 1] where one is given."""
        config = self.config
        hidden = self.conv(z_q_top, "top_decoder.from_code", config.embedding_dim, config.channels_top, 3)
        hidden = self.blocks(hidden, "top_decoder.blocks", config.blocks_top, config.channels_top)
        extra = config.extra_blocks_top_decoder
        hidden = self.blocks(hidden, "top_decoder.extra_blocks", extra, config.channels_top, config.extra_block)
        hidden = self.conv(ops.swish(hidden), "top_decoder.up", config.channels_top, 4 * config.channels, 1)
        if bias is not None:
            hidden = ops.add(hidden, ops.tile(bias, [1, 4, 1, 1]))
        return ops.depth_to_space(hidden, "blocks_first", 2)

    def blocks(self, x: Node, name: str, count: int, channels: int, kind: BlockKind = "full") -> Node:
        """Returns what a chain of residual blocks makes of x (`vqcodec.nn.autoencoder.residual`)."""
        for number in range(count):
            own = f"{name}.{number}"
            if kind == "full":
                hidden = self.conv(ops.swish(x), f"{own}.conv_1", channels, channels, 3)
                hidden = self.conv(ops.swish(hidden), f"{own}.conv_2", channels, channels, 1)
            else:
                hidden = self.conv(ops.swish(x), f"{own}.conv_1", channels, 2 * channels, 1)
                hidden = self._depthwise(hidden, f"{own}.depthwise", 2 * channels)
                hidden = self.conv(ops.swish(hidden), f"{own}.conv_2", 2 * channels, channels, 1)
            x = ops.add(x, hidden)
        return x

    def conv(self, x: Node, name: str, inputs: int, outputs: int, side: int) -> Node:
        """Returns a convolution of x, padded to its size."""
        values = self._values(name, "weight", outputs, inputs, side, side)
        if name in self._ranges:
            x, weight = _swish_in_8_bits(x, self._ranges[name]), _weight_in_8_bits(values)
        else:
            weight = ops.constant(values)
        padding = [side // 2] * 2
        return ops.add(ops.convolution(x, weight, [1, 1], padding, padding, [1, 1]), self.bias(name, outputs))

    def _depthwise(self, x: Node, name: str, channels: int) -> Node:
        """Returns a convolution of 3x3 of each channel by itself."""
        weight = ops.constant(self.network.tensor(f"{name}.weight", channels, 1, 3, 3)[:, None])
        return ops.add(ops.group_convolution(x, weight, [1, 1], [1, 1], [1, 1], [1, 1]), self.bias(name, channels))

    def bias(self, name: str, channels: int) -> Node:
        """Returns the bias of a convolution, [1, channels, 1, 1]."""
        return ops.constant(self._values(name, "bias", channels).reshape(1, -1, 1, 1))

    def _values(self, name: str, kind: str, outputs: int, *shape: int) -> NDArray[np.float32]:
        """Returns a tensor; the outputs of layers that are made larger are in the order of pixels, whose channels then lie side by side."""
        values = self.network.tensor(f"{name}.{kind}", outputs, *shape)
        pixels = _ENLARGED.get(name, 1)
        return np.ascontiguousarray(values.reshape(-1, pixels, *shape).swapaxes(0, 1)).reshape(outputs, *shape)


def has_8_bits() -> bool:
    """Returns whether convolutions may compute in 8 bits: on x86, where that is faster."""
    return _PRECISION is None


def _has_wide_sums() -> bool:
    """Returns whether sums of products of 8 bits have 32 bits: a processor with instructions for bfloat16 has some for them, too."""
    return "BF16" in _core().get_property("CPU", "OPTIMIZATION_CAPABILITIES")


def _swish_in_8_bits(x: Node, largest: float) -> Node:
    """Returns what swish gave, rounded to 256 levels up to `largest`. One of them is 0, which pads it.

    Source: Jacob et al. 2018, "Quantization and Training of Neural Networks for Efficient Integer-Arithmetic-Only Inference", section 2.1.
    """
    below = min(max(1, round(_STEPS * _LEAST_SWISH / (largest + _LEAST_SWISH))), _STEPS - 1)
    step = max(_LEAST_SWISH / below, largest / (_STEPS - below))
    low, high = np.float32(-below * step), np.float32((_STEPS - below) * step)
    return ops.fake_quantize(x, low, high, low, high, _STEPS + 1)


def _weight_in_8_bits(weight: NDArray[np.float32]) -> Node:
    """Returns a weight [O, I, h, w], rounded to levels from the negative of the largest value of each output to that value.

    Processors without wide sums add the products of two inputs that lie side by side in 16 bits, which would cut larger sums off. There the
    largest sum of two such weights of one sign takes the place of the largest value: as a level it is 128 at most, and 255 times that fits.
    """
    largest = np.abs(weight).max(axis=(1, 2, 3), keepdims=True)
    if not _has_wide_sums():
        pairs = np.stack([weight[:, ::2], np.pad(weight[:, 1::2], ((0, 0), (0, weight.shape[1] % 2), (0, 0), (0, 0)))])
        sums = np.maximum(np.maximum(pairs, 0).sum(axis=0), np.maximum(-pairs, 0).sum(axis=0))
        largest = sums.max(axis=(1, 2, 3), keepdims=True)
    largest = np.maximum(largest, np.finfo(np.float32).tiny)
    return ops.fake_quantize(ops.constant(weight), -largest, largest, -largest, largest, _STEPS)


def inference_of(make: Callable[[], Any], precision: str | None, stage: str) -> Inference:
    """Returns the runs of a graph on the CPU. The graph is made at once, so that what is wrong with its tensors is raised here.

    Args:
        make: function that makes the graph.
        precision: "bf16" or "f32" for convolutions; None for bf16 on a processor that has instructions for it, else f32.
        stage: that of `Inference`.
    """
    made = [make()]

    def compiled(num_runs: int) -> CompiledModel:
        try:
            graph = made.pop()  # as it takes memory
        except IndexError:
            graph = make()
        return _compiled(graph, precision or _PRECISION, num_runs)

    return Inference(compiled, _PIXEL_BYTES, stage)


def _compiled(model: Any, precision: str | None, num_runs: int) -> CompiledModel:
    options: dict[str, Any] = {
        "PERFORMANCE_HINT": "LATENCY",
        "INFERENCE_NUM_THREADS": num_threads(),
        "NUM_STREAMS": num_runs,
        "CPU_RUNTIME_CACHE_CAPACITY": _PRIMITIVES,
    }
    if num_runs > 1:
        options["ENABLE_CPU_PINNING"] = False
    if precision is not None:
        options["INFERENCE_PRECISION_HINT"] = precision
    return _core().compile_model(model, "CPU", options)


@cache
def _core() -> Any:
    return openvino.Core()
