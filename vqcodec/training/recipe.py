"""Training recipes: TOML files that are read into frozen dataclasses, with every key checked."""

import dataclasses
import json
import tomllib
from collections.abc import Mapping
from dataclasses import dataclass, field
from itertools import pairwise
from pathlib import Path
from typing import Any, ClassVar, Final, Literal, Self

from vqcodec.checks import AT_LEAST_1, SHARE, Range, check_fields, config_from_dict
from vqcodec.errors import ModelError
from vqcodec.format.container import TOP_TILE_CODES
from vqcodec.models.config import TOP_MAX_RATE_WEIGHT
from vqcodec.models.dial import MAX_RATE_WEIGHT
from vqcodec.nn.configs import PATCH_TOP, DiscriminatorConfig, PriorConfig, VQVAEConfig

LEAST_LPIPS_PX: Final = 32
"""Side in pixels of the smallest pictures that LPIPS is measured on in training."""


@dataclass(frozen=True, kw_only=True)
class Recipe:
    """The settings that all training runs have in common.

    Attributes:
        seed: seed of the weights and of the data that each step draws.
        batch_size: number of crops or tiles in a batch.
        accumulated_batches: number of batches whose mean gradient a step goes down, where more crops do not fit into memory at a time.
            Running means of codebooks move on with every batch.
        optimizer: "muon" trains hidden layers by Muon and the rest by AdamW; "adamw" trains everything by AdamW.
        lr_muon: peak learning rate of what Muon trains.
        lr_adamw: peak learning rate of what AdamW trains.
        weight_decay: weight decay of the parameters that Muon trains.
        lr_schedule: at least two knots (step, share of the peak learning rates), from step 0 on and rising, with straight lines between
            them; the last step ends the run. Steps of all schedules count from the beginning of the run. A run by the clock goes through
            them in the time that it is given.
        grad_clip: largest norm of the gradient; a longer one is scaled down to it.
        weights_ema_decay: decay of the moving average of the weights, which is what export takes.
        validate_steps: number of steps from one validation to the next.
        checkpoint_steps: number of steps from one checkpoint to the next.
        log_steps: number of steps from one line of the log to the next.
    """

    RANGES: ClassVar[Mapping[str, Range]] = {
        **dict.fromkeys(("batch_size", "accumulated_batches", "validate_steps", "checkpoint_steps", "log_steps"), AT_LEAST_1),
        **dict.fromkeys(("init_crops", "dead_code_steps", "rate_passes", "batches_kept", "uses_per_batch"), AT_LEAST_1),
        "seed": (0, (1 << 63) - 1),
        "tile_top_codes": (1, TOP_TILE_CODES),
        **dict.fromkeys(("weights_ema_decay", "perceptual_share", "synthetic_share", "shrunk_share"), SHARE),
    }
    """Ranges of the numbers in recipes that may not be any number from 0 on."""

    seed: int = 0
    batch_size: int = 8
    accumulated_batches: int = 1
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
        check_fields(self, self.RANGES)
        knots = [step for step, _ in self.lr_schedule]
        if len(knots) < 2 or knots[0] != 0 or any(a >= b for a, b in pairwise(knots)):
            raise ValueError(f"lr_schedule must start at step 0 and have rising steps, not {knots}")

    @property
    def steps(self) -> int:
        """The number of steps after which the run ends."""
        return self.lr_schedule[-1][0]

    @property
    def shapes(self) -> dict[str, Any]:
        """The shapes of the networks that the run trains, by the names of their tables in TOML."""
        values = ((item.name, getattr(self, item.name)) for item in dataclasses.fields(self))
        return {name: value for name, value in values if dataclasses.is_dataclass(value)}

    def lr_factor(self, position: float) -> float:
        """Returns the learning rate at a position of the schedule, in steps from 1 to `steps`, as a share of the peak."""
        (left, low), (right, high) = next(pair for pair in pairwise(self.lr_schedule) if position <= pair[1][0])
        return low + (high - low) * (position - left) / (right - left)

    def batch_size_at(self, position: float) -> int:  # noqa: ARG002 (of a recipe whose batches are as large everywhere)
        """Returns the number of crops or tiles in a batch at a position of the schedule."""
        return self.batch_size

    @classmethod
    def from_dict(cls, table: dict[str, Any]) -> Self:
        """Returns the recipe that `dataclasses.asdict` turned into a dictionary.

        Raises:
            ValueError: A key is unknown, or a value is bad.
        """
        return config_from_dict(cls, table, "the recipe")

    @classmethod
    def read(cls, path: Path) -> Self:
        """Reads a TOML recipe: the recipe's keys stand at the top, those of each network in a table.

        Raises:
            ModelError: The file is not TOML, or has an unknown key or a value that the recipe cannot have.
        """
        try:
            return cls.from_dict(tomllib.loads(path.read_text(encoding="utf-8")))
        except (ValueError, RecursionError) as error:
            raise ModelError(f"{path}: not a recipe: {error}") from error

    def to_toml(self) -> str:
        """Returns the TOML that `read` reads back."""
        values = dataclasses.asdict(self)
        tables = {name: values.pop(name) for name in self.shapes}

        def lines(table: dict[str, Any]) -> list[str]:
            return [f"{key} = {json.dumps(value)}" for key, value in table.items()]

        parts = [lines(values), *([f"[{name}]", *lines(table)] for name, table in tables.items())]
        return "\n\n".join("\n".join(part) for part in parts) + "\n"


