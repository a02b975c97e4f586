"""Training recipes: TOML files read into frozen dataclasses, every key checked."""

import dataclasses
import json
import tomllib
from dataclasses import dataclass, field
from itertools import pairwise
from pathlib import Path
from typing import Any, Final, Literal, Self

from vqcodec.checks import AT_LEAST_1, SHARE, check_fields, config_from_dict
from vqcodec.errors import ModelError
from vqcodec.models.config import MAX_RATE_WEIGHT
from vqcodec.nn.autoencoder.vqvae import VQVAEConfig
from vqcodec.nn.prior.pixelsnail import PriorConfig
from vqcodec.training.discriminator import DiscriminatorConfig

_RANGES: Final = {
    **dict.fromkeys(("batch_size", "validate_steps", "checkpoint_steps", "log_steps"), AT_LEAST_1),
    **dict.fromkeys(("init_crops", "dead_code_steps", "rate_passes", "tile_top_codes", "batches_kept", "uses_per_batch"), AT_LEAST_1),
    "seed": (0, (1 << 63) - 1),
    "weights_ema_decay": SHARE,
}
"""Of numbers in recipes that may not be all from 0 on."""


@dataclass(frozen=True, kw_only=True)
class Recipe:
    """What all training runs have in common.

    Attributes:
        model: shape of the network, the table [model].
        seed: of weights and data.
        batch_size: crops or tiles a step.
        optimizer: "muon" trains hidden layers by Muon and the rest by AdamW; "adamw" trains all by AdamW.
        lr_muon, lr_adamw: peak learning rates.
        weight_decay: of the Muon part.
        lr_schedule: knots (step, share of the peak learning rates), straight lines between them; the last step ends the run.
        grad_clip: largest gradient norm.
        weights_ema_decay: of the averaged weights that are exported.
        validate_steps, checkpoint_steps, log_steps: how often.
    """

    model: Any
    seed: int = 0
    batch_size: int = 8
    optimizer: Literal["muon", "adamw"] = "muon"
    lr_muon: float = 0.02
    lr_adamw: float = 1e-3
    weight_decay: float = 0.05
    lr_schedule: tuple[tuple[int, float], ...] = ((0, 0.0), (100, 1.0), (10_000, 0.0))
    grad_clip: float = 1.0
    weights_ema_decay: float = 0.99
    validate_steps: int = 500
    checkpoint_steps: int = 200
    log_steps: int = 20

    def __post_init__(self) -> None:
        check_fields(self, _RANGES)
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

    @classmethod
    def from_dict(cls, table: dict[str, Any]) -> Self:
        """The recipe that `dataclasses.asdict` wrote.

        Raises:
            ValueError: an unknown key or a bad value.
        """
        return config_from_dict(cls, table, "the recipe")

    @classmethod
    def read(cls, path: Path) -> Self:
        """Reads a TOML recipe: the recipe's keys at the top, those of the network under [model].

        Raises:
            ModelError: not TOML, an unknown key, or a value that the dataclass refuses.
        """
        try:
            return cls.from_dict(tomllib.loads(path.read_text(encoding="utf-8")))
        except (ValueError, RecursionError) as error:
            raise ModelError(f"{path}: not a recipe: {error}") from error

    def to_toml(self) -> str:
        """TOML that `read` reads back."""
        values = dataclasses.asdict(self)
        network = values.pop("model")

        def lines(table: dict[str, Any]) -> list[str]:
            return [f"{key} = {json.dumps(value)}" for key, value in table.items()]

        return "\n".join([*lines(values), "", "[model]", *lines(network), ""])


@dataclass(frozen=True, kw_only=True)
class AutoencoderRecipe(Recipe):
    """All that decides what the training of an autoencoder computes, but for the photos and the hardware.

    Codes drift while the learning rate is high: a long average of the weights mixes encoders and codebooks that no longer fit each other.

    Attributes:
        model: shape of the network.
        crop_size: side of a crop in pixels, a multiple of 8.
        init_crops: crops that linear paths and codebooks start from.
        distortion: "mse", or "log_mse", the mean over images of ln(mse + log_mse_floor): PSNR itself, up to a factor.
        log_mse_floor: keeps flat crops from dominating; on the [-1, 1] scale squared.
        commitment_weight: beta of the commitment loss.
        prefix_probabilities: of decoding the first 1, 2, ... maps (stage dropout).
        dead_code_share: a code used less often than this share of the mean is moved onto a random z_e.
        dead_code_steps: how often that is checked.
        dead_code_until: the step after which codes are left where they are.
        rate_weights: the largest lambda that an image decoded from 1 map, from 2, ... may have its codes chosen by; what it gets is this
            times the square of an even draw from 0..1. Empty to take the nearest codes. Needs priors.
        rate_passes: of choosing codes in parallel (`ParallelRateDistortionChoice`).
        rate_by_map: whether lambda gets the factor of each map, and the limit of the top one, that `encode` gives it.
        priors_lr_scale: learning rates of these priors as a multiple of the network's, for them to follow the codes; 0 leaves them alone.
    """

    model: VQVAEConfig = field(default_factory=VQVAEConfig)
    crop_size: int = 128
    init_crops: int = 512
    distortion: Literal["mse", "log_mse"] = "log_mse"
    log_mse_floor: float = 5e-4
    commitment_weight: float = 5.0
    prefix_probabilities: tuple[float, ...] = (0.1, 0.35, 0.2, 0.35)
    dead_code_share: float = 0.02
    dead_code_steps: int = 50
    dead_code_until: int = 8_000
    rate_weights: tuple[float, ...] = ()
    rate_passes: int = 1
    rate_by_map: bool = False
    priors_lr_scale: float = 0.0

    def __post_init__(self) -> None:
        super().__post_init__()
        if self.priors_lr_scale and not self.rate_weights:
            raise ValueError("priors_lr_scale needs rate_weights, by which priors take part")
        if self.rate_weights and len(self.rate_weights) != self.model.num_maps:
            raise ValueError(f"{len(self.rate_weights)} rate_weights for {self.model.num_maps} maps")
        if len(self.prefix_probabilities) != self.model.num_maps:
            raise ValueError(f"{len(self.prefix_probabilities)} prefix_probabilities for {self.model.num_maps} maps")
        _check_probabilities(self.prefix_probabilities)
        if self.crop_size % 8 or self.crop_size < 8:
            raise ValueError(f"crop_size must be a positive multiple of 8, not {self.crop_size}")


