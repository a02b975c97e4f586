"""The encoder networks, by OpenVINO. Imports no torch.

The graphs are those of `vqcodec.nn.autoencoder.vqvae` but for the linear paths, which NumPy computes in float32: from pixels to vectors,
and from codes of the top map to what these paint, as the vectors of the bottom map see it.

    pixels uint8 -> "hidden" [N,C,H/4,W/4] -> "top" -----> z_e_top [N,H/8,W/8,D] less its linear path
                           +-- z_q_top ----> "bottom" --> z_e_bottom [N,H/4,W/4,D] less its linear paths
                                                      +-> condition [N,C,H/4,W/4], which the decoder computes, too
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from functools import cached_property, partial
from itertools import product
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from vqcodec.nn.autoencoder.inference import KEPT_PIXELS, Inference, require_memory
from vqcodec.nn.autoencoder.openvino_layers import Layers, Node, inference_of, openvino, ops
from vqcodec.nn.autoencoder.stored import StoredNetwork
from vqcodec.nn.configs import PATCH_BOTTOM, PATCH_TOP
from vqcodec.nn.products import add_product
from vqcodec.nn.threads import map_in_threads

_LEVELS_HALF: Final = 127.5
"""Half of the range of 8-bit pixels, which stands for 1."""
_PLACES_AT_ONCE: Final = 1 << 13
"""Places whose linear path a thread computes at a time."""
_LEAST_PLACES: Final = 256
"""Places of narrow images whose patches are put side by side; fewer would take a product as long."""


class Graphs:
    """The encoder networks as graphs, each of which is compiled when it is needed first.

    Args:
        network: the autoencoder.
        precision: "bf16" or "f32" for convolutions without a range; None for bf16 on a processor that has instructions for it, else f32.

    Raises:
        ValueError: A tensor is missing, or of another shape.
    """

    def __init__(self, network: StoredNetwork, precision: str | None = None) -> None:
        require_memory()
        self.network = network
        self._hidden, self._top, self._conditioning = (
            inference_of(partial(make, Layers(network)), precision, stage)
            for make, stage in ((_hidden, "top map"), (_top, "top map"), (partial(_bottom, with_condition=True), "later maps"))
        )
        self._precision = precision

    @cached_property
    def _bottom(self) -> Inference:
        """As `_conditioning`, but without the condition."""
        return inference_of(partial(_bottom, Layers(self.network)), self._precision, "later maps")

    def hidden(self, pixels: NDArray[np.uint8]) -> NDArray[np.float32]:
        """Returns the hidden states [N, C, H/4, W/4] of images uint8 [N, H, W, 3]."""
        n, height, width, _ = pixels.shape
        shape = n, self.network.config.channels, height // PATCH_BOTTOM, width // PATCH_BOTTOM
        return self._hidden.run([pixels], n * height * width, shape)

    def top(self, hidden: NDArray[np.float32]) -> NDArray[np.float32]:
        """Returns z_e of the top map [N, H/8, W/8, D], without its linear path."""
        n, _, height, width = hidden.shape
        shape = n, height // 2, width // 2, self.network.config.embedding_dim
        return self._top.run([hidden], n * height * width * PATCH_BOTTOM**2, shape)

    def bottom(self, hidden: NDArray[np.float32], z_q_top: NDArray[np.float32]) -> tuple[NDArray[np.float32], NDArray[np.float32] | None]:
        """Returns z_e of the bottom map [N, H/4, W/4, D], without its linear paths, and the condition [N, C, H/4, W/4].

        The condition of larger images is None: to keep it takes more memory, and more time for it, than to compute it again.

        Args:
            hidden: hidden states [N, C, H/4, W/4].
            z_q_top: vectors of the top map [N, H/8, W/8, D].
        """
        n, _, height, width = hidden.shape
        shape = n, height, width, self.network.config.embedding_dim
        num_pixels = n * height * width * PATCH_BOTTOM**2
        if num_pixels > KEPT_PIXELS:
            return self._bottom.run([hidden, z_q_top], num_pixels, shape), None
        z_e, condition = self._conditioning.run_all([hidden, z_q_top], num_pixels, [shape, hidden.shape])
        return z_e, condition


def _hidden(layers: Layers) -> Any:
    """Returns the graph from pixels uint8 [N, H, W, 3] to hidden states [N, C, H/4, W/4] (`VQVAE.hidden`)."""
    config = layers.config
    pixels = ops.parameter([-1, -1, -1, 3], np.uint8)
    x = ops.subtract(ops.multiply(ops.convert(pixels, np.float32), np.float32(1 / _LEVELS_HALF)), np.float32(1))
    patches = ops.space_to_depth(ops.transpose(x, [0, 3, 1, 2]), "depth_first", PATCH_BOTTOM)
    hidden = layers.conv(patches, "stem", 3 * PATCH_BOTTOM**2, config.channels, 3)
    return openvino.Model([ops.result(layers.blocks(hidden, "encoder_blocks", config.blocks_encoder, config.channels))], [pixels], "hidden")


def _top(layers: Layers) -> Any:
    """Returns the graph from hidden states to z_e of the top map (`TopEncoder.forward`), without its linear path."""
    config = layers.config
    hidden = ops.parameter([-1, config.channels, -1, -1], np.float32)
    top = layers.conv(ops.space_to_depth(hidden, "depth_first", 2), "top_encoder.down", 4 * config.channels, config.channels_top, 1)
    top = layers.blocks(top, "top_encoder.blocks", config.blocks_top, config.channels_top)
    top = layers.blocks(top, "top_encoder.extra_blocks", config.extra_blocks_top_encoder, config.channels_top, config.extra_block)
    return _to_vectors(layers, top, "top_encoder.to_code", config.channels_top, [hidden])


def _bottom(layers: Layers, *, with_condition: bool = False) -> Any:
    """Returns the graph from hidden states and z_q_top [N, H/8, W/8, D] to z_e (`BottomEncoder.forward`), and the condition if wanted."""
    config = layers.config
    hidden = ops.parameter([-1, config.channels, -1, -1], np.float32)
    z_q_top = ops.parameter([-1, -1, -1, config.embedding_dim], np.float32)
    condition = layers.condition(ops.transpose(z_q_top, [0, 3, 1, 2]))
    both = ops.concat([hidden, condition], 1)
    bottom = layers.conv(both, "bottom_encoder.merge", 2 * config.channels, config.channels, 1)
    bottom = layers.blocks(bottom, "bottom_encoder.blocks", config.blocks_bottom, config.channels)
    return _to_vectors(layers, bottom, "bottom_encoder.to_code", config.channels, [hidden, z_q_top], [condition] if with_condition else [])


def _to_vectors(layers: Layers, x: Node, name: str, channels: int, parameters: list[Node], others: Sequence[Node] = ()) -> Any:
    vectors = layers.conv(ops.swish(x), name, channels, layers.config.embedding_dim, 1)
    return openvino.Model([ops.result(output) for output in (ops.transpose(vectors, [0, 2, 3, 1]), *others)], parameters, name)


@dataclass(frozen=True)
class _LinearPath:
    """A linear map from patches of 8-bit pixels to vectors.

    Attributes:
        side: side of a patch in pixels.
        weight: float32 [3 * side^2, D], for levels.
        bias: float32 [D].
    """

    side: int
    weight: NDArray[np.float32]
    bias: NDArray[np.float32]

    @classmethod
    def of(cls, network: StoredNetwork, name: str, side: int) -> "_LinearPath":
        dim, values = network.config.embedding_dim, 3 * side**2
        weight = network.tensor(f"{name}.weight", dim, values, 1, 1)[:, :, 0, 0].T.astype(np.float64)
        bias = network.tensor(f"{name}.bias", dim) - weight.sum(axis=0)
        return cls(side, (weight / _LEVELS_HALF).astype(np.float32), bias.astype(np.float32))

    def add_to(self, z_e: NDArray[np.float32], pixels: NDArray[np.uint8]) -> None:
        """Adds what the map makes of images uint8 [N, H, W, 3] to vectors [N, H / side, W / side, D], some rows of patches at a time."""
        _, height, width, dim = z_e.shape
        step, at_once = max(1, _PLACES_AT_ONCE // width), max(1, _LEAST_PLACES // width)

        def add_rows(place: tuple[int, int]) -> None:
            number, start = place
            rows = pixels[number].reshape(height, self.side, width, self.side, 3)
            stop = min(start + step, height)
            for first in range(start, stop, at_once):
                part = slice(first, min(first + at_once, stop))
                patches = rows[part].transpose(0, 2, 4, 1, 3).reshape(-1, len(self.weight)).astype(np.float32)
                vectors = z_e[number, part].reshape(-1, dim)
                add_product(vectors, patches, self.weight)
                vectors += self.bias

        map_in_threads(add_rows, list(product(range(len(pixels)), range(0, height, step))))


@dataclass(frozen=True, eq=False)
class OpenvinoEncoder:
    """An `Encoder`.

    Attributes:
        codebooks: vectors of all codes of all maps, float32 [maps, K, D].
        graphs: the networks.

    Raises:
        ValueError: A tensor is missing, or of another shape.
    """

    codebooks: NDArray[np.float32]
    graphs: Graphs

    def __post_init__(self) -> None:
        _ = self.to_top, self.of_top

    @property
    def margin_px(self) -> int:
        """Distance in pixels beyond which a code does not depend on a pixel, a multiple of 8."""
        return self.graphs.network.config.encoder_margin_px

    @cached_property
    def to_top(self) -> _LinearPath:
        """The linear path to vectors of the top map."""
        return _LinearPath.of(self.graphs.network, "top_encoder.skip", PATCH_TOP)

    @cached_property
    def to_bottom(self) -> _LinearPath:
        """The linear path to vectors of the bottom map."""
        return _LinearPath.of(self.graphs.network, "bottom_encoder.skip", PATCH_BOTTOM)

    @cached_property
    def of_top(self) -> NDArray[np.float32]:
        """What the bottom's linear path makes of what codes of the top map paint by theirs, [2, 2, K, D], by quarters of a patch."""
        network = self.graphs.network
        dim, values, side = network.config.embedding_dim, 3 * PATCH_TOP**2, PATCH_BOTTOM
        weight = network.tensor("decoder.skip_top.weight", values, dim, 1, 1)[:, :, 0, 0]
        painted = self.codebooks[0] @ weight.T + network.tensor("decoder.skip_top.bias", values)
        quarters = painted.reshape(-1, 3, 2, side, 2, side).transpose(2, 4, 0, 1, 3, 5).reshape(2, 2, len(painted), -1)
        encoded: NDArray[np.float32] = quarters @ (self.to_bottom.weight * np.float32(_LEVELS_HALF))
        return encoded

    def __call__(self, pixels: NDArray[np.uint8]) -> "_SeenByOpenvino":
        """Sees images uint8 [N, H, W, 3], H and W multiples of 8."""
        pixels = np.ascontiguousarray(pixels)
        return _SeenByOpenvino(self, pixels, [self.graphs.hidden(image) for image in _singles(pixels)])


