"""Loads models: networks, static frequencies and priors, from a model folder onto a device."""

import math
import os
from collections.abc import Sequence
from dataclasses import dataclass, replace
from functools import cached_property, lru_cache, partial
from pathlib import Path
from typing import Final, TypeVar

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from vqcodec.checks import check_number
from vqcodec.coding.frequencies import check_freqs
from vqcodec.coding.maps import MapCoding
from vqcodec.errors import ModelError
from vqcodec.models.config import PERCEPTUAL_NAME, ModelConfig
from vqcodec.models.devices import resolve_device
from vqcodec.models.registry import find_model
from vqcodec.models.weights import filled, pop_prefixed, read_weights
from vqcodec.nn.autoencoder.decoders import BlendedDecoder, Decoder
from vqcodec.nn.autoencoder.vqvae import VQVAE
from vqcodec.nn.configs import VQVAEConfig
from vqcodec.nn.prior.pixelsnail import PixelSnail
from vqcodec.nn.prior.threads import make_forks_safe

STATIC_FREQS_KEY: Final = "static_freqs"
NETWORK_PREFIX: Final = "autoencoder."
PRIOR_PREFIX: Final = "prior_{}."
_PRIMITIVES_VARIABLE: Final = "ONEDNN_PRIMITIVE_CACHE_CAPACITY"
_KEPT_PRIMITIVES: Final = "256"
"""Most convolutions, each of one shape, that oneDNN is to keep prepared, by which torch runs them on a CPU. It would keep 1024: some 70 MiB
more, which grow with every new size of a picture. It reads the variable before the first convolution."""

Network = TypeVar("Network", bound=nn.Module)
Stored = TypeVar("Stored", VQVAE, Decoder)


@dataclass(frozen=True)
class Model:
    """A loaded model.

    Attributes:
        config: its description.
        network: the autoencoder in evaluation mode, float32, on `device`.
        static_freqs: int64 [maps, K], the order-0 frequencies of each map.
        priors: priors of the first maps, in evaluation mode, their parameters in fixed point, on `device`.
        device: device that the networks run on.
    """

    config: ModelConfig
    network: VQVAE
    static_freqs: NDArray[np.int64]
    priors: tuple[PixelSnail, ...]
    device: torch.device

    @cached_property
    def codings(self) -> list[MapCoding]:
        """The means to code each of the maps."""
        return map_codings(self.static_freqs, self.priors, self.config.top_max_rate_weight, self.network.decoder.bottom.mean_colours)


def map_codings(
    static_freqs: NDArray[np.int64], priors: Sequence[PixelSnail], top_max_rate_weight: float, colours: Sequence[Tensor]
) -> list[MapCoding]:
    """Returns the means to code each map.

    Args:
        static_freqs: int64 [maps, K], the order-0 frequencies of each map.
        priors: priors of the first maps.
        top_max_rate_weight: largest lambda that codes of the top map are to be chosen with.
        colours: what vectors of the top map, and of the one after it, add to the mean colour (`BottomDecoder.mean_colours`).
    """
    return [
        MapCoding(
            number,
            freqs,
            priors[number] if number < len(priors) else None,
            math.inf if number else top_max_rate_weight,
            colours[number] if number < len(colours) else None,
        )
        for number, freqs in enumerate(static_freqs)
    ]


def load_model(model: ModelConfig | str | Path, device: str = "auto") -> Model:
    """Loads a model's weights; loaded models are kept for the next call.

    Args:
        model: config of the model, id of an installed one, or a model folder.
        device: "auto" (CUDA where there is one), "cpu" or "cuda".

    Raises:
        ModelError: The model is not installed or broken, or there is no such device; `WeightsMismatchError` where the digest differs.
    """
    config = model if isinstance(model, ModelConfig) else find_model(model)
    return _load(config, str(resolve_device(device)))


