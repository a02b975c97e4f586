"""Training recipes: TOML files read into frozen dataclasses, every key checked."""

import dataclasses
import tomllib
from dataclasses import dataclass, field
from itertools import pairwise
from pathlib import Path
from typing import Any, Literal

from vqcodec.errors import ModelError
from vqcodec.nn.vqvae import VQVAEConfig


@dataclass(frozen=True, kw_only=True)
class AutoencoderRecipe:
    """All that decides what a training run computes, but for the photos and the hardware.

    Attributes:
        model: shape of the network.
        seed: of weights, crops and stage dropout.
        batch_size: crops a step.
        crop_size: side of a crop in pixels, a multiple of 8.
        init_crops: crops that linear paths and codebooks start from.
        optimizer: "muon" trains hidden convolutions by Muon and the rest by AdamW; "adamw" trains all by AdamW.
        lr_muon, lr_adamw: peak learning rates.
        weight_decay: of the Muon part.
        lr_schedule: knots (step, share of the peak learning rates), straight lines between them; the last step ends the run.
        distortion: "mse", or "log_mse", the mean over images of ln(mse + log_mse_floor): PSNR itself, up to a factor.
        log_mse_floor: keeps flat crops from dominating; on the [-1, 1] scale squared.
        commitment_weight: beta of the commitment loss.
        prefix_probabilities: of decoding the first 1, 2, ... maps (stage dropout).
        grad_clip: largest gradient norm.
        weights_ema_decay: of the averaged weights that are exported. Codes drift while the learning rate is high: a long average
            mixes encoders and codebooks that no longer fit each other.
        dead_code_share: a code used less often than this share of the mean is moved onto a random z_e.
        dead_code_steps: how often that is checked.
        dead_code_until: the step after which codes are left where they are.
        validate_steps, checkpoint_steps, log_steps: how often.
    """

    model: VQVAEConfig = field(default_factory=VQVAEConfig)
    seed: int = 0
    batch_size: int = 16
    crop_size: int = 128
    init_crops: int = 512
    optimizer: Literal["muon", "adamw"] = "muon"
    lr_muon: float = 0.008
    lr_adamw: float = 1e-3
    weight_decay: float = 0.05
    lr_schedule: tuple[tuple[int, float], ...] = ((0, 0.0), (100, 1.0), (10_000, 0.0))
    distortion: Literal["mse", "log_mse"] = "log_mse"
    log_mse_floor: float = 2e-4
    commitment_weight: float = 0.25
    prefix_probabilities: tuple[float, ...] = (0.08, 0.42, 0.2, 0.3)
    grad_clip: float = 1.0
    weights_ema_decay: float = 0.99
    dead_code_share: float = 0.02
    dead_code_steps: int = 50
    dead_code_until: int = 8_000
    validate_steps: int = 500
    checkpoint_steps: int = 200
    log_steps: int = 20

    def __post_init__(self) -> None:
        if len(self.prefix_probabilities) != self.model.num_maps:
            raise ValueError(f"{len(self.prefix_probabilities)} prefix_probabilities for {self.model.num_maps} maps")
        if self.crop_size % 8 or self.crop_size < 8:
            raise ValueError(f"crop_size must be a positive multiple of 8, not {self.crop_size}")
        knots = [step for step, _ in self.lr_schedule]
        if len(knots) < 2 or knots[0] != 0 or any(a >= b for a, b in pairwise(knots)):
            raise ValueError(f"lr_schedule must start at step 0 and have rising steps, not {knots}")

    @property
    def steps(self) -> int:
        """Length of the run."""
        return self.lr_schedule[-1][0]

    def lr_factor(self, step: int) -> float:
        """The learning rate of update number `step`, from 1, as a share of the peak."""
        (left, low), (right, high) = next(pair for pair in pairwise(self.lr_schedule) if step <= pair[1][0])
        return low + (high - low) * (step - left) / (right - left)


def read_recipe(path: Path) -> AutoencoderRecipe:
    """Reads a TOML recipe: the keys of `AutoencoderRecipe` at the top, those of `VQVAEConfig` under [model].

    Raises:
        ModelError: not TOML, an unknown key, or a value that the dataclass refuses.
    """
    try:
        table = tomllib.loads(path.read_text(encoding="utf-8"))
        return recipe_from_dict(table)
    except (tomllib.TOMLDecodeError, UnicodeDecodeError, TypeError, ValueError) as error:
        raise ModelError(f"{path}: not a recipe: {error}") from error


def recipe_from_dict(table: dict[str, Any]) -> AutoencoderRecipe:
    """The recipe that `recipe_to_dict` wrote.

    Raises:
        TypeError, ValueError: an unknown key or a bad value.
    """
    values = dict(table)
    values["model"] = VQVAEConfig(**values.get("model", {}))
    if "prefix_probabilities" in values:
        values["prefix_probabilities"] = tuple(values["prefix_probabilities"])
    if "lr_schedule" in values:
        values["lr_schedule"] = tuple((int(step), float(factor)) for step, factor in values["lr_schedule"])
    return AutoencoderRecipe(**values)


def recipe_to_dict(recipe: AutoencoderRecipe) -> dict[str, Any]:
    """Every key with its value, for JSON."""
    return dataclasses.asdict(recipe)