@dataclass(frozen=True, kw_only=True)
class AutoencoderRecipe(Recipe):
    """The settings of the training of an autoencoder: all that decides its result but the photos and the hardware.

    Codes drift while the learning rate is high: a long average of the weights mixes encoders and codebooks that no longer fit each other.

    Attributes:
        network: shape of the network.
        crop_size: side of a crop in pixels, a positive multiple of 8.
        crop_schedule: pairs of a share of the run, the first 0 and then rising, and the side of a crop in pixels from there on, in place of
            `crop_size`. `batch_size` counts crops of `crop_size`: of larger ones a batch has fewer, of about as many pixels in all.
        init_crops: number of crops that linear paths and codebooks start from.
        log_mse_floor: number that is added to the mean squared error of a crop, on the [-1, 1] scale, before the logarithm is taken; it
            keeps flat crops from dominating the loss.
        commitment_weight: beta, the weight of the commitment loss.
        prefix_probabilities: probabilities of decoding a crop from its first 1, 2, ... maps (stage dropout).
        dead_code_share: share of the mean use of codes below which a code is dead; it is then moved onto a random z_e.
        dead_code_steps: number of steps from one look for such codes to the next, in a run by the clock too, since it goes with the
            length of the running means.
        dead_code_until: step of the schedule after which codes are left where they are.
        rate_weights: largest lambda that the codes of a crop decoded from 1 map, from 2, ... may be chosen by. A crop's lambda is this
            times the square of an even draw from 0..1. Empty takes the nearest codes; anything else needs priors.
        rate_passes: number of parallel passes in which codes are chosen (`ParallelRateDistortionChoice`).
        top_max_rate_weight: limit of lambda for the top map, above 0, after the factor of that map. Export writes it into config.json, so
            that `encode` keeps to it as well.
        priors_lr_scale: learning rates of the priors as a multiple of the network's, so that they follow the codes; 0 leaves them alone.
        soft_rate_weight: weight of the bits that the encoder feels (`losses.soft_bits`), as a multiple of what the choice of codes weighs
            them by beside distances; 0 leaves them out.
        soft_rate_temperature: tau of the soft codes, above 0, as a share of the mean squared length of the codes' vectors.
        codebooks_frozen: whether codebooks stay as they are. Dead codes then stay, too.
        perceptual_share: share of the crops that a perceptual decoder, which then learns along, paints and is judged by, and through it
            encoder and codebooks (`online_painter`); 0 has no such decoder.
        perceptual_extra_blocks: number of residual blocks at 1/4 that this decoder has beyond the model's own.
        perceptual_mse_weight: weight of its mean squared error, of pixels in [0, 1]; above 0.
        perceptual_lpips_alex_weight: weight of its LPIPS by AlexNet.
        perceptual_lpips_vgg_weight: weight of its LPIPS by VGG.
        low_frequency_weight: weight of the mean absolute error of the mean colours of areas, on the [-1, 1] scale.
        synthetic_share: share of the crops that are of drawn pictures, of text and interfaces (`synthetic`).
        shrunk_share: share of the crops that are of photos shrunk to half their size, which takes away noise and traces of JPEG. Crops too
            large for that are taken as they are.
    """

    network: VQVAEConfig = field(default_factory=VQVAEConfig)
    crop_size: int = 128
    crop_schedule: tuple[tuple[float, int], ...] = ()
    init_crops: int = 512
    log_mse_floor: float = 5e-4
    commitment_weight: float = 5.0
    prefix_probabilities: tuple[float, ...] = (0.1, 0.35, 0.2, 0.35)
    dead_code_share: float = 0.02
    dead_code_steps: int = 50
    dead_code_until: int = 8_000
    rate_weights: tuple[float, ...] = ()
    rate_passes: int = 1
    top_max_rate_weight: float = TOP_MAX_RATE_WEIGHT
    priors_lr_scale: float = 0.0
    soft_rate_weight: float = 0.0
    soft_rate_temperature: float = 0.05
    codebooks_frozen: bool = False
    perceptual_share: float = 0.0
    perceptual_extra_blocks: int = 0
    perceptual_mse_weight: float = 150.0
    perceptual_lpips_alex_weight: float = 1.0
    perceptual_lpips_vgg_weight: float = 0.0
    low_frequency_weight: float = 0.0
    synthetic_share: float = 0.0
    shrunk_share: float = 0.0

    def __post_init__(self) -> None:
        super().__post_init__()
        if self.priors_lr_scale and not self.rate_weights:
            raise ValueError("priors_lr_scale needs rate_weights, by which priors take part")
        self._check_objectives()
        if self.rate_weights and len(self.rate_weights) != self.network.num_maps:
            raise ValueError(f"{len(self.rate_weights)} rate_weights for {self.network.num_maps} maps")
        if self.top_max_rate_weight == 0:
            raise ValueError("top_max_rate_weight must be above 0")
        if len(self.prefix_probabilities) != self.network.num_maps:
            raise ValueError(f"{len(self.prefix_probabilities)} prefix_probabilities for {self.network.num_maps} maps")
        _check_probabilities(self.prefix_probabilities)
        if self.crop_size % PATCH_TOP or self.crop_size < PATCH_TOP:
            raise ValueError(f"crop_size must be a positive multiple of {PATCH_TOP}, not {self.crop_size}")
        shares = [share for share, _ in self.crop_schedule]
        if shares and (shares[0] != 0 or shares[-1] >= 1 or any(a >= b for a, b in pairwise(shares))):
            raise ValueError(f"crop_schedule must start at share 0 and have rising shares below 1, not {shares}")
        if any(size % PATCH_TOP or size < PATCH_TOP for _, size in self.crop_schedule):
            raise ValueError(f"crop_schedule must have positive multiples of {PATCH_TOP}, not {[size for _, size in self.crop_schedule]}")

    def _check_objectives(self) -> None:
        """Raises ValueError where an objective lacks what it needs."""
        if self.soft_rate_weight and not self.rate_weights:
            raise ValueError("soft_rate_weight needs rate_weights, by which priors take part")
        if self.perceptual_share and not (self.perceptual_lpips_alex_weight or self.perceptual_lpips_vgg_weight):
            raise ValueError("perceptual_share needs perceptual_lpips_alex_weight or perceptual_lpips_vgg_weight")
        if self.perceptual_share and (smallest := min([self.crop_size, *(size for _, size in self.crop_schedule)])) < LEAST_LPIPS_PX:
            raise ValueError(f"perceptual_share needs crops of at least {LEAST_LPIPS_PX} pixels, not {smallest}")
        for name in ("perceptual_mse_weight", "soft_rate_temperature"):
            if getattr(self, name) == 0:
                raise ValueError(f"{name} must be above 0")
        if self.synthetic_share + self.shrunk_share > 1:
            raise ValueError(f"synthetic_share and shrunk_share must add up to 1 at most, not {self.synthetic_share + self.shrunk_share:g}")

    @property
    def largest_crop_size(self) -> int:
        """The side in pixels of the largest crops of the run."""
        return max((size for _, size in self.crop_schedule), default=self.crop_size)

    def crop_size_at(self, position: float) -> int:
        """Returns the side of a crop in pixels at a position of the schedule."""
        return next((size for share, size in reversed(self.crop_schedule) if position >= share * self.steps), self.crop_size)

    def batch_size_at(self, position: float) -> int:
        """Returns the number of crops in a batch at a position of the schedule."""
        return max(1, round(self.batch_size * (self.crop_size / self.crop_size_at(position)) ** 2))


