"""The config.json of a model folder, read and checked once. Imports no torch."""

import json
import re
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

from vqcodec.checks import check_fields, config_from_dict
from vqcodec.errors import ModelError
from vqcodec.format.container import DIGEST_BYTES, MAX_MODEL_NUMBER
from vqcodec.models.dial import Dial, Tune
from vqcodec.nn.configs import AFTER_SWISH, PriorConfig, VQVAEConfig

CONFIG_NAME: Final = "config.json"
WEIGHTS_NAME: Final = "weights.safetensors"
PERCEPTUAL_NAME: Final = "perceptual.safetensors"

FAITHFUL_DIAL_KEY: Final = "dial"
"""Key in config.json of the dial for the model's own decoder."""

PERCEPTUAL_DIAL_KEY: Final = "perceptual_dial"
"""Key in config.json of the dial for the perceptual decoder."""

RANGES_KEY: Final = "activation_ranges"
"""Key in config.json of the ranges of activations in 8 bits."""

_MOST_RANGE: Final = 1e6
"""Largest of these ranges."""

TOP_MAX_RATE_WEIGHT: Final = 0.3
"""Largest lambda for the top map where a model states none: with fewer bits quality falls off a cliff, and later maps pay for it."""


@dataclass(frozen=True)
class ModelConfig:
    """The description of a model.

    Attributes:
        id: name of the model and of its folder; permanent.
        number: number of the model in files; permanent. Numbers from 1000 on are free for private models.
        parameters: number of trained values in the network.
        weights_sha256: hexadecimal digest of the weights file.
        network: shape of the autoencoder.
        priors: shapes of the priors, one for each of the first maps.
        faithful_dial: dial for files that the model's own decoder will paint; None where it was never calibrated.
        top_max_rate_weight: largest lambda for the top map, after the factor of the map; above 0.
        perceptual_sha256: hexadecimal digest of the perceptual decoder's file; None where the model has none.
        perceptual_extra_blocks: residual blocks of the perceptual decoder at 1/4 beyond those of the network's own decoder.
        perceptual_dial: dial for files that the perceptual decoder will paint; None where it was never calibrated.
        activation_ranges: largest inputs of the convolutions that the encoder may compute in 8 bits, with their names; none by default.
        folder: folder that the model was found in.
    """

    id: str
    number: int
    parameters: int
    weights_sha256: str
    network: VQVAEConfig
    priors: tuple[PriorConfig, ...]
    faithful_dial: Dial | None
    top_max_rate_weight: float
    perceptual_sha256: str | None
    perceptual_extra_blocks: int
    perceptual_dial: Dial | None
    activation_ranges: tuple[tuple[str, float], ...]
    folder: Path

    @property
    def weights_digest(self) -> bytes:
        """The first bytes of the digest, which files carry."""
        return bytes.fromhex(self.weights_sha256)[:DIGEST_BYTES]

    @property
    def num_maps(self) -> int:
        """Number of the network's maps: top, bottom, refinements."""
        return self.network.num_maps

    @property
    def weights_path(self) -> Path:
        """Path of the weights file."""
        return self.folder / WEIGHTS_NAME

    @property
    def perceptual_path(self) -> Path:
        """Path of the perceptual decoder's file."""
        return self.folder / PERCEPTUAL_NAME

    def dial(self, tune: Tune) -> Dial:
        """Returns the dial for files that are tuned so.

        A model that was never calibrated gives each number of maps an equal share of the scale, and the nearest codes.

        Raises:
            ModelError: The model has no dial for the perceptual decoder.
        """
        if tune != "perceptual":
            return self.faithful_dial or Dial.even(self.num_maps)
        if self.perceptual_dial is None:
            command = f"; `vqcodec train dial --model {self.folder} --perceptual ...` makes one" if self.perceptual_sha256 else ""
            raise ModelError(f"model {self.id} has no dial for a perceptual decoder; expected --tune iq or psnr{command}")
        return self.perceptual_dial


