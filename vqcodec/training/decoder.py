"""Training of a second decoder for the codes of a finished model, one whose pictures look right: encoder, codebooks and files stay.

    photos -> encoder and codes, frozen -> painter -> L1 + LPIPS (VGG) + patch discriminator

Sources: Esser, Rombach, Ommer 2021, "Taming Transformers for High-Resolution Image Synthesis", section 3.1 (the loss of a VQGAN); the hinge
loss of Lim and Ye 2017, "Geometric GAN".
"""

import hashlib
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor
from torch.nn import functional as F

from vqcodec.errors import ModelError
from vqcodec.lpips import Lpips
from vqcodec.nn.blocks import encode_in_blocks
from vqcodec.nn.discriminator import PatchDiscriminator
from vqcodec.nn.vqvae import VQVAE, Painter
from vqcodec.registry import Model
from vqcodec.training.autoencoder import squared_error, to_tensor
from vqcodec.training.data import PhotoSet
from vqcodec.training.loop import Timing, Trainer
from vqcodec.training.rate import ParallelRateDistortionChoice
from vqcodec.training.recipe import DecoderRecipe

DECODER_LOG_NAME = "decoder-training.jsonl"
_HELD_OUT_CROPS, _HELD_OUT_SIZE_PX = 24, 256
_HELD_OUT_BATCH = 4
_HIDDEN_PARTS = ("blocks.", ".up.")


def autoencoder_digest(network: VQVAE) -> str:
    """Hexadecimal SHA-256 of an autoencoder's weights: what the meaning of its codes depends on. Priors may change meanwhile."""
    digest = hashlib.sha256()
    for key, value in sorted(network.inference_state().items()):
        digest.update(key.encode() + value.float().cpu().contiguous().numpy().tobytes())
    return digest.hexdigest()


@dataclass(frozen=True)
class DecoderMetrics:
    """Means over the steps since the last report: PSNR and LPIPS of training crops, logits of real and painted patches, speed."""

    step: int
    psnr_db: float
    lpips_vgg: float
    logit_real: float
    logit_painted: float
    images_per_s: float
    time_left_s: float
    elapsed_s: float


@dataclass(frozen=True)
class DecoderValidation:
    """Held-out PSNR in dB and LPIPS (AlexNet) of the averaged weights after `step` steps, one value a prefix of the maps."""

    step: int
    elapsed_s: float
    psnr_db: tuple[float, ...]
    lpips_alex: tuple[float, ...]


