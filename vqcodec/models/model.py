"""Loads models: networks, static frequencies and priors, from a model folder onto a device, each when it is needed first."""

import math
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, replace
from functools import cached_property, lru_cache
from pathlib import Path
from threading import Lock
from typing import TYPE_CHECKING, Final, TypeVar, overload

import numpy as np
from numpy.typing import NDArray

from vqcodec.checks import checked_number
from vqcodec.coding.frequencies import check_freqs
from vqcodec.coding.maps import MapCoding
from vqcodec.errors import ModelError, lack_of_memory_told
from vqcodec.models.config import ModelConfig
from vqcodec.models.devices import device_name
from vqcodec.models.registry import find_model
from vqcodec.models.weights import Tensors, misfits_told, read_weights, with_prefix
from vqcodec.nn.autoencoder.stored import StoredNetwork
from vqcodec.nn.prior.native import NativePrior, kernels_take

if TYPE_CHECKING:
    from vqcodec.nn.autoencoder.decoders import BlendedDecoder, Decoder
    from vqcodec.nn.autoencoder.vqvae import VQVAE
    from vqcodec.nn.prior.pixelsnail import PixelSnail

STATIC_FREQS_KEY: Final = "static_freqs"
NETWORK_PREFIX: Final = "autoencoder."
PRIOR_PREFIX: Final = "prior_{}."
_DECODER_PREFIXES: Final = ("top_decoder.", "decoder.")

Item = TypeVar("Item")


class Made(Sequence[Item]):
    """Items each of which is made when it is asked for first, by one thread alone, and kept.

    Args:
        count: number of items.
        make: function that makes the item of a number.
    """

    def __init__(self, count: int, make: Callable[[int], Item]) -> None:
        self._count, self._make = count, make
        self._items: dict[int, Item] = {}
        self._lock = Lock()

    def __len__(self) -> int:
        return self._count

    @overload
    def __getitem__(self, place: int) -> Item: ...

    @overload
    def __getitem__(self, place: slice) -> list[Item]: ...

    def __getitem__(self, place: int | slice) -> Item | list[Item]:
        if isinstance(place, slice):
            return [self[number] for number in range(self._count)[place]]
        number = range(self._count)[place]
        with self._lock:
            if number not in self._items:
                self._items[number] = self._make(number)
            return self._items[number]


