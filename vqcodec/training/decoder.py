"""Training of a perceptual decoder for the codes of a finished model, one whose pictures look right; files stay as they are.

    photos -> encoder and codes as `encode` chooses them, frozen -> decoder -> L1 + LPIPS + patch discriminator

Sources: Esser, Rombach, Ommer 2021, "Taming Transformers for High-Resolution Image Synthesis", section 3.1 (the loss of a VQGAN); the hinge
loss of Lim and Ye 2017, "Geometric GAN"; the share of the discriminator in the gradient at the pixels as in Defossez et al. 2022, "High
Fidelity Neural Audio Compression", section 3.4.
"""

import hashlib
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from dataclasses import asdict, dataclass, field, replace
from pathlib import Path
from typing import Any, Final

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor
from torch.nn import functional as F

from vqcodec.encoding.pictures import encode_pictures
from vqcodec.errors import ModelError
from vqcodec.images.dists import Dists
from vqcodec.images.lpips import Lpips
from vqcodec.images.picture import Picture
from vqcodec.models.config import read_config
from vqcodec.models.dial import OperatingPoint
from vqcodec.models.encoders import load_encoder
from vqcodec.models.model import Model, load_decoder, load_model
from vqcodec.nn.autoencoder.blocks import ChooseAt, encode_in_blocks, nearest_at
from vqcodec.nn.autoencoder.decoders import Decoder
from vqcodec.nn.autoencoder.vqvae import VQVAE
from vqcodec.nn.ranks import mean_over_ranks, norm_over_ranks, part_of, share_of, sum_gradients, sum_over_ranks
from vqcodec.rate.choice import RateDistortionChoice, place_weights
from vqcodec.training.data import PhotoSet
from vqcodec.training.discriminator import PatchDiscriminator
from vqcodec.training.metrics import DecoderMetrics, DecoderValidation, Timing
from vqcodec.training.pixels import psnr_of_error, squared_error, to_8_bits, to_tensor
from vqcodec.training.recipe import DecoderRecipe
from vqcodec.training.run_log import DECODER_LOG_NAME, last_step
from vqcodec.training.trainer import Trainer, step_rng

_HELD_OUT_BATCH: Final = 4
_LEAST_NORM: Final = 1e-12
"""Smallest norm of a gradient that is divided by."""
_HIDDEN_PARTS: Final = ("blocks.", ".up.")
"""Parts of the names of parameters that belong to hidden layers."""


def autoencoder_digest(network: VQVAE) -> str:
    """Returns the hexadecimal SHA-256 of an autoencoder's weights, on which the meaning of its codes depends; priors have no part in it."""
    digest = hashlib.sha256()
    for key, value in sorted(network.stored_state().items()):
        digest.update(key.encode() + value.float().cpu().contiguous().numpy().tobytes())
    return digest.hexdigest()


@dataclass(frozen=True)
class _HeldOut:
    """Held-out photos and their files.

    Attributes:
        x: [N, 3, H, W] in [-1, 1], the photos.
        maps: for each operating point the indices of each map, [N, h, w].
        bpp: for each operating point the bits a pixel of the files.
    """

    x: Tensor
    maps: list[list[Tensor]]
    bpp: list[float]

    @classmethod
    def encoded(cls, crops: NDArray[np.uint8], model: Model, points: Sequence[OperatingPoint]) -> "_HeldOut":
        """Encodes crops, uint8 [N, H, W, 3], at some operating points."""
        pictures = [Picture(crop) for crop in crops]
        maps, bpp = [], []
        for point in points:
            files = encode_pictures(pictures, model, point=point)
            maps.append([torch.from_numpy(np.stack(indices)) for indices in zip(*(file.indices for file in files), strict=True)])
            bpp.append(8 * sum(len(file.data) for file in files) / crops[..., 0].size)
        return cls(to_tensor(crops, torch.device("cpu")), maps, bpp)


