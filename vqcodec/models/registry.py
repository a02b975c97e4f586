"""Models by permanent number and id: finds their folders in a checkout, in a wheel and in VQCODEC_MODELS, checks and loads them.

A model folder holds `config.json` and `weights.safetensors`. Listing models reads the configs alone and imports no torch.
"""

import hashlib
import math
import os
from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from functools import cached_property, lru_cache
from pathlib import Path
from textwrap import shorten
from typing import TYPE_CHECKING, Final

import numpy as np
from numpy.typing import NDArray

from vqcodec.checks import check_number, config_from_dict
from vqcodec.coding.frequencies import check_freqs
from vqcodec.errors import ModelError, UnknownModelError, WeightsMismatchError
from vqcodec.models.config import CONFIG_NAME, ModelConfig, read_config
from vqcodec.models.devices import resolve_device

if TYPE_CHECKING:
    import torch

    from vqcodec.coding.maps import MapCoding
    from vqcodec.nn.autoencoder.painters import BlendedPainter
    from vqcodec.nn.autoencoder.vqvae import VQVAE, Painter
    from vqcodec.nn.prior.pixelsnail import PixelSnail

DEFAULT_MODEL: Final = "photo-v5"
MODELS_VARIABLE: Final = "VQCODEC_MODELS"
PERCEPTUAL_NAME: Final = "perceptual.safetensors"
STATIC_FREQS_KEY: Final = "static_freqs"
NETWORK_PREFIX: Final = "autoencoder."
PRIOR_PREFIX: Final = "prior_{}."
_LONGEST_MESSAGE: Final = 300


@dataclass(frozen=True)
class Model:
    """A loaded model.

    Attributes:
        config: its description.
        network: the autoencoder in evaluation mode, float32, on `device`.
        static_freqs: int64 [maps, K], the order-0 frequencies of each map.
        priors: of the first maps, in evaluation mode, their parameters in fixed point, on `device`.
        device: where the network runs.
    """

    config: ModelConfig
    network: "VQVAE"
    static_freqs: NDArray[np.int64]
    priors: "tuple[PixelSnail, ...]"
    device: "torch.device"

    @cached_property
    def codings(self) -> "list[MapCoding]":
        """What codes each of the maps."""
        from vqcodec.coding.maps import MapCoding

        priors, limits = dict(enumerate(self.priors)), {0: self.config.top_max_rate_weight}
        maps = enumerate(self.static_freqs)
        return [MapCoding(number, freqs, priors.get(number), limits.get(number, math.inf)) for number, freqs in maps]


def model_roots() -> list[Path]:
    """Folders that hold model folders: those of VQCODEC_MODELS, then the installed or the checkout's own."""
    package = Path(__file__).resolve().parents[1]
    return [root for root in (*_named_roots(), package / "_models", package.parent / "models") if root.is_dir()]


def _named_roots() -> list[Path]:
    return [Path(part) for part in os.environ.get(MODELS_VARIABLE, "").split(os.pathsep) if part]


def list_models(on_error: Callable[[ModelError], object] = lambda _: None) -> list[ModelConfig]:
    """Every model that can be found, by number; of equal ids the first found.

    A broken config, or a folder of VQCODEC_MODELS that holds no model, is left out, and told to `on_error`.
    """
    found: dict[str, ModelConfig] = {}
    for config in _all_models(on_error):
        found.setdefault(config.id, config)
    return sorted(found.values(), key=lambda config: config.number)


def _all_models(on_error: Callable[[ModelError], object] = lambda _: None) -> Iterator[ModelConfig]:
    for folder in _named_roots():
        if not any(folder.glob(f"*/{CONFIG_NAME}")):
            on_error(ModelError(f"{folder}, named by {MODELS_VARIABLE}: expected a folder of model folders"))
    for root in model_roots():
        for path in sorted(root.glob(f"*/{CONFIG_NAME}")):
            try:
                yield read_config(path.parent)
            except ModelError as error:
                on_error(error)