@dataclass(frozen=True, eq=False)
class Model:
    """A loaded model, whose parts are made of its tensors when they are needed first.

    Attributes:
        config: its description.
        tensors: the tensors of its weights file.
        static_freqs: int64 [maps, K], the order-0 frequencies of each map.
        device: device that the networks run on, "cpu" or "cuda".

    Raises:
        ModelError: A part that is needed does not fit the config.
    """

    config: ModelConfig
    tensors: Tensors
    static_freqs: NDArray[np.int64]
    device: str

    def __reduce__(self) -> tuple[object, ...]:
        """Says how copies are made, and what is sent to other processes: they load the model folder, whose weights are checked."""
        return load_model, (self.config, self.device)

    @cached_property
    def network(self) -> "VQVAE":
        """The autoencoder in evaluation mode, float32."""
        from vqcodec.models.networks import stored_network
        from vqcodec.nn.autoencoder.vqvae import VQVAE

        with misfits_told(self.config.weights_path):
            network = stored_network(VQVAE, self.config.network, with_prefix(self.tensors, NETWORK_PREFIX), self.device)
        if "decoder" in vars(self):
            network.decoder = self.decoder
        return network

    @cached_property
    def decoder(self) -> "Decoder":
        """The autoencoder's decoder; without the rest of it, as long as that is not needed."""
        if "network" in vars(self):
            return self.network.decoder
        with misfits_told(self.config.weights_path):
            return self._torch_decoder(self.stored_decoder)

    @cached_property
    def perceptual_decoder(self) -> "Decoder":
        """The perceptual decoder.

        Raises:
            ModelError: The model has none, or a broken one.
        """
        stored = self.stored_perceptual_decoder
        with misfits_told(self.config.perceptual_path):
            return self._torch_decoder(stored)

    def _torch_decoder(self, stored: StoredNetwork) -> "Decoder":
        from vqcodec.models.networks import stored_network
        from vqcodec.nn.autoencoder.decoders import Decoder

        return stored_network(Decoder, stored.config, stored.tensors, self.device)

    def make_all(self) -> None:
        """Makes all parts, those of the perceptual decoder too where there is one, so that none is found broken later.

        Raises:
            ModelError: A part does not fit the config; `WeightsMismatchError` where the perceptual decoder's digest differs.
        """
        if self.config.perceptual_sha256 is not None:
            _ = self.perceptual_decoder
        _ = self.network, self.codebooks, self.torch_codings[:], self.codings[:]

    @property
    def stored_network(self) -> StoredNetwork:
        """The tensors of the autoencoder, and the ranges of its convolutions in 8 bits."""
        return StoredNetwork(self.config.network, with_prefix(self.tensors, NETWORK_PREFIX), dict(self.config.activation_ranges))

    @property
    def stored_decoder(self) -> StoredNetwork:
        """The tensors of the autoencoder's decoder."""
        tensors = self.stored_network.tensors
        return StoredNetwork(self.config.network, {name: values for name, values in tensors.items() if name.startswith(_DECODER_PREFIXES)})

    @cached_property
    def stored_perceptual_decoder(self) -> StoredNetwork:
        """The tensors of the perceptual decoder.

        Raises:
            ModelError: The model has none, or its file cannot be read; `WeightsMismatchError` where the digest differs.
        """
        config = self.config
        if config.perceptual_sha256 is None:
            raise ModelError(f"model {config.id} has no perceptual decoder; realism must be 0")
        deeper = replace(config.network, blocks_decoder=config.network.blocks_decoder + config.perceptual_extra_blocks)
        return StoredNetwork(deeper, read_weights(config.perceptual_path, config.perceptual_sha256))

    @cached_property
    def codebooks(self) -> NDArray[np.float32]:
        """Vectors of all codes of all maps, [maps, K, D]."""
        names = ["quantizer_top.stages.0", *(f"quantizer_bottom.stages.{number}" for number in range(self.config.num_maps - 1))]
        shape = self.config.network.codebook_size, self.config.network.embedding_dim
        return np.stack([self._tensor(f"{name}.codebook", shape) for name in names])

    @cached_property
    def priors(self) -> Sequence["PixelSnail"]:
        """Priors of the first maps, in evaluation mode, their parameters in fixed point."""
        return Made(len(self.config.priors), self._prior)

    def _prior(self, number: int) -> "PixelSnail":
        from vqcodec.models.networks import stored_prior

        with misfits_told(self.config.weights_path):
            return stored_prior(self.config.priors[number], with_prefix(self.tensors, PRIOR_PREFIX.format(number)), self.device)

    @cached_property
    def codings(self) -> Sequence[MapCoding]:
        """The means to code each of the maps, with priors that need no torch where the kernels take them."""
        if self.device != "cpu" or not all(map(kernels_take, self.config.priors)):
            return self.torch_codings
        priors = Made(len(self.config.priors), self._native_prior)
        return Made(self.config.num_maps, lambda number: self._coding(number, priors))

    @cached_property
    def torch_codings(self) -> Sequence[MapCoding]:
        """The means to code each of the maps, with priors in torch."""
        return Made(self.config.num_maps, lambda number: self._coding(number, self.priors))

    def _native_prior(self, number: int) -> NativePrior:
        with misfits_told(self.config.weights_path):
            return NativePrior(self.config.priors[number], with_prefix(self.tensors, PRIOR_PREFIX.format(number)))

    def _coding(self, number: int, priors: Sequence["PixelSnail | NativePrior"]) -> MapCoding:
        prior = priors[number] if number < len(priors) else None
        return map_coding(number, self.static_freqs[number], prior, self.config.top_max_rate_weight)

    def _tensor(self, name: str, shape: tuple[int, ...]) -> NDArray[np.float32]:
        """Returns a tensor of the autoencoder, float32."""
        with misfits_told(self.config.weights_path):
            values = self.tensors[NETWORK_PREFIX + name]
            if values.shape != shape:
                raise ValueError(f"tensor {name} has shape {list(values.shape)}, expected {list(shape)}")
            return values.astype(np.float32)