def check_id(name: str) -> None:
    """Checks the id of a model, which is also the name of its folder, and is printed.

    Raises:
        ValueError: It holds something else than letters, digits, '_', '-' and '.'.
    """
    if not re.fullmatch(r"[\w.-]+", name) or name in (".", ".."):
        raise ValueError(f"id must be letters, digits, '_', '-' and '.', not {name!r}")


def read_config(folder: Path) -> ModelConfig:
    """Reads and checks a model folder's config.json.

    Raises:
        ModelError: It is absent or malformed.
    """
    path = folder / CONFIG_NAME
    try:
        values = json.loads(path.read_text(encoding="utf-8"))
        if not isinstance(values, dict):
            raise ValueError(f"expected a table, not {values!r}")
        config = _config_of(values, folder)
    except KeyError as error:
        raise ModelError(f"{path}: not a model config: {error} is missing") from error
    except OSError as error:
        raise ModelError(f"{path}: cannot be read: {(error.strerror or str(error)).lower()}") from error
    except (ValueError, RecursionError) as error:
        raise ModelError(f"{path}: not a model config: {error}") from error
    return config


def _config_of(values: dict[str, Any], folder: Path) -> ModelConfig:
    """Returns the config of a model folder from what its config.json holds.

    Raises:
        KeyError: A key is missing.
        ValueError: A value is not as it should be.
    """
    priors = values.get("priors", [])
    if not isinstance(priors, list):
        raise ValueError(f"priors must be a list, not {priors!r}")
    config = ModelConfig(
        id=values["id"],
        number=values["number"],
        parameters=values["parameters"],
        weights_sha256=values["weights_sha256"],
        network=config_from_dict(VQVAEConfig, values["network"], "network"),
        priors=tuple(config_from_dict(PriorConfig, prior, "priors") for prior in priors),
        faithful_dial=_read_dial(values, FAITHFUL_DIAL_KEY),
        top_max_rate_weight=values.get("top_max_rate_weight", TOP_MAX_RATE_WEIGHT),
        perceptual_sha256=values.get("perceptual_sha256"),
        perceptual_extra_blocks=values.get("perceptual_extra_blocks", 0),
        perceptual_dial=_read_dial(values, PERCEPTUAL_DIAL_KEY),
        activation_ranges=_read_ranges(values.get(RANGES_KEY, {})),
        folder=folder,
    )
    check_fields(config, {"number": (1, MAX_MODEL_NUMBER)})
    check_id(config.id)
    for name in ("weights_sha256", "perceptual_sha256"):
        digest = getattr(config, name)
        if digest is not None and not re.fullmatch("[0-9a-f]{64}", digest):
            raise ValueError(f"{name} must have 64 hexadecimal digits, not {digest!r}")
    if config.top_max_rate_weight == 0:
        raise ValueError("top_max_rate_weight must be above 0")
    if any(dial is not None and dial.max_maps > config.num_maps for dial in (config.faithful_dial, config.perceptual_dial)):
        raise ValueError(f"dials must have points of 1..{config.num_maps} maps")
    return config


def _read_dial(values: dict[str, Any], name: str) -> Dial | None:
    points = values.get(name, [])
    try:
        return None if points == [] else Dial.from_json(points)
    except ValueError as error:
        raise ValueError(f"{name}: {error}") from error


def _read_ranges(values: Any) -> tuple[tuple[str, float], ...]:
    if not isinstance(values, dict):
        raise ValueError(f"{RANGES_KEY} must be a table, not {values!r}")
    for name, largest in values.items():
        if not AFTER_SWISH.fullmatch(name):
            raise ValueError(f"{RANGES_KEY} must name convolutions that follow a swish, not {name!r}")
        if isinstance(largest, bool) or not isinstance(largest, int | float) or not 0 < largest <= _MOST_RANGE:
            raise ValueError(f"{RANGES_KEY}.{name} must be a number above 0, and at most {_MOST_RANGE:g}, not {largest!r}")
    return tuple(values.items())
