"""The decoders as painters, by OpenVINO. Imports no torch.

The graph is built from the tensors of a weights file when it is needed, so that no exported network has to be stored beside them. It is the
network of `vqcodec.nn.autoencoder.decoders` but for the linear paths: these are so small that NumPy computes them, in float32, since half
precision would show in the pixels.

    z_q_top, z_q_bottom, prefix -> convolutions of each decoder --+
    linear paths [N,H/4,W/4,48] ----------------------------------+-> sum, clamped and rounded -> uint8 [N,H,W,3]
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Final, Literal

import numpy as np
from numpy.typing import NDArray

from vqcodec.nn.autoencoder.inference import Inference, require_memory
from vqcodec.nn.autoencoder.openvino_layers import Layers, Node, inference_of, openvino, ops
from vqcodec.nn.autoencoder.stored import StoredNetwork
from vqcodec.nn.configs import PATCH_BOTTOM, PATCH_TOP
from vqcodec.nn.products import add_product
from vqcodec.nn.threads import map_in_threads

_PLACES_AT_ONCE: Final = 1 << 13
"""Places of the top map whose inputs of a graph are computed at a time."""

Kind = Literal["preview", "whole", "conditioned"]
"""Kind of a graph: of one map, of more, and of more where the condition is known."""


def _pixels(layers: Layers, condition: Node, z_q_bottom: Node | None) -> Node:
    """Returns the pixels [N, 48, H/4, W/4] as `BottomDecoder.forward` computes them, without the linear paths.

    Args:
        layers: the layers of the decoder.
        condition: what `Layers.condition` gave, with the bias for the number of maps.
        z_q_bottom: [N, D, H/4, W/4], or None where there is only the top map.
    """
    config = layers.config
    channels = config.channels
    if z_q_bottom is None:
        hidden = ops.add(condition, layers.bias("decoder.from_code", channels))
        hidden = layers.blocks(hidden, "decoder.blocks", config.blocks_preview, channels)
    else:
        from_code = layers.conv(z_q_bottom, "decoder.from_code", config.embedding_dim, channels, 3)
        hidden = ops.add(condition, from_code)
        hidden = layers.blocks(hidden, "decoder.blocks", config.blocks_decoder, channels)
        hidden = layers.blocks(hidden, "decoder.extra_blocks", config.extra_blocks_decoder, channels, config.extra_block)
    return layers.conv(ops.swish(hidden), "decoder.to_pixels", channels, 3 * PATCH_BOTTOM**2, 3)


@dataclass(frozen=True)
class _LinearPaths:
    """The linear paths of a decoder, and its biases for numbers of maps.

    Attributes:
        top, top_bias: [2, 2, D, 48] and [2, 2, 48], from vectors of the top map to each quarter of 8x8 pixels.
        bottom: [D, 48], from those of the others to 4x4 pixels; everywhere the colours of a pixel lie side by side.
        prefixes: [maps, C].
    """

    top: NDArray[np.float32]
    top_bias: NDArray[np.float32]
    bottom: NDArray[np.float32]
    prefixes: NDArray[np.float32]

    @classmethod
    def of(cls, decoder: StoredNetwork) -> "_LinearPaths":
        dim, side, values = decoder.config.embedding_dim, PATCH_BOTTOM, 3 * PATCH_BOTTOM**2
        top = decoder.tensor("decoder.skip_top.weight", 3 * PATCH_TOP**2, dim, 1, 1).reshape(3, 2, side, 2, side, dim)
        top_bias = decoder.tensor("decoder.skip_top.bias", 3 * PATCH_TOP**2).reshape(3, 2, side, 2, side)
        bottom = decoder.tensor("decoder.skip_bottom.weight", values, dim, 1, 1).reshape(3, side, side, dim)
        return cls(
            top.transpose(1, 3, 5, 2, 4, 0).reshape(2, 2, dim, values),
            top_bias.transpose(1, 3, 2, 4, 0).reshape(2, 2, values),
            bottom.transpose(3, 1, 2, 0).reshape(dim, values),
            decoder.tensor("decoder.prefix_bias.weight", decoder.config.num_maps, decoder.config.channels),
        )


class Graph:
    """Decoders whose pixels are mixed, as a graph that is compiled when it is needed first.

    Args:
        decoders: one decoder or more, of equal maps and vectors.
        precision: "bf16" or "f32" for convolutions without a range; None for bf16 on a processor that has instructions for it, else f32.
        first: the kind that is made at once.

    Attributes:
        decoders: the decoders.
        linear_paths: the linear paths of each.

    Raises:
        ValueError: A tensor is missing, or of another shape.
    """

    def __init__(self, decoders: Sequence[StoredNetwork], precision: str | None = None, first: Kind = "whole") -> None:
        require_memory()
        self.decoders = decoders
        self.linear_paths = [_LinearPaths.of(decoder) for decoder in decoders]
        self._precision = precision
        self._kinds: dict[Kind, Inference] = {}
        self._of_kind(first)

    def run(self, kind: Kind, inputs: Sequence[NDArray[np.float32]], kept: tuple[slice, slice]) -> NDArray[np.uint8]:
        """Runs the graph of a kind on the inputs of `_model`."""
        n, height, width, _ = inputs[1].shape
        height, width = PATCH_BOTTOM * height, PATCH_BOTTOM * width
        pixels = self._of_kind(kind).run(inputs, n * height * width, (n, height, width, 3), np.uint8)
        return pixels[:, kept[0], kept[1]]

    def _of_kind(self, kind: Kind) -> Inference:
        return self._kinds.get(kind) or self._kinds.setdefault(kind, inference_of(lambda: self._model(kind), self._precision, "pixels"))

    def _model(self, kind: Kind) -> Any:
        """Builds a graph.

        It takes z_q_top, or the condition where that is known, then what the linear paths give, and each decoder's prefix and share, and
        last z_q_bottom.
        """
        config, size = self.decoders[0].config, [-1, -1]
        dim, is_conditioned = config.embedding_dim, kind == "conditioned"
        top = ops.parameter([-1, config.channels if is_conditioned else dim, *size], np.float32)
        linear = ops.parameter([-1, *size, 3 * PATCH_BOTTOM**2], np.float32)
        parameters, z_q_bottom = [top, linear], None
        if kind != "preview":
            z_q_bottom = ops.parameter([-1, dim, *size], np.float32)
        x_hat = ops.transpose(linear, [0, 3, 1, 2])
        for decoder in self.decoders:
            layers = Layers(decoder)
            prefix, share = ops.parameter([1, decoder.config.channels, 1, 1], np.float32), ops.parameter([1, 1, 1, 1], np.float32)
            parameters += [prefix, share]
            condition = ops.add(top, prefix) if is_conditioned else layers.condition(top, prefix)
            pixels = _pixels(layers, condition, z_q_bottom)
            x_hat = ops.add(x_hat, pixels if len(self.decoders) == 1 else ops.multiply(pixels, share))
        levels = ops.multiply(ops.add(ops.clamp(x_hat, -1.0, 1.0), np.float32(1)), np.float32(127.5))
        patches = ops.convert(ops.round(levels, "half_to_even"), np.uint8)
        pixels = ops.transpose(ops.depth_to_space(patches, "blocks_first", PATCH_BOTTOM), [0, 2, 3, 1])
        return openvino.Model([ops.result(pixels)], [*parameters, *([] if z_q_bottom is None else [z_q_bottom])], "decoder")


@dataclass(frozen=True)
class OpenvinoPainter:
    """A `Painter` of decoders.

    Attributes:
        codebooks: float32 [maps, K, D], vectors of all codes of all maps.
        graph: the decoders.
        shares: the share of each decoder in the pixels; they sum to 1.
        condition: what the top map of the only image to be painted tells the bottom decoder, float32 [1, C, H/4, W/4], where it is
            known; there is one decoder then.
    """

    codebooks: NDArray[np.float32]
    graph: Graph
    shares: Sequence[float]
    condition: NDArray[np.float32] | None = None

    @property
    def margin_px(self) -> int:
        """Distance in pixels beyond which a pixel does not depend on a code, a multiple of 8."""
        return max(decoder.config.decoder_margin_px for decoder in self.graph.decoders)

    def __call__(self, codes: Sequence[NDArray[np.int64]], kept: tuple[slice, slice]) -> NDArray[np.uint8]:
        """Paints what is kept of images, uint8 [N, H, W, 3], from the codes [N, h, w] of their first maps, one by one as encoders do."""
        images = [self._painted([of_map[number : number + 1] for of_map in codes], kept) for number in range(len(codes[0]))]
        return images[0] if len(images) == 1 else np.concatenate(images)

    def _painted(self, codes: Sequence[NDArray[np.int64]], kept: tuple[slice, slice]) -> NDArray[np.uint8]:
        """Paints what is kept of one image, uint8 [1, H, W, 3]."""
        (_, height, width), dim = codes[0].shape, self.codebooks.shape[2]
        kind: Kind = "preview" if len(codes) == 1 else "whole" if self.condition is None else "conditioned"
        shares, paths = self.shares, self.graph.linear_paths
        of_top, bias = _mixed([path.top for path in paths], shares), _mixed([path.top_bias for path in paths], shares)
        of_bottom = _mixed([path.bottom for path in paths], shares)
        top, bottom = np.empty((1, dim, height, width), np.float32), np.empty((1, dim, 2 * height, 2 * width), np.float32)
        linear = np.zeros((1, 2 * height, 2 * width, 3 * PATCH_BOTTOM**2), np.float32)

        def fill(rows: slice) -> None:
            """Fills in what the graph takes, for some rows of the top map."""
            z_top, lower = self.codebooks[0][codes[0][:, rows]], slice(2 * rows.start, 2 * rows.stop)
            top[:, :, rows] = _channels_first(z_top)
            part = linear[:, lower]
            if kind != "preview":
                z_bottom = self.codebooks[1][codes[1][:, lower]]
                for codebook, of_map in zip(self.codebooks[2:], codes[2:], strict=False):
                    z_bottom += codebook[of_map[:, lower]]
                bottom[:, :, lower] = _channels_first(z_bottom)
                add_product(part.reshape(-1, part.shape[-1]), z_bottom.reshape(-1, dim), of_bottom)
            for row, column in np.ndindex(2, 2):
                quarter = np.broadcast_to(bias[row, column], (z_top.size // dim, part.shape[-1])).copy()
                add_product(quarter, z_top.reshape(-1, dim), of_top[row, column])
                part[:, row::2, column::2] += quarter.reshape(part[:, row::2, column::2].shape)

        step = max(1, _PLACES_AT_ONCE // width)
        map_in_threads(fill, [slice(start, min(start + step, height)) for start in range(0, height, step)])
        first = top if self.condition is None or kind != "conditioned" else self.condition
        of_decoders = [
            value
            for path, share in zip(paths, shares, strict=True)
            for value in (path.prefixes[len(codes) - 1].reshape(1, -1, 1, 1), np.full((1, 1, 1, 1), share, np.float32))
        ]
        return self.graph.run(kind, [first, linear, *of_decoders, *([] if kind == "preview" else [bottom])], kept)


def _mixed(values: Sequence[NDArray[np.float32]], shares: Sequence[float]) -> NDArray[np.float32]:
    """Returns the weighted sum of the values of each decoder."""
    return sum((np.float32(share) * of_decoder for of_decoder, share in zip(values, shares, strict=True)), start=np.zeros_like(values[0]))


def _channels_first(vectors: NDArray[np.float32]) -> NDArray[np.float32]:
    """Returns vectors [N, h, w, D] as [N, D, h, w]."""
    return vectors.transpose(0, 3, 1, 2)