def map_coding(
    number: int, static_freqs: NDArray[np.int64], prior: "PixelSnail | NativePrior | None", top_max_rate_weight: float
) -> MapCoding:
    """Returns the means to code a map.

    Args:
        number: number of the map.
        static_freqs: int64 [K], its order-0 frequencies.
        prior: its prior, where there is one.
        top_max_rate_weight: largest lambda that codes of the top map are to be chosen with.
    """
    return MapCoding(number, static_freqs, prior, math.inf if number else top_max_rate_weight)


@lack_of_memory_told()
def load_model(model: ModelConfig | str | Path, device: str = "auto") -> Model:
    """Loads a model's weights; loaded models are kept for the next call.

    What is made of the weights is made later, when it is needed (`Model`).

    Args:
        model: config of the model, id of an installed one, or a model folder.
        device: "auto" (CUDA where there is one), "cpu" or "cuda".

    Raises:
        ModelError: The model is not installed or broken, or there is no such device; `WeightsMismatchError` where the digest differs.
    """
    config = model if isinstance(model, ModelConfig) else find_model(model)
    return _load(replace(config, folder=config.folder.absolute()), device_name(device))


@lru_cache(maxsize=4)
def _load(config: ModelConfig, device: str) -> Model:
    tensors = read_weights(config.weights_path, config.weights_sha256)
    with misfits_told(config.weights_path):
        expected = [(number, config.network.codebook_size) for number in range(config.num_maps)]
        if [(prior.earlier_maps, prior.codebook_size) for prior in config.priors] != expected[: len(config.priors)]:
            raise ValueError("priors of other maps or codebooks than the network's")
        static_freqs = tensors[STATIC_FREQS_KEY].astype(np.int64)
        if static_freqs.shape != (size := (config.num_maps, config.network.codebook_size)):
            raise ValueError(f"{STATIC_FREQS_KEY} must be {list(size)}, not {list(static_freqs.shape)}")
        for freqs in static_freqs:
            check_freqs(freqs)
        _check_names(tensors, [NETWORK_PREFIX, *(PRIOR_PREFIX.format(number) for number in range(len(config.priors)))])
    return Model(config, tensors, static_freqs, device)


def _check_names(tensors: Tensors, prefixes: Iterable[str]) -> None:
    """Checks that there are no tensors that nobody reads.

    Raises:
        ValueError: There are some.
    """
    if unknown := [name for name in tensors if name != STATIC_FREQS_KEY and not name.startswith(tuple(prefixes))]:
        raise ValueError(f"unknown tensors {', '.join(sorted(unknown))}")


def load_decoder(model: Model, realism: float) -> "Decoder | BlendedDecoder":
    """Returns the decoder that paints a model's pictures with more or less invented detail; it is kept for the next call.

    Args:
        model: the model whose codes are to be painted.
        realism: 0 for the model's own decoder; 1 for the perceptual decoder; between them both paint, and their pixels are mixed.

    Raises:
        ModelError: The model has no perceptual decoder, or a broken one.
        TypeError: realism is no number.
        ValueError: realism is not in 0..1.
    """
    realism = checked_realism(realism)
    if realism == 0:
        return model.decoder
    if realism == 1:
        return model.perceptual_decoder
    from vqcodec.nn.autoencoder.decoders import BlendedDecoder

    return BlendedDecoder(model.decoder, model.perceptual_decoder, realism)


def checked_realism(realism: object) -> float:
    """Returns an argument that must be the share of the perceptual decoder in a picture, as a number of Python.

    Raises:
        TypeError: It is no number.
        ValueError: It is not in 0..1.
    """
    share = checked_number("realism", realism)
    if not 0 <= share <= 1:
        raise ValueError(f"realism must be in 0..1, not {share}")
    return share