class DecoderTrainer(Trainer[DecoderMetrics, DecoderValidation]):
    """One run: a painter for the codes of `model`, which starts as the model's own."""

    recipe: DecoderRecipe

    def __init__(self, recipe: DecoderRecipe, photos: PhotoSet, validation: PhotoSet | None, device: torch.device, model: Model) -> None:
        num_maps = model.network.config.num_maps
        if len(recipe.prefix_probabilities) != num_maps or (recipe.rate_weights and len(recipe.rate_weights) != num_maps):
            raise ModelError(f"prefix_probabilities and rate_weights must be of the {num_maps} maps of {model.config.id}")
        if recipe.rate_weights and len(model.priors) < num_maps:
            raise ModelError(f"rate_weights need priors of {num_maps} maps, found {len(model.priors)}")
        torch.manual_seed(recipe.seed)
        self.base = model
        self.painter = Painter(model.network.config).to(device)
        self.painter.to(memory_format=torch.channels_last)  # type: ignore[call-overload]
        self.discriminator = PatchDiscriminator(recipe.model).to(device)
        self.discriminator_optimizer = torch.optim.AdamW(self.discriminator.parameters(), lr=recipe.lr_discriminator, betas=(0.5, 0.9))
        super().__init__(recipe, self.painter, device, is_hidden=lambda name: any(part in name for part in _HIDDEN_PARTS))
        self.photos = photos
        self.held_out = validation.centre_crops(_HELD_OUT_CROPS, _HELD_OUT_SIZE_PX) if validation else None
        self.lpips = Lpips("vgg", str(device))
        self._lpips_alex = Lpips("alex", str(device)) if validation else None
        self._window = _Window()

    @property
    def network(self) -> VQVAE:
        """The frozen autoencoder."""
        return self.base.network

    @property
    def log_name(self) -> str:
        """The log's name."""
        return DECODER_LOG_NAME

    def start_anew(self) -> None:
        """Starts from the model's own decoder."""
        for painter in (self.painter, self.averaged.module):
            assert isinstance(painter, Painter)
            painter.load_state_dict(self.network.painter_state())

    def start_from(self, folder: Path) -> None:
        """Refused: a decoder starts from the model that it is for."""
        raise ModelError(f"{folder}: a decoder cannot start from another model folder; --model names the one that it starts from")

    def advance(self, rng: np.random.Generator) -> None:
        """One update of the painter, and one of the discriminator once it has begun."""
        recipe = self.recipe
        crops = self.photos.random_crops(recipe.batch_size, recipe.crop_size, rng)
        x = to_tensor(crops, self.device)
        probabilities = np.array(recipe.prefix_probabilities) / sum(recipe.prefix_probabilities)
        num_maps = 1 + int(rng.choice(len(probabilities), p=probabilities))
        choose = None
        if recipe.rate_weights:
            weights = x.new_tensor(rng.random(len(x)) ** 2 * recipe.rate_weights[num_maps - 1])
            choose = ParallelRateDistortionChoice(self.base.priors, weights, torch.full_like(weights, num_maps))
        with torch.no_grad(), self.autocast():
            pixels = torch.from_numpy(crops).permute(0, 3, 1, 2).contiguous()
            indices = [level.to(self.device) for level in encode_in_blocks(self.network, pixels, num_maps, choose=choose)]
        with self.autocast():
            x_hat = self.network.decode(indices, self.painter).float()
            distance = self.lpips(x, x_hat).float()
        is_adversarial = self.step >= recipe.adversarial_from
        loss = recipe.l1_weight * F.l1_loss(x_hat, x) + recipe.lpips_weight * distance.mean()
        if is_adversarial:
            with self.autocast():
                loss = loss - recipe.adversarial_weight * self.discriminator(x_hat).float().mean()
        self.update(loss)
        logits = self._train_discriminator(x, x_hat.detach()) if is_adversarial else (0.0, 0.0)
        self._window.add(squared_error(x, x_hat.detach()), distance.detach(), *logits)

    def _train_discriminator(self, x: Tensor, x_hat: Tensor) -> tuple[float, float]:
        """One step down the hinge loss; mean logits of real and of painted patches."""
        with self.autocast():
            real, painted = self.discriminator(torch.cat([x, x_hat])).float().chunk(2)
        loss = F.relu(1 - real).mean() + F.relu(1 + painted).mean()
        self.discriminator_optimizer.zero_grad(set_to_none=True)
        loss.backward()  # type: ignore[no-untyped-call]
        self.discriminator_optimizer.step()
        return float(real.detach().mean()), float(painted.detach().mean())

    def report(self, timing: Timing) -> DecoderMetrics:
        """Means since the last report."""
        window, self._window = self._window, _Window()
        psnr_db = float((-10 * torch.log10(torch.cat(window.errors) / 4)).mean())
        lpips_vgg = float(torch.cat(window.distances).mean())
        real, painted = (float(np.mean(values)) for values in (window.logits_real, window.logits_painted))
        return DecoderMetrics(timing.step, psnr_db, lpips_vgg, real, painted, timing.images_per_s, timing.time_left_s, timing.elapsed_s)

    @torch.no_grad()
    def validate(self) -> DecoderValidation | None:
        """Every prefix of the maps of the middle of some held-out photos, nearest codes, 8-bit pixels."""
        if self.held_out is None or self._lpips_alex is None:
            return None
        painter = self.averaged.module
        assert isinstance(painter, Painter)
        psnr_db: list[float] = []
        lpips_alex: list[float] = []
        x = to_tensor(self.held_out, self.device)
        parts = torch.split(x, _HELD_OUT_BATCH)
        indices = [self.network.encode(part) for part in parts]
        for prefix in range(1, self.network.config.num_maps + 1):
            errors, distances = [], []
            for part, maps in zip(parts, indices, strict=True):
                levels = self.network.decode(maps[:prefix], painter).clamp(-1, 1).add(1).mul(127.5).round() / 127.5 - 1
                errors.append(squared_error(part, levels))
                distances.append(self._lpips_alex(part, levels))
            psnr_db.append(float((-10 * torch.log10(torch.cat(errors) / 4)).mean()))
            lpips_alex.append(float(torch.cat(distances).mean()))
        return DecoderValidation(self.step, self.elapsed_s, tuple(psnr_db), tuple(lpips_alex))

    def state(self) -> dict[str, Any]:
        """All that `load_state` needs, with the discriminator."""
        return {
            **super().state(),
            "discriminator": self.discriminator.state_dict(),
            "discriminator_optimizer": self.discriminator_optimizer.state_dict(),
            "autoencoder": autoencoder_digest(self.network),
        }

    def load_state(self, state: dict[str, Any]) -> None:
        """Goes on from `state`.

        Raises:
            ModelError: the checkpoint is of another network, or for the codes of another model.
        """
        if state.get("autoencoder") != autoencoder_digest(self.network):
            raise ModelError(f"the checkpoint is for the codes of another autoencoder than that of {self.base.config.id}")
        super().load_state(state)
        self.discriminator.load_state_dict(state["discriminator"])
        self.discriminator_optimizer.load_state_dict(state["discriminator_optimizer"])


@dataclass
class _Window:
    """Figures since the last report."""

    errors: list[Tensor] = field(default_factory=list)
    distances: list[Tensor] = field(default_factory=list)
    logits_real: list[float] = field(default_factory=list)
    logits_painted: list[float] = field(default_factory=list)

    def add(self, errors: Tensor, distances: Tensor, logit_real: float, logit_painted: float) -> None:
        self.errors.append(errors)
        self.distances.append(distances)
        self.logits_real.append(logit_real)
        self.logits_painted.append(logit_painted)