@lru_cache(maxsize=4)
def _load(config: ModelConfig, device_name: str) -> Model:
    make_forks_safe()
    os.environ.setdefault(_PRIMITIVES_VARIABLE, _KEPT_PRIMITIVES)
    device = torch.device(device_name)

    def parts(tensors: dict[str, Tensor]) -> Model:
        expected = [(number, config.network.codebook_size) for number in range(config.num_maps)]
        if [(prior.earlier_maps, prior.codebook_size) for prior in config.priors] != expected[: len(config.priors)]:
            raise ValueError("priors of other maps or codebooks than the network's")
        static_freqs = tensors.pop(STATIC_FREQS_KEY).numpy().astype(np.int64)
        if static_freqs.shape != (size := (config.num_maps, config.network.codebook_size)):
            raise ValueError(f"{STATIC_FREQS_KEY} must be {list(size)}, not {list(static_freqs.shape)}")
        for freqs in static_freqs:
            check_freqs(freqs)
        priors = []
        for number, shape in enumerate(config.priors):
            own = pop_prefixed(tensors, PRIOR_PREFIX.format(number))
            make = partial(PixelSnail, shape)
            priors.append(filled(make, PixelSnail.load_integers, own, expected=PixelSnail.state_dict, num_blocks=shape.num_blocks))
        network = _filled_network(VQVAE, config.network, pop_prefixed(tensors, NETWORK_PREFIX), config.network.num_blocks)
        if tensors:
            raise ValueError(f"unknown tensors {', '.join(sorted(tensors))}")
        placed = tuple(prior.eval().requires_grad_(False).to(device) for prior in priors)
        return Model(config, _placed(network, device), static_freqs, placed, device)

    return read_weights(config.weights_path, config.weights_sha256, parts)


def load_decoder(model: Model, realism: float) -> Decoder | BlendedDecoder:
    """Returns the decoder that paints a model's pictures with more or less invented detail; it is kept for the next call.

    Args:
        model: the model whose codes are to be painted.
        realism: 0 for the model's own decoder; 1 for the perceptual decoder; between them both paint, and their pixels are mixed.

    Raises:
        ModelError: The model has no perceptual decoder, or a broken one.
        TypeError: realism is no number.
        ValueError: realism is not in 0..1.
    """
    check_number("realism", realism, is_whole=False)
    if not 0 <= realism <= 1:
        raise ValueError(f"realism must be in 0..1, not {realism}")
    faithful = model.network.decoder
    if realism == 0:
        return faithful
    config = model.config
    if config.perceptual_sha256 is None:
        raise ModelError(f"model {config.id} has no perceptual decoder; realism must be 0")
    perceptual = _load_perceptual(config.folder, config.perceptual_sha256, config.perceptual_extra_blocks, model.network)
    return perceptual if realism == 1 else BlendedDecoder(faithful, perceptual, realism)


@lru_cache(maxsize=4)
def _load_perceptual(folder: Path, perceptual_sha256: str, extra_blocks: int, network: VQVAE) -> Decoder:
    def decoder(tensors: dict[str, Tensor]) -> Decoder:
        deeper = replace(network.config, blocks_decoder=network.config.blocks_decoder + extra_blocks)
        return _placed(_filled_network(Decoder, deeper, tensors, deeper.num_decoder_blocks), network.codebooks.device)

    return read_weights(folder / PERCEPTUAL_NAME, perceptual_sha256, decoder)


def _filled_network(kind: type[Stored], shape: VQVAEConfig, tensors: dict[str, Tensor], num_blocks: int) -> Stored:
    """Returns an autoencoder or a decoder with the tensors of a weights file."""
    floats = {name: values.float() for name, values in tensors.items()}
    return filled(partial(kind, shape), kind.load_stored_state, floats, expected=kind.stored_state, num_blocks=num_blocks)


def _placed(network: Network, device: torch.device) -> Network:
    """Makes a network ready for inference on a device."""
    network.eval().requires_grad_(False).to(device)
    network.to(memory_format=torch.channels_last)  # type: ignore[call-overload]
    return network
