"""The decoders as painters, by OpenVINO. Imports no torch.

The graph is built from the tensors of a weights file when it is needed, so that no exported network has to be stored beside them. It is the
network of `vqcodec.nn.autoencoder.decoders` but for the linear paths: these are so small that NumPy computes them, in float32, since half
precision would show in the pixels.

    z_q_top, z_q_bottom, prefix -> convolutions of each decoder --------+
    linear paths: fine [N,48,H/4,W/4], coarse [N,192,H/8,W/8] ----------+-> sum, clamped and rounded -> uint8 [N,H,W,3]
"""

import platform
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cache, cached_property
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from vqcodec.nn.autoencoder.inference import Inference, require_memory
from vqcodec.nn.autoencoder.stored import StoredDecoder
from vqcodec.nn.configs import PATCH_BOTTOM, PATCH_TOP, BlockKind
from vqcodec.nn.runtime import import_openvino
from vqcodec.nn.threads import num_threads

openvino: Any = import_openvino()
ops: Any = openvino.opset13

Node = Any
"""A node of a graph."""

InferRequest = Any
"""A compiled graph with memory for a run of it."""

_PRECISION: Final = None if platform.machine().lower() in ("x86_64", "amd64") else "f32"
"""Precision of convolutions; None lets OpenVINO choose, which is bf16 or f32 on x86, but half precision elsewhere."""

_PRIMITIVES: Final = 256
"""Most convolutions, each of one shape, that are kept prepared."""

_PIXEL_BYTES: Final = 300
"""Bytes that a run takes for each pixel."""