@dataclass(frozen=True, kw_only=True)
class PriorRecipe(Recipe):
    """The settings of the training of a prior: all that decides its result but the code maps and the hardware.

    Attributes:
        network: shape of the network; its `earlier_maps` is the number of the map that the prior is for.
        tile_top_codes: side of a training tile in codes of the top map.
        fixed_from: step of the schedule from which on the arithmetic is fixed-point, with straight-through gradients.
    """

    network: PriorConfig = field(default_factory=PriorConfig)
    tile_top_codes: int = 16
    fixed_from: int = 8_000


@dataclass(frozen=True, kw_only=True)
class DecoderRecipe(Recipe):
    """The settings of the training of a perceptual decoder: all that decides its result but the model, the photos and the hardware.

    Attributes:
        discriminator: shape of the discriminator.
        extra_blocks: number of residual blocks at 1/4 that the decoder has beyond the model's own; they start as the identity.
        crop_size: side of a crop in pixels, a multiple of 8 of at least 32.
        batches_kept: number of encoded batches that are kept and taken in turn, since encoding takes longer than painting.
        uses_per_batch: number of times that each is taken before all are replaced.
        prefix_probabilities: probabilities of decoding a batch from its first 1, 2, ... maps.
        rate_weights: smallest and largest lambda that the codes of a batch of 1 map, of 2, ... may be chosen by, drawn evenly in its
            logarithm; empty for nearest codes.
        validation_points: pairs of a number of maps and a lambda, at which held-out figures are measured.
        l1_weight: weight of the mean absolute error, on the [-1, 1] scale.
        lpips_weight: weight of LPIPS with VGG.
        lpips_alex_weight: weight of LPIPS with AlexNet, which then is no independent judge any more.
        adversarial_weight: norm of the discriminator's gradient at the pixels, as a share of that of the other losses together.
        discriminator_from: step of the schedule from which on the discriminator learns.
        adversarial_from: step of the schedule from which on the decoder follows it.
        lr_discriminator: learning rate of the discriminator at the peak of lr_schedule.
    """

    discriminator: DiscriminatorConfig = field(default_factory=DiscriminatorConfig)
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
        if not any(share for _, share in self.lr_schedule):
            raise ValueError(f"lr_schedule must be above 0 somewhere, not {self.lr_schedule}")
        if self.crop_size % PATCH_TOP or self.crop_size < LEAST_LPIPS_PX:
            raise ValueError(f"crop_size must be a multiple of {PATCH_TOP} and at least {LEAST_LPIPS_PX}, not {self.crop_size}")
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
    """Raises ValueError where nothing can be drawn by the probabilities; their sum is taken as 1."""
    if sum(probabilities) == 0:
        raise ValueError(f"prefix_probabilities must be above 0 somewhere, not {probabilities}")