@dataclass(frozen=True, kw_only=True)
class PriorRecipe(Recipe):
    """All that decides what the training of a prior computes, but for the code maps and the hardware.

    Attributes:
        model: shape of the network; its `earlier_maps` is the number of the map.
        tile_top_codes: side of a training tile in codes of the top map.
        fixed_from: the step from which on the arithmetic is fixed-point, with straight-through gradients.
        hide_earlier: tell the prior nothing of the maps before, to see what they are worth.
    """

    model: PriorConfig = field(default_factory=PriorConfig)
    tile_top_codes: int = 16
    fixed_from: int = 8_000
    hide_earlier: bool = False


@dataclass(frozen=True, kw_only=True)
class DecoderRecipe(Recipe):
    """All that decides what the training of a second decoder computes, but for the model, the photos and the hardware.

    Attributes:
        model: shape of the discriminator.
        extra_blocks: residual blocks of the decoder at 1/4 beyond the model's own; they start as the identity.
        crop_size: side of a crop in pixels, a multiple of 8.
        batches_kept: encoded batches to keep and take in turn, since encoding takes longer than painting.
        uses_per_batch: how often each is taken before all are replaced.
        prefix_probabilities: of decoding the first 1, 2, ... maps.
        rate_weights: the smallest and the largest lambda that the codes of a batch of 1 map, of 2, ... may be chosen by, drawn evenly in
            its logarithm; empty for nearest codes.
        validation_points: maps and lambda of what held-out figures are of.
        l1_weight: of the mean absolute error, on the [-1, 1] scale.
        lpips_weight: of LPIPS with VGG.
        lpips_alex_weight: of LPIPS with AlexNet, which then no longer is an independent judge.
        adversarial_weight: norm of the discriminator's gradient at the pixels, as a share of that of the other two.
        discriminator_from: the step from which on the discriminator learns.
        adversarial_from: the step from which on it counts.
        lr_discriminator: its learning rate at the peak of lr_schedule.
    """

    model: DiscriminatorConfig = field(default_factory=DiscriminatorConfig)
    extra_blocks: int = 0
    crop_size: int = 128
    batches_kept: int = 1
    uses_per_batch: int = 1
    prefix_probabilities: tuple[float, ...] = (0.03, 0.17, 0.4, 0.4)
    rate_weights: tuple[tuple[float, float], ...] = ()
    validation_points: tuple[tuple[int, float], ...] = ((2, 0.0),)
    l1_weight: float = 3.0
    lpips_weight: float = 1.0
    lpips_alex_weight: float = 0.0
    adversarial_weight: float = 0.2
    discriminator_from: int = 2_700
    adversarial_from: int = 3_000
    lr_discriminator: float = 2e-4

    def __post_init__(self) -> None:
        super().__post_init__()
        if self.crop_size % 8 or self.crop_size < 32:
            raise ValueError(f"crop_size must be a multiple of 8 and at least 32, not {self.crop_size}")
        _check_probabilities(self.prefix_probabilities)
        if self.rate_weights and len(self.rate_weights) != len(self.prefix_probabilities):
            raise ValueError(f"{len(self.rate_weights)} rate_weights for {len(self.prefix_probabilities)} prefix_probabilities")
        if any(not 0 < smallest <= largest for smallest, largest in self.rate_weights):
            raise ValueError(f"rate_weights must be pairs of a smallest and a largest lambda above 0, not {self.rate_weights}")
        if not self.validation_points or any(
            num_maps < 1 or rate_weight > MAX_RATE_WEIGHT for num_maps, rate_weight in self.validation_points
        ):
            raise ValueError(
                f"validation_points must be pairs of maps, at least 1, and lambda up to {MAX_RATE_WEIGHT:g}, not {self.validation_points}"
            )


def _check_probabilities(probabilities: tuple[float, ...]) -> None:
    """Raises ValueError where nothing can be drawn by them; their sum is taken as 1."""
    if sum(probabilities) == 0:
        raise ValueError(f"prefix_probabilities must be above 0 somewhere, not {probabilities}")