class _Layers:
    """The layers of a decoder as nodes of a graph."""

    def __init__(self, decoder: StoredDecoder) -> None:
        self.decoder, self.config = decoder, decoder.config

    def condition(self, z_q_top: Node) -> Node:
        """Returns the condition [N, C, H/4, W/4], as `TopDecoder.forward` computes it."""
        config = self.config
        hidden = self.conv(z_q_top, "top_decoder.from_code", config.embedding_dim, config.channels_top, 3)
        hidden = self.blocks(hidden, "top_decoder.blocks", range(config.blocks_top), config.channels_top)
        extra = range(config.extra_blocks_top_decoder)
        hidden = self.blocks(hidden, "top_decoder.extra_blocks", extra, config.channels_top, config.extra_block)
        hidden = self.conv(ops.swish(hidden), "top_decoder.up", config.channels_top, 4 * config.channels, 1)
        return ops.depth_to_space(hidden, "depth_first", 2)

    def pixels(self, condition: Node, prefix: Node, z_q_bottom: Node | None) -> Node:
        """Returns the pixels [N, 48, H/4, W/4] as `BottomDecoder.forward` computes them, without the linear paths.

        Args:
            condition: what `condition` gave.
            prefix: [1, C, 1, 1], the bias for the number of maps.
            z_q_bottom: [N, D, H/4, W/4], or None where there is only the top map.
        """
        config = self.config
        dim, channels, preview = config.embedding_dim, config.channels, config.blocks_preview
        if z_q_bottom is None:
            bias = ops.constant(self.decoder.tensor("decoder.from_code.bias", channels).reshape(1, -1, 1, 1))
            hidden = ops.add(ops.add(condition, bias), prefix)
            hidden = self.blocks(hidden, "decoder.blocks", range(preview), channels)
        else:
            hidden = ops.add(ops.add(condition, self.conv(z_q_bottom, "decoder.from_code", dim, channels, 3)), prefix)
            hidden = self.blocks(hidden, "decoder.blocks", range(config.blocks_decoder), channels)
            hidden = self.blocks(hidden, "decoder.extra_blocks", range(config.extra_blocks_decoder), channels, config.extra_block)
        return self.conv(ops.swish(hidden), "decoder.to_pixels", channels, 3 * PATCH_BOTTOM**2, 3)

    def blocks(self, x: Node, name: str, numbers: range, channels: int, kind: BlockKind = "full") -> Node:
        """Returns what a chain of residual blocks makes of x (`vqcodec.nn.autoencoder.residual`)."""
        for number in numbers:
            own = f"{name}.{number}"
            if kind == "full":
                hidden = self.conv(ops.swish(x), f"{own}.conv_1", channels, channels, 3)
                hidden = self.conv(ops.swish(hidden), f"{own}.conv_2", channels, channels, 1)
            else:
                hidden = self.conv(ops.swish(x), f"{own}.conv_1", channels, 2 * channels, 1)
                hidden = self.depthwise(hidden, f"{own}.depthwise", 2 * channels)
                hidden = self.conv(ops.swish(hidden), f"{own}.conv_2", 2 * channels, channels, 1)
            x = ops.add(x, hidden)
        return x

    def conv(self, x: Node, name: str, inputs: int, outputs: int, side: int) -> Node:
        """Returns a convolution of x, padded to its size."""
        weight = ops.constant(self.decoder.tensor(f"{name}.weight", outputs, inputs, side, side))
        padding = [side // 2] * 2
        return self._biased(ops.convolution(x, weight, [1, 1], padding, padding, [1, 1]), name, outputs)

    def depthwise(self, x: Node, name: str, channels: int) -> Node:
        """Returns a convolution of 3x3 of each channel by itself."""
        weight = ops.constant(self.decoder.tensor(f"{name}.weight", channels, 1, 3, 3)[:, None])
        return self._biased(ops.group_convolution(x, weight, [1, 1], [1, 1], [1, 1], [1, 1]), name, channels)

    def _biased(self, x: Node, name: str, channels: int) -> Node:
        return ops.add(x, ops.constant(self.decoder.tensor(f"{name}.bias", channels).reshape(1, -1, 1, 1)))


@dataclass(frozen=True)
class _LinearPaths:
    """The linear paths of a decoder, and its biases for numbers of maps.

    Attributes:
        top, top_bias: [192, D] and [192], from vectors of the top map to 8x8 pixels.
        bottom: [48, D], from those of the others to 4x4 pixels.
        prefixes: [maps, C].
    """

    top: NDArray[np.float32]
    top_bias: NDArray[np.float32]
    bottom: NDArray[np.float32]
    prefixes: NDArray[np.float32]

    @classmethod
    def of(cls, decoder: StoredDecoder) -> "_LinearPaths":
        dim, pixels_top, pixels_bottom = decoder.config.embedding_dim, 3 * PATCH_TOP**2, 3 * PATCH_BOTTOM**2
        return cls(
            decoder.tensor("decoder.skip_top.weight", pixels_top, dim, 1, 1)[:, :, 0, 0],
            decoder.tensor("decoder.skip_top.bias", pixels_top),
            decoder.tensor("decoder.skip_bottom.weight", pixels_bottom, dim, 1, 1)[:, :, 0, 0],
            decoder.tensor("decoder.prefix_bias.weight", decoder.config.num_maps, decoder.config.channels),
        )


@dataclass(frozen=True)
class Graph:
    """Decoders whose pixels are mixed, as a graph that is compiled when it is needed first.

    Args:
        decoders: one decoder or more, of equal maps and vectors.
        precision: "bf16" or "f32" for convolutions; None for bf16 on a processor that has instructions for it, else f32.

    Raises:
        ValueError: A tensor is missing, or of another shape.
    """

    decoders: Sequence[StoredDecoder]
    precision: str | None = None

    def __post_init__(self) -> None:
        require_memory()
        _ = self.linear_paths, self._model(is_preview=False)

    @cached_property
    def linear_paths(self) -> list[_LinearPaths]:
        """The linear paths of each decoder."""
        return [_LinearPaths.of(decoder) for decoder in self.decoders]

    def run(self, is_preview: bool, inputs: Sequence[NDArray[np.float32]], kept: tuple[slice, slice]) -> NDArray[np.uint8]:
        """Runs the graph of one map, or that of more, on the inputs of `_model`."""
        graph = self._preview if is_preview else self._whole
        n, _, height, width = (size * PATCH_TOP for size in inputs[0].shape)
        n //= PATCH_TOP
        return graph.run(inputs, n * height * width, (n, height, width, 3), (slice(None), *kept))

    @cached_property
    def _preview(self) -> Inference:
        return Inference(lambda: self._compiled(is_preview=True), _PIXEL_BYTES)

    @cached_property
    def _whole(self) -> Inference:
        return Inference(lambda: self._compiled(is_preview=False), _PIXEL_BYTES)

    def _compiled(self, *, is_preview: bool) -> InferRequest:
        options: dict[str, Any] = {
            "PERFORMANCE_HINT": "LATENCY",
            "INFERENCE_NUM_THREADS": num_threads(),
            "CPU_RUNTIME_CACHE_CAPACITY": _PRIMITIVES,
        }
        precision = self.precision or _PRECISION
        if precision is not None:
            options["INFERENCE_PRECISION_HINT"] = precision
        return _core().compile_model(self._model(is_preview=is_preview), "CPU", options).create_infer_request()

    def _model(self, *, is_preview: bool) -> Any:
        """Builds the graph; it takes z_q_top, the linear paths, and each decoder's prefix and share, and last z_q_bottom."""
        dim, size = self.decoders[0].config.embedding_dim, [-1, -1]
        z_q_top = ops.parameter([-1, dim, *size], np.float32)
        fine = ops.parameter([-1, 3 * PATCH_BOTTOM**2, *size], np.float32)
        coarse = ops.parameter([-1, 3 * PATCH_TOP**2, *size], np.float32)
        parameters, z_q_bottom = [z_q_top, fine, coarse], None
        if not is_preview:
            z_q_bottom = ops.parameter([-1, dim, *size], np.float32)
        total = fine
        for decoder in self.decoders:
            layers = _Layers(decoder)
            prefix, share = ops.parameter([1, decoder.config.channels, 1, 1], np.float32), ops.parameter([1, 1, 1, 1], np.float32)
            parameters += [prefix, share]
            pixels = layers.pixels(layers.condition(z_q_top), prefix, z_q_bottom)
            total = ops.add(total, pixels if len(self.decoders) == 1 else ops.multiply(pixels, share))
        x_hat = ops.add(ops.depth_to_space(total, "depth_first", PATCH_BOTTOM), ops.depth_to_space(coarse, "depth_first", PATCH_TOP))
        levels = ops.multiply(ops.add(ops.clamp(x_hat, -1.0, 1.0), np.float32(1)), np.float32(127.5))
        pixels = ops.transpose(ops.convert(ops.round(levels, "half_to_even"), np.uint8), [0, 2, 3, 1])
        return openvino.Model([ops.result(pixels)], [*parameters, *([] if z_q_bottom is None else [z_q_bottom])], "decoder")


@cache
def _core() -> Any:
    return openvino.Core()


@dataclass(frozen=True)
class OpenvinoPainter:
    """A `Painter` of decoders.

    Attributes:
        codebooks: float32 [maps, K, D], vectors of all codes of all maps.
        graph: the decoders.
        shares: the share of each decoder in the pixels; they sum to 1.
    """

    codebooks: NDArray[np.float32]
    graph: Graph
    shares: Sequence[float]

    @property
    def margin_px(self) -> int:
        """Distance in pixels beyond which a pixel does not depend on a code, a multiple of 8."""
        return max(decoder.config.decoder_margin_px for decoder in self.graph.decoders)

    def __call__(self, codes: Sequence[NDArray[np.int64]], kept: tuple[slice, slice]) -> NDArray[np.uint8]:
        """Paints what is kept of images, uint8 [N, H, W, 3], from the codes [N, h, w] of their first maps."""
        vectors = [codebook[of_map] for codebook, of_map in zip(self.codebooks, codes, strict=False)]
        top, others = vectors[0], vectors[1:]
        n, height, width, _ = top.shape
        shares, paths = self.shares, self.graph.linear_paths
        coarse = _mapped(top, _mixed([path.top for path in paths], shares))
        coarse += _mixed([path.top_bias for path in paths], shares)[:, None, None]
        prefixes = [path.prefixes[len(codes) - 1].reshape(1, -1, 1, 1) for path in paths]
        decoders = [
            value for prefix, share in zip(prefixes, shares, strict=True) for value in (prefix, np.full((1, 1, 1, 1), share, np.float32))
        ]
        if others:
            bottom = sum(others[1:], start=others[0])
            fine = _mapped(bottom, _mixed([path.bottom for path in paths], shares))
            last = [_channels_first(bottom)]
        else:
            fine, last = np.zeros((n, 3 * PATCH_BOTTOM**2, 2 * height, 2 * width), np.float32), []
        return self.graph.run(not others, [_channels_first(top), fine, coarse, *decoders, *last], kept)


def _mixed(values: Sequence[NDArray[np.float32]], shares: Sequence[float]) -> NDArray[np.float32]:
    """Returns the weighted sum of the values of each decoder."""
    return sum((np.float32(share) * of_decoder for of_decoder, share in zip(values, shares, strict=True)), start=np.zeros_like(values[0]))


def _mapped(vectors: NDArray[np.float32], weight: NDArray[np.float32]) -> NDArray[np.float32]:
    """Returns [N, O, h, w], what a weight [O, D] makes of vectors [N, h, w, D]."""
    n, height, width, dim = vectors.shape
    return (weight @ vectors.reshape(n, -1, dim).transpose(0, 2, 1)).reshape(n, -1, height, width)


def _channels_first(vectors: NDArray[np.float32]) -> NDArray[np.float32]:
    return np.ascontiguousarray(vectors.transpose(0, 3, 1, 2))
