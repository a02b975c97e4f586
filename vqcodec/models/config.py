"""What a model folder's config.json says, checked, and what quality means by it. Imports no torch."""

import json
import math
import re
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final

from vqcodec.checks import check_fields
from vqcodec.errors import ModelError
from vqcodec.format.container import DIGEST_BYTES, MAX_MAPS, MAX_MODEL_NUMBER

DEFAULT_QUALITY: Final = 50
QUALITIES: Final = 100
MAX_RATE_WEIGHT: Final = 1e6
"""Far above what makes every code of the later maps the most probable one."""
TOP_MAX_RATE_WEIGHT: Final = 0.3
"""Of the top map, unless a model says otherwise. With fewer bits quality falls off a cliff, and later maps pay more than is saved."""
GAP_FACTOR: Final = 1.7
"""Of lambda, how far files go below the first point of a number of maps where no whole quality does."""
GAP_FROM: Final = 0.25
CONFIG_NAME: Final = "config.json"
WEIGHTS_NAME: Final = "weights.safetensors"


@dataclass(frozen=True)
class OperatingPoint:
    """What decides the rate of a file.

    Attributes:
        num_maps: how many of the model's maps are stored, at least 1.
        rate_weight: lambda, about what a bit is worth when codes are chosen (`RateDistortionChoice`), in 0..`MAX_RATE_WEIGHT`.
    """

    num_maps: int
    rate_weight: float


@dataclass(frozen=True)
class ModelConfig:
    """What config.json says.

    Attributes:
        id: name of the model and of its folder; permanent.
        number: the model's number in files; permanent. Numbers from 1000 on are free for private models.
        parameters: number of trained values in the network.
        weights_sha256: hexadecimal digest of the weights file.
        network: arguments of `VQVAEConfig`.
        priors: arguments of `PriorConfig`, one for each of the first maps.
        dial: the operating points of quality 1, 2, ... 100, smallest files first; empty where the model was never calibrated.
        top_max_rate_weight: the limit of lambda for the top map, after the factor of the map.
        perceptual_sha256: hexadecimal digest of the perceptual decoder's file; None where the model has none.
        perceptual_extra_blocks: residual blocks of the perceptual decoder at 1/4 beyond the network's own.
        perceptual_dial: the operating points of quality 1, 2, ... 100 for files that this decoder will paint; empty where never calibrated.
        folder: where the model was found.
    """

    id: str
    number: int
    parameters: int
    weights_sha256: str
    network: dict[str, Any] = field(hash=False)
    priors: tuple[dict[str, Any], ...] = field(hash=False)
    dial: tuple[OperatingPoint, ...]
    top_max_rate_weight: float
    perceptual_sha256: str | None
    perceptual_extra_blocks: int
    perceptual_dial: tuple[OperatingPoint, ...]
    folder: Path

    @property
    def weights_digest(self) -> bytes:
        """What files carry of the digest."""
        return bytes.fromhex(self.weights_sha256)[:DIGEST_BYTES]

    @property
    def num_maps(self) -> int:
        """Of the network: top, bottom, refinements."""
        return 2 + int(self.network["num_refinements"])

    def operating_point(self, quality: float, *, perceptual: bool = False) -> OperatingPoint:
        """What `quality` in 1..100 stands for; between whole numbers of it lambda is interpolated geometrically.

        Where the next whole number stands for one more map, so do the last three quarters of the way there, with a lambda that falls from
        `GAP_FACTOR` times the one there: files in a gap of the dial, which a limit may ask for.

        A model without a dial gives each number of maps an equal share of the scale, and the nearest codes.

        Args:
            quality: a place on the dial.
            perceptual: the dial is that for the perceptual decoder.

        Raises:
            ModelError: the model has no dial for the perceptual decoder.
            ValueError: quality out of range.
        """
        if not 1 <= quality <= QUALITIES:
            raise ValueError(f"quality must be in 1..{QUALITIES}, not {quality}")
        dial = self.perceptual_dial if perceptual else self.dial
        if perceptual and not dial:
            raise ModelError(f"model {self.id} has no dial for a perceptual decoder; it can be tuned for other ends only")
        if not dial:
            return OperatingPoint(math.ceil(quality * self.num_maps / QUALITIES), 0.0)
        below, above = dial[math.floor(quality) - 1], dial[math.ceil(quality) - 1]
        share = quality - math.floor(quality)
        if share == 0 or (below.num_maps < above.num_maps and share < GAP_FROM):
            return below
        if below.num_maps == above.num_maps:
            return OperatingPoint(below.num_maps, below.rate_weight ** (1 - share) * above.rate_weight**share)
        return OperatingPoint(above.num_maps, above.rate_weight * GAP_FACTOR ** ((1 - share) / (1 - GAP_FROM)))

    @property
    def weights_path(self) -> Path:
        """The weights file."""
        return self.folder / WEIGHTS_NAME


