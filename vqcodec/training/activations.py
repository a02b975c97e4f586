"""The ranges within which convolutions of a model's autoencoder may take their inputs in 8 bits, measured on held-out photos.

Photos alone would make them too narrow: what saturated colours excite most is rare in photos, and where it is cut off, the colour of a
whole area changes. So no range is narrower than what flat areas of saturated colours need.

The 3x3 convolutions of residual blocks take most of the time. All of them have ranges but that of the first block, whose rounding would
cost files most. The decoder, by which the encoder measures colours, has ranges for its 1x1 convolutions as well, since no code is chosen by
them. Each of these convolutions follows a swish, so that one number makes a range.
"""

import json
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from itertools import product
from pathlib import Path
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray
from torch import Tensor, nn

from vqcodec.models.config import CONFIG_NAME, RANGES_KEY
from vqcodec.nn.autoencoder.blocks import encode_in_blocks
from vqcodec.nn.autoencoder.painting import paint_in_blocks
from vqcodec.nn.autoencoder.residual import ResidualBlock
from vqcodec.nn.autoencoder.torch_encoder import TorchEncoder
from vqcodec.nn.autoencoder.torch_painter import TorchPainter
from vqcodec.nn.autoencoder.vqvae import VQVAE
from vqcodec.storage import to_json, write_file

_STEPS: Final = 255
"""Steps between the least and the largest number of 8 bits."""
_EVERY: Final = 61
"""One of so many activations is kept; of no common factor with numbers of channels."""
_SHARES: Final = np.linspace(0.2, 1, 41)
"""Ranges that are tried, as shares of the largest activation."""
_SATURATED: Final = (
    *product((5, 245), repeat=3),
    *((120, 10, 245), (10, 235, 120), (245, 120, 10), (10, 120, 245), (120, 245, 10), (245, 10, 120)),
)
"""Colours whose activations are never cut off."""
_SATURATED_PX: Final = 64
_NOISE_LEVELS: Final = 3.0
"""Standard deviation of the grey noise on them."""
_DIGITS: Final = 3
_LEAST: Final = 10.0**-_DIGITS
"""Decimals of a range, and the least range: activations may all be 0 or below."""


def measure_ranges(network: VQVAE, crops: Sequence[NDArray[np.uint8]], on_crop: Callable[[int], None]) -> dict[str, float]:
    """Measures the inputs of convolutions where crops are encoded, and painted from each number of maps.

    Args:
        network: the autoencoder.
        crops: uint8 [H, W, 3] each.
        on_crop: function that is told 1 after each crop.

    Returns:
        The largest inputs of each convolution that lose the least squared error by rounding and by being cut off, or those of saturated
        colours where they are larger, by its name; above 0.
    """
    kept: dict[str, list[NDArray[np.float32]]] = {}
    with _watched(network, kept, _sample):
        for crop in crops:
            _see(network, crop)
            on_crop(1)
    largest: dict[str, list[NDArray[np.float32]]] = {}
    with _watched(network, largest, _largest):
        for crop in _saturated_crops():
            _see(network, crop)
    ranges = {name: max(best_range(np.concatenate(values)), float(np.max(largest[name]))) for name, values in kept.items()}
    return {name: max(round(of_layer, _DIGITS), _LEAST) for name, of_layer in ranges.items()}


def _saturated_crops() -> Iterator[NDArray[np.uint8]]:
    rng = np.random.default_rng(0)
    for colour in _SATURATED:
        noise = rng.normal(0, _NOISE_LEVELS, (_SATURATED_PX, _SATURATED_PX, 1))
        yield (np.asarray(colour) + noise).clip(0, 255).astype(np.uint8)


def _see(network: VQVAE, crop: NDArray[np.uint8]) -> None:
    """Encodes a crop by nearest codes, and paints it from each number of maps."""
    maps = [chosen.indices for chosen in encode_in_blocks(TorchEncoder(network), crop[None])]
    for num_maps in range(1, len(maps) + 1):
        paint_in_blocks(TorchPainter.of(network), maps[:num_maps])


def _sample(inputs: Tensor) -> Tensor:
    return inputs.flatten()[::_EVERY]


def _largest(inputs: Tensor) -> Tensor:
    return inputs.max()[None]


@contextmanager
def _watched(network: VQVAE, kept: dict[str, list[NDArray[np.float32]]], keep: Callable[[Tensor], Tensor]) -> Iterator[None]:
    """Keeps something of all inputs of the convolutions, by the names that weights files use."""
    stored = {tensor.data_ptr(): key.removesuffix(".weight") for key, tensor in network.stored_state().items()}
    first = network.encoder_blocks[0] if len(network.encoder_blocks) else None
    blocks = [block for block in network.modules() if isinstance(block, ResidualBlock) and block is not first]
    of_decoder = [block.conv_2 for block in network.decoder.bottom.blocks.modules() if isinstance(block, ResidualBlock)]

    def watch(module: nn.Conv2d, inputs: tuple[Any, ...]) -> None:
        kept.setdefault(stored[module.weight.data_ptr()], []).append(keep(inputs[0]).float().cpu().numpy())

    handles = [
        convolution.register_forward_pre_hook(watch)
        for convolution in (*(block.conv_1 for block in blocks), *of_decoder, network.decoder.bottom.to_pixels)
    ]
    try:
        yield
    finally:
        for handle in handles:
            handle.remove()


def best_range(activations: NDArray[np.float32]) -> float:
    """Returns the largest activation of 8 bits by which given ones, which swish gave, have the least squared error."""
    low = min(float(activations.min()), 0.0)
    largest = [max(float(activations.max()), _LEAST) * share for share in _SHARES]
    return float(min(largest, key=lambda high: _squared_error(activations, low, high)))


def _squared_error(activations: NDArray[np.float32], low: float, high: float) -> float:
    step = (high - low) / _STEPS
    rounded = np.round(np.clip(activations, low, high) / step) * step
    return float(np.square(activations - rounded).sum())


def write_ranges(folder: Path, ranges: dict[str, float]) -> None:
    """Writes ranges into the config of a model folder."""
    path = folder / CONFIG_NAME
    values = json.loads(path.read_text(encoding="utf-8"))
    values[RANGES_KEY] = ranges
    write_file(path, to_json(values))