def _singles(images: NDArray[Any]) -> Iterator[NDArray[Any]]:
    """Yields arrays [1, ...] of each image of an array [N, ...]: one alone is faster than several at a time, and takes less memory."""
    return (images[number : number + 1] for number in range(len(images)))


@dataclass(frozen=True, eq=False)
class _SeenByOpenvino:
    """A `Seen`.

    Attributes:
        encoder: the encoder.
        pixels: the images, uint8 [N, H, W, 3].
        hidden: their hidden states, float32 [1, C, H/4, W/4] each; given up one by one for the conditions.
        conditions: what the top map tells the decoder, float32 [1, C, H/4, W/4] each.
    """

    encoder: OpenvinoEncoder
    pixels: NDArray[np.uint8]
    hidden: list[NDArray[np.float32]] = field(repr=False)
    conditions: list[NDArray[np.float32]] = field(default_factory=list, repr=False)

    def z_e_top(self) -> NDArray[np.float32]:
        """Returns z_e of the top map, float32 [N, H/8, W/8, D]."""
        z_e = np.concatenate([self.encoder.graphs.top(hidden) for hidden in self.hidden])
        self.encoder.to_top.add_to(z_e, self.pixels)
        return z_e

    def z_e_bottom(self, indices_top: NDArray[np.int64]) -> NDArray[np.float32]:
        """Returns z_e of the bottom map and its refinements, float32 [N, H/4, W/4, D]."""
        encoder, parts = self.encoder, []
        for z_q_top in _singles(encoder.codebooks[0][indices_top]):
            of_image, condition = encoder.graphs.bottom(self.hidden.pop(0), z_q_top)
            parts.append(of_image)
            if condition is not None:
                self.conditions.append(condition)
        z_e = np.concatenate(parts)
        encoder.to_bottom.add_to(z_e, self.pixels)
        for row, column in np.ndindex(2, 2):
            z_e[:, row::2, column::2] -= encoder.of_top[row, column][indices_top]
        return z_e