def check_id(name: str) -> None:
    """Raises ValueError unless a model can be called so: its id is also the name of its folder, and is printed."""
    if not re.fullmatch(r"[\w.-]+", name) or name in (".", ".."):
        raise ValueError(f"id must be letters, digits, '_', '-' and '.', not {name!r}")


def read_config(folder: Path) -> ModelConfig:
    """Reads and checks a model folder's config.json, but for the shapes of its networks, which are checked when they are loaded.

    Raises:
        ModelError: absent or malformed.
    """
    path = folder / CONFIG_NAME
    try:
        values = json.loads(path.read_text(encoding="utf-8"))
        if not isinstance(values, dict):
            raise ValueError(f"expected a table, not {values!r}")
        priors = values.get("priors", [])
        config = ModelConfig(
            id=values["id"],
            number=values["number"],
            parameters=values["parameters"],
            weights_sha256=values["weights_sha256"],
            network=values["network"],
            priors=tuple(priors) if isinstance(priors, list) else priors,
            dial=_read_dial(values, "dial"),
            top_max_rate_weight=values.get("top_max_rate_weight", TOP_MAX_RATE_WEIGHT),
            perceptual_sha256=values.get("perceptual_sha256"),
            perceptual_extra_blocks=values.get("perceptual_extra_blocks", 0),
            perceptual_dial=_read_dial(values, "perceptual_dial"),
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
        num_refinements = config.network.get("num_refinements")
        if type(num_refinements) is not int or not 0 <= num_refinements <= MAX_MAPS - 2:
            raise ValueError(f"num_refinements must be a whole number in 0..{MAX_MAPS - 2}, not {num_refinements!r}")
        if any(point.num_maps > config.num_maps for point in (*config.dial, *config.perceptual_dial)):
            raise ValueError(f"dials must have points of 1..{config.num_maps} maps")
    except KeyError as error:
        raise ModelError(f"{path}: not a model config: {error} is missing") from error
    except OSError as error:
        raise ModelError(f"{path}: cannot be read: {(error.strerror or str(error)).lower()}") from error
    except (ValueError, RecursionError) as error:
        raise ModelError(f"{path}: not a model config: {error}") from error
    return config


def _read_dial(values: dict[str, Any], name: str) -> tuple[OperatingPoint, ...]:
    points = values.get(name, [])
    if not isinstance(points, list):
        raise ValueError(f"{name} must be a list, not {points!r}")
    if len(points) not in (0, QUALITIES):
        raise ValueError(f"{name} must have {QUALITIES} points, not {len(points)}")
    for point in points:
        is_pair = isinstance(point, list) and len(point) == 2 and type(point[0]) is int and type(point[1]) in (int, float)
        if not is_pair or point[0] < 1 or not 0 <= point[1] <= MAX_RATE_WEIGHT:
            raise ValueError(f"{name} must have points of maps, at least 1, and lambda in 0..{MAX_RATE_WEIGHT:g}, not {point!r}")
    return tuple(OperatingPoint(*point) for point in points)