def find_model(id_or_folder: str | Path) -> ModelConfig:
    """The model of this id, or in this folder.

    Raises:
        UnknownModelError: there is none.
    """
    models = list_models()
    for config in models:
        if config.id == id_or_folder:
            return config
    for folder in (Path(id_or_folder), *(root / id_or_folder for root in model_roots())):
        if (folder / CONFIG_NAME).is_file():
            return read_config(folder)
    known = ", ".join(config.id for config in models) or "none"
    raise UnknownModelError(f"no model {str(id_or_folder)!r}; installed: {known}")


def open_model(model: str | Path = DEFAULT_MODEL, *, device: str = "auto") -> Model:
    """Loads a model by id, or from a model folder.

    Args:
        model: id of an installed model, or a folder with `config.json` and `weights.safetensors`.
        device: "auto" (CUDA where there is one), "cpu" or "cuda".

    Raises:
        ModelError: by subclass, not installed, broken, or no such device.
    """
    return load_model(find_model(model), device)


def find_model_by_number(number: int, weights_digest: bytes) -> ModelConfig:
    """The model that a file names.

    Raises:
        UnknownModelError: no installed model has this number.
        WeightsMismatchError: one has, with other weights.
    """
    same_number = [config for config in _all_models() if config.number == number]
    for config in same_number:
        if config.weights_digest == weights_digest:
            return config
    if same_number:
        raise WeightsMismatchError(
            f"file was written with weights {weights_digest.hex()} of model {number}; "
            f"installed {same_number[0].id} has {same_number[0].weights_digest.hex()}"
        )
    raise UnknownModelError(
        f"file needs model number {number} (weights {weights_digest.hex()}), which is not installed; "
        f"{MODELS_VARIABLE} names folders of further models"
    )


def model_id(number: int, weights_digest: bytes) -> str:
    """The id of an installed model, or `#number` where it is not installed with these weights."""
    try:
        return find_model_by_number(number, weights_digest).id
    except ModelError:
        return f"#{number}"


def is_installed(config: ModelConfig) -> bool:
    """Whether files of this model can be decoded: whether it, or the same under another name, is found by number and weights."""
    try:
        find_model_by_number(config.number, config.weights_digest)
    except ModelError:
        return False
    return True


def load_model(config: ModelConfig, device: str = "auto") -> Model:
    """Loads a model's weights; loaded models are kept for the next call.

    Raises:
        ModelError: a broken config or weights file; `WeightsMismatchError` where the digest differs.
    """
    return _load(config, str(resolve_device(device)))


@lru_cache(maxsize=4)
def _load(config: ModelConfig, device_name: str) -> Model:
    import safetensors
    import safetensors.torch
    import torch

    from vqcodec.nn.autoencoder.vqvae import VQVAE, VQVAEConfig
    from vqcodec.nn.prior.pixelsnail import PixelSnail, PriorConfig

    try:
        prior_configs = [config_from_dict(PriorConfig, values, "a prior") for values in config.priors]
        network_config = config_from_dict(VQVAEConfig, config.network, "network")
    except ValueError as error:
        raise ModelError(f"{config.folder / CONFIG_NAME}: not a model config: {error}") from error
    data = _read_checked(config.weights_path, config.weights_sha256)
    try:
        tensors = safetensors.torch.load(data)
        static_freqs = tensors.pop(STATIC_FREQS_KEY).numpy().astype(np.int64)
        for freqs in static_freqs:
            check_freqs(freqs)
        priors = tuple(PixelSnail(prior_config) for prior_config in prior_configs)
        for number, prior in enumerate(priors):
            prior.load_integers(_pop_prefixed(tensors, PRIOR_PREFIX.format(number)))
        network = VQVAE(network_config)
        network.load_inference_state({key: value.float() for key, value in _pop_prefixed(tensors, NETWORK_PREFIX).items()})
        expected = [(number, network.config.codebook_size) for number in range(network.config.num_maps)]
        if [(prior.config.earlier_maps, prior.config.codebook_size) for prior in priors] != expected[: len(priors)]:
            raise ValueError("priors of other maps or codebooks than the network's")
        if tensors:
            raise ValueError(f"unknown tensors {', '.join(sorted(tensors))}")
    except (safetensors.SafetensorError, KeyError, RuntimeError, TypeError, ValueError) as error:
        raise ModelError(f"{config.weights_path}: does not fit {CONFIG_NAME}: {shorten(str(error), _LONGEST_MESSAGE)}") from error
    device = torch.device(device_name)
    network = network.eval().requires_grad_(False).to(device)
    network.to(memory_format=torch.channels_last)  # type: ignore[call-overload]
    return Model(config, network, static_freqs, tuple(prior.eval().requires_grad_(False).to(device) for prior in priors), device)