class DecoderTrainer(Trainer[DecoderMetrics, DecoderValidation]):
    """A run that trains a decoder for the codes of a model; it starts as the model's own.

    Args:
        recipe: settings of the run.
        photos: photos to train on.
        validation: held-out photos, or None.
        device: device to train on.
        model: model whose codes the decoder is for; all of it stays as it is.

    Raises:
        ModelError: The recipe is for another number of maps.
        ValueError: No photo is as large as a crop.
    """

    recipe: DecoderRecipe
    network: Decoder
    validates_at_start = True

    def __init__(self, recipe: DecoderRecipe, photos: PhotoSet, validation: PhotoSet | None, device: torch.device, model: Model) -> None:
        num_maps = model.network.config.num_maps
        if len(recipe.prefix_probabilities) != num_maps:
            raise ModelError(f"{len(recipe.prefix_probabilities)} prefix_probabilities for the {num_maps} maps of {model.config.id}")
        if any(count > num_maps for count, _ in recipe.validation_points):
            raise ModelError(f"validation_points {recipe.validation_points} for the {num_maps} maps of {model.config.id}")
        photos.sizes.with_room_for(recipe.crop_size)
        torch.manual_seed(recipe.seed)
        self.model = model
        config = model.network.config
        network = Decoder(replace(config, blocks_decoder=config.blocks_decoder + recipe.extra_blocks)).to(device)
        network.to(memory_format=torch.channels_last)  # type: ignore[call-overload]
        self.discriminator = PatchDiscriminator(recipe.discriminator).to(device)
        self.discriminator_optimizer = torch.optim.AdamW(self.discriminator.parameters(), lr=recipe.lr_discriminator, betas=(0.5, 0.9))
        super().__init__(recipe, network, device, is_hidden=lambda name: any(part in name for part in _HIDDEN_PARTS))
        self.photos = photos
        self.lpips, self.lpips_alex = Lpips("vgg", str(device)), Lpips("alex", str(device))
        self.judges: list[Callable[[Tensor, Tensor], Tensor]] = [self.lpips_alex, self.lpips]
        with suppress(ImportError):  # DISTS is in no loss and may be missing
            self.judges.append(Dists(str(device)))
        self.validation = validation
        self.held_out: _HeldOut | None = None
        self._window = _Window()
        self._kept: dict[int, tuple[NDArray[np.uint8], list[Tensor]]] = {}
        self._latest = (torch.empty(0), torch.empty(0))

    @property
    def log_name(self) -> str:
        """The name of the log in a model folder."""
        return DECODER_LOG_NAME

    def start_anew(self) -> None:
        """Makes the decoder start as the model's own."""
        self._paint_as(self.model.network.decoder.state_dict())

    def prepare(self) -> None:
        """Encodes the held-out crops at the recipe's operating points."""
        if self.validation is not None:
            points = [OperatingPoint(*point) for point in self.recipe.validation_points]
            self.on_stage(f"encoding the held-out crops at {len(points)} operating points")
            self.held_out = _HeldOut.encoded(self.validation.held_out_crops(), self.model, points)

    def start_from(self, folder: Path) -> None:
        """Goes on from the weights, the step and the time of the perceptual decoder in a folder of the same model; all else starts anew.

        Raises:
            ModelError: The folder holds no model, or one with another autoencoder, without a perceptual decoder or its log, or with a
                deeper one.
        """
        model = load_model(read_config(folder), str(self.device))
        if autoencoder_digest(model.network) != autoencoder_digest(self.model.network):
            raise ModelError(f"{folder}: holds another autoencoder than that of {self.model.config.id}")
        decoder = load_decoder(model, 1.0)
        assert isinstance(decoder, Decoder)
        if (extra_blocks := model.config.perceptual_extra_blocks) > self.recipe.extra_blocks:
            raise ModelError(f"{folder}: its decoder has {extra_blocks} extra_blocks, the recipe {self.recipe.extra_blocks}")
        self.step, self.elapsed_s = last_step(folder / self.log_name)
        self._paint_as(decoder.state_dict())

    def _paint_as(self, weights: Mapping[str, Tensor]) -> None:
        for network in (self.network, self.averaged.module):
            network.load_state_dict({**self.network.state_dict(), **weights})

    def batch_loss(self, number: int) -> Tensor:
        """Returns a loss that has the gradient of `pixel_gradient` at what is painted of a batch."""
        crops, indices = self._batch(number)
        x = to_tensor(crops, self.device)
        with self.autocast():
            x_hat = self.network(*self.model.network.lookup(indices)).float()
        gradient, distance = self.pixel_gradient(x, x_hat.detach())
        self._window.add(squared_error(x, x_hat.detach()), distance)
        self._latest = x, x_hat.detach()
        loss: Tensor = (x_hat * gradient).sum()
        return loss

    def finish_step(self) -> None:
        """Takes one step with the discriminator from the step on at which it learns."""
        if self.position > self.recipe.discriminator_from:
            self._window.logits.append(self.train_discriminator(*self._latest))

    def inputs(self) -> dict[str, str]:
        """Returns the fingerprint of the photos; that of the model is `autoencoder`."""
        return {"photos": self.photos.fingerprint}

    def _batch(self, number: int) -> tuple[NDArray[np.uint8], list[Tensor]]:
        """Returns the crops, and the indices of their maps, of batch `number` of the run: new ones, or kept ones in turn.

        Kept batches that a resumed run lacks are made again.
        """
        recipe = self.recipe
        turn = number % (recipe.batches_kept * recipe.uses_per_batch)
        slot = turn % recipe.batches_kept
        if turn == slot or slot not in self._kept:
            rng = step_rng(recipe.seed, number - turn + slot)
            crops = self.photos.random_crops(recipe.batch_size, recipe.crop_size, rng, part_of(recipe.batch_size))
            self._kept[slot] = crops, self._encoded(crops, rng)
        return self._kept[slot]

    def _encoded(self, crops: NDArray[np.uint8], rng: np.random.Generator) -> list[Tensor]:
        """Returns the indices of the first maps of crops, of as many maps and at such a lambda as is drawn by the recipe."""
        recipe = self.recipe
        probabilities = np.array(recipe.prefix_probabilities) / sum(recipe.prefix_probabilities)
        num_maps = 1 + int(rng.choice(len(probabilities), p=probabilities))
        choose_at: ChooseAt = nearest_at
        if recipe.rate_weights:
            rate_weight = float(np.exp(rng.uniform(*np.log(recipe.rate_weights[num_maps - 1]))))
            choose_at = RateDistortionChoice(self.model.codings, rate_weight, weights=place_weights(crops)).within
        maps = encode_in_blocks(load_encoder(self.model), crops, num_maps, choose_at=choose_at)
        return [torch.from_numpy(chosen.indices).to(self.device) for chosen in maps]

    def pixel_gradient(self, x: Tensor, x_hat: Tensor) -> tuple[Tensor, Tensor]:
        """Computes the gradient of the loss at the painted pixels, which is all that the decoder learns from.

        The discriminator's part has `adversarial_weight` times the norm of the rest, whatever the discriminator's own scale.

        Args:
            x: [N, 3, H, W] in [-1, 1], the photos.
            x_hat: [N, 3, H, W], what was painted of them.

        Returns:
            The gradient [N, 3, H, W], and LPIPS (VGG) of each image, [N].
        """
        recipe = self.recipe
        x_hat = x_hat.clone().requires_grad_()
        with self.autocast():
            distance = self.lpips(x, x_hat).float()
            distance_alex = self.lpips_alex(x, x_hat).float().mean() if recipe.lpips_alex_weight else 0.0
        loss = recipe.l1_weight * F.l1_loss(x_hat, x) + recipe.lpips_weight * distance.mean() + recipe.lpips_alex_weight * distance_alex
        share = share_of(recipe.batch_size)
        (gradient,) = torch.autograd.grad(share * loss, x_hat)
        if self.position > recipe.adversarial_from and recipe.adversarial_weight:
            with self.autocast():
                realness = self.discriminator(x_hat).float().mean()
            (adversarial,) = torch.autograd.grad(-share * realness, x_hat)
            factor = norm_over_ranks(gradient) / norm_over_ranks(adversarial).clamp_min(_LEAST_NORM)
            gradient = gradient + recipe.adversarial_weight * factor * adversarial
        return gradient, distance.detach()

    def train_discriminator(self, x: Tensor, x_hat: Tensor) -> Tensor:
        """Takes one step down the hinge loss, and returns the mean logits of real and of painted patches, [2], as this process's shares.

        Args:
            x: [N, 3, H, W] in [-1, 1], the photos.
            x_hat: [N, 3, H, W], what was painted of them.
        """
        factor = self.recipe.lr_factor(self.position) / max(share for _, share in self.recipe.lr_schedule)
        for group in self.discriminator_optimizer.param_groups:
            group["lr"] = self.recipe.lr_discriminator * factor
        with self.autocast():
            real, painted = self.discriminator(torch.cat([x, x_hat])).float().chunk(2)
        share = share_of(self.recipe.batch_size)
        loss = share * (F.relu(1 - real).mean() + F.relu(1 + painted).mean())
        self.discriminator_optimizer.zero_grad(set_to_none=True)
        loss.backward()  # type: ignore[no-untyped-call]
        sum_gradients(self.discriminator.parameters())
        self.discriminator_optimizer.step()
        self.note_finite(loss.detach())
        return share * torch.stack([real.detach().mean(), painted.detach().mean()])

    def report(self, timing: Timing) -> DecoderMetrics:
        """Returns means over the steps since the last report."""
        window, self._window = self._window, _Window()
        psnr_db = float(mean_over_ranks(psnr_of_error(torch.cat(window.errors))))
        lpips_vgg = float(mean_over_ranks(torch.cat(window.distances)))
        real, painted = sum_over_ranks(torch.stack(window.logits).double().mean(dim=0)).tolist() if window.logits else (0.0, 0.0)
        return DecoderMetrics(**asdict(timing), psnr_db=psnr_db, lpips_vgg=lpips_vgg, logit_real=real, logit_painted=painted)

    @torch.no_grad()
    def validate(self) -> DecoderValidation | None:
        """Measures 8-bit pixels of the middle of some held-out photos at the recipe's operating points."""
        if self.held_out is None:
            return None
        decoder = self.averaged.module
        assert isinstance(decoder, Decoder)
        means: list[tuple[float, ...]] = []
        for maps in self.held_out.maps:
            values = []
            for start in range(0, len(self.held_out.x), _HELD_OUT_BATCH):
                x, *parts = (item[start : start + _HELD_OUT_BATCH].to(self.device) for item in (self.held_out.x, *maps))
                x_hat = to_8_bits(decoder(*self.model.network.lookup(parts)))
                values.append(torch.stack([psnr_of_error(squared_error(x, x_hat)), *(judge(x, x_hat) for judge in self.judges)]))
            means.append(tuple(torch.cat(values, dim=1).mean(dim=1).tolist()))
        return DecoderValidation(self.step, self.elapsed_s, tuple(self.held_out.bpp), *zip(*means, strict=True))

    def state(self) -> dict[str, Any]:
        """Returns all that `load_state` needs, with the discriminator."""
        return {
            **super().state(),
            "discriminator": self.discriminator.state_dict(),
            "discriminator_optimizer": self.discriminator_optimizer.state_dict(),
            "autoencoder": autoencoder_digest(self.model.network),
        }

    def load_state(self, state: dict[str, Any]) -> None:
        """Goes on from the state of another run.

        Raises:
            ModelError: The checkpoint is of another network, or for the codes of another model.
        """
        if state.get("autoencoder") != autoencoder_digest(self.model.network):
            raise ModelError(f"the checkpoint is for the codes of another autoencoder than that of {self.model.config.id}")
        if (trained := state["recipe"].get("extra_blocks", 0)) != self.recipe.extra_blocks:
            raise ModelError(f"the checkpoint's decoder has {trained} extra_blocks, the recipe {self.recipe.extra_blocks}")
        super().load_state(state)
        self.discriminator.load_state_dict(state["discriminator"])
        self.discriminator_optimizer.load_state_dict(state["discriminator_optimizer"])


@dataclass
class _Window:
    """The figures of the steps since the last report."""

    errors: list[Tensor] = field(default_factory=list)
    distances: list[Tensor] = field(default_factory=list)
    logits: list[Tensor] = field(default_factory=list)

    def add(self, errors: Tensor, distances: Tensor) -> None:
        """Adds the figures of one batch."""
        self.errors.append(errors)
        self.distances.append(distances)