def load_painter(model: Model, realism: float) -> "Painter | BlendedPainter | None":
    """What paints a model's pictures with more or less invented detail; the perceptual decoder is kept for the next call.

    Args:
        model: whose codes are to be painted.
        realism: 0 for the faithful decoder, which is the model's own network: None is returned; 1 for the perceptual one; between
            them both paint, and their pixels are mixed.

    Raises:
        ModelError: the model has no perceptual decoder, or a broken one.
        TypeError: realism is no number.
        ValueError: it is not in 0..1.
    """
    check_number("realism", realism, is_whole=False)
    if not 0 <= realism <= 1:
        raise ValueError(f"realism must be in 0..1, not {realism}")
    if realism == 0:
        return None
    if model.config.perceptual_sha256 is None:
        raise ModelError(f"model {model.config.id} has no perceptual decoder; only realism 0 can be had")
    config = model.config
    painter = _load_perceptual(config.folder, config.perceptual_sha256, config.perceptual_extra_blocks, model.network)
    if realism == 1:
        return painter
    from vqcodec.nn.autoencoder.painters import BlendedPainter

    return BlendedPainter(model.network, painter, realism)


@lru_cache(maxsize=4)
def _load_perceptual(folder: Path, perceptual_sha256: str, extra_blocks: int, network: "VQVAE") -> "Painter":
    import safetensors
    import safetensors.torch
    import torch

    from vqcodec.nn.autoencoder.vqvae import Painter

    path = folder / PERCEPTUAL_NAME
    painter = Painter(replace(network.config, blocks_decoder=network.config.blocks_decoder + extra_blocks))
    try:
        painter.load_state_dict(
            {key: value.float() for key, value in safetensors.torch.load(_read_checked(path, perceptual_sha256)).items()}
        )
    except (safetensors.SafetensorError, KeyError, RuntimeError, ValueError) as error:
        raise ModelError(f"{path}: does not fit {CONFIG_NAME}: {shorten(str(error), _LONGEST_MESSAGE)}") from error
    painter = painter.eval().requires_grad_(False).to(network.codebooks.device)
    painter.to(memory_format=torch.channels_last)  # type: ignore[call-overload]
    return painter


def _read_checked(path: Path, sha256: str) -> bytes:
    """The bytes of a file of this digest.

    Raises:
        ModelError: it cannot be read; `WeightsMismatchError` where the digest differs.
    """
    try:
        data = path.read_bytes()
    except OSError as error:
        raise ModelError(f"{path}: cannot be read: {error.strerror}") from error
    digest = hashlib.sha256(data).hexdigest()
    if digest != sha256:
        raise WeightsMismatchError(f"{path}: sha256 is {digest}, expected {sha256}")
    return data


def _pop_prefixed(tensors: "dict[str, torch.Tensor]", prefix: str) -> "dict[str, torch.Tensor]":
    return {key.removeprefix(prefix): tensors.pop(key) for key in list(tensors) if key.startswith(prefix)}
